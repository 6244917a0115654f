"""What a rule of early stopping is.

A trial that stops is over. One that pauses keeps its checkpoint and its place in the record while another takes its worker, and may go on later.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol


class Rule(Protocol):
    """Decides whether a trial goes on."""

    def record(self, number: int, history: Mapping[int, float]) -> None:
        """Take note of a trial of an earlier run, by its values up to the last epoch that was decided upon; NaN where an epoch has none.

        Args:
            number: the trial.
            history: its values by epoch; NaN where an epoch has none.
        """

    def decide(self, number: int, epoch: int, history: Mapping[int, float]) -> str | None:
        """Take note of a trial's newest epoch, and return in one line why the trial should stop; None if it goes on.

        Args:
            number: the trial.
            epoch: its newest epoch.
            history: its values by epoch, the newest among them; NaN where an epoch has none.
        """

    def pauses(self, number: int, epoch: int) -> bool:
        """Say whether a trial that goes on lets others go on first.

        Args:
            number: the trial.
            epoch: its newest epoch, which was decided upon.
        """

    def resumes(self, paused: Sequence[int], *, may_begin: bool) -> int | None:
        """Return which paused trial goes on where a worker is free; None where a new one is to begin, or none of them is worth it.

        Args:
            paused: numbers of the trials that wait, at least one.
            may_begin: whether a new trial may begin. If not, None ends them all as soon as nothing runs.
        """


class Unpausing:
    """A rule under which no trial pauses."""

    def pauses(self, number: int, epoch: int) -> bool:
        """Return False.

        Args:
            number: the trial.
            epoch: its newest epoch.
        """
        return False

    def resumes(self, paused: Sequence[int], *, may_begin: bool) -> int | None:
        """Return the first: a sweep that another rule began goes on.

        Args:
            paused: numbers of the trials that wait.
            may_begin: whether a new trial may begin.
        """
        return paused[0]
