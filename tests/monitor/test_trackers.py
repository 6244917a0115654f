"""What trackers show of a sweep, read back from what they wrote."""

import json
import sqlite3
import struct
import subprocess
import sys
import tomllib
import types
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from tuner.errors import SpecError
from tuner.monitor.trackers import following as followings
from tuner.monitor.trackers import named as trackers
from tuner.monitor.trackers.following import Following, following
from tuner.monitor.trackers.tracker import Sweep
from tuner.monitor.trackers.wandb_runs import WandbRuns
from tuner.spec import sweep_spec as specs
from tuner.study.backends import open_study
from tuner.study.failures import Cause
from tuner.study.objective import Objective
from tuner.study.record import Study

SPACE = {"units": {"low": 4, "high": 16}, "kind": {"choices": ["a", "b"]}, "flat": {"choices": [True, False]}, "mixed": {"choices": [1, "auto"]}}
CONFIGURATION = {"units": 8, "kind": "a", "flat": True, "mixed": 1}
FINAL = {"trial": 0, "epochs": 2, "configuration": CONFIGURATION, "mean": {"test_accuracy": 0.75}, "spread": {"test_accuracy": 0.125}}


class Told:
    """A view that keeps the notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def begun(folder: Path) -> Study:
    """A study with two trials: one complete, one that failed after an epoch; a third one runs."""
    folder.mkdir(exist_ok=True)
    study = open_study(folder, "digits", Objective("val_accuracy", "max"))
    for name, value in {"name": "digits", "started_at": "2026-01-01T00:00:00+00:00", "space": SPACE}.items():
        study.set_fact(name, value)
    for number, epochs in enumerate((2, 1, 1)):
        study.ask()
        study.set_trial_fact(number, "configuration", CONFIGURATION)
        study.set_trial_fact(number, "seed", 10 + number)
        study.set_trial_fact(number, "started_at", 100.0 * number)
        for epoch in range(1, epochs + 1):
            study.report(number, epoch, {"val_accuracy": 0.25 * epoch, "loss": 2.0, "seconds": 5.0})
    study.finish(0, "complete")
    study.finish(1, "failed", Cause("diverged", "the loss is not finite"))
    return study


def follow(names: list[str], study: Study, folder: Path) -> list[str]:
    """Let trackers follow the study as it is, and return what was noted."""
    view = Told()
    with following(names, study, folder=folder, began=1_000_000.0, view=view):  # type: ignore[arg-type]
        pass
    return view.notes


def go_on(study: Study) -> None:
    """What a sweep that goes on adds: the third trial's end, and the final scores."""
    study.report(2, 2, {"val_accuracy": 0.5, "loss": 1.0, "seconds": 5.0})
    study.finish(2, "pruned")
    study.set_fact("final", FINAL)


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """No tracker's own settings, and no waiting for a tracker that hangs."""
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "WANDB_MODE", "WANDB_PROJECT"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("quiet")
def test_mlflow_holds_each_trial_once_however_often_the_sweep_goes_on(tmp_path: Path) -> None:
    study = begun(tmp_path)
    assert [note for note in follow(["mlflow"], study, tmp_path) if "dropped" in note] == []
    go_on(study)
    assert [note for note in follow(["mlflow"], study, tmp_path) if "dropped" in note] == []
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        runs = {run: (name, status) for run, name, status in database.execute("select run_uuid, name, status from runs")}
        params = [(runs[run][0], key, value) for run, key, value in database.execute("select run_uuid, key, value from params")]
        metrics = [(runs[run][0], key, step, value) for run, key, step, value in database.execute("select run_uuid, key, step, value from metrics")]
        tags = [(runs[run][0], key, value) for run, key, value in database.execute("select run_uuid, key, value from tags")]
    database.close()
    assert sorted(runs.values()) == [("digits", "FINISHED"), ("trial 0", "FINISHED"), ("trial 1", "FAILED"), ("trial 2", "FINISHED")]
    assert {("trial 0", "units", "8"), ("trial 0", "kind", "a"), ("trial 0", "seed", "10")} <= set(params)
    assert sorted(metric for metric in metrics if metric[1] == "val_accuracy") == [
        ("trial 0", "val_accuracy", 1, 0.25),
        ("trial 0", "val_accuracy", 2, 0.5),
        ("trial 1", "val_accuracy", 1, 0.25),
        ("trial 2", "val_accuracy", 1, 0.25),
        ("trial 2", "val_accuracy", 2, 0.5),
    ]
    assert {("digits", "test_accuracy", 0, 0.75), ("digits", "test_accuracy_spread", 0, 0.125), ("trial 0", "score", 2, 0.5)} <= set(metrics)
    assert {("trial 1", "tuner.cause", "the loss is not finite"), ("trial 2", "tuner.state", "pruned"), ("digits", "tuner.winner", "0")} <= set(tags)


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize(
    ("enabled", "ended", "status"), [(False, "the budget is spent", "FINISHED"), (False, None, "SCHEDULED"), (True, "the budget is spent", "SCHEDULED")]
)
def test_mlflow_says_that_a_sweep_is_over_that_was_to_search_only(tmp_path: Path, enabled: bool, ended: str | None, status: str) -> None:
    study = begun(tmp_path)
    study.set_fact("spec", {"evaluation": {"enabled": enabled}})
    study.set_fact("search_ended", ended)
    assert [note for note in follow(["mlflow"], study, tmp_path) if "dropped" in note] == []
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        assert list(database.execute("select status from runs where name = 'digits'")) == [(status,)]
    database.close()


@pytest.mark.usefixtures("quiet")
def test_tensorboard_shows_curves_and_hyperparameters_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = begun(tmp_path)
    assert follow(["tensorboard"], study, tmp_path) == []
    go_on(study)
    assert follow(["tensorboard"], study, tmp_path) == []
    # Without it, TensorBoard reads with TensorFlow.
    monkeypatch.setitem(sys.modules, "tensorboard.compat.notf", types.ModuleType("notf"))
    scalars: dict[str, list[tuple[str, int, float]]] = {}
    plugin = {}
    for file in sorted((tmp_path / "tensorboard").rglob("events.*")):
        run = file.parent.name
        for event in events(file):
            for value in event.summary.value:
                if value.metadata.plugin_data.plugin_name == "hparams":
                    plugin[run, value.tag] = value.metadata.plugin_data.content
                else:
                    scalars.setdefault(run, []).append((value.tag, event.step, value.simple_value))
    assert [found for found in scalars["trial-0002"] if found[0] == "val_accuracy"] == [("val_accuracy", 1, 0.25), ("val_accuracy", 2, 0.5)]
    assert ("best/val_accuracy", 2, 0.5) in scalars["trial-0000"]
    assert ("test_accuracy", 2, 0.75) in scalars["final-trial-0000-2-epochs"]
    told = described(plugin)
    infos = {info.name: (info.type, info.WhichOneof("domain")) for info in told["tensorboard"]["experiment"].hparam_infos}
    assert infos == {"units": (3, "domain_interval"), "kind": (1, "domain_discrete"), "flat": (2, "domain_discrete"), "mixed": (1, "domain_discrete")}
    hparams = told["trial-0000"]["session_start_info"].hparams
    assert (hparams["units"].number_value, hparams["kind"].string_value, hparams["flat"].bool_value, hparams["mixed"].string_value) == (8.0, "a", True, "1")
    assert [told[f"trial-000{number}"]["session_end_info"].status for number in range(3)] == [1, 2, 1]  # success, failure, success


def events(file: Path) -> Iterator[Any]:
    from tensorboard.compat.proto.event_pb2 import Event

    content, place = file.read_bytes(), 0
    while place < len(content):
        (length,) = struct.unpack_from("<Q", content, place)  # then a checksum of 4 bytes, the record, and another checksum
        yield Event.FromString(content[place + 12 : place + 12 + length])
        place += 16 + length


def described(plugin: dict[tuple[str, str], bytes]) -> dict[str, dict[str, Any]]:
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    found: dict[str, dict[str, Any]] = {}
    for (run, tag), content in plugin.items():
        what = tag.removeprefix("_hparams_/")
        found.setdefault(run, {})[what] = getattr(HParamsPluginData.FromString(content), what)
    return found


@pytest.mark.usefixtures("quiet")
def test_wandb_keeps_each_trial_offline_once_it_has_ended(tmp_path: Path) -> None:
    study = begun(tmp_path)
    assert [note for note in follow(["wandb"], study, tmp_path) if "dropped" in note] == []
    go_on(study)
    assert [note for note in follow(["wandb"], study, tmp_path) if "dropped" in note] == []
    from wandb.proto.wandb_internal_pb2 import Record

    found: dict[str, dict[str, Any]] = {}
    for file in (tmp_path / "wandb").glob("offline-run-*/*.wandb"):
        run: dict[str, Any] = {"history": [], "config": {}, "summary": {}}
        for content in wandb_records(file):
            record = Record.FromString(content)
            for item in record.history.item:
                name = item.key or ".".join(item.nested_key)
                if name == "val_accuracy":
                    run["history"].append(json.loads(item.value_json))
            run["config"] |= {item.key: json.loads(item.value_json) for item in record.run.config.update} if record.HasField("run") else {}
            run["summary"] |= {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in record.summary.update}
            if record.HasField("run"):
                run["name"] = record.run.display_name
            if record.HasField("exit"):
                run["exit"] = record.exit.exit_code
        found[run["name"]] = run
    assert sorted(found) == ["final: trial 0", "trial 0", "trial 1", "trial 2"]
    assert found["trial 0"]["history"] == [0.25, 0.5]
    assert found["trial 2"]["history"] == [0.25, 0.5]
    assert (found["trial 0"]["config"]["units"], found["trial 0"]["config"]["seed"]) == (8, 10)
    assert (found["trial 1"]["summary"]["state"], found["trial 1"]["exit"], found["trial 0"]["exit"]) == ("failed", 1, 0)
    assert found["final: trial 0"]["summary"]["test_accuracy"] == 0.75


def wandb_records(file: Path) -> Iterator[bytes]:
    """Read W&B's file: a head of 7 bytes, then LevelDB's log format, blocks of 32 KiB with parts of records."""
    content, place, begun = file.read_bytes(), 7, b""
    while place + 7 <= len(content):
        left = 32768 - place % 32768
        if left < 7:
            place += left
            continue
        _, length, part = struct.unpack_from("<IHB", content, place)
        begun += content[place + 7 : place + 7 + length]
        place += 7 + length
        if part in (1, 4):  # whole, or the last part
            yield begun
            begun = b""


def test_tracker_that_fails_is_told_once_and_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "no-such-scheme://nowhere")
    notes = follow(["mlflow", "tensorboard"], begun(tmp_path), tmp_path)
    dropped = [note for note in notes if "dropped" in note]
    assert len(dropped) == 1
    assert dropped[0].startswith("tracker mlflow: ")
    assert "no-such-scheme" in dropped[0]
    assert list((tmp_path / "tensorboard").glob("trial-*"))


def test_tracker_that_hangs_neither_delays_looks_nor_holds_the_end_for_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(followings, "FINISH_S", 0.2)
    monkeypatch.setattr(followings.subprocess, "Popen", hanging(subprocess.Popen))
    study, view = begun(tmp_path), Told()
    with following(["tensorboard"], study, folder=tmp_path, began=0.0, view=view) as followed:  # type: ignore[arg-type]
        for epoch in range(2, 40):
            study.report(2, epoch, {"val_accuracy": 0.5, **{f"metric {number}": 1.0 for number in range(200)}})
        followed.look(now=True)  # more than a pipe holds
    assert view.notes == ["tracker tensorboard: it has not taken everything within 0 s; it gets the rest when the sweep is run again; it is dropped, "
                          "the sweep goes on without it"]  # fmt: skip


def hanging(popen: Any) -> Any:
    def started(command: list[str], **options: Any) -> Any:
        return popen([sys.executable, "-c", "import time; time.sleep(60)"], **options)

    return started


def test_nothing_is_looked_at_without_trackers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = begun(tmp_path)
    monkeypatch.setattr(Study, "trials", None)
    Following([], study, folder=tmp_path, began=0.0, view=Told()).look(now=True)  # type: ignore[arg-type]


def test_missing_package_is_named_with_the_extra_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trackers, "find_spec", lambda name: None)
    with pytest.raises(SpecError, match=r"trackers: 'wandb' needs a package that is not installed; `pip install 'keras-sweep-tuner\[wandb\]'`"):
        trackers.check_installed(["wandb"])


@pytest.mark.parametrize(
    ("names", "said"),
    [(["mlfow"], "trackers: 'mlfow': unknown tracker; did you mean 'mlflow'"), (["wandb", "wandb"], "trackers: got wandb, wandb; expected each once")],
)
def test_spec_refuses_unknown_trackers(names: list[str], said: str) -> None:
    with pytest.raises(SpecError, match=said):
        specs.check({"name": "digits", "trackers": names})


def test_each_tracker_has_an_extra_of_its_name() -> None:
    stated = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))
    assert set(trackers.TRACKERS) <= set(stated["project"]["optional-dependencies"])


def test_wandb_stays_offline_unless_told_otherwise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    class Run(dict):
        summary: dict[str, Any] = {}  # noqa: RUF012

        def finish(self, exit_code: int) -> None: ...

    fake = types.SimpleNamespace(init=lambda **options: asked.append(options["mode"]) or Run(), Settings=lambda **options: None)
    monkeypatch.setitem(sys.modules, "wandb", fake)
    sweep = followings.Sweep("abc", "digits", str(tmp_path), "val_accuracy", "max")
    for mode in (None, "online"):
        monkeypatch.delenv("WANDB_MODE", raising=False) if mode is None else monkeypatch.setenv("WANDB_MODE", mode)
        WandbRuns(sweep).final(0, 2, {}, {"test_accuracy": 0.5}, 0.0)
    assert asked == ["offline", "online"]


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("name", trackers.TRACKERS)
def test_every_tracker_takes_what_a_sweep_says_and_the_same_once_more_when_it_goes_on(name: str, tmp_path: Path) -> None:
    lines = [
        ["trial", 0, "trial 0", CONFIGURATION, {"seed": 1, "source": "sampler"}, 1.0],
        ["epoch", 0, 1, {"val_accuracy": 0.5}, 2.0],
        ["trial", 1, "wide", CONFIGURATION, {"seed": 2, "baseline": "wide"}, 1.0],
        ["epoch", 1, 1, {"val_accuracy": 0.25}, 2.0],
        ["end", 1, "failed", {"score": 0.25, "best_epoch": 1, "epochs": 1, "cause": "the loss is not finite"}, 3.0],
        ["end", 0, "complete", {"score": 0.5, "best_epoch": 1, "epochs": 1, "parameters": 9}, 4.0],
        ["final", 0, 1, CONFIGURATION, {"test_accuracy": 0.25, "test_accuracy_spread": 0.125}, 5.0],
        ["over"],
    ]
    sweep = asdict(Sweep("0123abcd", "digits", str(tmp_path), "val_accuracy", "max", SPACE))
    text = "".join(json.dumps(line) + "\n" for line in (sweep, *lines))
    for _ in range(2):
        fed = subprocess.run([sys.executable, "-m", "tuner.monitor.trackers", name], input=text, capture_output=True, text=True, timeout=120, check=False)
        assert fed.returncode == 0, fed.stderr
    assert any(tmp_path.iterdir())
