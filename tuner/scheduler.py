"""Which trials are stopped early: the rules by name, and the scheduler that applies them in Ray Tune.

Owns the `[scheduler]` section, the rules (plain classes: values in, a reason to stop out) and the audit: a small random share of the trials
that a rule would stop runs on to the end, so that the price of stopping can be told. Must not know how configurations are chosen.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from optuna.trial import FrozenTrial
from pydantic import BaseModel, ConfigDict, Field, field_validator
from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler

from search_spaces.errors import nearest
from search_spaces.space import SearchSpace
from tuner.accounts import Accounts, cause_of, metrics_of, seed_of
from tuner.objective import Objective
from tuner.samplers.encoding import Encoding
from tuner.samplers.forecast import Forecast, ForecastSampler
from tuner.study import STATES, Cause, Study

# The forecast is asked at these steps of the epoch: as often late as early, for a chance that falls slowly.
CHECK_FACTOR = 1.4


class Rule(Protocol):
    """Decides whether a trial goes on."""

    def record(self, number: int, history: Mapping[int, float]) -> None:
        """Take note of a trial of an earlier run, by its values up to the last epoch that was decided upon."""

    def decide(self, number: int, epoch: int, history: Mapping[int, float]) -> str | None:
        """Take note of a trial's newest epoch, and return in one line why the trial should stop; None if it goes on.

        Args:
            number: the trial.
            epoch: its newest epoch, in `history` if it gave a finite value.
            history: its values by epoch, the newest among them.
        """


class Fifo:
    """Stops nothing."""

    def record(self, number: int, history: Mapping[int, float]) -> None:
        """Do nothing."""

    def decide(self, number: int, epoch: int, history: Mapping[int, float]) -> str | None:
        """Return None."""
        return None


class Asha:
    """Asynchronous successive halving, the stopping variant: at each rung a trial goes on if it is in the best fraction of those before it.

    The best value so far counts, for that is what trials are ranked by. A tie with the cutoff stops: the first of its kind runs on already.

    Source: Li et al., A System for Massively Parallel Hyperparameter Tuning, MLSys 2020; the cutoff as in Ray Tune's ASHAScheduler.

    Args:
        objective: what is optimised.
        max_epochs: number of epochs of a full training.
        grace_period: the first rung, in epochs.
        reduction_factor: from rung to rung epochs grow, and trials shrink, by this factor.
    """

    def __init__(self, objective: Objective, *, max_epochs: int, grace_period: int, reduction_factor: float) -> None:
        self._objective = objective
        self._factor = reduction_factor
        self.rungs: dict[int, dict[int, float]] = {milestone: {} for milestone in milestones(max_epochs, grace_period, reduction_factor)}

    def record(self, number: int, history: Mapping[int, float]) -> None:
        """Enter a trial at the rungs whose own epoch it has reported."""
        for milestone, recorded in self.rungs.items():
            if milestone in history and number not in recorded:
                recorded[number] = min(self._objective.cost(value) for epoch, value in history.items() if epoch <= milestone)

    def decide(self, number: int, epoch: int, history: Mapping[int, float]) -> str | None:
        """Return why the trial falls at this rung; None between rungs, and where it goes on."""
        recorded = self.rungs.get(epoch)
        if recorded is None or number in recorded:
            return None
        others = list(recorded.values())
        self.record(number, history)
        if not others or number not in recorded:
            return None
        cutoff = float(np.quantile(others, 1 / self._factor))
        if recorded[number] < cutoff:
            return None
        return f"not in the best 1/{self._factor:g} of {len(others) + 1} trials at epoch {epoch}"


class Median:
    """Stops a trial whose best value is worse than the median of what the others had on average by the same epoch.

    Source: Golovin et al., Google Vizier, KDD 2017, section 3.2.2.

    Args:
        objective: what is optimised.
        grace_period: no trial is stopped before this epoch.
        least: nor before this number of other trials reached the epoch.
    """

    def __init__(self, objective: Objective, *, grace_period: int, least: int = 5) -> None:
        self._objective = objective
        self._grace = grace_period
        self._least = least
        self._means: dict[int, dict[int, float]] = {}

    def record(self, number: int, history: Mapping[int, float]) -> None:
        """Enter the means of a trial up to each of its epochs."""
        total = 0.0
        for count, epoch in enumerate(sorted(history), start=1):
            total += self._objective.cost(history[epoch])
            self._means.setdefault(epoch, {})[number] = total / count

    def decide(self, number: int, epoch: int, history: Mapping[int, float]) -> str | None:
        """Return why the trial stops at this epoch; None where it goes on."""
        self.record(number, history)
        others = [mean for other, mean in self._means.get(epoch, {}).items() if other != number]
        if epoch < self._grace or len(others) < self._least or not history:
            return None
        if min(self._objective.cost(value) for value in history.values()) <= float(np.median(others)):
            return None
        return f"worse than the median of {len(others)} other trials at epoch {epoch}"


class Foresight:
    """Stops a trial whose chance to end better than every rival is expected to is too small.

    Rivals are the trials that run, or have run, to their end. The forecast says how much early epochs can be trusted on this very problem: where
    they tell little, as where learning curves cross, chances stay apart from 0 and 1 and trials run on; where they tell all, a few epochs decide.

    Args:
        forecast: of what each trial will reach.
        study: what it is about.
        max_epochs: number of epochs of a full training.
        grace_period: no trial is stopped before this epoch.
        least_chance: the smallest chance to go on with.
    """

    def __init__(self, forecast: Forecast, study: Study, *, max_epochs: int, grace_period: int, least_chance: float) -> None:
        self.forecast = forecast
        self._study = study
        self._grace = grace_period
        self._least_chance = least_chance
        self._checks = frozenset(milestones(max_epochs, grace_period, CHECK_FACTOR))
        forecast.update(study.optuna)  # what an earlier run left is read here, once, and not while the first suggestion is waited for

    def record(self, number: int, history: Mapping[int, float]) -> None:
        """Do nothing: the forecast reads the study."""

    def decide(self, number: int, epoch: int, history: Mapping[int, float]) -> str | None:
        """Return the trial's chance if it is too small to go on."""
        if epoch not in self._checks or not self.forecast.update(self._study.optuna) or not self.forecast.enough(self._grace):
            return None
        chance = self.forecast.chance(number)
        if chance is None or chance >= self._least_chance:
            return None
        return f"a chance of {chance:.0%} at epoch {epoch} to end better than the trials that run on"


@dataclass(frozen=True)
class Circumstances:
    """What a rule is built from.

    Attributes:
        objective: what is optimised.
        max_epochs: number of epochs of a full training.
        section: the user's numbers.
        study: for a rule that looks at the whole of it.
        space: what is searched.
    """

    objective: Objective
    max_epochs: int
    section: "SchedulerSection"
    study: Study
    space: SearchSpace


@dataclass(frozen=True)
class Row:
    """A rule that can be chosen by name."""

    build: Callable[[Circumstances], Rule]
    help: str


def _asha(given: Circumstances) -> Rule:
    return Asha(given.objective, max_epochs=given.max_epochs, grace_period=given.section.grace_period, reduction_factor=given.section.reduction_factor)


def _foresight(given: Circumstances) -> Rule:
    sampler = given.study.optuna.sampler
    # Where the sampler forecasts too, both ask one model: it is fitted once.
    forecast = sampler.forecast if isinstance(sampler, ForecastSampler) else Forecast(Encoding(given.space), given.objective, given.max_epochs)
    return Foresight(
        forecast, given.study, max_epochs=given.max_epochs, grace_period=given.section.grace_period, least_chance=given.section.least_chance
    )


SCHEDULERS: dict[str, Row] = {
    "forecast": Row(_foresight, "stops what has too small a chance to end better than the trials that run on (the default)"),
    "asha": Row(_asha, "asynchronous successive halving, as in Ray Tune"),
    "median": Row(lambda given: Median(given.objective, grace_period=given.section.grace_period), "stops what is worse than the median of the others so far"),
    "fifo": Row(lambda given: Fifo(), "stops nothing"),
}


class SchedulerSection(BaseModel):
    """`[scheduler]`: which trials are stopped early."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: str = Field("forecast", description="which trials are stopped early: " + "; ".join(f"'{name}' {row.help}" for name, row in SCHEDULERS.items()))
    grace_period: int = Field(2, ge=1, description="no trial is stopped before this epoch")
    reduction_factor: float = Field(3.0, gt=1, description="asha: from rung to rung, epochs grow and trials shrink by this factor")
    least_chance: float = Field(0.1, gt=0, lt=1, description="forecast: a trial goes on while its chance to end better than all that run on is at least this")
    audit: float = Field(
        0.03,
        ge=0,
        le=0.5,
        description="control arm, to tell what early stopping costs: trials that would be stopped run on to their end by lot, "
        "as long as that takes no more than this share of all epochs; 0 is none",
    )

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in SCHEDULERS:
            raise ValueError(f"{name!r}: unknown scheduler; {nearest(name, SCHEDULERS)}")
        return name


class StudyScheduler(TrialScheduler):
    """Records each epoch in the study, and stops a trial where the rule or the budget says so.

    Trials with the fact `baseline` run to their end, and so do those that the audit's lot falls on.

    Args:
        accounts: what is spent and running; shared with the searcher.
        space: what is searched.
        section: the rule and its numbers.
        seed: of the sweep, for the audit's lot.
    """

    def __init__(self, accounts: Accounts, space: SearchSpace, *, section: SchedulerSection, seed: int) -> None:
        super().__init__()
        self.accounts = accounts
        self._section = section
        self._seed = seed
        study = accounts.study
        self.rule = SCHEDULERS[section.name].build(Circumstances(study.objective, accounts.max_epochs, section, study, space))
        self._audited_epochs = 0
        for enter, trials in ((self._rebuild, study.trials()), (self._decide_again, study.trials("waiting"))):
            for trial in trials:
                enter(trial)

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        """Do nothing: the searcher has begun the trial."""

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """Record an epoch, and return whether the trial goes on."""
        with self.accounts.study.together():
            return self._hear(trial, result)

    def _hear(self, trial: Trial, result: dict[str, Any]) -> str:
        number = self.accounts.number_of(trial.trial_id)
        if number is None or not self.accounts.is_running(number):
            return TrialScheduler.STOP
        if self.accounts.exceeds(number, result):
            self.accounts.end(number, "pruned", Cause("budget", str(self.accounts.overspent())))
            return TrialScheduler.STOP
        known = self.accounts.epochs
        epoch = self.accounts.report(number, result)
        cause = cause_of(result)
        if epoch is None and cause is None:
            metric = self.accounts.study.objective.metric
            cause = Cause("error", f"its reports hold no {metric}; {nearest(metric, metrics_of(result))}")
        if epoch is None or cause is not None:
            self.accounts.end(number, "failed", cause)
            return TrialScheduler.STOP
        return TrialScheduler.CONTINUE if self._goes_on(number, epoch, result, self.accounts.epochs > known) else TrialScheduler.STOP

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> None:
        """Record the last result of a trial that has stopped, and its end."""
        number = self.accounts.number_of(trial.trial_id)
        if number is not None and self.accounts.is_running(number):
            self.accounts.conclude(number, result)
            self.rule.decide(number, int(result.get("epoch") or 0), self.accounts.history(number))

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        """Do nothing: Ray tells the searcher next, once it has given the trial up."""

    def on_trial_remove(self, tune_controller: Any, trial: Trial) -> None:
        """Let a trial wait that Ray removed before it ran."""
        number = self.accounts.number_of(trial.trial_id)
        if number is not None:
            self.accounts.release(number)

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        """Return None: Ray starts pending trials in their order, and this scheduler pauses none."""
        return None

    def debug_string(self) -> str:
        """Return the rule's name."""
        return f"early stopping: {self._section.name}"

    def save(self, checkpoint_path: str) -> None:
        """Write nothing: the study is the record, and Ray's snapshots are never read back."""

    def restore(self, checkpoint_path: str) -> None:
        """Read nothing; see `save`."""

    def __deepcopy__(self, memo: dict[int, Any]) -> "StudyScheduler":
        # Searcher and scheduler share one object for their accounts; a copy would part them.
        return self

    def __getstate__(self) -> dict[str, Any]:
        # Ray 2.60 pickles the scheduler into tuner.pkl; a study holds locks, and nobody reads that file back.
        return {}

    def _goes_on(self, number: int, epoch: int, result: Mapping[str, Any], new: bool) -> bool:
        """Decide after a recorded epoch, and record the end of a trial that stops here."""
        accounts = self.accounts
        value = float(result[accounts.study.objective.metric])
        if not math.isfinite(value):
            accounts.end(number, "failed", Cause("diverged", f"{accounts.study.objective.metric} is {value} at epoch {epoch}"))
            return False
        facts = accounts.study.trial(number).user_attrs
        audited = "audit" in facts
        self._audited_epochs += audited and new
        reason = None if audited else self.rule.decide(number, epoch, accounts.history(number))
        if epoch >= accounts.max_epochs:
            accounts.end(number, "complete")
            return False
        if spent := accounts.overspent():
            accounts.end(number, "pruned", Cause("budget", spent))
            return False
        # An epoch trained again after an interruption was decided upon when it was recorded: the trial went on.
        if reason is None or not new or "baseline" in facts:
            return True
        return not self._stop(number, epoch, reason)

    def _stop(self, number: int, epoch: int, reason: str) -> bool:
        """End a trial, or let it run on under audit where the lot says so; return whether it ended."""
        if self._audits(number, epoch):
            self.accounts.study.set_trial_fact(number, "audit", {"epoch": epoch, "reason": reason})
            return False
        self.accounts.end(number, "pruned", Cause("scheduler", reason))
        self.accounts.study.finish(number, "pruned", Cause("scheduler", reason))  # nothing where that has ended it; a trial of an earlier run is in no account
        return True

    def _audits(self, number: int, epoch: int) -> bool:
        """Draw the lot: one in four, as long as all audits together stay within their share of the epochs."""
        rest = self.accounts.max_epochs - epoch
        if self._audited_epochs + rest > self._section.audit * self.accounts.epochs:
            return False
        return seed_of(self._seed, number, "audit") % 4 == 0

    def _rebuild(self, trial: FrozenTrial) -> None:
        """Enter a trial of an earlier run: a value counts at its own epoch only, and none that the audit's lot let the trial reach."""
        audited = trial.user_attrs.get("audit", {}).get("epoch", math.inf)
        known = {epoch: value for epoch, value in trial.intermediate_values.items() if epoch <= audited}
        if STATES[trial.state] == "waiting" and math.isinf(audited):
            known.pop(max(known, default=0), None)  # `_decide_again` enters it
        self.rule.record(trial.number, known)
        self._audited_epochs += sum(epoch > audited for epoch in trial.intermediate_values)

    def _decide_again(self, trial: FrozenTrial) -> None:
        """Decide upon the newest epoch of a trial that an earlier run left: its driver may have died between the record and the decision."""
        epoch = max(trial.intermediate_values, default=0)
        if not epoch or "audit" in trial.user_attrs:
            return
        reason = self.rule.decide(trial.number, epoch, trial.intermediate_values)
        if epoch >= self.accounts.max_epochs:
            self.accounts.study.finish(trial.number, "complete")
        elif reason is not None and "baseline" not in trial.user_attrs:
            self._stop(trial.number, epoch, reason)


def milestones(max_epochs: int, grace_period: int, reduction_factor: float) -> tuple[int, ...]:
    """Return the epochs of the rungs, rising, all before the last epoch.

    Args:
        max_epochs: number of epochs of a full training, at least 1.
        grace_period: the first rung, in epochs.
        reduction_factor: of each rung to the one before, above 1.
    """
    found: list[int] = []
    milestone = float(grace_period)
    while round(milestone) < max_epochs:
        if not found or round(milestone) > found[-1]:
            found.append(round(milestone))
        milestone *= reduction_factor
    return tuple(found)
