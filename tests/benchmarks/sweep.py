"""Whole sweeps against stock Ray Tune and KerasTuner: `python -m tests.benchmarks.sweep --data mnist.npz [--part same|time] [--trials 12] [--seconds 110]`.

Part `same`: the same work on both sides. Tuner runs a random search under ASHA; its journal says which configurations were trained, with which seeds, for how
many epochs. Stock Ray then trains that list: a function trainable in the style of Ray's documentation (`model.fit`, one report per epoch, data through
`tune.with_parameters` as float32, actors not reused), with a scheduler that stops each trial where ASHA had stopped it. Same networks, rows, batch sizes, seeds
and epochs; two trials at a time, one CPU each.

Part `time`: the same time on all sides, each with its own choice of configurations: Tuner's default, Ray's OptunaSearch and ASHAScheduler with their
defaults, KerasTuner's Hyperband and BayesianOptimization, over the same space and rows, seed by seed. Printed is the best validation accuracy of any epoch.

Every side runs in a process of its own, and its clock starts with the process: imports, Ray's start and reading the data count. Configurations are of the
space that Ray's own Keras example on MNIST searches (one hidden layer, dropout, batches of 128), widened to two layers and Adam, with 64 to 256 units.
"""

import argparse
import contextlib
import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks import sides
from tests.benchmarks.sides import METRIC

BEGAN = time.time()
EPOCHS = 10
SPACE = {
    "name": "mlp",
    "depth": {"low": 1, "high": 2},
    "width": {"low": 64, "high": 256, "log": True},
    "activation": "relu",
    "dropout_input": 0.0,
    "batch_normalization": False,
    "regularizer": "none",
    "batch_size": 128,
    "optimizer": "adam",
    "schedule": "constant",
}
SIDES = {"tuner": "Tuner", "ray": "stock Ray", "hyperband": "KerasTuner Hyperband", "bayesian": "KerasTuner Bayesian"}


def spec_of(asked: Mapping[str, Any]) -> Any:
    """Return the spec that says which rows and which space all sides use."""
    from tuner.spec import sweep_spec as spec

    budget = {"trials": asked["trials"]} if asked["part"] == "same" else {"seconds": asked["seconds"]}
    rules = {"sampler": "random"} if asked["part"] == "same" else {}
    return spec.check(
        {
            "name": "sweep",
            "seed": asked["seed"],
            "folder": f"{asked['folder']}/sweep",
            "dataset": {"source": "npz", "path": asked["data"], "validation": 6000},
            "space": SPACE,
            "cluster": {"cpus": 2},
            "training": {"max_epochs": EPOCHS},
            "search": {**budget, **rules},
            "scheduler": {"name": "asha", "grace_period": 1, "reduction_factor": 3} if asked["part"] == "same" else {},
            "evaluation": {"enabled": False},
        }
    )


def arrays(checked: Any) -> dict[str, np.ndarray]:
    """Return the rows of the spec as a user of Keras holds them: float32 from 0 to 1."""
    from tuner.data import dataset as data

    dataset, _ = data.load(checked.dataset, checked.seed)
    fold = dataset.folds[0]
    x = dataset.x.astype(np.float32) / np.float32(255)
    return {"x": x[fold.train], "y": dataset.y[fold.train], "x_val": x[fold.validation], "y_val": dataset.y[fold.validation]}


def network(builder: str, configuration: Mapping[str, Any], seed: int, rows: Mapping[str, np.ndarray]) -> Any:
    """Return the compiled network of a configuration."""
    import keras

    from search_spaces.network import build
    from search_spaces.problem import Problem

    keras.utils.set_random_seed(seed)
    steps = -(-len(rows["x"]) // configuration["batch_size"])
    return build(builder, dict(configuration), Problem("classification", rows["x"].shape[1:], 10, steps, EPOCHS))


# ---- Tuner


def tuner_side(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Run Tuner's own sweep; return its epochs, and what was trained."""
    from tuner.monitor.console import QuietView
    from tuner.training import starting

    checked, values = spec_of(asked), []

    class View(QuietView):
        search_began = 0.0

        def stage(self, name: str, **facts: Any) -> None:
            if name == "search":
                self.search_began = time.time() - BEGAN

        def epoch(self, number: int, epoch: int, value: float | None, state: str, cause: str = "") -> None:
            values.append((time.time() - BEGAN, value or 0.0))

    with open(os.devnull, "w") as nowhere, starting.ahead():  # as `tuner run` does
        from tuner.sweep import journey as sweep

        view = View(nowhere)
        board = sweep.run_sweep(checked, view=view, interrupted=threading.Event(), telling=False)
    trials = [
        {"configuration": dict(record.configuration), "seed": record.seed, "epochs": record.epochs}
        for record in sorted(board.records, key=lambda record: record.number)
        if record.configuration and record.epochs
    ]
    epochs_s = sum(record.seconds or 0.0 for record in board.records)
    return {"values": values, "trials": trials, "before": view.search_began, "epochs_s": epochs_s, "builder": checked.search_space().builder}


# ---- stock Ray


def train(config: dict[str, Any], rows: dict[str, np.ndarray], space: Any, builder: str) -> None:
    """Train one trial as Ray's documentation shows it."""
    import keras
    import optuna
    from ray import tune

    class Report(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
            tune.report({"epoch": epoch + 1, **{name: float(value) for name, value in (logs or {}).items()}})

    configuration = config.get("configuration") or space.suggest(optuna.trial.FixedTrial(config))
    model = network(builder, configuration, config.get("seed", 0), rows)
    model.fit(
        rows["x"],
        rows["y"],
        batch_size=configuration["batch_size"],
        epochs=config.get("epochs", EPOCHS),
        validation_data=(rows["x_val"], rows["y_val"]),
        callbacks=[Report()],
        verbose=0,
    )


def propose(trial: Any) -> None:
    """Ask a trial of Ray's searcher for a configuration, define-by-run; a function of the module, for Ray pickles it."""
    from search_spaces.spaces import SPACES

    SPACES["mlp"].narrow({name: choices for name, choices in SPACE.items() if name != "name"}).suggest(trial)


def ray_side(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Run Ray Tune as its documentation shows it, on Tuner's list of trials or with Optuna's search."""
    from ray import tune
    from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, TrialScheduler
    from ray.tune.search.optuna import OptunaSearch

    checked, values = spec_of(asked), []
    space = checked.search_space()
    rows = arrays(checked)

    class AsRecorded(FIFOScheduler):
        def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
            ends = result["epoch"] >= trial.config["trial"]["epochs"]
            return TrialScheduler.STOP if ends else TrialScheduler.CONTINUE

    def recorded(config: dict[str, Any], rows: dict[str, np.ndarray]) -> None:
        # `fit` is asked for all epochs, as under ASHA: the scheduler ends it.
        train({**config["trial"], "epochs": EPOCHS}, rows, space, space.builder)

    def suggested(config: dict[str, Any], rows: dict[str, np.ndarray]) -> None:
        train(config, rows, space, space.builder)

    same = asked["part"] == "same"
    rules: dict[str, Any]
    if same:
        rules = {"scheduler": AsRecorded(), "num_samples": 1, "param_space": {"trial": tune.grid_search(asked["trials_done"])}}
    else:
        search = OptunaSearch(propose, metric=METRIC, mode="max", seed=asked["seed"])
        left = asked["seconds"] - (time.time() - BEGAN)
        rules = {"scheduler": ASHAScheduler(time_attr="epoch", max_t=EPOCHS), "num_samples": -1, "search_alg": search, "time_budget_s": left}
    began = time.time() - BEGAN
    trainable = tune.with_parameters(recorded if same else suggested, rows=rows)
    sides.stock(asked["folder"], trainable, lambda name, report: values.append((time.time() - BEGAN, float(report.get(METRIC) or 0.0))), cpus=2, **rules)
    return {"values": values, "before": began}


# ---- KerasTuner


class Asked:
    """An Optuna trial's `suggest_` methods over KerasTuner's hyperparameters."""

    def __init__(self, found: Any) -> None:
        self._found = found

    def suggest_float(self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False) -> float:
        return self._found.Float(name, low, high, step=step, sampling="log" if log else "linear")

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        return self._found.Int(name, low, high, **({"sampling": "log"} if log else {"step": step}))

    def suggest_categorical(self, name: str, choices: Any) -> Any:
        return self._found.Choice(name, list(choices))


class Over(BaseException):
    """The time is spent; KerasTuner would go on after an Exception."""


def keras_side(asked: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """Run one of KerasTuner's searches, in one process that has both cores."""
    import keras
    import keras_tuner

    checked, values = spec_of(asked), []
    space, rows = checked.search_space(), arrays(checked)

    class Network(keras_tuner.HyperModel):
        def build(self, hp: Any) -> Any:
            return network(space.builder, space.suggest(Asked(hp)), asked["seed"], rows)

        def fit(self, hp: Any, model: Any, *args: Any, **kwargs: Any) -> Any:
            return model.fit(*args, batch_size=space.suggest(Asked(hp))["batch_size"], **kwargs)

    class Heard(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
            values.append((time.time() - BEGAN, float((logs or {}).get(METRIC, 0.0))))
            if values[-1][0] > asked["seconds"]:
                raise Over

    common = {"objective": keras_tuner.Objective(METRIC, "max"), "directory": f"{asked['folder']}/keras", "seed": asked["seed"], "overwrite": True}
    if kind == "hyperband":
        tuner = keras_tuner.Hyperband(Network(), max_epochs=EPOCHS, hyperband_iterations=100, **common)
    else:
        tuner = keras_tuner.BayesianOptimization(Network(), max_trials=1000, **common)
    before = time.time() - BEGAN
    with contextlib.suppress(Over):
        tuner.search(rows["x"], rows["y"], epochs=EPOCHS, validation_data=(rows["x_val"], rows["y_val"]), callbacks=[Heard()], verbose=0)
    return {"values": values, "before": before}


# ---- all of them


def one(side: str, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Run one side in a process of its own, and add its wall clock."""
    began = time.time()
    found = sides.apart("tests.benchmarks.sweep", {**asked, "side": side})
    return {**found, "wall_s": time.time() - began}


def same(asked: dict[str, Any], rounds: int) -> None:
    """Print both sides' wall clock on the same trials and epochs."""
    ratios = []
    print(f"{'same context':<14}{'trials':>7}{'epochs':>7}{'whole, s':>10}{'search, s':>11}{'s per epoch':>13}{'best':>8}   (load {os.getloadavg()[0]:.1f})")
    for number in range(rounds):
        ours = one("tuner", asked | {"seed": asked["seed"] + number})
        trials = ours["trials"]
        theirs = one("ray", asked | {"seed": asked["seed"] + number, "trials_done": trials})
        epochs = sum(trial["epochs"] for trial in trials)
        for side, found in (("tuner", ours), ("ray", theirs)):
            search_s = found["values"][-1][0] - found["before"]
            best = max(value for _, value in found["values"])
            line = f"{SIDES[side]:<14}{len(trials):>7}{len(found['values']):>7}{found['wall_s']:>10.1f}{search_s:>11.1f}{search_s / epochs:>13.2f}{best:>8.4f}"
            print(line, flush=True)
        print(f"of Tuner's search, {ours['epochs_s'] / 2:.1f} s are epochs (their seconds, by two workers); the rest is starts and the driver")
        ratios.append((theirs["wall_s"] / ours["wall_s"], (theirs["values"][-1][0] - theirs["before"]) / (ours["values"][-1][0] - ours["before"])))
        print(f"stock Ray / Tuner: {ratios[-1][0]:.1f} whole command, {ratios[-1][1]:.1f} search alone (asked: at least 4)", flush=True)
    if rounds > 1:
        whole, search = (sorted(ratio[i] for ratio in ratios) for i in (0, 1))
        print(f"over {rounds} rounds: {whole[0]:.1f} to {whole[-1]:.1f} whole, {search[0]:.1f} to {search[-1]:.1f} search alone")


def at_equal_time(asked: dict[str, Any], rounds: int, chosen: list[str]) -> None:
    """Print what each side has found when the time is over."""
    title = f"same time: {asked['seconds']:.0f} s"
    print(f"{title:<26}{'seed':>5}{'epochs':>8}{'best at half':>14}{'best':>9}   (load {os.getloadavg()[0]:.1f})")
    for number in range(rounds):
        for side in chosen:
            found = one(side, asked | {"seed": asked["seed"] + number})
            values = [(at, value) for at, value in found["values"] if at <= asked["seconds"]]
            half = max((value for at, value in values if at <= asked["seconds"] / 2), default=0.0)
            best = max((value for _, value in values), default=0.0)
            print(f"{SIDES[side]:<26}{asked['seed'] + number:>5}{len(values):>8}{half:>14.4f}{best:>9.4f}", flush=True)


def main() -> None:
    """Run both parts and print their tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="an npz with x_train, y_train, ... of MNIST")
    parser.add_argument("--part", choices=("same", "time"), help="only this part")
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=110.0)
    parser.add_argument("--rounds", type=int, default=1, help="seeds")
    parser.add_argument("--seed", type=int, default=0, help="the first one")
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=list(SIDES), help="of part `time`")
    given = parser.parse_args()
    if given.data is None:
        parser.error("--data: missing; expected an npz of MNIST")
    asked = {"data": str(given.data.resolve()), "trials": given.trials, "seconds": given.seconds, "seed": given.seed}
    if given.part != "time":
        same(asked | {"part": "same"}, given.rounds)
    if given.part != "same":
        at_equal_time(asked | {"part": "time"}, given.rounds, given.sides)


if __name__ == "__main__":
    if question := sides.asked():
        play = {"tuner": tuner_side, "ray": ray_side}.get(question["side"], lambda asked: keras_side(asked, question["side"]))
        sides.answer(play(question))
    else:
        main()
