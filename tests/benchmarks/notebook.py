"""The same `build(hp)` by `tuner.run` and by KerasTuner, for the same time: `python -m tests.benchmarks.notebook --data mnist.npz [--seconds 80] [--seeds 3]`.

A multilayer perceptron over the real MNIST: 54,000 rows to train, 6,000 to validate, the same for all, in batches of 128 and for at most ten epochs a
network. Every side runs in a process of its own, one after the other, seed by seed, and its clock starts with the process: imports, Ray's start and the
search for the space count. KerasTuner trains in its one process, which has all cores; Tuner one trial on each.

tuner        `tuner.run(build, data=..., seconds=...)`, everything else at its defaults
hyperband    KerasTuner's Hyperband, with its defaults, begun again when it is through
bayesian     KerasTuner's BayesianOptimization, with its defaults

Printed is the best validation accuracy of any epoch within the time, how many networks were begun, and how many epochs were trained. With `--out` the runs are
appended to a file, and the table is made of all that the file holds: a run that was cut off goes on.
"""

import argparse
import contextlib
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks import sides
from tests.benchmarks.sides import METRIC

BEGAN = time.time()
EPOCHS, BATCH, VALIDATION = 10, 128, 6000
SIDES = {"tuner": "tuner.run", "hyperband": "KerasTuner Hyperband", "bayesian": "KerasTuner Bayesian"}
GOAL = 3.0


def build(hp: Any) -> Any:
    """Return the network of all sides."""
    import keras

    model = keras.Sequential([keras.Input((784,))])
    for number in range(hp.Int("layers", 1, 3)):
        model.add(keras.layers.Dense(hp.Int(f"units_{number}", 64, 512, sampling="log"), activation=hp.Choice("activation", ["relu", "tanh"])))
        if hp.Boolean("dropout"):
            model.add(keras.layers.Dropout(hp.Float("rate", 0.1, 0.5)))
    model.add(keras.layers.Dense(10, activation="softmax"))
    optimizer = keras.optimizers.Adam(hp.Float("learning_rate", 1e-4, 1e-2, sampling="log"))
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def rows(path: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return train, validation and test as a notebook would hold them: float32 from 0 to 1."""
    with np.load(path) as file:
        x, y = file["x_train"].reshape(-1, 784).astype(np.float32) / 255, file["y_train"].astype(np.int64)
        x_test, y_test = file["x_test"].reshape(-1, 784).astype(np.float32) / 255, file["y_test"].astype(np.int64)
    return {"train": (x[:-VALIDATION], y[:-VALIDATION]), "validation": (x[-VALIDATION:], y[-VALIDATION:]), "test": (x_test, y_test)}


def tuner_side(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Run `tuner.run`, as a cell would."""
    import tuner
    from tuner.monitor.console import QuietView

    values: list[tuple[float, float]] = []
    numbers: set[int] = set()

    def heard(self: Any, number: int, epoch: int, value: float | None, state: str, cause: str = "") -> None:
        numbers.add(number)
        if value is not None:
            values.append((time.time() - BEGAN, value))

    QuietView.epoch = heard  # type: ignore[method-assign]
    given = rows(asked["data"])
    tuner.run(
        build,
        data=tuner.Data(**given),
        seconds=asked["seconds"],  # of the search alone: what ends after the time is not counted
        max_epochs=EPOCHS,
        seed=asked["seed"],
        name="notebook",
        folder=f"{asked['folder']}/sweep",
        dataset={"scaling": "none"},
        evaluation={"enabled": False},
        quiet=True,
    )
    return {"values": values, "trials": len(numbers)}


class Over(BaseException):
    """The time is spent; KerasTuner would go on after an Exception."""


def keras_side(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Run one of KerasTuner's searches."""
    import keras
    import keras_tuner

    values: list[tuple[float, float]] = []

    class Heard(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
            values.append((time.time() - BEGAN, float((logs or {}).get(METRIC, 0.0))))
            if values[-1][0] > asked["seconds"]:
                raise Over

    given = rows(asked["data"])
    common = {"objective": keras_tuner.Objective(METRIC, "max"), "directory": f"{asked['folder']}/keras", "seed": asked["seed"], "overwrite": True}
    if asked["side"] == "hyperband":
        search = keras_tuner.Hyperband(build, max_epochs=EPOCHS, hyperband_iterations=100, **common)
    else:
        search = keras_tuner.BayesianOptimization(build, max_trials=1000, **common)
    with contextlib.suppress(Over):
        search.search(*given["train"], epochs=EPOCHS, batch_size=BATCH, validation_data=given["validation"], callbacks=[Heard()], verbose=0)
    return {"values": values, "trials": len(search.oracle.trials)}


def one(side: str, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Run one side in a process of its own, and say what it had found when the time was over."""
    figures = sides.apart("tests.benchmarks.notebook", {**asked, "side": side})
    in_time = [(at, value) for at, value in figures["values"] if at <= asked["seconds"]]
    best = [max((value for at, value in in_time if at <= share * asked["seconds"]), default=0.0) for share in (0.5, 1.0)]
    said = {key: asked[key] for key in ("seed", "seconds")}
    return {"side": side, **said, "best": best, "trials": figures["trials"], "epochs": len(in_time), "load": os.getloadavg()[0]}


def line(run: Mapping[str, Any]) -> str:
    """Return one run's line of the table."""
    return f"{SIDES[run['side']]:<22}{run['seed']:>5}{run['trials']:>8}{run['epochs']:>8}{run['best'][0]:>14.4f}{run['best'][1]:>9.4f}{run['load']:>7.1f}"


def verdict(runs: list[dict[str, Any]]) -> list[str]:
    """Return, for each of KerasTuner's searches, on how many seeds Tuner is first and how many times its epochs it has trained."""
    by_side = {(run["side"], run["seed"]): run for run in runs}
    lines = []
    for side in list(SIDES)[1:]:
        pairs = [(by_side["tuner", seed], run) for (other, seed), run in by_side.items() if other == side and ("tuner", seed) in by_side]
        if pairs:
            ratios = [ours["epochs"] / max(1, theirs["epochs"]) for ours, theirs in pairs]
            first = sum(ours["best"][1] > theirs["best"][1] for ours, theirs in pairs)
            times = f"{min(ratios):.1f} to {max(ratios):.1f} times its epochs (asked: at least {GOAL:g})"
            lines.append(f"tuner.run beside {SIDES[side]}: better on {first} of {len(pairs)} seeds, {times}")
    return lines


def main() -> None:
    """Run all sides, seed by seed, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="an npz of MNIST: x_train, y_train, x_test, y_test")
    parser.add_argument("--seconds", type=float, default=80.0, help="of each side, from the start of its process")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=list(SIDES))
    parser.add_argument("--out", type=Path, help="append the runs to this file, one JSON object a line")
    given = parser.parse_args()
    runs = [json.loads(text) for text in given.out.read_text().splitlines()] if given.out and given.out.exists() else []
    title = f"{given.seconds:.0f} s each"
    print(f"{title:<22}{'seed':>5}{'trials':>8}{'epochs':>8}{'best at half':>14}{'best':>9}{'load':>7}")
    for run in runs:
        print(line(run))
    for seed in range(given.first_seed, given.first_seed + given.seeds):
        for side in given.sides:
            if any((run["side"], run["seed"], run["seconds"]) == (side, seed, given.seconds) for run in runs):
                continue
            runs.append(one(side, {"data": str(given.data.resolve()), "seconds": given.seconds, "seed": seed}))
            print(line(runs[-1]), flush=True)
            if given.out:
                with given.out.open("a") as file:
                    file.write(json.dumps(runs[-1]) + "\n")
    print("\n".join(verdict(runs)))


if __name__ == "__main__":
    if question := sides.asked():
        sides.answer(tuner_side(question) if question["side"] == "tuner" else keras_side(question))
    else:
        main()
