"""A training by the user's own function."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from search_spaces.errors import SearchSpaceError
from tests import own_ways
from tests.builders import network
from tests.training.test_trainer import BYTES, FOLD, TRAIN, VALIDATION, config, images, weights_of
from tuner.data.pool import Pool
from tuner.data.splits.drawing import Fold
from tuner.training.own_fit import FitData
from tuner.training.trainer import Training

__all__ = ["images"]


def test_phases_train_as_plain_keras_does_and_are_scored_by_tuner(images: tuple[np.ndarray, np.ndarray]) -> None:
    training = Training(config(epochs=5, fit="tests.own_ways:phases"), Pool(*images), [FOLD])
    reports = [training.run_epoch() for _ in range(5)]
    assert training.path == "own fit" and "tests.own_ways:phases" in training.reason and training.stopped is None

    keras.utils.set_random_seed(5)
    plain = network({"batch_size": 32, "optimizer": "Adam"}, training._described())
    keras.utils.set_random_seed(5)
    x, y = images[0].astype(np.float32) * BYTES.factor, images[1]
    history = keras.callbacks.History()
    losses: list[dict[str, float]] = []
    each = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: losses.append(dict(logs)))
    own_ways.phases(plain, FitData(x[TRAIN], y[TRAIN], validation=(x[VALIDATION], y[VALIDATION]), batch_size=32), 5, [history, each])
    for ours, theirs in zip(weights_of(training), plain.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    for report, logs in zip(reports, losses, strict=True):
        assert {name: report[name] for name in logs} == pytest.approx(logs, rel=1e-4)
    training.close()


def test_training_may_end_after_any_epoch_and_its_network_is_that_epochs(images: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    training = Training(config(epochs=5, fit="tests.own_ways:phases"), Pool(*images), [FOLD])
    for _ in range(3):
        training.run_epoch()
    weights = weights_of(training)
    training.save(tmp_path)
    scores, _ = training.evaluate()
    training.close()
    again = Training(config(epochs=5, fit="tests.own_ways:phases"), Pool(*images), [FOLD])
    again.restore(tmp_path)
    for ours, theirs in zip(weights_of(again), weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert again.evaluate()[0] == pytest.approx(scores, rel=1e-5)


def test_what_a_fit_adapts_is_restored_or_refused(images: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    def own(builder: str) -> Training:
        return Training(replace(config(epochs=2, fit="tests.own_ways:normalizing"), builder=f"tests.own_ways:{builder}"), Pool(*images), [FOLD])

    training = own("normalized")
    training.run_epoch()
    scaled = images[0][TRAIN].astype(np.float32) * BYTES.factor
    layer = training._runners[0].model.layers[0]
    assert float(np.asarray(layer.mean).item()) == pytest.approx(scaled.mean(), rel=1e-5)
    training.save(tmp_path)
    answers = training.evaluate()[1]
    training.close()
    again = own("normalized")
    again.restore(tmp_path)
    np.testing.assert_allclose(again.evaluate()[1], answers, rtol=1e-5)
    with pytest.raises(SearchSpaceError, match=r"tests\.own_ways:normalizing: adapts discretization, whose words no checkpoint holds"):
        own("binned").run_epoch()


def test_loop_of_ones_own_reports_and_may_end_early(images: tuple[np.ndarray, np.ndarray]) -> None:
    training = Training(config(epochs=6, fit="tests.own_ways:loop"), Pool(*images), [FOLD])
    reports = [training.run_epoch() for _ in range(4)]
    assert [report["rows"] for report in reports] == [90.0] * 4
    assert reports[2]["val_loss"] < reports[0]["val_loss"]
    assert reports[3]["val_loss"] == pytest.approx(reports[2]["val_loss"])  # nothing was trained since
    assert training.stopped == ("itself", "its own fit came to its end after 4 epochs")


@pytest.mark.parametrize(
    ("fit", "error", "line"),
    [
        ("silent", SearchSpaceError, r"its fit returned without a word; expected it to hand `callbacks` to model\.fit, or to call callbacks\[0\]\.report"),
        ("demanding", SearchSpaceError, r"tests\.own_ways:demanding: wants 'budget'; expected parameters among model, epochs, configuration, data"),
        ("failing", RuntimeError, "the second phase is wrong"),
    ],
)
def test_mistakes_of_a_fit_are_raised_where_its_epoch_is_wanted(fit: str, error: type[Exception], line: str, images: Any) -> None:
    training = Training(config(epochs=3, fit=f"tests.own_ways:{fit}"), Pool(*images), [FOLD])
    with pytest.raises(error, match=line):
        for _ in range(2):
            training.run_epoch()


def test_folds_are_trained_each_by_a_call_of_its_own(images: tuple[np.ndarray, np.ndarray]) -> None:
    folds = [FOLD, Fold(np.arange(40, 130), np.arange(40), (BYTES,))]
    runs = []
    for _ in range(2):
        training = Training(config(epochs=3, fit="tests.own_ways:phases"), Pool(*images), folds)
        reports = [training.run_epoch() for _ in range(3)]
        runs.append(weights_of(training))
        assert reports[-1]["val_accuracy_spread"] >= 0 and training.stopped is None
    for one, other in zip(*runs, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    half = len(runs[0]) // 2
    assert any(not np.array_equal(first, second) for first, second in zip(runs[0][:half], runs[0][half:], strict=True))
