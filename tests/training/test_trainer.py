"""Training inside a trial's process: the compiled epoch against fit, checkpoints, folds."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tuner.data.pool import Pool
from tuner.data.scaling import Scaling
from tuner.data.splits.drawing import Fold
from tuner.errors import TrialDiverged
from tuner.training.config import TrainingConfig
from tuner.training.folds import fold_seed
from tuner.training.graph_options import choose_rewriting
from tuner.training.trainer import Training

ONE = np.float32(1)
BYTES = Scaling(np.float32(0), np.float32(1 / 255), np.float32(0))
TRAIN, VALIDATION = np.arange(0, 90), np.arange(90, 130)
FOLD = Fold(TRAIN, VALIDATION, (BYTES,))


@pytest.fixture(scope="module")
def images() -> tuple[np.ndarray, np.ndarray]:
    """Images of 3 classes as bytes, (130, 4, 4), and their labels."""
    draw = np.random.default_rng(1)
    y = draw.integers(0, 3, 130).astype(np.int32)
    x = draw.integers(0, 120, (130, 4, 4)) + 60 * (y[:, None, None] == np.arange(4)[:, None] // 1)
    return x.astype(np.uint8), y


def config(configuration: dict[str, Any] | None = None, *, builder: str = "network", **changes: Any) -> TrainingConfig:
    given = {"batch_size": 32, "optimizer": "Adam", **(configuration or {})}
    return dataclasses.replace(TrainingConfig(f"tests.builders:{builder}", given, "classification", 3, 4, 5), **changes)


def weights_of(training: Training) -> list[np.ndarray]:
    return [array for runner in training._runners for array in runner.model.get_weights()]


def fitted(training: Training, x: np.ndarray, y: np.ndarray, epochs: int) -> tuple[list[np.ndarray], dict[str, list[float]]]:
    """Train the network of a fresh Training by Keras's fit alone, on the batches that the recipe's seed gives."""
    model = training._runners[0].model
    history: dict[str, list[float]] = {}
    scaled = x.astype(np.float32) * BYTES.factor
    for epoch in range(epochs):
        order = np.random.default_rng([training.config.seed, 0, epoch]).permutation(TRAIN)
        fit = model.fit(
            scaled[order], y[order], batch_size=32, shuffle=False, verbose=0, validation_data=(scaled[VALIDATION], y[VALIDATION]), validation_batch_size=40
        )
        penalty = float(sum(model.losses))  # which counts in what is trained, and not in what is compared
        for name, (value,) in fit.history.items():
            history.setdefault(name, []).append(value - penalty if name == "val_loss" else value)
    return model.get_weights(), history


def assert_equals_fit(configuration: dict[str, Any], x: np.ndarray, y: np.ndarray, **changes: Any) -> None:
    compiled = Training(config(configuration, **changes), Pool(x, y), [FOLD])
    assert compiled.path == "compiled epoch", compiled.reason
    reports = [compiled.run_epoch() for _ in range(2)]
    weights, history = fitted(Training(config(configuration, **changes), Pool(x, y), [FOLD]), x, y, 2)
    for name, values in history.items():
        assert [report[name] for report in reports] == pytest.approx(values, rel=2e-4, abs=2e-5), name
    for ours, theirs in zip(weights_of(compiled), weights, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=2e-5)


@pytest.mark.parametrize(
    "configuration",
    [
        {"optimizer": "Adam", "l2": 0.01, "decays": True},
        {"optimizer": "RMSprop", "normalized": True},
        {"optimizer": "SGD", "dropped": 0.4},
        {"optimizer": "SGD", "convolved": True},
        {"optimizer": "AdamW", "arguments": {"weight_decay": 0.1, "clipnorm": 0.5}},
        {"optimizer": "Lion", "rate": 1e-3},
    ],
    ids=str,
)
def test_compiled_epoch_equals_fit(configuration: dict[str, Any], images: tuple[np.ndarray, np.ndarray]) -> None:
    assert_equals_fit(configuration, *images)


def test_compiled_epoch_equals_fit_for_regression(images: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = images
    assert_equals_fit({}, x, (y / 3).astype(np.float32), task="regression", outputs=1)


def test_compiled_epoch_equals_fit_for_several_targets(images: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = images
    assert_equals_fit({}, x, np.stack([y, -y], axis=1).astype(np.float32), task="regression", outputs=2)


def test_missing_values_are_filled_before_they_are_scaled() -> None:
    x = np.array([[1.0, np.nan], [3.0, 4.0]] * 20, np.float32)
    scaling = Scaling(np.array([2, 4], np.float32), np.array([0.5, 0.25], np.float32), np.array([0, 8], np.float32))
    training = Training(config(), Pool(x, np.zeros(40, np.int32)), [Fold(np.arange(40), None, (scaling,))])
    scaled = np.array([[-0.5, 1.0], [0.5, 0.0]], np.float32)
    np.testing.assert_allclose(training.predict(x[:2]), np.asarray(training._runners[0].model(scaled)), rtol=1e-5)


@pytest.mark.parametrize(("builder", "reason"), [("own_loop", "the model has its own fit()"), ("last_in_eager_mode", "run_eagerly=True")])
def test_what_cannot_be_compiled_is_trained_by_fit_and_says_why(builder: str, reason: str, images: tuple[np.ndarray, np.ndarray]) -> None:
    training = Training(config(builder=builder), Pool(*images), [FOLD])
    assert training.path == "fit"
    assert reason in training.reason
    report = training.run_epoch()
    assert {"loss", "accuracy", "val_loss", "val_accuracy", "seconds"} == set(report)
    assert training.epoch == 1


def test_fit_and_the_compiled_epoch_see_the_same_batches(images: tuple[np.ndarray, np.ndarray]) -> None:
    compiled, by_fit = (Training(config({"optimizer": "SGD"}), Pool(*images), [FOLD]) for _ in range(2))
    by_fit._runners[0].reason = "asked for"
    assert compiled.run_epoch()["loss"] == pytest.approx(by_fit.run_epoch()["loss"], rel=1e-5)
    for ours, theirs in zip(weights_of(compiled), weights_of(by_fit), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


def test_a_loss_that_is_no_number_ends_the_epoch(images: tuple[np.ndarray, np.ndarray]) -> None:
    training = Training(config(builder="huge_steps"), Pool(*images), [FOLD])
    with pytest.raises(TrialDiverged, match=r"loss is (nan|inf) in epoch 1"):
        training.run_epoch()
    assert training.epoch == 0


def test_same_seed_repeats_a_training_and_another_does_not(images: tuple[np.ndarray, np.ndarray]) -> None:
    losses = [Training(config({"dropped": 0.3}, seed=seed), Pool(*images), [FOLD]).run_epoch()["loss"] for seed in (5, 5, 6)]
    assert losses[0] == losses[1] != losses[2]


@pytest.mark.parametrize("optimizer", ["Adam", "RMSprop", "SGD"])
def test_resumed_training_equals_an_uninterrupted_one_bit_for_bit(optimizer: str, images: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    ours = config({"optimizer": optimizer, "dropped": 0.3, "normalized": True, "decays": True}, deterministic=True)
    whole = Training(ours, Pool(*images), [FOLD])
    whole.run_epoch()
    whole.save(tmp_path)
    expected = [whole.run_epoch() for _ in range(2)]
    resumed = Training(ours, Pool(*images), [FOLD])
    resumed.restore(tmp_path)
    assert resumed.epoch == 1
    found = [resumed.run_epoch() for _ in range(2)]
    for one, other in zip(expected, found, strict=True):
        assert {name: value for name, value in one.items() if name != "seconds"} == {name: value for name, value in other.items() if name != "seconds"}
    for one, other in zip(weights_of(whole), weights_of(resumed), strict=True):
        assert np.array_equal(one, other)


def test_a_newer_checkpoint_replaces_the_older_one(images: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    training = Training(config(), Pool(*images), [FOLD])
    for _ in range(2):
        training.run_epoch()
        training.save(tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    other = Training(config(), Pool(*images), [FOLD])
    other.restore(tmp_path)
    assert other.epoch == 2
    assert all(np.array_equal(one, two) for one, two in zip(weights_of(training), weights_of(other), strict=True))


def test_a_failed_save_leaves_the_older_checkpoint_whole(images: tuple[np.ndarray, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    training = Training(config(), Pool(*images), [FOLD])
    training.run_epoch()
    training.save(tmp_path)
    training.run_epoch()
    with monkeypatch.context() as patch, pytest.raises(OSError, match="disk full"):
        patch.setattr(np, "savez", lambda *_, **__: (_ for _ in ()).throw(OSError("disk full")))
        training.save(tmp_path)
    other = Training(config(), Pool(*images), [FOLD])
    other.restore(tmp_path)
    assert other.epoch == 1
    assert len(list(tmp_path.iterdir())) == 2


def test_damaged_checkpoints_are_refused_and_change_nothing(images: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    training = Training(config(), Pool(*images), [FOLD])
    training.save(tmp_path / "good")
    arrays = next((tmp_path / "good").glob("*.npz"))
    before = weights_of(training)
    draw = np.random.default_rng(0)
    for number, file in enumerate([arrays, tmp_path / "good" / "state.json"] * 6):
        folder = tmp_path / str(number)
        shutil.copytree(tmp_path / "good", folder)
        content = file.read_bytes()
        (folder / file.name).write_bytes(content[: int(draw.integers(0, len(content)))])
        with pytest.raises(ValueError, match=f"{number}/.*damaged"):
            training.restore(folder)
    assert all(np.array_equal(one, two) for one, two in zip(before, weights_of(training), strict=True))
    with pytest.raises(FileNotFoundError):
        training.restore(tmp_path / "none")


def test_the_checkpoint_of_another_network_is_refused(images: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    Training(config({"normalized": True}), Pool(*images), [FOLD]).save(tmp_path)
    with pytest.raises(ValueError, match="expected the checkpoint of this network"):
        Training(config(), Pool(*images), [FOLD]).restore(tmp_path)


def test_folds_report_means_and_spreads(images: tuple[np.ndarray, np.ndarray]) -> None:
    folds = [FOLD, Fold(np.arange(40, 130), np.arange(40), (BYTES,))]
    both = Training(config(), Pool(*images), folds).run_epoch()
    first = Training(config(), Pool(*images), folds[:1]).run_epoch()
    model = Training(config(seed=fold_seed(5, 1)), Pool(*images), folds[1:])
    # The second fold alone: its own seed for the weights, and the shuffle of the second fold.
    model.config = config()
    order = np.random.default_rng([5, 1, 0]).permutation(folds[1].train)
    second = model._runners[0].train(model._pool, order)
    values = [first["accuracy"], second["accuracy"]]
    assert both["accuracy"] == pytest.approx(np.mean(values), abs=1e-6)
    assert both["accuracy_spread"] == pytest.approx(np.std(values, ddof=1), abs=1e-6)
    assert {"val_accuracy", "val_accuracy_spread", "val_loss_spread", "seconds"} <= set(both)
    assert "seconds_spread" not in both


@pytest.mark.parametrize(
    ("changes", "shared"),
    [
        ({"normalized": True, "dropped": 0.4}, True),
        ({"optimizer": "RMSprop", "decays": True, "convolved": True}, True),
        ({"optimizer": "SGD", "compile": {"run_eagerly": True}}, False),
    ],
    ids=str,
)
def test_folds_share_what_is_compiled_and_nothing_else(
    changes: dict[str, Any], shared: bool, images: tuple[np.ndarray, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, y = images
    scalings = [Scaling(np.full(4, number, np.float32), np.full(4, 0.01, np.float32), np.zeros(4, np.float32)) for number in (100, 120, 140)]
    folds = [Fold(np.delete(np.arange(130), part), part, (scaling,)) for part, scaling in zip(np.array_split(np.arange(130), 3), scalings, strict=True)]
    found = []
    for alone in (False, True):
        if alone:
            monkeypatch.setattr("tuner.training.epoch.graphs_equal", lambda model, other: False)
        training = Training(config(changes), Pool(x, y), folds)
        reports = [training.run_epoch()]
        training.save(tmp_path / str(alone))
        training.run_epoch()
        training.restore(tmp_path / str(alone))
        reports.append(training.run_epoch())
        assert [bool(runner._functions) for runner in training._runners] == [alone and shared] * 3
        found.append(([{name: value for name, value in report.items() if name != "seconds"} for report in reports], weights_of(training)))
    assert found[0][0] == found[1][0]
    for one, other in zip(found[0][1], found[1][1], strict=True):
        np.testing.assert_array_equal(one, other)


def test_checkpoints_hold_every_fold(images: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    folds = [FOLD, Fold(np.arange(40, 130), np.arange(40), (BYTES,))]
    training, other = (Training(config(), Pool(*images), folds) for _ in range(2))
    training.run_epoch()
    training.save(tmp_path)
    other.restore(tmp_path)
    assert all(np.array_equal(one, two) for one, two in zip(weights_of(training), weights_of(other), strict=True))
    with pytest.raises(ValueError, match="evaluate: got 2 networks; expected one"):
        training.evaluate()


def test_exported_model_predicts_the_same_without_tuner(images: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    import keras

    x, y = images
    training = Training(config({"normalized": True}), Pool(x, y), [FOLD])
    training.run_epoch()
    training.export(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert not loaded.compiled
    metrics, outputs = training.evaluate()
    np.testing.assert_allclose(loaded.predict(x[VALIDATION] * BYTES.factor, verbose=0), outputs, rtol=1e-5, atol=1e-6)
    assert metrics["accuracy"] == pytest.approx(np.mean(outputs.argmax(axis=1) == y[VALIDATION]))
    assert outputs.dtype == np.float32
    assert [path.name for path in tmp_path.iterdir()] == ["model.keras"]


def test_keras_warns_when_it_saves(images: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    """Fails once Keras no longer does: then `export` need not silence it any more."""
    with pytest.warns(DeprecationWarning, match="__array__"):
        Training(config(), Pool(*images), [FOLD])._runners[0].model.save(tmp_path / "model.keras")


def test_mixed_bfloat16_learns_resumes_and_exports_float32(images: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    import keras

    try:
        training = Training(config(precision="mixed_bfloat16"), Pool(*images), [FOLD])
        losses = [training.run_epoch()["loss"] for _ in range(4)]
        assert losses[-1] < losses[0]
        assert training._runners[0].model.layers[1].compute_dtype == "bfloat16"
        training.save(tmp_path)
        other = Training(config(precision="mixed_bfloat16"), Pool(*images), [FOLD])
        other.restore(tmp_path)
        assert other.evaluate()[0] == training.evaluate()[0]
        training.export(tmp_path / "model.keras")
        loaded = keras.models.load_model(tmp_path / "model.keras")
        assert {layer.compute_dtype for layer in loaded.layers} == {"float32"}
    finally:
        keras.config.set_dtype_policy("float32")


def test_tensorflow_makes_functions_of_single_operations() -> None:
    """Fails once it no longer does: then `hurry_single_operations` can go."""
    from tensorflow.python.eager import context

    assert context.run_eager_op_as_function_enabled()


def test_graphs_are_rewritten_where_that_pays() -> None:
    import keras
    import tensorflow as tf
    from keras.layers import BatchNormalization, Conv2D, Dense, Dropout, Flatten, Input

    def small() -> Any:
        return keras.Sequential([Input((10,)), Dense(100), BatchNormalization(), Dropout(0.5), Dense(10)])

    def rewrites(model: Any, rows: int) -> bool:
        choose_rewriting(model, rows)
        return not tf.config.optimizer.get_experimental_options()["disable_meta_optimizer"]

    try:
        assert not rewrites(small(), 50_000)
        assert rewrites(small(), 50_000_000)
        assert not rewrites(keras.Sequential([Input((10,)), small(), Dense(1)]), 50_000)
        assert rewrites(keras.Sequential([Input((5, 5, 1)), Conv2D(2, 3), Flatten(), Dense(10)]), 100)
        assert rewrites(keras.Sequential([Dense(10)]), 100)
    finally:
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": False})


def test_layers_tell_what_the_network_consists_of(images: tuple[np.ndarray, np.ndarray]) -> None:
    training = Training(config(), Pool(*images), [FOLD])
    layers = training.layers()
    assert [layer["type"] for layer in layers] == ["Flatten", "Dense", "Dense", "Dense"]
    assert [layer["shape"] for layer in layers] == ["16", "8", "8", "3"]
    assert sum(layer["parameters"] for layer in layers) == training.parameters == 16 * 8 + 8 + 8 * 8 + 8 + 8 * 3 + 3


def test_recipe_survives_json() -> None:
    ours = config({"units": [1, 2]}, search_path=("/somewhere",))
    assert TrainingConfig.from_json(json.loads(json.dumps(ours.to_json()))) == ours
    other = ours.of({"units": 3}, 9)
    assert (other.configuration, other.seed, other.builder) == ({"units": 3}, 9, ours.builder)


@pytest.mark.parametrize(("changes", "message"), [({"precision": "float8"}, "precision: got 'float8'"), ({"epochs": 0}, "epochs 0"), ({"seed": -1}, "seed -1")])
def test_impossible_recipes_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        config(**changes)
