"""How many trials a driver keeps going, against stock Ray Tune: `python -m tests.benchmarks.scale [--workers 8 32 128]` (7 minutes on two cores).

Nodes are simulated: Ray is told of more CPUs than there are, and trials sleep and report once, as in Ray's own benchmark of 10,000 trials of one second
on 16 CPUs (715 s where 625 would be ideal: 0.87). Trials are as long as makes the ideal rate the same for every number of workers, one that the cores
here can drive. Ours is `tuner run`'s whole journey to the leaderboard, each step in a journal on the disk before anything follows from it. Theirs: random
search, no early stopping, actors reused, its output turned off, and no record but Ray's own snapshots. Each run has a process and a Ray of its own.

`trials/s` counts the trials that end while all workers are busy; `of ideal` divides by workers / seconds of a trial. `driver` is the share of one core
that the driver process takes meanwhile. `whole` is everything in seconds: Ray's start, workers' starts, all trials, the record.
"""

import argparse
import contextlib
import os
import time
from collections.abc import Mapping
from typing import Any

from ray import tune

from tests.benchmarks import sides
from tests.benchmarks.sides import METRIC
from tuner.study.epoch_report import EpochReport

NAMES = {"ours": "Tuner", "stock": "stock Ray"}
# Before and after what is measured, each worker has at least one trial more.
LEAST_TRIALS_A_WORKER = 4


class Sleeping(tune.Trainable):
    """Tuner's side: reports as `tuner.training.trial.Trial` does."""

    def setup(self, config: dict[str, Any], *, context: Any) -> None:  # type: ignore[override]
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._number = new_config["number"]
        return True

    def step(self) -> dict[str, Any]:
        time.sleep(float(os.environ["SCALE_S"]))
        facts = {"worker": str(os.getpid()), "started_at": 1.0, "parameters": 1}
        return EpochReport(self._number, 1, {METRIC: value(self._number)}, 1.0, last=True, facts=facts).to_json()


class StockSleeping(tune.Trainable):
    """Ray's side."""

    def setup(self, config: dict[str, Any]) -> None:
        """Nothing to be made."""

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        return True

    def step(self) -> dict[str, Any]:
        time.sleep(float(os.environ["SCALE_S"]))
        return {METRIC: value(int(self.trial_id[-5:])), "done": True}


def value(number: int) -> float:
    """Return what a trial reports."""
    return (number % 97) / 97


class Clock:
    """Notes, whenever a trial ends, when that was and what the driver had used by then."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._marks: list[tuple[float, float]] = []

    def hear(self) -> None:
        """Take note of an end."""
        self._marks.append((time.monotonic(), time.process_time()))

    def told(self, workers: int) -> dict[str, float]:
        """Return what the table needs."""
        (began, used), (ended, used_then) = self._marks[workers - 1], self._marks[-workers - 1]
        seconds = ended - began
        rate = (len(self._marks) - 2 * workers) / seconds
        return {"trials": len(self._marks), "rate": rate, "driver": (used_then - used) / seconds, "whole_s": time.monotonic() - self._began}


def one(asked: Mapping[str, Any]) -> dict[str, float]:
    """Run one side, and return what the table needs of it."""
    clock, workers, trials = Clock(), asked["workers"], asked["trials"]
    if asked["side"] == "ours":
        from tuner.sweep import journey as sweep

        sweep.starting.ahead = contextlib.nullcontext  # type: ignore[assignment]  # nothing here trains, so TensorFlow need not be loaded
        sections = {"search": {"trials": trials, "sampler": "random"}, "scheduler": {"name": "fifo", "grace_period": 1}}
        rest = {"cluster": {"cpus": workers}, "training": {"max_epochs": 1}}
        sides.nothing_trained(asked["folder"], Sleeping, lambda number: clock.hear(), **sections, **rest)
    else:
        sides.random_draws(asked["folder"], StockSleeping, lambda name, report: clock.hear(), cpus=workers, trials=trials)
    return clock.told(workers)


def main() -> None:
    """Run both sides for each number of workers and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, nargs="+", default=[8, 32, 128], help="trials at a time, on simulated CPUs")
    parser.add_argument("--rate", type=float, default=8.0, help="trials per second that would be ideal; a trial sleeps workers / rate seconds")
    parser.add_argument("--trials", type=int, default=320, help=f"per run; at least {LEAST_TRIALS_A_WORKER} times as many as workers are run")
    parser.add_argument("--side", choices=NAMES, help="only this side")
    given = parser.parse_args()
    load = f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the beginning"
    print(f"{load}; trials that sleep and report once; ideal: {given.rate:g} trials/s", flush=True)
    print(f"{'workers':>7}{'a trial':>9}  {'':<11}{'trials':>7}{'trials/s':>10}{'of ideal':>10}{'driver':>9}{'whole':>9}")
    for workers in given.workers:
        trials, seconds = max(given.trials, LEAST_TRIALS_A_WORKER * workers), workers / given.rate
        for side in [given.side] if given.side else NAMES:
            question = {"side": side, "workers": workers, "trials": trials}
            told = sides.apart("tests.benchmarks.scale", question, SCALE_S=str(seconds))
            print(
                f"{workers:>7}{seconds:>7.1f} s  {NAMES[side]:<11}{told['trials']:>7.0f}{told['rate']:>10.2f}{told['rate'] / given.rate:>10.2f}"
                f"{told['driver']:>9.0%}{told['whole_s']:>7.0f} s",
                flush=True,
            )


if __name__ == "__main__":
    if question := sides.asked():
        sides.answer(one(question))
    else:
        main()
