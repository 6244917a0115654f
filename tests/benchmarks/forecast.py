"""Forecasts against the truth: does `tuner plan` hold what it says?

    python -m tests.benchmarks.forecast FOLDER [--sweeps 12] [--first 24]

FOLDER holds LCBench's surrogate (see lcbench.py): learning curves and training times of multilayer perceptrons on 17 tasks. For each sweep four
random configurations are measured, as `tuner plan` does, then the whole search is simulated over the surrogate's curves with Optuna's TPE and one
scheduler or another, which is the truth. The range of 80 % should hold in at least 75 % of the sweeps, for epochs and for seconds. What machines add to
that (their speed from one time to the next, what a process takes to start) is not in it.
"""

import argparse
from pathlib import Path

import numpy as np
import optuna

from tests.benchmarks.lcbench import DEVELOPMENT_TASKS, EPOCHS, SPACE, Surrogate
from tuner.costs import Measured, Sweep, expect
from tuner.objective import Objective
from tuner.scheduler import SchedulerSection
from tuner.searcher import SearchSection
from tuner.simulate import search

OBJECTIVE = Objective("val_accuracy", "max")
# Number of trials, of workers, and early stopping; the sweeps go through them in turn.
KINDS = [(30, 2, "forecast"), (60, 4, "forecast"), (40, 8, "asha"), (20, 2, "median")]


def measured(surrogate: Surrogate, task: str, seed: int) -> list[Measured]:
    """Return what four random configurations take per epoch."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    curves = [surrogate.curve(task, SPACE.suggest(study.ask()), OBJECTIVE.metric) for _ in range(4)]
    return [Measured(seconds=float(np.mean(curve.seconds)), start_s=0.0) for curve in curves]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sweeps", type=int, default=12)
    parser.add_argument("--first", type=int, default=24, help="the first sweep; 0 to 23 were looked at when the model was made")
    parser.add_argument("--sampler", default="tpe")
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    surrogate = Surrogate(arguments.folder)
    print("task      trials  scheduler       epochs forecast      true        seconds forecast       true")
    held = []
    for index in range(arguments.first, arguments.first + arguments.sweeps):
        task = DEVELOPMENT_TASKS[index % len(DEVELOPMENT_TASKS)]
        trials, workers, rule = KINDS[index % len(KINDS)]
        section, scheduler = SearchSection(trials=trials, sampler=arguments.sampler), SchedulerSection(name=rule)
        planned = Sweep(SPACE, OBJECTIVE, section, scheduler, max_epochs=EPOCHS, slots=workers)
        (stage,), _ = expect(planned, measured(surrogate, task, 1000 + index), seed=index)
        _, events = search(
            SPACE,
            OBJECTIVE,
            lambda configuration, seed, task=task: surrogate.curve(task, configuration, OBJECTIVE.metric),
            search=section,
            scheduler=scheduler,
            max_epochs=EPOCHS,
            workers=workers,
            seed=index,
        )
        epochs, seconds = len(events), events[-1].seconds
        held.append((stage.epochs.low <= epochs <= stage.epochs.high, stage.seconds.low <= seconds <= stage.seconds.high))
        print(
            f"{task:<8} {trials:7}  {rule:<10} {stage.epochs.low:9.0f} to {stage.epochs.high:5.0f} {epochs:9}{' ' if held[-1][0] else '*'} "
            f"{stage.seconds.low:12.0f} to {stage.seconds.high:6.0f} {seconds:10.0f}{' ' if held[-1][1] else '*'}",
            flush=True,
        )
    shares = np.mean(held, axis=0)
    print(f"\nheld: epochs {shares[0]:.0%}, seconds {shares[1]:.0%} of {len(held)} sweeps; promised: at least 75 %")
    raise SystemExit(0 if shares.min() >= 0.75 else 1)


if __name__ == "__main__":
    main()
