"""`tuner.run` in a real Jupyter kernel, on a Ray of its own."""

from pathlib import Path

import pytest

pytest.importorskip("ipykernel")
pytest.importorskip("jupyter_client")

from tests.notebook.kernel import kernel

pytestmark = [pytest.mark.timeout(900), pytest.mark.filterwarnings("default")]

DATA = """
import numpy as np, sys
sys.path.append({code!r})
y = np.arange(240) % 3
x = (np.random.default_rng(0).normal(size=(240, 4)) + 4 * np.eye(3, 4)[y]).astype("float32")
"""
USED = """
import keras
model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation="softmax")])
model.compile("adam", "sparse_categorical_crossentropy")
float(model.fit(x, y, verbose=0).history["loss"][0])
"""
HELPER = """
import my_layers
WIDTH = 8
def hidden(trial):
    return my_layers.dense(trial.suggest_int("units", 4, WIDTH))
"""
BUILDER = """
def build_model(trial):
    model = keras.Sequential([keras.Input((4,)), hidden(trial), keras.layers.Dense(3, activation="softmax")])
    model.compile(keras.optimizers.Adam(trial.suggest_float("rate", 0.01, 0.1, log=True)), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model
"""
RUN = """
import tuner
result = tuner.run(build_model, data=(x, y), trials={trials}, max_epochs={epochs}, grace_period=1, sampler="random", seeds=1, confirm=0, name={name!r})
result
"""


def test_a_sweep_runs_twice_in_a_kernel_that_has_used_tensorflow_and_is_interrupted_so_that_it_goes_on(tmp_path: Path) -> None:
    code, folder = tmp_path / "code", tmp_path / "elsewhere"
    code.mkdir()
    folder.mkdir()
    (code / "my_layers.py").write_text("import keras\n\ndef dense(units):\n    return keras.layers.Dense(units, activation='relu')\n", encoding="utf-8")
    with kernel(folder) as cells:
        for cell in (DATA.format(code=str(code)), USED, HELPER, BUILDER):
            assert cells.run(cell).error == ("", "")

        shown = cells.run(RUN.format(trials=2, epochs=2, name="first"))
        assert shown.error == ("", "")
        assert any("<progress" in page for page in shown.pages), "a bar while it searches"
        assert "val_accuracy" in shown.result["text/plain"]
        assert "<iframe srcdoc=" in shown.result["text/html"]
        assert "<table>" in shown.result["text/html"]
        assert (folder / "sweeps" / "first" / "report.html").is_file()

        def has_trained(shown: object) -> bool:
            return any("best val_accuracy" in page for page in shown.pages)  # type: ignore[attr-defined]

        shown = cells.run(RUN.format(trials=6, epochs=200, name="second"), meanwhile=has_trained)
        assert shown.error[0] == "KeyboardInterrupt"
        assert "run it again, and second goes on" in shown.error[1]
        assert cells.run("model.predict(x[:1], verbose=0).shape").result["text/plain"] == "(1, 3)", "the kernel lives, and its TensorFlow with it"
        before = cells.run("len(tuner.load('sweeps/second').leaderboard)")
        assert before.error[0] == "" and int(before.result["text/plain"]) >= 1

        # With other code it is refused in a line; with the same it goes on.
        cells.run("WIDTH = 9")
        shown = cells.run(RUN.format(trials=6, epochs=200, name="second"))
        assert shown.error[0] == "SpecError"
        assert '"WIDTH = 8" -> "WIDTH = 9"' in shown.error[1]
        cells.run("WIDTH = 8")
        shown = cells.run(RUN.format(trials=6, epochs=200, name="second"), meanwhile=has_trained)
        assert shown.error[0] == "KeyboardInterrupt", "it has taken up its trials again"


def test_a_script_without_a_main_guard_runs_a_sweep(tmp_path: Path) -> None:
    import subprocess
    import sys

    from tests.notebook.kernel import ROOT

    (tmp_path / "my_layers.py").write_text("import keras\n\ndef dense(units):\n    return keras.layers.Dense(units, activation='relu')\n", encoding="utf-8")
    source = "print('once')\n" + DATA.format(code=str(tmp_path)) + "import keras\n" + HELPER + BUILDER + RUN.format(trials=2, epochs=2, name="script")
    (tmp_path / "train.py").write_text(source + "print(result.best.configuration['units'], result.predict(x[:3]).shape)\n", encoding="utf-8")
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run([sys.executable, str(tmp_path / "train.py")], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("once") == 1, "nobody has run the script a second time"
    assert done.stdout.rstrip().endswith("(3,)")
