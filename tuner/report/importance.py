"""Which hyperparameters mattered, from trials compared at equal epochs.

Owns that comparison (`Contest`): two trials are compared at the last epoch that both reached, never by what only one of them had time for.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from tuner.results.leaderboard import Leaderboard, TrialRecord

LEAST_TRIALS = 12
# A forest that explains less than this of the variation has not seen what matters, and what it says of single hyperparameters is noise.
LEAST_FIT = 0.1


@dataclass(frozen=True)
class Share:
    """How much of the variation hangs on one hyperparameter.

    Attributes:
        name: the hyperparameter.
        value: rise of the forest's squared error on trials it has not seen, when the hyperparameter is shuffled among the trials where it is
            active, as a share of the variance; 0 where it does not matter, above 1 possible with interactions.
        spread: sample standard deviation over folds and repetitions.
        active: how many of the trials it was active in.
    """

    name: str
    value: float
    spread: float
    active: int


@dataclass(frozen=True)
class Importances:
    """What the forest says.

    Attributes:
        standings: number of each trial that took part -> share of the others that it beats at equal epochs.
        fit: share of the variance of unseen trials that the forest explains, at most 1; near 0 or below, it knows nothing.
        shares: the greatest first.
        why_not: where it could not be measured, the reason; then there are no shares.
    """

    standings: Mapping[int, float] = field(default_factory=dict)
    fit: float = 0.0
    shares: tuple[Share, ...] = ()
    why_not: str = ""

    @property
    def is_telling(self) -> bool:
        """Whether the shares say something: they were measured, and the forest explains a part of the variation that is worth a word."""
        return bool(self.shares) and self.fit >= LEAST_FIT


class Contest:
    """Trials compared in pairs at equal epochs: at the last epoch that both reached, by the best objective until then.

    So no trial is left out because it was stopped, and none is judged by what it had no time for. Failed trials take no part.
    """

    def __init__(self, leaderboard: Leaderboard) -> None:
        metric = leaderboard.objective.metric
        self.records = [record for record in leaderboard.ranked if any(value is not None for value in record.curves.get(metric, ()))]
        self._costs = {record.number: _best_costs(record, leaderboard) for record in self.records}

    def share_of_wins(self, ours: Sequence[TrialRecord], theirs: Sequence[TrialRecord]) -> float:
        """Return the share of pairs, one of ours and one of theirs, in which ours is better; a tie is half a win.

        Args:
            ours, theirs: trials of this contest.
        """
        field, numbers = self._field(theirs), {record.number for record in theirs}
        shares = [self._share(record, field, among=record.number in numbers) for record in ours]
        return fmean(shares) if shares and theirs else 0.5

    def standings(self) -> dict[int, float]:
        """Return for each trial, by number, the share of the others that it beats."""
        field = self._field(self.records)
        return {record.number: self._share(record, field, among=True) for record in self.records}

    def _field(self, records: Sequence[TrialRecord]) -> dict[int, tuple[list[float], list[float]]]:
        """Return for each length of a training the sorted costs at that epoch, of those that end there and of those that go on.

        A look into such a list says how many are better; to look at each pair would take a second for a thousand trials.
        """
        costs = [self._costs[record.number] for record in records]
        return {
            length: (
                sorted(each[length - 1] for each in costs if len(each) == length),
                sorted(each[length - 1] for each in costs if len(each) > length),
            )
            for length in {len(each) for each in self._costs.values()}
        }

    def _share(self, record: TrialRecord, field: Mapping[int, tuple[list[float], list[float]]], *, among: bool) -> float:
        """Return the share of a field that a trial beats; where it is among them, without itself."""
        mine = self._costs[record.number]
        # With itself it would be a tie.
        wins, pairs = (-0.5, -1) if among else (0.0, 0)
        for length, (ending, going_on) in field.items():
            if length > len(mine):
                continue
            cost = mine[length - 1]
            for others in (ending, going_on) if length == len(mine) else (ending,):
                wins += len(others) - (bisect_left(others, cost) + bisect_right(others, cost)) / 2
                pairs += len(others)
        return wins / pairs if pairs > 0 else 0.5


def _best_costs(record: TrialRecord, leaderboard: Leaderboard) -> list[float]:
    costs, best = [], math.inf
    for value in record.curves[leaderboard.objective.metric]:
        best = min(best, math.inf if value is None else leaderboard.objective.cost(value))
        costs.append(best)
    return costs


def measure(leaderboard: Leaderboard) -> Importances:
    """Return the importances of the hyperparameters that vary; failed trials are left out."""
    contest = Contest(leaderboard)
    standings = contest.standings()
    records = [record for record in contest.records if record.configuration]
    if len(records) < LEAST_TRIALS:
        return Importances(why_not=f"{len(records)} trials can be compared; at least {LEAST_TRIALS} are needed.", standings=standings)
    try:
        from tuner.report import shuffling
    except ImportError:
        return Importances(why_not="NumPy is not installed where this report was made.", standings=standings)
    names = [name for name in leaderboard.varying if len({repr(record.configuration.get(name)) for record in records}) > 1]
    if not names or len({standings[record.number] for record in records}) == 1:
        return Importances(why_not="All trials that can be compared have the same configuration, or come out even.", standings=standings)
    fit, shares = shuffling.shares([record.configuration for record in records], [standings[record.number] for record in records], names)
    return Importances(standings=standings, fit=fit, shares=tuple(Share(*share) for share in shares))
