"""The time that a sweep was at work: from its first trial on, without the nights between two runs of it.

A sweep that was stopped and resumed has its trials hours apart; drawn against the wall clock, each run would be a line at either edge.
"""

from bisect import bisect_right
from collections.abc import Sequence

from tuner.results.leaderboard import TrialRecord

# Between two trials of one run pass seconds; a gap is taken out where it is longer than this and than a share of all the work.
LEAST_GAP_S = 60.0
LEAST_GAP_SHARE = 0.1


class Clock:
    """Seconds since the start of the sweep -> seconds at work.

    Attributes:
        breaks: at which seconds at work the sweep was resumed, ascending.
    """

    def __init__(self, records: Sequence[TrialRecord]) -> None:
        spans = sorted((record.started_at, record.started_at + (record.seconds or 0.0)) for record in records if record.started_at is not None)
        pieces: list[list[float]] = []
        for start, end in spans:
            if pieces and start <= pieces[-1][1]:
                pieces[-1][1] = max(pieces[-1][1], end)
            else:
                pieces.append([start, end])
        least = max(LEAST_GAP_S, LEAST_GAP_SHARE * sum(end - start for start, end in pieces))
        self._starts, self._lost, self.breaks = [], [], []
        lost, before = (pieces[0][0], pieces[0][0]) if pieces else (0.0, 0.0)
        for start, end in pieces:
            if start - before > least:
                lost += start - before
                self.breaks.append(start - lost)
            self._starts.append(start)
            self._lost.append(lost)
            before = end

    def __call__(self, seconds: float) -> float:
        """Return the seconds at work until then."""
        place = bisect_right(self._starts, seconds) - 1
        return max(0.0, seconds - self._lost[max(0, place)]) if self._lost else seconds

    def ended(self, record: TrialRecord) -> float | None:
        """Return the seconds at work until a trial had ended, or None where its start is not recorded."""
        return None if record.started_at is None else self(record.started_at) + (record.seconds or 0.0)
