"""What Keras and TensorFlow take from their surroundings, and what a trial does of it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tuner.errors import SpecError
from tuner.training import keras_settings, starting


def home(folder: Path, **said: object) -> dict[str, str]:
    folder.mkdir(exist_ok=True)
    (folder / "keras.json").write_text(json.dumps(said))
    return {"KERAS_HOME": str(folder)}


def test_usual_settings_are_nothing_to_speak_of(tmp_path: Path) -> None:
    usual = {"floatx": "float32", "epsilon": 1e-7, "backend": "tensorflow", "image_data_format": "channels_last"}
    assert keras_settings.check(home(tmp_path, **usual)) == []
    assert keras_settings.check({"KERAS_HOME": str(tmp_path / "nowhere")}) == []


@pytest.mark.parametrize("backend", ["jax", "torch", "numpy", "openvino", "nonsense"])
def test_another_backend_is_refused_with_how_to_mend_it(tmp_path: Path, backend: str) -> None:
    with pytest.raises(SpecError, match=rf"KERAS_BACKEND: got '{backend}'; .*: run with KERAS_BACKEND=tensorflow$"):
        keras_settings.check({"KERAS_BACKEND": backend, "KERAS_HOME": str(tmp_path)})
    with pytest.raises(SpecError, match=rf"keras\.json: \"backend\": got '{backend}'; .*run with KERAS_BACKEND=tensorflow, or change the file"):
        keras_settings.check(home(tmp_path, backend=backend))


def test_variable_goes_before_the_file_as_in_keras(tmp_path: Path) -> None:
    assert keras_settings.check({**home(tmp_path, backend="jax"), "KERAS_BACKEND": "tensorflow"}) == []


def test_what_trials_do_otherwise_is_told(tmp_path: Path) -> None:
    lines = keras_settings.check(home(tmp_path, floatx="float64", image_data_format="channels_first"))
    assert [line.partition("keras.json: ")[2].partition(":")[0] for line in lines] == [
        "floatx is float64; trials have float32",
        "image_data_format is channels_first; trials have channels_last",
    ]


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"floatx": "float128"}, "floatx: got 'float128'; expected float16 or float32 or float64|floatx: got 'float128'"),
        ({"image_data_format": "rows"}, "image_data_format: got 'rows'"),
        ({"epsilon": "small"}, "epsilon: got 'small'"),
    ],
)
def test_what_keras_itself_does_not_take_is_refused_before_anything_starts(tmp_path: Path, said: dict, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        keras_settings.check(home(tmp_path, **said))


def test_variables_that_cut_training_short_are_refused(tmp_path: Path) -> None:
    for name in keras_settings.CUTS:
        with pytest.raises(SpecError, match=f"{name}: got '3', which ends training early"):
            keras_settings.check({"KERAS_HOME": str(tmp_path), name: "3"})


@pytest.mark.parametrize(
    "name",
    ["TF_ENABLE_ONEDNN_OPTS", "TF_USE_LEGACY_KERAS", "KERAS_BACKEND", "XLA_FLAGS", "CUDA_DEVICE_ORDER", "LD_LIBRARY_PATH", "PYTHONHASHSEED"],
)
def test_a_server_is_shared_only_where_imports_come_out_alike(name: str) -> None:
    one, other = ({"KERAS_HOME": "/nowhere", name: value} for value in ("0", "1"))
    assert keras_settings.fingerprint(one) != keras_settings.fingerprint(other)
    assert keras_settings.fingerprint(one) == keras_settings.fingerprint(dict(one))


def test_what_each_trial_sets_for_itself_parts_no_servers() -> None:
    for name in ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "RAY_JOB_ID", "HOSTNAME"):
        assert keras_settings.fingerprint({"KERAS_HOME": "/nowhere", name: "1"}) == keras_settings.fingerprint({"KERAS_HOME": "/nowhere", name: "2"})


def test_kerass_file_parts_servers(tmp_path: Path) -> None:
    environment = home(tmp_path, floatx="float32")
    before = keras_settings.fingerprint(environment)
    assert keras_settings.fingerprint(home(tmp_path, floatx="float64")) != before


def test_the_servers_name_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    before = starting._key()
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0" if os.environ.get("TF_ENABLE_ONEDNN_OPTS") != "0" else "1")
    changed = starting._key()
    monkeypatch.setenv("KERAS_BACKEND", "jax")  # trials have TensorFlow all the same
    assert before != changed and starting._key() == changed


def test_a_trial_computes_alike_whatever_kerass_file_says(tmp_path: Path) -> None:
    environment = {**os.environ, **home(tmp_path, floatx="float64", image_data_format="channels_first", epsilon=0.5, backend="tensorflow")}
    code = """
import keras
from tuner.training import keras_settings
before = keras.config.floatx(), keras.config.image_data_format(), keras.config.epsilon()
keras_settings.apply()
layer = keras.layers.Dense(2, kernel_regularizer="l2")
layer.build((None, 3))
print(before, keras.config.floatx(), keras.config.image_data_format(), keras.config.epsilon(), layer.kernel.dtype, float(sum(layer.losses)) >= 0)
"""
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120)
    assert run.stdout.split("\n")[0] == "('float64', 'channels_first', 0.5) float32 channels_last 1e-07 float32 True", run.stderr
