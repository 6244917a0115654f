"""What a builder that asks while it runs costs a trial: `python -m tests.benchmarks.define_by_run [--trials 40] [--epochs 10] [--rounds 4]`.

The same network and the same space three times: `(configuration, problem)` with its ranges in the spec, `build(hp)` with KerasTuner's HyperParameters and
`build(trial)` with Optuna's suggest. Each runs a whole random search on scikit-learn's digits without early stopping, one trial at a time, in a process and a
Ray of its own; the order changes from round to round, so that a load on the machine falls on all of them. All three train the same configurations.

Printed is the wall clock of the search per trial, beside the first kind's of the same round, and how long the space was sought, once per sweep.
"""

import argparse
import os
import statistics
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.benchmarks import sides

ROOT = Path(__file__).parents[2]
KINDS = {"ranges": "ranges in the spec", "hp": "build(hp)", "trial": "build(trial)"}
SPACE: dict[str, Any] = {
    "layers": {"low": 1, "high": 2},
    "units_0": {"low": 16, "high": 64, "step": 16},
    "units_1": {"low": 16, "high": 64, "step": 16, "when": {"layers": [2]}},
    "dropout": [False, True],
    "rate": {"low": 1e-3, "high": 1e-2, "log": True},
}


def network(units: list[int], dropout: bool, rate: float) -> Any:
    """Return the compiled network that all kinds build."""
    import keras

    hidden = [*(keras.layers.Dense(count, activation="relu") for count in units), *([keras.layers.Dropout(0.2)] * dropout)]
    model = keras.Sequential([keras.Input((8, 8)), keras.layers.Flatten(), *hidden, keras.layers.Dense(10, activation="softmax")])
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def by_ranges(configuration: Mapping[str, Any], problem: Any) -> Any:
    """The spec has the ranges."""
    units = [configuration[f"units_{number}"] for number in range(configuration["layers"])]
    return network(units, configuration["dropout"], configuration["rate"])


def by_hp(hp: Any) -> Any:
    """The builder asks KerasTuner's hyperparameters."""
    units = [hp.Int(f"units_{number}", 16, 64, step=16) for number in range(hp.Int("layers", 1, 2))]
    return network(units, hp.Boolean("dropout"), hp.Float("rate", 1e-3, 1e-2, sampling="log"))


def by_trial(trial: Any) -> Any:
    """The builder asks Optuna's trial."""
    units = [trial.suggest_int(f"units_{number}", 16, 64, step=16) for number in range(trial.suggest_int("layers", 1, 2))]
    return network(units, trial.suggest_categorical("dropout", [False, True]), trial.suggest_float("rate", 1e-3, 1e-2, log=True))


def one(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Run one kind's search; return its seconds per trial, those of finding its space, and how many parameters its trials had in all."""
    from search_spaces.define_by_run.styles import CONFIGURATION, style_of
    from tuner.monitor.console import QuietView
    from tuner.spec import sweep_spec as specs
    from tuner.sweep.given import Given
    from tuner.sweep.journey import run_sweep
    from tuner.training import starting

    kind = asked["kind"]
    itself = style_of(globals()[f"by_{kind}"]) != CONFIGURATION
    spec = specs.check(
        {
            "name": "s",
            "folder": f"{asked['folder']}/sweep",
            "seed": asked["seed"],
            "dataset": {"source": "digits"},
            "space": {"builder": f"tests.benchmarks.define_by_run:by_{kind}", **({"define_by_run": True} if itself else SPACE)},
            "search": {"sampler": "random", "trials": asked["trials"], "max_concurrent": 1},
            "scheduler": {"name": "fifo"},
            "training": {"max_epochs": asked["epochs"]},
            "evaluation": {"enabled": False},
            "cluster": {"cpus": 1},
        }
    )
    stages: dict[str, float] = {}

    class View(QuietView):
        def stage(self, name: str, **facts: Any) -> None:
            stages[name] = time.monotonic()

    with open(os.devnull, "w") as nowhere, starting.ahead():
        board = run_sweep(spec, view=View(nowhere), interrupted=threading.Event(), given=Given((str(ROOT),)), telling=False)
    if [record.state for record in board.records] != ["complete"] * asked["trials"]:
        raise RuntimeError(f"{kind}: {len(board.records)} trials, {', '.join(sorted({record.state for record in board.records}))}; expected all complete")
    sought_s = stages["search"] - stages["space"] if "space" in stages else 0.0
    parameters = sum(record.parameters or 0 for record in board.records)
    return {"trial_s": board.facts["search_seconds"] / asked["trials"], "sought_s": sought_s, "parameters": parameters}


def main() -> None:
    """Run all kinds in turns and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=4)
    given = parser.parse_args()
    ratios: dict[str, list[float]] = {kind: [] for kind in KINDS}
    print(f"{given.trials} trials of {given.epochs} epochs on digits, one at a time")
    print(f"{'round':<7}{'':<20}{'s a trial':>11}{'beside ranges':>15}{'space sought, s':>17}{'parameters':>12}{'load':>7}")
    for number in range(given.rounds):
        order = list(KINDS)[number % 3 :] + list(KINDS)[: number % 3]
        figures = {kind: sides.apart("tests.benchmarks.define_by_run", {"kind": kind, "seed": number, **vars(given)}) for kind in order}
        for kind, figure in figures.items():
            ratio = figure["trial_s"] / figures["ranges"]["trial_s"]
            ratios[kind].append(ratio)
            cells = f"{figure['trial_s']:>11.3f}{ratio:>15.3f}{figure['sought_s']:>17.1f}{figure['parameters']:>12,}{os.getloadavg()[0]:>7.1f}"
            print(f"{number + 1:<7}{KINDS[kind]:<20}{cells}", flush=True)
    for kind in ("hp", "trial"):
        values = ratios[kind]
        print(f"{KINDS[kind]}: {statistics.median(values):.3f} times the ranges' trial ({min(values):.3f} to {max(values):.3f}; asked: at most 1.05)")


if __name__ == "__main__":
    if question := sides.asked():
        sides.answer(one(question))
    else:
        main()
