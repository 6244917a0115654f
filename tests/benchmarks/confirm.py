"""Simulated confirmations with known truth: how often the interval covers it, and how often the best is among those tied with the first.

    python -m tests.benchmarks.confirm [--sweeps 500] [--seed 0]

Each sweep draws what its candidates are truly worth and how much their seeds scatter, runs the race of `tuner/confirm.py`, and looks whether its
verdict holds. Bounds are those within which a share of 95 % stays with 99 % probability, counting sweeps, not intervals: those of a sweep depend
on each other. The last setting is no promise: it shows what skewed scores cost.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.stats import binom

from tuner.results.confirm import Candidate, Race
from tuner.study.objective import Objective

OBJECTIVE = Objective("val_accuracy", "max")


@dataclass(frozen=True)
class Setting:
    """A kind of sweep; the standard deviation between seeds is 1 on average.

    Attributes:
        size: number of candidates.
        gap: standard deviation of their true scores.
        unequal: standard deviation of the logarithm of their scatter.
        skewed: whether scores scatter further down than up.
        budget: seeds per candidate that the budget pays for; 5: as many as the race may want.
    """

    size: int
    gap: float
    unequal: float = 0.0
    skewed: bool = False
    budget: float = 5.0


SETTINGS = [
    *(Setting(size, gap, unequal) for size in (2, 3, 5) for gap in (0.3, 2.0, 6.0) for unequal in (0.0, 0.4)),
    Setting(8, 1.0, 0.4),
    Setting(5, 1.0, 0.4, budget=2.0),
    Setting(5, 1.0, 0.4, budget=3.0),
    Setting(5, 1.0, 0.4, skewed=True),
]


@dataclass(frozen=True)
class Outcome:
    """What one simulated confirmation gave: whether each interval covers, the first's among them, and whether the best is among the tied."""

    covers: tuple[bool, ...]
    first_covers: bool
    best_is_tied: bool
    chosen_loss: float
    seeds: int


def confirmation(setting: Setting, draw: np.random.Generator) -> Outcome:
    """Run one race and compare its verdict with the truth."""
    truth = draw.normal(scale=setting.gap, size=setting.size)
    scatter = np.exp(draw.normal(scale=setting.unequal, size=setting.size))

    def score(trial: int) -> float:
        noise = 2 * (1 - draw.gamma(4) / 4) if setting.skewed else draw.normal()
        return float(truth[trial] + scatter[trial] * noise)

    # The search's own score plays no part in the race. Sizes are drawn, so that the smaller of the tied is any of them.
    field = tuple(Candidate(trial, 0.0, 1, int(draw.integers(1, 10**6))) for trial in range(setting.size))
    race = Race(field, OBJECTIVE, int(setting.budget * setting.size))
    scores: dict[tuple[int, int], float | None] = {}
    while wanted := race.next(scores):
        scores |= {(trial, index): score(trial) for trial, index in wanted}
    found = race.verdict(scores)
    covers = tuple(entry["low"] <= truth[entry["trial"]] <= entry["high"] for entry in found)
    tied = {entry["trial"] for entry in found if entry["tied"]}
    chosen = next(entry["trial"] for entry in found if entry["chosen"])
    return Outcome(covers, covers[0], int(np.argmax(truth)) in tied, float(truth.max() - truth[chosen]), len(scores))


def least_expected(sweeps: int) -> float:
    """Return the share that a chance of 95 % exceeds in 99 % of cases."""
    return float(binom.ppf(0.01, sweeps, 0.95)) / sweeps


def shares(setting: Setting, sweeps: int, seed: int, *, confirm: Callable[[Setting, np.random.Generator], Outcome] = confirmation) -> dict[str, float]:
    """Return over many sweeps: coverage of all intervals and of the first's, how often the best is tied, the mean loss, and seeds per candidate."""
    outcomes = [confirm(setting, np.random.default_rng([seed, index])) for index in range(sweeps)]
    return {
        "covers": float(np.mean([outcome.covers for outcome in outcomes])),
        "first_covers": float(np.mean([outcome.first_covers for outcome in outcomes])),
        "best_is_tied": float(np.mean([outcome.best_is_tied for outcome in outcomes])),
        "loss": float(np.mean([outcome.chosen_loss for outcome in outcomes])),
        "seeds": float(np.mean([outcome.seeds for outcome in outcomes])) / setting.size,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sweeps", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    least = least_expected(arguments.sweeps)
    print(f"{arguments.sweeps} sweeps each; a promise of 95 % is kept from {least:.3f} on\n")
    print("candidates   gap  unequal  skewed  budget  covers  first covers  best tied  loss  seeds each")
    kept = True
    for setting in SETTINGS:
        found = shares(setting, arguments.sweeps, arguments.seed)
        promised = not setting.skewed
        holds = found["covers"] >= least and found["best_is_tied"] >= 0.95
        kept &= holds or not promised
        print(
            f"{setting.size:10} {setting.gap:5.1f} {setting.unequal:8.1f} {'yes' if setting.skewed else 'no':>7} {setting.budget:7.1f}"
            f"  {found['covers']:6.3f} {found['first_covers']:13.3f} {found['best_is_tied']:10.3f} {found['loss']:5.2f} {found['seeds']:11.2f}"
            f"{'' if holds else '  BROKEN' if promised else '  not promised'}",
            flush=True,
        )
    raise SystemExit(0 if kept else 1)


if __name__ == "__main__":
    main()
