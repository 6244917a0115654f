"""What an epoch costs, against Keras's fit: `python -m tests.benchmarks.epoch [--rounds N] [--data mnist.npz] [--only PART]`.

One thread, batch 128, 60,000 rows of 784 (MNIST where its file is given, noise of that shape otherwise), 10,000 more to validate. `fit` gets the same rows as
float32 in memory, as users give them; the compiled epoch maps bytes. Both ways take turns in one process. Seconds are wall-clock; ratios are medians over the
rounds with their range, of wall-clock and of processor time, which other work on the machine disturbs less. `limit` is the multiplications of the dense
layers alone, at the rate that products of these shapes reach here. `accuracy` is on the 10,000 rows after all rounds, ours and fit's: the two shuffle
differently, and noise of about 0.002 is to be expected. The last rows are the same network in mixed_bfloat16.
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

from tuner.data.pool import Pool
from tuner.data.scaling import Scaling
from tuner.data.splits import Fold
from tuner.training.trainer import Training, TrainingConfig

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

    timed(run), timed(fit)
    measured = np.array([[timed(run), timed(fit)] for _ in range(rounds)])
    ratios = measured[:, 0] / measured[:, 1]
    bound = f"{limit(configuration['widths']):8.2f}" if builder == "dense" and precision == "float32" else " " * 8
    (wall, processor), (low, high) = np.median(ratios, axis=0), (ratios[:, 0].min(), ratios[:, 0].max())
    print(
        f"{name + (' bfloat16' if precision != 'float32' else ''):32} {np.median(measured[:, 0, 0]):8.2f} {np.median(measured[:, 1, 0]):8.2f} "
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


if __name__ == "__main__":
    main()
