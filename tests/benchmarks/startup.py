"""How long a trial takes from its configuration to its first trained batch: `python -m tests.benchmarks.startup [--rounds N]`.

Measured from outside: `TrainingProcess(...)` and an epoch of one batch, without validation, of a network of two hidden layers on the shape of MNIST, in
wall-clock seconds, and in seconds of processor time of the trial's process, which other work on the machine lengthens less. Ways take turns. Seven
trials of eight are the next trial of a process, the eighth begins in a forked one. `five folds` are five networks, each with rows of its own to validate on.
Beside it: a fresh Python that imports Keras, builds the same network and fits one batch, which is what a stock trial without actor reuse pays.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from tuner.data.pool import Pool
from tuner.data.scaling import Scaling
from tuner.data.splits.drawing import Fold
from tuner.training.config import TrainingConfig
from tuner.training.process import Limits, TrainingProcess
from tuner.training.shared_data import SharedData, store
from tuner.training.starting import cool, warm

ROOT = Path(__file__).parent.parent.parent
FOLDS = [Fold(np.arange(128), None, (Scaling(np.float32(0), np.float32(1 / 255), np.float32(0)),))]
FIVE = [Fold(np.arange(128), np.arange(128 * number, 128 * (number + 1)), FOLDS[0].scaling) for number in range(1, 6)]
RECIPE = TrainingConfig("tests.benchmarks.networks:dense", {"widths": [256, 256]}, "classification", 10, 10, 0, search_path=(str(ROOT),))
STOCK = """
import keras, numpy as np
x, y = np.zeros((128, 784), "float32"), np.zeros(128, "int32")
model = keras.Sequential([keras.Input((784,)), keras.layers.Dense(256, "relu"), keras.layers.Dense(256, "relu"), keras.layers.Dense(10, "softmax")])
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(x, y, batch_size=128, verbose=0)
"""


def forked(data: SharedData, config: TrainingConfig, start: str = "auto") -> list[float]:
    """Return the seconds until the networks are built, until the first batch is trained, of the closing, and of the processor until the first batch."""
    begun = time.perf_counter()
    with TrainingProcess(config, data, folds=FOLDS, limits=Limits(), start=start) as process:
        built = time.perf_counter()
        process.run_epoch()
        trained = time.perf_counter()
        used = _used(process.pid)
        ended = time.perf_counter()
    return [built - begun, trained - begun, time.perf_counter() - ended, used]


def again(data: SharedData, config: TrainingConfig, folds: Sequence[Fold] = FOLDS) -> list[float]:
    """Return the same for the next trial of a process that has trained another network before."""
    with TrainingProcess(replace(config, configuration={**config.configuration, "widths": [128]}), data, folds=folds, limits=Limits()) as process:
        process.run_epoch()
        before, begun = _used(process.pid), time.perf_counter()
        process.begin(config)
        built = time.perf_counter()
        process.run_epoch()
        return [built - begun, time.perf_counter() - begun, 0.0, _used(process.pid) - before]


def _used(pid: int) -> float:
    return sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13])) / os.sysconf("SC_CLK_TCK")


def stock() -> list[float]:
    """Return the seconds that a fresh Python takes until Keras has trained one batch."""
    begun, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", STOCK], check=True, env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return [float("nan"), time.perf_counter() - begun, float("nan"), after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime]


def main() -> None:
    """Measure all ways in turns and print their medians and ranges."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    draw = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        data = store(folder, Pool(draw.integers(0, 256, (60000, 784)).astype(np.uint8), draw.integers(0, 10, 60000).astype(np.int32)))
        rich = replace(RECIPE, configuration={"widths": [256, 256], "normalized": True})
        begun = time.perf_counter()
        warm()
        print(f"the node's first start, TensorFlow imported once: {time.perf_counter() - begun:.2f} s", flush=True)
        ways: dict[str, Callable[[], list[float]]] = {
            "next trial of a process, dense network": lambda: again(data, RECIPE),
            "next trial, dropout and batch normalisation": lambda: again(data, rich),
            "next trial, dense network, five folds": lambda: again(data, RECIPE, FIVE),
            "forked, dense network": lambda: forked(data, RECIPE),
            "forked, dropout and batch normalisation": lambda: forked(data, rich),
            "spawned (GPUs, other systems)": lambda: forked(data, RECIPE, "spawn"),
            "stock: fresh Python, Keras, fit": stock,
        }
        seconds: dict[str, list[list[float]]] = {name: [] for name in ways}
        for number in range(rounds):
            for name, way in ways.items():
                if number < 3 or "forked" in name or "next" in name:
                    seconds[name].append(way())
        cool()
    print(f"{'':52} {'built':>8} {'first batch':>12} {'range':>15} {'closing':>9} {'processor':>10}   (s, medians; load {os.getloadavg()[0]:.1f})")
    for name, found in seconds.items():
        built, trained, closed, used = np.median(found, axis=0)
        spread = [row[1] for row in found]
        print(f"{name:52} {built:8.3f} {trained:12.3f} {min(spread):7.3f}-{max(spread):.3f} {closed:9.3f} {used:10.2f}")


if __name__ == "__main__":
    main()
