"""Patience: when a training ends before its last epoch, and what is left of it, against Keras's EarlyStopping(restore_best_weights=True)."""

from pathlib import Path

import numpy as np
import pytest

from tests.training.test_trainer import BYTES, FOLD, TRAIN, VALIDATION, config, images, weights_of  # noqa: F401
from tuner.data.pool import Pool
from tuner.data.splits.drawing import Fold
from tuner.training.config import TrainingConfig
from tuner.training.patience import Patience, Waiting
from tuner.training.trainer import Training

ACCURACY = Patience(2, "val_accuracy", "max")
# A step that is too large: the loss on validation rows falls, and then rises.
WILD = {"optimizer": "SGD", "rate": 0.8}


class Weights:
    """A variable."""

    path, dtype = "w", "float32"

    def __init__(self, value: float) -> None:
        self.value = np.array([value], np.float32)
        self.shape = self.value.shape

    def numpy(self) -> np.ndarray:
        return self.value

    def assign(self, value: np.ndarray) -> None:
        self.value = value


def waited(values: list[float], patience: Patience) -> tuple[int, tuple[str, str] | None, float]:
    """Return the epoch after which it is over, why, and what the network is then, whose only weight is the epoch's number."""
    weights = Weights(0)
    waiting = Waiting(patience, [[weights]])
    epoch = 0
    for epoch, value in enumerate(values, start=1):
        weights.assign(np.array([epoch], np.float32))
        waiting.note(epoch, {patience.metric: value})
        if waiting.why:
            break
    waiting.bring_back()
    return epoch, waiting.why, float(weights.numpy()[0])


@pytest.mark.parametrize(
    ("values", "epoch", "best"),
    [
        ([0.5, 0.6, 0.6, 0.55, 0.9], 4, 2),  # as good is no better
        ([0.5, 0.4, 0.6, 0.5, 0.7], 5, 5),
        ([0.5, 0.4, 0.3], 3, 1),
        ([np.nan, 0.1, np.nan, np.nan], 4, 2),
        ([np.nan, np.nan, 0.3], 2, 2),  # nothing to bring back
    ],
)
def test_so_many_epochs_without_a_better_one_are_the_end(values: list[float], epoch: int, best: int) -> None:
    ended, why, brought_back = waited(values, ACCURACY)
    assert (ended, brought_back) == (epoch, best)
    assert (why is None) == (values[-1] == 0.7)
    assert waited([-value for value in values], Patience(2, "val_loss", "min"))[0] == epoch


def test_why_it_ended_is_said_with_the_best_epoch() -> None:
    assert waited([0.5, 0.4, 0.3], ACCURACY)[1] == ("patience", "no better val_accuracy in 2 epochs than 0.5 at epoch 1")


def stopped(training: Training, most: int = 40) -> list[dict[str, float]]:
    """Train until it ends by itself, and return its reports."""
    reports = []
    while training.stopped is None and len(reports) < most:
        reports.append(training.run_epoch())
    return reports


@pytest.mark.parametrize("patience", [2])
def test_a_training_ends_where_keras_early_stopping_does_and_with_the_same_weights(patience: int, images: tuple[np.ndarray, np.ndarray]) -> None:  # noqa: F811
    import keras

    x, y = images
    recipe = config(WILD, epochs=40, patience=Patience(patience, "val_loss", "min"))
    training = Training(recipe, Pool(x, y), [FOLD])
    reports = stopped(training)
    assert 1 < len(reports) < 40
    model = Training(config(WILD, epochs=40), Pool(x, y), [FOLD])._runners[0].model
    scaled = x.astype(np.float32) * BYTES.factor

    stop = keras.callbacks.EarlyStopping("val_loss", mode="min", patience=patience, restore_best_weights=True)
    stop.set_model(model)
    stop.on_train_begin()
    losses: list[float] = []
    for epoch in range(40):  # fit's own loop, on the batches that the recipe's seed gives
        order = np.random.default_rng([recipe.seed, 0, epoch]).permutation(TRAIN)
        held_out = {"validation_data": (scaled[VALIDATION], y[VALIDATION]), "validation_batch_size": 40}
        fit = model.fit(scaled[order], y[order], batch_size=32, shuffle=False, verbose=0, **held_out)
        losses += fit.history["val_loss"]
        stop.on_epoch_end(epoch, {"val_loss": losses[-1]})
        if model.stop_training:
            break
    stop.on_train_end()
    assert len(losses) == len(reports)
    for ours, theirs in zip(weights_of(training), model.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-3, atol=1e-4)
    best = min(report["val_loss"] for report in reports)
    assert training._runners[0].evaluate(training._pool, VALIDATION)["loss"] == pytest.approx(best, rel=1e-5)
    assert training.stopped == ("patience", f"no better val_loss in {patience} epoch{'s' * (patience > 1)} than {best:.6g} at epoch {len(reports) - patience}")


def test_the_last_epoch_brings_the_best_ones_weights_back_as_well(images: tuple[np.ndarray, np.ndarray]) -> None:  # noqa: F811
    training = Training(config(WILD, epochs=6, patience=Patience(6, "val_loss", "min")), Pool(*images), [FOLD])
    losses = [training.run_epoch()["val_loss"] for _ in range(6)]
    assert training.stopped is None and min(losses) < losses[-1]
    assert training._runners[0].evaluate(training._pool, VALIDATION)["loss"] == pytest.approx(min(losses), rel=1e-5)


@pytest.mark.parametrize("folds", [1, 2])
def test_what_has_been_waited_for_survives_an_interruption_bit_for_bit(folds: int, images: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:  # noqa: F811
    recipe = config(WILD, epochs=40, patience=Patience(3, "val_loss", "min"), deterministic=True)
    divided = [FOLD, Fold(VALIDATION, TRAIN, (BYTES,))][:folds]
    whole = Training(recipe, Pool(*images), divided)
    expected = [report["val_loss"] for report in stopped(whole)]
    seen: list[float] = []
    training = Training(recipe, Pool(*images), divided)
    while training.stopped is None:
        seen.append(training.run_epoch()["val_loss"])
        training.save(tmp_path)
        if len(seen) in (1, len(expected) - 2, len(expected) - 1, len(expected)):  # killed before, while it waits, and after its end
            training = Training(recipe, Pool(*images), divided)
            training.restore(tmp_path)
    assert seen == expected
    assert training.stopped == whole.stopped
    for ours, theirs in zip(weights_of(training), weights_of(whole), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_folds_have_the_best_epoch_of_their_mean_in_common(images: tuple[np.ndarray, np.ndarray]) -> None:  # noqa: F811
    folds = [FOLD, Fold(np.arange(40, 130), np.arange(40), (BYTES,))]
    training = Training(config(WILD, epochs=40, patience=Patience(2, "val_loss", "min")), Pool(*images), folds)
    means = [report["val_loss"] for report in stopped(training)]
    rows = (VALIDATION, np.arange(40))
    after = [runner.evaluate(training._pool, each)["loss"] for runner, each in zip(training._runners, rows, strict=True)]
    assert np.mean(after) == pytest.approx(min(means), rel=1e-5)


def test_averaged_weights_are_brought_back_with_the_others(images: tuple[np.ndarray, np.ndarray]) -> None:  # noqa: F811
    recipe = config({**WILD, "arguments": {"use_ema": True, "ema_momentum": 0.5}}, epochs=40, patience=Patience(2, "val_loss", "min"))
    training = Training(recipe, Pool(*images), [FOLD])
    losses = [report["val_loss"] for report in stopped(training)]
    assert training._runners[0].evaluate(training._pool, VALIDATION)["loss"] == pytest.approx(min(losses), rel=1e-5)


def test_a_recipe_with_patience_survives_json() -> None:
    recipe = config(patience=ACCURACY)
    assert TrainingConfig.from_json(recipe.to_json()) == recipe
    assert TrainingConfig.from_json({name: value for name, value in config().to_json().items() if name not in ("patience", "class_weight")}) == config()
