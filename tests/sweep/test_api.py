"""`tuner.run` and its sisters, through a real Ray: arrays and builders that are nowhere but in this program."""

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tuner
from search_spaces.code import packed
from tuner.study.backends import read_study
from tuner.sweep.api_code import code_of, own_folders
from tuner.sweep.api_data import asked_for
from tuner.sweep.api_spec import values_of
from tuner.training.source_text import name_of, text_of

ROOT = Path(__file__).parents[2]
SMALL: dict[str, Any] = {"trials": 2, "max_epochs": 2, "grace_period": 1, "sampler": "random", "seeds": 1, "confirm": 0, "quiet": True}


def rows(count: int = 240) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(0)
    y = np.arange(count) % 3
    return (draw.normal(size=(count, 4)) + 4 * np.eye(3, 4)[y]).astype(np.float32), y


def builder_with(units: int) -> Any:
    """Return a builder with a closure, as a cell would have one; its module is made to be none that a process could find."""

    def build_model(trial: Any) -> Any:
        import keras

        rate = trial.suggest_float("rate", 0.01, 0.1, log=True)
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(units, activation="relu"), keras.layers.Dense(3, activation="softmax")])
        model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
        return model

    build_model.__module__ = "__main__"
    return build_model


def test_arrays_and_a_closure_make_a_sweep_that_is_the_same_to_everyone(tmp_path: Path, ray_address: str) -> None:
    where = {"name": "cell", "folder": str(tmp_path / "cell"), "cluster": {"target": "address", "address": ray_address}}
    x, y = rows()
    result = tuner.run(builder_with(8), data=(x, y), **SMALL, **where)
    assert x.flags.writeable, "the program's arrays stay its own"
    assert 0.01 <= result.best.configuration["rate"] <= 0.1
    assert result.test is not None and result.test["test_accuracy"] > 0.3
    frame = result.leaderboard.to_pandas()
    assert list(frame["rank"]) == [1, 2]
    assert set(frame["config.rate"]) == {record.configuration["rate"] for record in result.leaderboard.records}
    assert result.facts["builder"] == "in_memory:build_model"
    assert result.facts["dataset"]["source"] == "in_memory:data"

    # Predictions and the model, with the builder in memory and, read by another program, without it.
    right = (result.predict(x) == y).mean()
    assert right > 0.3
    again = tuner.load(tmp_path / "cell")
    assert np.allclose(again.predict(x, probabilities=True), result.predict(x, probabilities=True), atol=1e-6)
    model = again.model()
    assert model.output_shape == (None, 3)

    # The faces of a notebook and of a terminal.
    assert "val_accuracy" in repr(result)
    page = result._repr_html_()
    assert "<table>" in page and "<iframe srcdoc=" in page
    assert "rank" in repr(result.leaderboard)
    assert result.report().path.is_file()
    assert "Content-Security-Policy" in result.report()._repr_html_()
    assert tuner.simulate(result.folder, scheduler="fifo").facts["trials"] == 2

    # Called again it goes on; other code and other data are refused, with the difference.
    assert tuner.run(builder_with(8), data=(x, y), **SMALL, **where).leaderboard.records == result.leaderboard.records
    with pytest.raises(tuner.SpecError, match=r'builder has changed since this sweep began .*"units = 8" -> "units = 16"'):
        tuner.run(builder_with(16), data=(x, y), **SMALL, **where)
    with pytest.raises(tuner.SpecError, match="content has changed since this sweep began"):
        tuner.run(builder_with(8), data=(x + 1, y), **SMALL, **where)
    more = {**SMALL, "trials": 3}
    with pytest.raises(tuner.SpecError, match=r"search\.trials: 2 -> 3"):
        tuner.run(builder_with(8), data=(x, y), **more, **where)

    # On the command line the record is like any other; only its code cannot be found there.
    command = [sys.executable, "-m", "tuner"]
    shown = subprocess.run([*command, "leaderboard", str(result.folder)], capture_output=True, text=True, check=True, cwd=ROOT)
    assert "val_accuracy" in shown.stdout
    refused = subprocess.run([*command, "resume", str(result.folder)], capture_output=True, text=True, cwd=ROOT)
    assert refused.returncode == 2
    assert "its builder and data came from a program's memory (tuner.run); run that program again, and it goes on" in refused.stderr
    kept = read_study(result.folder).facts["builder_sources"]
    assert "units = 8" in (result.folder / kept["folder"] / "in_memory.build_model.py").read_text()


def test_splits_that_a_program_brings_are_kept_and_a_function_of_a_cell_is_called_elsewhere(tmp_path: Path, ray_address: str) -> None:
    where = {"cluster": {"target": "address", "address": ray_address}}
    x, y = rows()
    given = tuner.Data(train=(x[:120], y[:120]), validation=(x[120:180], y[120:180]), test=(x[180:], y[180:]))
    first = tuner.run(builder_with(4), data=given, name="given", folder=str(tmp_path / "given"), **SMALL, **where)
    told = first.facts["dataset"]
    assert (told["train_rows"], told["validation_rows"], told["test_rows"], told["test_given"]) == ([120], [60], 60, True)

    def load() -> Any:
        return {"train": (x[:120], y[:120]), "validation": (x[120:180], y[120:180]), "test": (x[180:], y[180:])}

    load.__module__ = "__main__"
    second = tuner.run("mlp", data=load, name="function", folder=str(tmp_path / "function"), **SMALL, **where)
    assert second.facts["dataset"]["content_hash"] == told["content_hash"]
    assert second.facts["dataset"]["source"] == "in_memory:load"
    compared = tuner.compare(first.folder, second.folder)
    assert "given" in repr(compared) and "function" in repr(compared)


def test_a_plan_of_a_builder_in_memory_shows_its_space(ray_address: str) -> None:
    where = {"cluster": {"target": "address", "address": ray_address}}
    plan = tuner.plan(builder_with(4), data=rows(), trials=3, max_epochs=2, measure=1, quiet=True, **where)
    assert plan.facts["space"] == {"rate": {"low": 0.01, "high": 0.1, "log": True, "default": pytest.approx(0.0316, abs=1e-3)}}
    assert "rate  0.01 to 0.1 (log)" in repr(plan)
    assert "<pre>" in plan._repr_html_()


def test_an_interrupt_ends_the_call_so_that_it_can_be_called_again(tmp_path: Path, ray_address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import os
    import signal

    from tuner.monitor.console import QuietView

    def stop(self: Any, number: int, epoch: int, value: Any, state: str, cause: str = "") -> None:
        os.kill(os.getpid(), signal.SIGINT)

    where = {"name": "stopped", "folder": str(tmp_path / "stopped"), "cluster": {"target": "address", "address": ray_address}}
    before = signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patched:
        patched.setattr(QuietView, "epoch", stop)
        with pytest.raises(KeyboardInterrupt, match="run it again, and stopped goes on"):
            tuner.run(builder_with(4), data=rows(), **{**SMALL, "trials": 6}, **where)
    assert signal.getsignal(signal.SIGINT) == before
    assert len(read_study(tmp_path / "stopped").trials("complete", "pruned")) < 6
    result = tuner.run(builder_with(4), data=rows(), **{**SMALL, "trials": 6}, **where)
    assert len(result.leaderboard) == 6


# ---- without a cluster


def test_every_key_of_the_spec_is_a_keyword() -> None:
    found = values_of({"search": {"trials": 3}, "seed": 7}, {"trials": 50, "max_epochs": 2, "sampler": "tpe", "space": {"units": [1, 2]}, "resources__gpus": 0})
    assert found == {
        "search": {"trials": 50, "sampler": "tpe"},
        "seed": 7,
        "training": {"max_epochs": 2},
        "space": {"units": [1, 2]},
        "resources": {"gpus": 0},
    }


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"trails": 3}, "trails: unknown keyword; did you mean 'trials'?"),
        ({"gpus": 1}, "gpus: a key of resources and of cluster; expected resources__gpus or cluster__gpus"),
        ({"search__sampelr": "tpe"}, "search__sampelr: search has no key 'sampelr'; did you mean 'sampler'?"),
    ],
)
def test_a_keyword_that_is_none_is_told_with_the_nearest(keywords: dict[str, Any], message: str) -> None:
    with pytest.raises(tuner.SpecError) as caught:
        values_of(None, keywords)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("builder", "message"),
    [
        (3, "build_model: got int; expected a function, a HyperModel, or the name of a space: mlp, tabular, cnn, sequence"),
        ("mpl", "build_model: got 'mpl'; did you mean 'mlp'? or 'module:function'"),
        (
            lambda width: width,
            "build_model: build_model: got a builder (width); expected (configuration, problem), (hp) for KerasTuner's or (trial) for Optuna's",
        ),
    ],
)
def test_what_is_no_builder_is_refused(builder: Any, message: str) -> None:
    with pytest.raises(tuner.SpecError) as caught:
        code_of(builder, [])
    assert str(caught.value) == message


def test_what_the_call_and_the_spec_say_differently_is_refused() -> None:
    with pytest.raises(tuner.SpecError, match="space: got a space beside build_model in the call; expected one of the two"):
        tuner.run(builder_with(4), data=rows(), spec={"space": {"name": "mlp"}})
    with pytest.raises(tuner.SpecError, match=r"dataset.source: got 'digits' beside 'in_memory:data' in the call"):
        tuner.run("mlp", data=rows(), spec={"dataset": {"source": "digits"}})


def test_data_are_told_apart(tmp_path: Path) -> None:
    assert asked_for("mnist", []).section == {"source": "mnist"}
    assert asked_for("mine:load", []).section == {"source": "mine:load"}
    assert asked_for(tmp_path / "a.npz", []).section == {"source": "npz", "path": str(tmp_path / "a.npz")}
    assert asked_for("a.csv", []).section == {"source": "table", "path": "a.csv"}
    several = asked_for(({"left": np.zeros((6, 2)), "right": np.zeros((6, 3))}, np.zeros(6)), [])
    assert set(several.held["train"].x) == {"left", "right"}
    with pytest.raises(tuner.DatasetError, match="data: got 'minst'; expected arrays"):
        asked_for("minst", [])
    with pytest.raises(tuner.DatasetError, match="live pipeline, which cannot be sent to trials; expected a function that makes it"):
        asked_for(iter([]), [])


def test_the_text_of_a_builder_holds_what_it_uses_and_not_where_it_stands() -> None:
    one, other = text_of(builder_with(8)), text_of(builder_with(9))
    assert "def build_model(trial" in one
    assert "units = 8" in one and "units = 9" in other
    source = "SIZES = numpy.arange(3)\nKNOWN = {'a': 1}\ndef helper():\n    return KNOWN\ndef build(hp):\n    return helper(), SIZES, numpy\n"
    scope: dict[str, Any] = {"__name__": "__main__"}
    exec(f"import numpy\n{source}", scope)
    text = text_of(scope["build"])
    assert "SIZES = array of int64 (3,)" in text
    assert "KNOWN = {'a': 1}" in text
    moved: dict[str, Any] = {"__name__": "__main__"}
    exec(f"import numpy\n\n\n{source}", moved)
    assert text_of(moved["build"]) == text
    moved["KNOWN"]["a"] = 2
    assert text_of(moved["build"]) != text


def test_a_function_of_a_module_goes_by_its_name_where_a_fresh_process_finds_it() -> None:
    from tests import builders

    assert name_of(builders.network, [str(ROOT)]) == "tests.builders:network"
    assert name_of(builders.network, ["/somewhere"]) is None
    assert name_of(builder_with(3), [str(ROOT)]) is None
    assert all(not folder.endswith("site-packages") for folder in own_folders())


def test_what_cannot_travel_is_told_by_its_name() -> None:
    lock = threading.Lock()
    with pytest.raises(tuner.SearchSpaceError, match=r"build: cannot be sent to a trial's process \(TypeError: .*lock"):
        packed({"in_memory:build": lambda hp: lock})


def test_importing_the_package_loads_nothing() -> None:
    code = "import sys, tuner\nassert 'ray' not in sys.modules and 'pydantic' not in sys.modules\nassert 'run' in dir(tuner)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
    with pytest.raises(AttributeError, match="module 'tuner' has no attribute 'rnu'"):
        tuner.rnu  # noqa: B018


def test_a_gpu_that_this_program_holds_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from types import SimpleNamespace

    from tuner.sweep.api import held_gpus

    def pretend(initialised: bool, gpus: int) -> None:
        context = SimpleNamespace(_initialized=initialised)
        config = SimpleNamespace(list_logical_devices=lambda kind: [kind] * gpus)
        monkeypatch.setitem(sys.modules, "tensorflow", SimpleNamespace(config=config))
        monkeypatch.setitem(sys.modules, "tensorflow.python.eager.context", SimpleNamespace(context=lambda: context))

    pretend(True, 2)
    assert "holds 2 GPUs" in held_gpus()[0]
    pretend(False, 2)
    assert held_gpus() == [], "nothing is held that has not been looked at"
    pretend(True, 0)
    assert held_gpus() == []


def test_tensorflow_has_what_tells_whether_it_holds_a_gpu() -> None:
    code = (
        "import sys, tensorflow as tf; context = sys.modules['tensorflow.python.eager.context'].context(); before = context._initialized; tf.constant(1) + 1; "
        "assert (before, context._initialized) == (False, True)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, env={"PATH": "/usr/bin:/bin", "TF_CPP_MIN_LOG_LEVEL": "3"})
