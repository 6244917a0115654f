"""What is told of a builder before the cluster is there."""

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.sweep.test_journey import Told
from tuner.data import dataset as data
from tuner.errors import SpecError
from tuner.results.prediction import predict
from tuner.spec import sweep_spec as specs
from tuner.sweep.first_batch import try_first_batch
from tuner.sweep.given import Given
from tuner.sweep.journey import run_sweep

NET = """
import keras

def plain(configuration, problem):
    return keras.Sequential([keras.Input(problem.input_shape), keras.layers.Flatten(), keras.layers.Dense(10, activation="softmax")])

def seven(configuration, problem):
    return keras.Sequential([keras.Input(problem.input_shape), keras.layers.Flatten(), keras.layers.Dense(7)])

def fails(configuration, problem):
    return configuration["units"] * width

def fails_at_sixteen(configuration, problem):
    if configuration["units"] == 16:
        raise ValueError("sixteen is too many")
    return plain(configuration, problem)

class Shifted(keras.layers.Layer):
    def __init__(self, by):
        super().__init__()
        self.by = by

    def call(self, x):
        return x + self.by(x)

def cannot_be_saved(configuration, problem):
    inputs = keras.Input(problem.input_shape)
    x = Shifted(lambda x: 0.5)(keras.layers.Flatten()(inputs))
    return keras.Model(inputs, keras.layers.Dense(10, activation="softmax")(x))

class Net(keras.Model):
    def __init__(self, units):
        super().__init__()
        self.flat, self.hidden, self.last = keras.layers.Flatten(), keras.layers.Dense(units), keras.layers.Dense(10, activation="softmax")

    def call(self, x):
        return self.last(self.hidden(self.flat(x)))

def subclassed(configuration, problem):
    return Net(configuration["units"])

def unnamed_metrics(configuration, problem):
    model = plain(configuration, problem)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=[keras.metrics.AUC()])
    return model
"""


def spec_of(folder: Path, builder: str, **sections: Any) -> tuple[specs.SweepSpec, Given]:
    (folder / "first_net.py").write_text(NET)
    values = {
        "name": "first",
        "folder": str(folder / "s"),
        "dataset": {"source": "digits", "max_rows": 200},
        "space": {"builder": f"first_net:{builder}", "units": {"choices": [8, 16], "default": 16}},
        "search": {"sampler": "random", "trials": 2},
        "scheduler": {"name": "fifo"},
        "training": {"max_epochs": 2},
        "evaluation": {"seeds": 1, "confirm": 0},
    }
    return specs.check({**values, **sections}), Given((str(folder),))


def tried(folder: Path, builder: str, **sections: Any) -> list[str]:
    """Return what is noted of a builder's first batch."""
    spec, given = spec_of(folder, builder, **sections)
    dataset, _ = data.load(spec.dataset, spec.seed)
    view = Told()
    try_first_batch(spec, dataset, spec.search_space(), given, view=view, interrupted=threading.Event())
    return view.notes


@pytest.mark.parametrize(
    ("builder", "sections", "line"),
    [
        ("seven", {}, r"^space\.builder: first_net:seven: the model maps \(None, 8, 8\) to \(None, 7\); expected \(None, 8, 8\) to \(None, 10\)$"),
        (
            "fails",
            {},
            r"^space\.builder: first_net:fails .* 2 of 2 configurations: NameError: name 'width' is not defined \(first_net.py, line 11\)\n",
        ),
        ("plain", {"objective": {"metric": "val_acc"}}, r"^objective\.metric: got 'val_acc', which no epoch of .* reports; did you mean 'val_accuracy'\?$"),
        ("plain", {"training": {"metrics": ["auc"]}}, r"^objective\.metric: got 'val_accuracy', which no epoch of .* reports"),
    ],
)
def test_mistake_of_a_builder_is_told_before_the_cluster_is_there(builder: str, sections: dict[str, Any], line: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=line):
        tried(tmp_path, builder, **sections)


def test_failure_of_one_configuration_is_no_mistake_of_the_sweep(tmp_path: Path) -> None:
    assert tried(tmp_path, "fails_at_sixteen") == []


def test_what_a_metric_without_a_name_is_called_does_not_hang_on_who_came_before(tmp_path: Path) -> None:
    assert tried(tmp_path, "unnamed_metrics", objective={"metric": "val_auc"}) == []


@pytest.mark.parametrize("builder", ["cannot_be_saved", "subclassed"])
def test_network_that_keras_cannot_write_down_is_kept_by_its_weights_and_predicts(builder: str, tmp_path: Path) -> None:
    assert "Keras cannot write this network down (NotImplementedError" in tried(tmp_path, builder)[0]
    spec, given = spec_of(tmp_path, builder, cluster={"target": "in-process"})
    board = run_sweep(spec, view=Told(), interrupted=threading.Event(), given=given)
    final = board.facts["final"]
    assert final["model"] == "model.weights.h5" and (tmp_path / "s" / final["model"]).is_file() and not (tmp_path / "s" / "model.keras").exists()
    _, sealed = data.load(spec.dataset, spec.seed)
    test = sealed.open(lambda reason: None, "a test's own look")
    np.savez(tmp_path / "rows.npz", x=test.x)
    names = predict(tmp_path / "s", tmp_path / "rows.npz", tmp_path / "answers.csv")["predicted"].to_pylist()
    right = np.mean([int(name) == label for name, label in zip(names, test.y, strict=True)])
    assert right == pytest.approx(final["saved"]["test_accuracy"], abs=1e-6)
