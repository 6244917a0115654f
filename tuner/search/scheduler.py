"""Early stopping in Ray Tune: every epoch is recorded, and then the rule says whether the trial goes on.

Here stand the order of that, and the audit: a small random share of the trials that a rule would stop runs on to the end, so that the price of stopping
can be said. The rules themselves are in rules/.
"""

import math
from typing import Any

from optuna.trial import FrozenTrial
from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler

from search_spaces.errors import nearest
from tuner.search.accounts import Accounts
from tuner.search.not_pickled import NotPickled
from tuner.search.rules.named import SchedulerSection
from tuner.search.rules.rule import Rule
from tuner.study.epoch_report import EpochReport
from tuner.study.failures import Cause
from tuner.study.record import STATES, history_of, is_paused, last_epoch
from tuner.study.seeds import seed_of

# A trial has diverged where one of these is no finite number; any other metric may be undefined for a while.
LOSSES = ("loss", "val_loss")


class StudyScheduler(NotPickled, TrialScheduler):
    """Records each epoch in the study, and stops a trial where the rule or the budget says so.

    Trials with the fact `baseline` run to their end, and so do those that the audit's lot falls on.

    Args:
        accounts: what is spent and running; shared with the searcher.
        rule: decides; the searcher asks it too, which paused trial goes on.
        section: the rule's name, and the audit's share.
        seed: of the sweep, for the audit's lot.
    """

    def __init__(self, accounts: Accounts, rule: Rule, *, section: SchedulerSection, seed: int) -> None:
        super().__init__()
        self.accounts = accounts
        self._section = section
        self._seed = seed
        study = accounts.study
        self.rule = rule
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
        accounts, number = self.accounts, self.accounts.number_of(trial.trial_id)
        if number is None or not accounts.is_running(number):
            return TrialScheduler.STOP
        report = EpochReport.from_json(result, number=number)
        if accounts.exceeds(report):
            accounts.end(number, "pruned", Cause("budget", str(accounts.overspent())))
            return TrialScheduler.STOP
        before = accounts.epochs
        epoch, cause = accounts.report(report), report.ended or self._fault(report)
        if epoch is None or cause is not None:
            accounts.end(number, "failed", cause)
            return TrialScheduler.STOP
        if report.stopped is not None:
            self.rule.decide(number, epoch, accounts.history(number))  # what runs on is compared with it
            accounts.end(number, "complete", report.stopped)
            return TrialScheduler.STOP
        return TrialScheduler.CONTINUE if self._goes_on(number, epoch, accounts.epochs > before) else TrialScheduler.STOP

    def _fault(self, report: EpochReport) -> Cause | None:
        """Return what is wrong with a report of an epoch."""
        metric = self.accounts.study.objective.metric
        if metric not in report.metrics:
            return Cause("error", f"its reports hold no {metric}; {nearest(metric, report.metrics)}")
        for name in LOSSES:
            if not math.isfinite(report.metrics.get(name, 0.0)):
                return Cause("diverged", f"{name} is {report.metrics[name]} at epoch {report.epoch}")
        return None

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> None:
        """Record the last result of a trial that has stopped, and its end."""
        number = self.accounts.number_of(trial.trial_id)
        if number is not None and self.accounts.is_running(number):
            report = EpochReport.from_json(result, number=number)
            self.accounts.conclude(report)
            self.rule.decide(number, report.epoch or 0, self.accounts.history(number))

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        """Do nothing: Ray tells the searcher next, once it has given the trial up."""

    def on_trial_remove(self, tune_controller: Any, trial: Trial) -> None:
        """Let a trial wait that Ray removed before it ran."""
        number = self.accounts.number_of(trial.trial_id)
        if number is not None:
            self.accounts.release(number)

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        """Return None: Ray starts pending trials in their order. A trial that pauses has ended for Ray; the searcher suggests it again."""
        return None

    def debug_string(self) -> str:
        """Return the rule's name."""
        return f"early stopping: {self._section.name}"

    def save(self, checkpoint_path: str) -> None:
        """Write nothing: the study is the record, and Ray's snapshots are never read back."""

    def restore(self, checkpoint_path: str) -> None:
        """Read nothing; see `save`."""

    def _goes_on(self, number: int, epoch: int, new: bool) -> bool:
        """Decide after a recorded epoch, and record the end of a trial that stops here."""
        accounts = self.accounts
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
        if reason is None and new and "baseline" not in facts and not audited and self.rule.pauses(number, epoch):
            accounts.pause(number)
            return False
        if reason is None or not new or "baseline" in facts or self._audits(number, epoch, reason):
            return True
        accounts.end(number, "pruned", Cause("scheduler", reason))
        return False

    def _audits(self, number: int, epoch: int, reason: str) -> bool:
        """Draw the lot: one in four of those to be stopped runs on, as long as all audits together stay within their share of the epochs."""
        rest = self.accounts.max_epochs - epoch
        if self._audited_epochs + rest > self._section.audit * self.accounts.epochs or seed_of(self._seed, number, "audit") % 4:
            return False
        self.accounts.study.set_trial_fact(number, "audit", {"epoch": epoch, "reason": reason})
        return True

    def _rebuild(self, trial: FrozenTrial) -> None:
        """Enter a trial of an earlier run: a value counts at its own epoch only, and none that the audit's lot let the trial reach."""
        audited = trial.user_attrs.get("audit", {}).get("epoch", math.inf)
        recorded = history_of(trial)
        decided = {epoch: value for epoch, value in recorded.items() if epoch <= audited}
        if STATES[trial.state] == "waiting" and math.isinf(audited) and not is_paused(trial):
            decided.pop(max(decided, default=0), None)  # `_decide_again` enters it
        self.rule.record(trial.number, decided)
        self._audited_epochs += sum(epoch > audited for epoch in recorded)

    def _decide_again(self, trial: FrozenTrial) -> None:
        """Decide upon the newest epoch of a trial that an earlier run left: its driver may have died between the record and the decision."""
        epoch = last_epoch(trial)
        if not epoch or "audit" in trial.user_attrs or is_paused(trial):
            return
        reason = self.rule.decide(trial.number, epoch, history_of(trial))
        study = self.accounts.study
        if epoch >= self.accounts.max_epochs:
            study.finish(trial.number, "complete")
        elif reason is not None and "baseline" not in trial.user_attrs and not self._audits(trial.number, epoch, reason):
            study.finish(trial.number, "pruned", Cause("scheduler", reason))
