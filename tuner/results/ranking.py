"""Trials as a leaderboard shows them, and how they are ranked.

Owns what a trial looks like once it is read from the study (`TrialRecord`), its rank, its gain over the baselines and its place on the Pareto front. Must
not know how trials were run, nor any file.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from tuner.results.pareto import front
from tuner.study.objective import Objective

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

STATES = ("complete", "pruned", "failed", "waiting", "running")
CAUSE = ("kind", "message", "details")

_OPTUNA_STATES = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed", "WAITING": "waiting", "RUNNING": "running"}


@dataclass(frozen=True, kw_only=True)
class TrialRecord:
    """One trial as the leaderboard shows it. Units and meanings: the table in `tuner/results/leaderboard.py`.

    Attributes:
        rank: from 1; None for a trial that failed or has no score.
        cause: `kind`, `message` and `details`, or None.
        configuration: the active hyperparameters, by name.
        curves: metric -> one value per epoch, from epoch 1; None where the value was not a finite number.

    Raises:
        ValueError: the values do not fit together.
    """

    number: int
    state: str
    rank: int | None = None
    score: float | None = None
    best_epoch: int | None = None
    epochs: int = 0
    seconds: float | None = None
    parameters: int | None = None
    seed: int | None = None
    pareto: bool | None = None
    baseline: str | None = None
    source: str | None = None
    gain: float | None = None
    cause: Mapping[str, str] | None = None
    started_at: float | None = None
    worker: str | None = None
    audited: int | None = None
    configuration: Mapping[str, Any] = field(default_factory=dict)
    curves: Mapping[str, Sequence[float | None]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.state not in STATES:
            raise ValueError(f"trial {self.number}: state {self.state!r}; expected one of {', '.join(STATES)}")
        if (self.score is None) != (self.best_epoch is None):
            raise ValueError(f"trial {self.number}: score {self.score} at best epoch {self.best_epoch}; expected both or neither")
        if self.score is not None and not math.isfinite(self.score):
            raise ValueError(f"trial {self.number}: score {self.score}; expected a finite number or None")
        if self.best_epoch is not None and not 1 <= self.best_epoch <= self.epochs:
            raise ValueError(f"trial {self.number}: best epoch {self.best_epoch}; expected 1 to {self.epochs}, its epochs")
        if self.rank is not None and (self.score is None or self.state == "failed"):
            raise ValueError(f"trial {self.number}: rank {self.rank} for a trial that is {self.state} with score {self.score}; expected no rank")
        for metric, values in self.curves.items():
            if len(values) != self.epochs:
                raise ValueError(f"trial {self.number}: {len(values)} values of {metric}; expected {self.epochs}, one per epoch")

    @property
    def name(self) -> str:
        """What people call it: its baseline's name, else `trial 12`."""
        return self.baseline or f"trial {self.number}"

    def at_best(self, metric: str) -> float | None:
        """Return another metric at the best epoch, or None where it has no value there."""
        values = self.curves.get(metric)
        return values[self.best_epoch - 1] if values and self.best_epoch else None


def record_of(trial: "FrozenTrial", objective: Objective) -> TrialRecord:
    """Return a trial of a study as a record, still without rank and gain.

    Reads the facts that `tuner/study/record.py` lists: `configuration`, `seed`, `baseline`, `parameters`, `started_at`, `worker`, `source`,
    `cause`, `audit` and one `epoch_<n>` per epoch.

    Args:
        trial: of Optuna's study.
        objective: what makes its score.
    """
    facts = trial.user_attrs
    reports = {int(name.removeprefix("epoch_")): value for name, value in facts.items() if name.startswith("epoch_") and name[6:].isdecimal()}
    history = {epoch: value for epoch, value in trial.intermediate_values.items() if math.isfinite(value)}
    epochs = max([0, *reports, *history])
    metrics = dict.fromkeys(metric for epoch in sorted(reports) for metric in reports[epoch])
    curves = {metric: tuple(_finite(reports.get(epoch, {}).get(metric)) for epoch in range(1, epochs + 1)) for metric in metrics}
    if history:
        reported = curves.get(objective.metric, (None,) * epochs)
        curves[objective.metric] = tuple(history.get(epoch, value) for epoch, value in enumerate(reported, start=1))
    best_epoch = objective.best_epoch(history) if history else None
    return TrialRecord(
        number=trial.number,
        state=_OPTUNA_STATES[trial.state.name],
        score=history[best_epoch] if best_epoch else None,
        best_epoch=best_epoch,
        epochs=epochs,
        cause={part: str(facts["cause"].get(part, "")) for part in CAUSE} if facts.get("cause") else None,
        audited=(facts.get("audit") or {}).get("epoch"),
        configuration=_used(facts),
        curves=curves,
        seconds=math.fsum(value or 0.0 for value in curves["seconds"]) if "seconds" in curves else None,
        **{name: facts.get(name) for name in ("parameters", "seed", "baseline", "source", "started_at", "worker")},
    )


def _used(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration that a builder really used: without what it did not ask for, and with the defaults of what was new."""
    unasked = set(facts.get("unasked") or ())
    configuration = {name: value for name, value in (facts.get("configuration") or {}).items() if name not in unasked}
    return configuration | {table["name"]: table["default"] for table in facts.get("found") or ()}


def rank_trials(records: Iterable[TrialRecord], objective: Objective, *, also: str | None = None) -> tuple[TrialRecord, ...]:
    """Rank by the score, ties by the trial's number, and measure every score's gain over the best baseline.

    Failed trials and those without a score stay unranked and stand at the end: a network that diverged is no candidate, however well it began.

    Args:
        records: of all trials.
        objective: what they are ranked by.
        also: a second objective, an attribute of the records that is to be small: it decides who is on the Pareto front, and nothing else.
    """
    records = sorted(records, key=lambda record: record.number)
    ranked = sorted((record for record in records if record.score is not None and record.state != "failed"), key=lambda record: objective.cost(_score(record)))
    baselines = [record for record in ranked if record.baseline]
    best_baseline = objective.cost(_score(baselines[0])) if baselines else None
    best = set(front([(objective.cost(_score(record)), _least(record, also)) for record in ranked])) if also else set()
    in_order = [replace(record, rank=rank + 1, pareto=rank in best if also else None) for rank, record in enumerate(ranked)]
    rest = [replace(record, rank=None, pareto=False if also else None) for record in records if record.score is None or record.state == "failed"]
    return tuple(
        replace(record, gain=best_baseline - objective.cost(_score(record)) if best_baseline is not None and record.score is not None else None)
        for record in in_order + rest
    )


def _score(record: TrialRecord) -> float:
    return math.nan if record.score is None else record.score


def _least(record: TrialRecord, also: str) -> float:
    value = getattr(record, also, None)
    return math.inf if value is None else float(value)


def _finite(value: float | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None
