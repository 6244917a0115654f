"""What every tracker takes in, and of what sweep. Runs in the tracker's own process.

The study is handed on anew from its beginning whenever a sweep goes on, so a tracker must know what it already has: telling it twice changes nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True)
class Sweep:
    """The sweep that is followed.

    Attributes:
        key: the same whenever and wherever this sweep goes on; hexadecimal.
        name: as in the spec.
        folder: where the sweep is written.
        metric: what is optimised.
        mode: `max` or `min`.
        space: name of a hyperparameter -> `low` and `high`, `choices`, or `value`, as in the report's facts.
    """

    key: str
    name: str
    folder: str
    metric: str
    mode: str
    space: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


class Tracker(Protocol):
    """Takes what happens, in the order in which it happened. `at` is in seconds since 1970."""

    def trial(self, number: int, name: str, configuration: Mapping[str, Any], facts: Mapping[str, Any], at: float) -> None:
        """A trial has begun.

        Args:
            number: of the trial.
            name: for people.
            configuration: its active hyperparameters.
            facts: `seed`, and `source` or `baseline` where there is one.
            at: when.
        """

    def epoch(self, number: int, epoch: int, metrics: Mapping[str, float], at: float) -> None:
        """A trial has trained an epoch.

        Args:
            number: of the trial.
            epoch: from 1.
            metrics: name -> value.
            at: when.
        """

    def end(self, number: int, state: str, facts: Mapping[str, Any], at: float) -> None:
        """A trial has ended.

        Args:
            number: of the trial.
            state: `complete`, `pruned` or `failed`.
            facts: `score`, `best_epoch`, `epochs`, `parameters` and `cause`, those that there are.
            at: when.
        """

    def final(self, trial: int, epochs: int, configuration: Mapping[str, Any], metrics: Mapping[str, float], at: float) -> None:
        """The winner, retrained, was scored on the test split.

        Args:
            trial: number of the trial whose configuration it has.
            epochs: that it was retrained for.
            configuration: its active hyperparameters.
            metrics: the mean of each metric, and `<metric>_spread`.
            at: when.
        """

    def over(self) -> None:
        """The sweep is over without a winner that is retrained: it was to search only."""

    def close(self) -> None:
        """Nothing more comes for now; what has not ended waits."""
