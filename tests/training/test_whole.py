"""The saved model takes rows as they are in their source, in a Python that has Keras alone: what it says is what `tuner predict` says."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from search_spaces.spaces import SPACES
from tuner.data import dataset as data
from tuner.data.dataset import Fold, read_for_prediction
from tuner.data.tables.dialect import Dialect
from tuner.spec import sweep_spec as specs
from tuner.training.trainer import Training
from tuner.training.whole import metadata_of, network_in, outputs_of, with_weights

ROWS = 90
BUILDERS = """
import keras

def build(configuration, problem):
    words = keras.Input((), dtype="string", name="word")
    numbers = keras.Input((3,), name="size")
    hashed = keras.layers.Embedding(16, 4)(keras.layers.Hashing(16)(words))
    x = keras.layers.Concatenate()([hashed, numbers])
    return keras.Model({"word": words, "size": numbers}, keras.layers.Dense(1)(x))

def load():
    import numpy as np
    random = np.random.default_rng(0)
    size = random.normal(50, 9, (90, 3)).astype("float32")
    return {"word": np.array(["ab", "c", "ä"] * 30), "size": size}, 1e5 * size[:, 0] + 7e6

def logits(configuration, problem):
    inputs = keras.Input(problem.input_shape)
    model = keras.Sequential([inputs, keras.layers.Flatten(), keras.layers.Dense(1)])
    model.compile("adam", keras.losses.BinaryCrossentropy(from_logits=True), metrics=[keras.metrics.BinaryAccuracy("accuracy", threshold=0.0)])
    return model

def tokens(configuration, problem):
    embedded = [keras.Input(problem.input_shape, dtype="int32"), keras.layers.Embedding(30, 4), keras.layers.GlobalAveragePooling1D()]
    return keras.Sequential([*embedded, keras.layers.Dense(problem.outputs, "softmax")])

@keras.saving.register_keras_serializable("mine")
class Twice(keras.layers.Layer):
    def call(self, x):
        return 2 * x

def twice(configuration, problem):
    inputs = keras.Input(problem.input_shape)
    return keras.Model(inputs, keras.layers.Dense(problem.outputs, "softmax")(Twice()(keras.layers.Flatten()(inputs))))
"""
ONLY_ARRAYS = """
import keras

@keras.saving.register_keras_serializable("mine")
class Arrays(keras.Model):
    def __init__(self, **options):
        super().__init__(**options)
        self.last = keras.layers.Dense(10, "softmax")

    def call(self, x):
        return self.last(keras.ops.reshape(x.numpy(), (-1, 64)))

def build(configuration, problem):
    return Arrays()
"""
ALONE = """
import json, sys

class Nobody:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("tuner", "search_spaces", "cluster"):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Nobody())
import keras, numpy as np, pandas as pd

for kind, path, rows in json.loads(sys.argv[1]):
    model = keras.saving.load_model(path, safe_mode=True)
    if rows.endswith(".json"):
        frame = pd.read_json(rows, dtype=False, convert_dates=False)
        x = {name: np.array(frame[name].to_list(), dtype=object if frame[name].dtype.kind not in "biuf" else None) for name in frame}
    else:
        with np.load(rows) as archive:
            x = {name: archive[name] for name in archive.files}
        x = {name: array.astype(object) if array.dtype.kind == "U" else array for name, array in x.items()}
        x = x["x"] if list(x) == ["x"] else x
    np.save(path + ".npy", model.predict(x, verbose=0))
"""


def table(path: Path) -> pd.DataFrame:
    """Write a table with words, holes, marks, yes and no, codes and dates, and return it as a program reads it."""
    random = np.random.default_rng(3)
    days = pd.to_datetime("2019-11-20") + pd.to_timedelta(random.integers(0, 900, ROWS), "D") + pd.to_timedelta(random.integers(0, 86400, ROWS), "s")
    frame = pd.DataFrame(
        {
            "large": np.where(random.random(ROWS) < 0.2, np.nan, random.normal(1e5, 3e3, ROWS)),
            "size in cm": random.normal(0, 1, ROWS).round(3),
            "color": random.choice(["red", "grün", "blue ish", "?"], ROWS),
            "code": random.choice([3, 50, 700], ROWS),
            "wild": random.choice(["yes", "No", "no"], ROWS),
            "when": days.strftime("%Y-%m-%d %H:%M:%S"),
            "day": days.strftime("%Y%m%d").astype(int),
            "kind": random.choice(["low", "high"], ROWS),
        }
    )
    frame.loc[random.random(ROWS) < 0.2, ["color", "wild"]] = None
    frame.loc[5:9, "when"] = None
    frame.to_csv(path, index=False, sep=";")
    return frame


def network(place: Path, name: str, dataset: dict[str, Any], space: dict[str, Any]) -> tuple[Training, Any, Path]:
    """Return a network with random weights for a spec's data, what these are read by, and the file that it was exported to."""
    spec = specs.check({"name": name, "folder": str(place / name), "dataset": dataset, "space": space, "search": {"trials": 1}})
    read, _ = data.load(spec.dataset, 0, (str(place),))
    config = spec.training_config(read, (str(place),)).of({} if "builder" in space else MLP_SPACE.default() or {}, 1)
    training = Training(config, read.pool, [Fold(read.whole, None, read.scalings(None))])
    training.export(place / f"{name}.keras", read.features.to_json())
    return training, read, place / f"{name}.keras"


MLP = {"name": "mlp"}
MLP_SPACE = SPACES["mlp"].narrow({"width": 8})


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Path, Any]]:
    """Of each kind of source: the file of a network, rows as a file for the other Python, and what the training's own process says of them."""
    from PIL import Image

    place = tmp_path_factory.mktemp("whole")
    random = np.random.default_rng(0)
    (place / "whole_builders.py").write_text(BUILDERS)
    made: dict[str, tuple[Path, Path, Any]] = {}

    def add(name: str, dataset: dict[str, Any], space: dict[str, Any], raw: Any, x: Any) -> None:
        training, read, path = network(place, name, dataset, space)
        rows = place / (f"{name}.json" if isinstance(raw, pd.DataFrame) else f"{name}.npz")
        if isinstance(raw, pd.DataFrame):
            raw.to_json(rows)
        else:
            np.savez(rows, **(raw if isinstance(raw, dict) else {"x": raw}))
        encoded = read_for_prediction(x, read.features, dialect=Dialect(";")) if isinstance(x, Path) else read.features.encode(x)
        made[name] = path, rows, training.predict(encoded)

    from sklearn.datasets import load_digits

    digits = load_digits().images[:40].astype(np.uint8)
    add("digits", {"source": "digits"}, MLP, digits, digits)

    for index in range(24):
        folder = place / "pictures" / ("cat", "dog")[index % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (6, 5, 3), np.uint8)).save(folder / f"{index}.png")
    pictures = random.integers(0, 256, (8, 6, 5, 3), np.uint8)
    add("pictures", {"source": "images", "path": str(place / "pictures")}, MLP, pictures, pictures)

    frame = table(place / "table.csv")
    asked = {"source": "table", "path": str(place / "table.csv"), "separator": ";", "target": "kind", "missing": "median", "missing_indicators": True}
    frame = pd.concat([frame, frame.head(3).assign(color="never seen", code=4)], ignore_index=True).drop(columns="kind")
    frame.to_csv(place / "new.csv", index=False, sep=";")
    raw = frame.assign(color=frame["color"].fillna(""), wild=frame["wild"].fillna("").str.upper())
    raw["when"] = np.asarray(frame["when"], "datetime64[us]").astype("int64")
    columns = {"code": "category", "day": "%Y%m%d"}
    add("table", {**asked, "columns": columns}, MLP, raw, place / "new.csv")

    tokens = random.integers(0, 30, (ROWS, 12))
    np.savez(place / "tokens_data.npz", x=tokens, y=random.integers(0, 3, ROWS))
    add("tokens", {"source": "npz", "path": str(place / "tokens_data.npz")}, {"builder": "whole_builders:tokens", "a": [1, 2]}, tokens, tokens)

    x = {"word": np.array(["ab", "c", "new"]), "size": random.normal(50, 9, (3, 3)).astype("float32")}
    two = {"source": "whole_builders:load", "scaling": {"size": "standard"}}
    add("two", two, {"builder": "whole_builders:build", "learning_rate": {"low": 1e-3, "high": 1e-2}}, x, x)

    sizes = random.normal(1e6, 5e4, (ROWS, 4))
    np.savez(place / "large_data.npz", x=sizes, y=3e8 + 50 * sizes[:, 0])
    add("large", {"source": "npz", "path": str(place / "large_data.npz"), "task": "regression"}, MLP, sizes, sizes)

    np.savez(place / "half_data.npz", x=digits, y=digits[:, 3, 3] > 7)
    add("logits", {"source": "npz", "path": str(place / "half_data.npz")}, {"builder": "whole_builders:logits", "a": [1, 2]}, digits, digits)
    return made


def test_a_python_with_keras_alone_says_of_raw_rows_what_tuner_predict_says(sources: dict[str, tuple[Path, Path, Any]]) -> None:
    jobs = [[name, str(path), str(rows)] for name, (path, rows, _) in sources.items()]
    subprocess.run([sys.executable, "-I", "-c", ALONE, json.dumps(jobs)], check=True, timeout=120)
    for name, (path, _, expected) in sources.items():
        answers = np.load(f"{path}.npy")
        np.testing.assert_allclose(answers, expected, rtol=1e-6, atol=1e-6, err_msg=name)
        assert np.ptp(np.asarray(expected), axis=0).max() > 0, f"{name}: answers that are all the same would say nothing"


def test_the_file_says_what_goes_in_and_what_comes_out(sources: dict[str, tuple[Path, Path, Any]]) -> None:
    with zipfile.ZipFile(sources["table"][0]) as archive:
        metadata = json.loads(archive.read("metadata.json"))["tuner"]
    assert metadata["whole"] and metadata["needs"] == []
    kinds = {each["column"]: each["dtype"] for each in metadata["inputs"]}
    numbers, words = {"large": "float32", "size in cm": "float32", "code": "float64"}, {"color": "string", "wild": "string"}
    assert kinds == {**numbers, **words, "when": "int64", "day": "int64"}
    assert "datetime64[us]" in next(each["says"] for each in metadata["inputs"] if each["column"] == "when")
    assert outputs_of(metadata["meaning"], ["high", "low"]) == {"kind": "probabilities", "columns": ["high", "low"], "threshold": 0.5}
    assert metadata_of(sources["two"][0])["structure"] == {"word": 0, "size": 1}


def test_weights_come_back_out_of_a_whole_model_and_its_network_is_a_layer_of_it(sources: dict[str, tuple[Path, Path, Any]]) -> None:
    import keras

    for name in ("digits", "table", "logits"):
        path = sources[name][0]
        network = network_in(keras.saving.load_model(path, safe_mode=True), path)
        other = keras.models.clone_model(network)
        assert any(np.any(one != two) for one, two in zip(network.get_weights(), other.get_weights(), strict=True))
        with_weights(other, path)
        assert all(np.array_equal(one, two) for one, two in zip(network.get_weights(), other.get_weights(), strict=True))


def test_classes_of_the_users_own_are_named(tmp_path: Path) -> None:
    (tmp_path / "own_classes.py").write_text(BUILDERS)
    _, _, path = network(tmp_path, "own", {"source": "digits"}, {"builder": "own_classes:twice", "a": [1, 2]})
    assert metadata_of(path)["needs"] == ["mine>Twice"]


def test_a_network_that_cannot_be_a_layer_is_saved_by_itself_and_the_reason_with_it(tmp_path: Path) -> None:
    (tmp_path / "only_arrays.py").write_text(ONLY_ARRAYS)
    _, _, path = network(tmp_path, "arrays", {"source": "digits"}, {"builder": "only_arrays:build", "a": [1, 2]})
    metadata = metadata_of(path)
    assert not metadata["whole"] and "infer the output shape" in metadata["why"]
