"""Training on pipelines: an epoch is Keras's own on the same batches."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tuner.data.own.pipelines import Part, Pipeline
from tuner.data.pool import Pool
from tuner.data.splits.drawing import Fold
from tuner.training.config import TrainingConfig
from tuner.training.shared_data import read_folds, store
from tuner.training.trainer import Training

CONFIG = TrainingConfig("tests.builders:network", {"optimizer": "Adam", "l2": 0.1}, "classification", 3, 4, 5)
PARTS = {"train": Part("train", 3, 90), "validation": Part("validation", 2, 40)}


def rows(split: str) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(1)
    x, y = draw.normal(size=(130, 4)).astype(np.float32), draw.integers(0, 3, 130).astype(np.int32)
    chosen = slice(90) if split == "train" else slice(90, None)
    return x[chosen], y[chosen]


def as_dataset(split: str) -> Any:
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices(rows(split)).batch(30)


def as_sequence(split: str) -> Any:
    import keras

    x, y = rows(split)

    class Batches(keras.utils.PyDataset):
        def __len__(self) -> int:
            return -(-len(x) // 30)

        def __getitem__(self, index: int) -> Any:
            return x[30 * index : 30 * index + 30], y[30 * index : 30 * index + 30]

    return Batches()


def as_iterator(split: str) -> Iterator[Any]:
    x, y = rows(split)
    for start in range(0, len(x), 30):
        yield x[start : start + 30], y[start : start + 30]


def pipelines(form: str) -> tuple[Pipeline, Pipeline]:
    train, validation = (Pipeline(f"{__name__}:as_{form}", {}, (part,), form, True) for part in PARTS.values())
    return train, validation


@pytest.mark.parametrize("form", ["dataset", "sequence", "iterator"])
def test_an_epoch_of_a_pipeline_is_fits_own_on_the_same_batches(form: str) -> None:
    pool = Pool(*(part[:8] for part in rows("train")))
    ours, theirs = (Training(CONFIG, pool, [Fold(*pipelines(form), (None,))]) for _ in range(2))
    model = theirs._runners[0].model
    for _ in range(2):
        report = ours.run_epoch()
        if form == "sequence":  # its batches are mixed by Python's own generator, which both would draw from
            assert report["val_accuracy"] == pytest.approx(ours._runners[0].model.evaluate(*rows("validation"), verbose=0, return_dict=True)["accuracy"])
            continue
        fit = model.fit(as_dataset("train"), shuffle=False, verbose=0).history
        seen = model.evaluate(*rows("validation"), verbose=0, return_dict=True)
        assert report["loss"] == pytest.approx(fit["loss"][0], rel=1e-4)
        assert report["val_accuracy"] == pytest.approx(seen["accuracy"])
        assert report["val_loss"] == pytest.approx(seen["loss"] - float(sum(model.losses)), rel=1e-4)  # a penalty on weights is no part of a score
    assert set(report) == {"loss", "accuracy", "val_loss", "val_accuracy", "seconds"}
    assert (ours.path, ours.reason) == ("fit", "its batches come from a pipeline")
    assert (ours.epoch, int(ours._runners[0].model.optimizer.iterations)) == (2, 6)


def test_both_splits_are_trained_on_and_the_test_rows_are_arrays(tmp_path: Path) -> None:
    train, validation = pipelines("dataset")
    pool = Pool(*rows("validation"))
    training = Training(CONFIG, pool, [Fold(train.and_(validation), None, (None,))])
    model = training._runners[0].model
    training.run_epoch()
    assert int(model.optimizer.iterations) == 5
    training.save(tmp_path / "state")
    testing = Training(dataclasses.replace(CONFIG, seed=1), pool, [Fold(None, np.arange(len(pool)), (None,))])
    testing.restore(tmp_path / "state")
    scores, answers = testing.evaluate()
    assert scores["accuracy"] == pytest.approx(float((answers.argmax(axis=1) == pool.y).mean()))


def test_pipelines_reach_other_processes_as_they_are(tmp_path: Path) -> None:
    fold = Fold(*pipelines("dataset"), (None,))
    shared = store(tmp_path / "data", Pool(*rows("train")))
    (read,) = read_folds(shared.with_folds([fold]))
    assert (read.train, read.validation, read.scaling) == (fold.train, fold.validation, fold.scaling)
