"""Callbacks of the user's own beside Tuner's epochs."""

from typing import Any

import numpy as np
import pytest

from search_spaces.errors import SearchSpaceError
from tests import own_ways
from tests.training.test_trainer import FOLD, config, images, weights_of
from tuner.data.pool import Pool
from tuner.training.trainer import Training

__all__ = ["images"]


@pytest.mark.filterwarnings("ignore:__array__ implementation")  # Keras 3.15's scheduler hands a variable to numpy 2.4 in a way that is deprecated
def test_callbacks_of_epochs_run_beside_the_compiled_epoch(images: tuple[np.ndarray, np.ndarray]) -> None:
    training = Training(config({"optimizer": "SGD"}, epochs=9, callbacks="tests.own_ways:schedule"), Pool(*images), [FOLD])
    assert training.path == "compiled epoch"
    rates = []
    while training.stopped is None:
        training.run_epoch()
        rates.append(float(training._runners[0].model.optimizer.learning_rate.numpy()))
    # Nothing is better by 10: patience of 1 ends it after the second.
    assert rates == pytest.approx([0.1, 0.05]) and training.stopped == ("itself", "the callback EarlyStopping ended it after 2 epochs")

    by_hand = Training(config({"optimizer": "SGD"}, epochs=9), Pool(*images), [FOLD])
    for rate in rates:
        by_hand._runners[0].model.optimizer.learning_rate.assign(rate)
        by_hand.run_epoch()
    for ours, theirs in zip(weights_of(training), weights_of(by_hand), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_callbacks_of_batches_make_fit_train_and_hear_the_same_training(images: tuple[np.ndarray, np.ndarray]) -> None:
    own_ways.HEARD.clear()
    training = Training(config(callbacks="tests.own_ways:of_batches"), Pool(*images), [FOLD])
    assert training.path == "fit" and training.reason == "Counting of tests.own_ways:of_batches listens to batches"
    for _ in range(2):
        training.run_epoch()
    batches = ["batch"] * 3  # 90 rows, 32 at a time
    assert ["train", *batches, "epoch 0, True", *batches, "epoch 1, True"] == own_ways.HEARD


def test_what_are_no_callbacks_is_said(images: Any) -> None:
    with pytest.raises(SearchSpaceError, match=r"tests\.own_ways:no_callbacks: returned str; expected a list of keras\.callbacks\.Callback"):
        Training(config(callbacks="tests.own_ways:no_callbacks"), Pool(*images), [FOLD])
