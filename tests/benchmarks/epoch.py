"""What an epoch costs, against Keras's fit: `python -m tests.benchmarks.epoch [--rounds N] [--data mnist.npz] [--only PART]`.

One thread, batch 128, 60,000 rows of 784 (MNIST where its file is given, noise of that shape otherwise), 10,000 more to validate. `fit` gets the same rows as
float32 in memory, as users give them; the compiled epoch maps bytes. Both ways take turns in one process. Seconds are wall-clock; ratios are medians over the
rounds with their range, of wall-clock and of processor time, which other work on the machine disturbs less. `limit` is the multiplications of the dense
layers alone, at the rate that products of these shapes reach here. `accuracy` is on the 10,000 rows after all rounds, ours and fit's: the two shuffle
differently, and noise of about 0.002 is to be expected. The last rows are the same network in mixed_bfloat16, and the same rows as a tf.data pipeline,
shuffled, which both ways get as it is.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from tuner.data.own.pipelines import Part, Pipeline
from tuner.data.pool import Pool
from tuner.data.scaling import Scaling
from tuner.data.splits.drawing import Fold
from tuner.training.config import TrainingConfig
from tuner.training.trainer import Training

SCALING = Scaling(np.float32(0), np.float32(1 / 255), np.float32(0))
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "64-64": ("dense", {"widths": [64, 64]}),
    "256-256": ("dense", {"widths": [256, 256]}),
    "512": ("dense", {"widths": [512]}),
    "256 x 4": ("dense", {"widths": [256] * 4}),
    "256-256 normalised, dropout": ("dense", {"widths": [256, 256], "normalized": True}),
    "256-256 sgd": ("dense", {"widths": [256, 256], "optimizer": "sgd"}),
    "256-256 rmsprop": ("dense", {"widths": [256, 256], "optimizer": "rmsprop"}),
    "256-256 nadam": ("dense", {"widths": [256, 256], "optimizer": "nadam"}),
    "256-256 lion": ("dense", {"widths": [256, 256], "optimizer": "lion"}),
    "small convolutional": ("convolutional", {}),
}


def rows(path: str | None) -> tuple[np.ndarray, np.ndarray]:
    """Return 70,000 rows of bytes and their labels."""
    if path is None:
        draw = np.random.default_rng(0)
        return draw.integers(0, 256, (70000, 784)).astype(np.uint8), draw.integers(0, 10, 70000).astype(np.int32)
    with np.load(path) as file:
        x, y = (np.concatenate([file[f"{name}_train"], file[f"{name}_test"]]) for name in ("x", "y"))
    return x.reshape(-1, 784), y.astype(np.int32)


def timed(way: Callable[[], Any]) -> tuple[float, float]:
    """Return the seconds of wall clock and of the processor."""
    wall, processor = time.perf_counter(), time.process_time()
    way()
    return time.perf_counter() - wall, time.process_time() - processor


def limit(widths: list[int]) -> float:
    """Return the seconds that the multiplications of an epoch of dense layers take: forward, and backward twice, except to the input."""
    import tensorflow as tf

    sizes = [784, *widths, 10]
    seconds = 0.0
    for number, (ins, outs) in enumerate(pairwise(sizes)):
        a, b, c = tf.random.normal((128, ins)), tf.random.normal((ins, outs)), tf.random.normal((128, outs))
        products = [lambda a=a, b=b: tf.matmul(a, b), lambda a=a, c=c: tf.matmul(a, c, transpose_a=True)]
        if number:
            products.append(lambda c=c, b=b: tf.matmul(c, b, transpose_b=True))
        for product in products:
            found = [timed(product)[1] for _ in range(60)]
            seconds += float(np.median(found[10:])) * 469
    return seconds


def batches(split: str, path: str | None = None) -> Any:
    """Return the rows of a split as a tf.data pipeline."""
    import tensorflow as tf

    x, y = rows(path)
    part = slice(60000) if split == "train" else slice(60000, None)
    data = tf.data.Dataset.from_tensor_slices((x[part].astype(np.float32) / np.float32(255), y[part]))
    return (data.shuffle(10000) if split == "train" else data).batch(128).prefetch(2)


def compare_pipeline(name: str, path: str | None, rounds: int) -> None:
    """Measure a network on a pipeline both ways, in turns, and print a line."""
    builder, configuration = CASES[name]
    config = TrainingConfig(f"tests.benchmarks.networks:{builder}", configuration, "classification", 10, 10, 0)
    parts = (Part("train", 469, 60000), Part("validation", 79, 10000))
    train, validation = (Pipeline("tests.benchmarks.epoch:batches", {"path": path}, (part,), "dataset", True) for part in parts)
    x, y = rows(path)
    shown = Pool(x[:32].astype(np.float32), y[:32])
    ours, theirs = (Training(config, shown, [Fold(train, validation, (None,))]) for _ in range(2))
    model, data = theirs._runners[0].model, {split: batches(split, path) for split in ("train", "validation")}
    accuracies = [0.0, 0.0]

    def run() -> None:
        accuracies[0] = ours.run_epoch()["val_accuracy"]

    def fit() -> None:
        told = model.fit(data["train"], validation_data=data["validation"], shuffle=False, verbose=0)
        accuracies[1] = told.history["val_accuracy"][-1]

    _print_turns(f"{name}, tf.data", run, fit, rounds, " " * 8, accuracies)


def compare(name: str, x: np.ndarray, y: np.ndarray, rounds: int, precision: str = "float32") -> None:
    """Measure one network both ways, in turns, and print a line."""
    builder, configuration = CASES[name]
    config = TrainingConfig(f"tests.benchmarks.networks:{builder}", configuration, "classification", 10, 10, 0, precision=precision)
    order = np.arange(70000)
    ours, theirs = (Training(config, Pool(x, y), [Fold(order[:60000], order[60000:], (SCALING,))]) for _ in range(2))
    scaled = x.astype(np.float32) / np.float32(255)
    model = theirs._runners[0].model

    accuracies = [0.0, 0.0]

    def run() -> None:
        accuracies[0] = ours.run_epoch()["val_accuracy"]

    def fit() -> None:
        told = model.fit(scaled[:60000], y[:60000], batch_size=128, validation_data=(scaled[60000:], y[60000:]), verbose=0)
        accuracies[1] = told.history["val_accuracy"][-1]

    bound = f"{limit(configuration['widths']):8.2f}" if builder == "dense" and precision == "float32" else " " * 8
    _print_turns(name + (" bfloat16" if precision != "float32" else ""), run, fit, rounds, bound, accuracies)


def _print_turns(name: str, run: Callable[[], Any], fit: Callable[[], Any], rounds: int, bound: str, accuracies: list[float]) -> None:
    timed(run), timed(fit)
    measured = np.array([[timed(run), timed(fit)] for _ in range(rounds)])
    ratios = measured[:, 0] / measured[:, 1]
    (wall, processor), (low, high) = np.median(ratios, axis=0), (ratios[:, 0].min(), ratios[:, 0].max())
    print(
        f"{name:32} {np.median(measured[:, 0, 0]):8.2f} {np.median(measured[:, 1, 0]):8.2f} "
        f"{wall:8.2f} ({low:.2f}-{high:.2f}) {processor:8.2f} {bound}   {accuracies[0]:.4f} {accuracies[1]:.4f}",
        flush=True,
    )


def main() -> None:
    """Measure and print every case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--data", help="an mnist.npz; without it, noise of the same shape")
    parser.add_argument("--only", default="", help="measure only cases whose name contains this")
    given = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    x, y = rows(given.data)
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "x.npy", x)
        mapped = np.load(Path(folder) / "x.npy", mmap_mode="c")
        load = os.getloadavg()[0]
        print(f"{'':32} {'ours, s':>8} {'fit, s':>8} {'ratio':>8} {'(range)':11} {'processor':>9} {'limit, s':>8}   {'accuracy':13}   (load {load:.1f})")
        for name in CASES:
            if given.only in name:
                compare(name, mapped, y, given.rounds)
        for name in ("64-64", "256-256"):
            if given.only in name:
                compare(name, mapped, y, given.rounds, "mixed_bfloat16")
        for name in ("64-64", "small convolutional"):
            if given.only in f"{name}, tf.data":
                compare_pipeline(name, given.data, given.rounds)


if __name__ == "__main__":
    main()
