"""What the driver costs per trial, against stock Ray Tune: `python -m tests.benchmarks.driver [--trials N ...] [--scheduler asha] [--sampler random]`.

Trials that train nothing and report five times, so that all that is left is the driver's own work. Ours: `tuner run`'s whole journey from the spec to the
leaderboard (searcher, scheduler, view, shelf, and a journal that is on the disk before anything follows from it). Theirs: Ray Tune with random search over
the same parameters, its own scheduler of the same name, actors reused, its output turned off, and no record but Ray's own; `bare Ray` is the same without
Ray's log files per trial and without its snapshots, which leaves no record at all. Same number of trials at a time, each run in a process and a Ray
of its own, one after another.

Rates leave out the first 100 trials, in which the workers start. `cost` is seconds per trial over the 500 trials up to a count; `processor` is that of the
driver process alone, which other work on the machine disturbs less. `peak` is the driver's largest resident memory so far.
"""

import argparse
import os
import resource
import time
from collections.abc import Mapping
from typing import Any

from ray import tune
from ray.tune.schedulers import ASHAScheduler

from tests.benchmarks import sides
from tests.benchmarks.sides import METRIC
from tuner.study.epoch_report import EpochReport

EPOCHS = 5
WARM = 100
WINDOW = 500
NAMES = {"ours": "Tuner", "stock": "stock Ray", "bare": "bare Ray"}
# What `bare Ray` is told besides.
BARE = {"TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1", "TUNE_GLOBAL_CHECKPOINT_S": "100000"}


def report(epoch: int, number: int) -> dict[str, float]:
    """Return what a trial reports: the metrics of a real one."""
    value = 1 - 1 / (epoch + 1 + number % 97)
    return {"loss": 1 - value, "accuracy": value, "val_loss": 1 - value, METRIC: value, "seconds": 0.001}


class Nothing(tune.Trainable):
    """Tuner's side: reports as `tuner.training.trial.Trial` does."""

    def setup(self, config: dict[str, Any], *, context: Any) -> None:  # type: ignore[override]
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._number, self._epoch = new_config["number"], 0
        return True

    def step(self) -> dict[str, Any]:
        self._epoch += 1
        facts = {"worker": "here/1", "started_at": 1.0, "parameters": 1000, "path": "nothing"} if self._epoch == 1 else {}
        metrics = report(self._epoch, self._number)
        return EpochReport(self._number, self._epoch, metrics, metrics.pop("seconds"), self._epoch >= EPOCHS, facts=facts).to_json()


class StockNothing(tune.Trainable):
    """Ray's side."""

    def setup(self, config: dict[str, Any]) -> None:
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._epoch = 0
        return True

    def step(self) -> dict[str, Any]:
        self._epoch += 1
        return {**report(self._epoch, int(self.trial_id[-5:])), "epoch": self._epoch, "done": self._epoch >= EPOCHS}


class Clock:
    """Notes, as trials begin, when that was and what the driver had used by then."""

    def __init__(self) -> None:
        self.seen: set[Any] = set()
        self.marks: list[tuple[float, float, float]] = []

    def hear(self, number: Any) -> None:
        """Take note of a report."""
        if number not in self.seen:
            self.seen.add(number)
            self.marks.append((time.monotonic(), time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))

    def told(self) -> dict[str, Any]:
        """Return what the table needs."""
        counts = [count for count in (1000, len(self.marks)) if WARM + WINDOW <= count <= len(self.marks)]
        windows = {count: [(self.marks[count - 1][i] - self.marks[count - 1 - WINDOW][i]) / WINDOW for i in (0, 1)] for count in counts}
        (began, _, _), (ended, _, peak) = self.marks[WARM], self.marks[-1]
        return {
            "trials": len(self.marks),
            "rate": (len(self.marks) - 1 - WARM) / (ended - began),
            "cost": {str(count): window for count, window in windows.items()},
            "peak_mb": {str(count): self.marks[count - 1][2] for count in counts} | {"start": self.marks[0][2], "end": peak},
        }


def one(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Run one side, and return what the table needs of it."""
    clock = Clock()
    if asked["side"] == "ours":
        sections = {"search": {"trials": asked["trials"], "sampler": asked["sampler"]}, "scheduler": {"name": asked["scheduler"]}}
        rest = {"cluster": {"cpus": asked["slots"]}, "training": {"max_epochs": EPOCHS}}
        sides.nothing_trained(asked["folder"], Nothing, clock.hear, **sections, **rest)
    else:
        rule = ASHAScheduler(time_attr="epoch", max_t=EPOCHS, grace_period=2, reduction_factor=3) if asked["scheduler"] == "asha" else None
        sides.random_draws(asked["folder"], StockNothing, lambda name, report: clock.hear(name), cpus=asked["slots"], trials=asked["trials"], scheduler=rule)
    return clock.told()


def line(name: str, told: Mapping[str, Any]) -> str:
    """Return one side's line of the table."""
    last = str(told["trials"])
    cells = [f"{told['cost'][count][0] * 1000:7.1f} {told['cost'][count][1] * 1000:7.1f}" if count in told["cost"] else " " * 15 for count in ("1000", last)]
    peaks = [f"{told['peak_mb'][count]:5.0f}" if count in told["peak_mb"] else " " * 5 for count in ("start", "1000", "end")]
    return f"{name:<14}{told['trials']:>7}{told['rate']:>10.1f}   {cells[0]}   {cells[1]}   {' '.join(peaks)}"


def main() -> None:
    """Run both sides in turns and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, nargs="+", default=[1000, 3000], help=f"at least {WARM + WINDOW}; 10000 is the full figure")
    parser.add_argument("--slots", type=int, default=2, help="trials at a time")
    parser.add_argument("--scheduler", choices=("asha", "fifo"), default="asha")
    parser.add_argument("--sampler", default="random", help="ours only; stock Ray always draws at random")
    parser.add_argument("--side", choices=NAMES, help="only this side")
    given = parser.parse_args()
    chosen = [given.side] if given.side else list(NAMES)
    rules = {"slots": given.slots, "scheduler": given.scheduler, "sampler": given.sampler}
    print(f"{given.slots} trials at a time, {given.scheduler}, {EPOCHS} reports each; ours draws with {given.sampler!r}; load {os.getloadavg()[0]:.1f}")
    print(f"{'':<14}{'trials':>7}{'trials/s':>10}   {'ms at 1000':>15}   {'ms at the end':>15}   {'peak MB: start, at 1000, at the end'}")
    print(f"{'':<31}   {'wall':>7} {'driver':>7}   {'wall':>7} {'driver':>7}")
    for trials in given.trials:
        found = {}
        for side in chosen:
            bare = BARE if side == "bare" else {}
            found[side] = sides.apart("tests.benchmarks.driver", {"side": side, "trials": trials, **rules}, **bare)
            print(line(NAMES[side], found[side]), flush=True)
        for side in chosen[1:]:
            print(f"rate, Tuner / {NAMES[side]}: {found['ours']['rate'] / found[side]['rate']:.2f}{' (asked: at least 0.7)' if side == 'stock' else ''}")
        for side, told in found.items():
            if trials > 1000:
                growth = [told["cost"][str(trials)][i] / told["cost"]["1000"][i] for i in (0, 1)]
                print(f"{NAMES[side]}: cost per trial at {trials} / at 1000: {growth[0]:.2f} wall, {growth[1]:.2f} driver's processor time")


if __name__ == "__main__":
    if question := sides.asked():
        sides.answer(one(question))
    else:
        main()
