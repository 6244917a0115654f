"""The accounts of a search: every report, every end and every budget of its trials, kept in the study by one object.

The searcher and the scheduler both act through it, so that Ray may call them in any order, twice, or not at all: each entry is written before
the decision that follows from it is handed to Ray, and making an entry again changes nothing. Here stands which trial of Ray is which trial of the
study, and whether the budget allows another epoch.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from optuna.trial import FrozenTrial

from tuner.study import failures
from tuner.study.epoch_report import EpochReport
from tuner.study.failures import Cause
from tuner.study.record import Study, history_of, last_epoch

# What a trial tells of where and when it began.
BEGINNING = ("started_at", "worker")


@dataclass(frozen=True)
class Budget:
    """What a search may spend in all, over every run of it; None is no limit.

    Attributes:
        trials: number of trials, failed ones included.
        epochs: number of epochs, summed over all trials.
        seconds: wall-clock time of searching.
    """

    trials: int | None = None
    epochs: int | None = None
    seconds: float | None = None


class Accounts:
    """What the trials of a search have done and spent.

    Args:
        study: the record.
        max_epochs: number of epochs of a full training.
        budget: what the search may spend; what earlier runs of this study spent counts.
        clock: returns seconds; a virtual one in a simulation.
    """

    def __init__(self, study: Study, *, max_epochs: int, budget: Budget, clock: Callable[[], float] = time.monotonic) -> None:
        self.study = study
        self.max_epochs = max_epochs
        self.budget = budget
        self.epochs = sum(len(history_of(trial)) for trial in study.trials())
        self._clock = clock
        self._began = clock() - float(study.facts.get("search_seconds", 0.0))
        self._numbers: dict[str, int] = {}
        self._running: dict[int, int] = {}
        self._epochs_s = epochs_s(study)
        self._deadline: tuple[int, float | None] = 0, None  # of so many epochs
        self.broken: str | None = None

    @property
    def seconds(self) -> float:
        """Wall-clock time of searching so far, earlier runs of this study included."""
        return self._clock() - self._began

    @property
    def running(self) -> tuple[int, ...]:
        """Numbers of the trials that Ray has been given and that have not ended."""
        return tuple(self._running)

    def overspent(self) -> str | None:
        """Say which budget forbids another epoch, in one line; None while all allow it."""
        if self.budget.epochs is not None and self.epochs >= self.budget.epochs:
            return f"the budget of {self.budget.epochs} epochs is spent"
        if self.budget.seconds is not None and self.seconds >= self.budget.seconds:
            return f"the budget of {self.budget.seconds:g} s is spent"
        return None

    def exceeds(self, report: EpochReport) -> bool:
        """Say whether a report is of a new epoch that the budget of epochs has no room for: it was under way when the last one was spent."""
        if self.budget.epochs is None or self.epochs < self.budget.epochs or report.ended is not None:
            return False
        return report.epoch not in self.history(report.number)

    @property
    def deadline_s(self) -> float | None:
        """Seconds after which an epoch is taken as hung; None while it is too early to say."""
        if len(self._epochs_s) > 1.1 * self._deadline[0]:  # the median of many takes long, and moves slowly
            self._deadline = len(self._epochs_s), failures.deadline_s(self._epochs_s)
        return self._deadline[1]

    def begin(self, ray_id: str, number: int) -> None:
        """Note that a trial of Ray trains this trial of the study from now on.

        Args:
            ray_id: of the trial of Ray.
            number: of the trial of the study.
        """
        self._numbers[ray_id] = number
        self._running[number] = 0

    def number_of(self, ray_id: str) -> int | None:
        """Return the study's number of a trial of Ray; None if it is not one of ours."""
        return self._numbers.get(ray_id)

    def is_running(self, number: int) -> bool:
        """Say whether the trial was begun in this run and has not ended."""
        return number in self._running

    def report(self, report: EpochReport) -> int | None:
        """Record what a trial reports; return its epoch, or None where the report holds no value of the objective or the trial has ended."""
        number = report.number
        if number not in self._running:
            return None
        self._note(number, report.facts)
        epoch = report.epoch
        if not epoch or self.study.objective.metric not in report.metrics:
            return None
        if epoch > self._running[number]:
            if epoch not in self.history(number):
                self.study.report(number, epoch, report.metrics, seconds=report.seconds)
                self.epochs += 1
                self._epochs_s += [report.seconds] if report.seconds else []
            self._running[number] = epoch
        return epoch

    def _note(self, number: int, facts: Mapping[str, Any]) -> None:
        """Record facts of a trial; one that goes on keeps where and when it began, and notes the same of going on."""
        begun = self.study.trial(number).user_attrs
        if "started_at" in facts and "started_at" in begun:
            again = {"epoch": last_epoch(self.study.trial(number)), **{name: facts[name] for name in BEGINNING if name in facts}}
            facts = {**{name: value for name, value in facts.items() if name not in BEGINNING}, "resumed": [*begun.get("resumed", []), again]}
        for name, value in facts.items():
            self.study.set_trial_fact(number, name, value)

    def history(self, number: int) -> Mapping[int, float]:
        """Return the trial's recorded values by epoch; NaN where an epoch has none."""
        return history_of(self.study.trial(number))

    def end(self, number: int, state: str, cause: Cause | None = None) -> None:
        """Record that a trial ended as `complete`, `pruned` or `failed`; nothing happens where it had ended before.

        A failure that is tried again is noted, and the trial waits to be continued.

        Args:
            number: the trial.
            state: `complete`, `pruned` or `failed`.
            cause: why; of one that is complete, why before its last epoch.
        """
        if number not in self._running:
            return
        trial = self.study.trial(number)
        retried, epoch = trial.user_attrs.get("retried", []), last_epoch(trial)
        if state == "failed" and cause is not None and failures.is_retried(cause.kind, failures.counted(retried, epoch)):
            self.study.set_trial_fact(number, "retried", [*retried, {"kind": cause.kind, "message": cause.message, "epoch": epoch}])
            self.release(number)
            return
        del self._running[number]
        self.study.finish(number, state, cause)
        self.study.set_facts({"search_seconds": self.seconds})
        if cause is not None and cause.kind == "fatal":
            self.broken = f"trial {number} ended the search: {cause.message}; expected a builder that raises no FatalError\n{cause.details}".rstrip()
        elif state == "failed" and (first := failures.broken(self.study.trials())) is not None:
            why = first.user_attrs["cause"]
            self.broken = f"all trials so far failed alike: {why['message']}; expected {failures.EXPECTED[why['kind']]}\n{why['details']}".rstrip()

    def conclude(self, report: EpochReport) -> None:
        """Record the end of a trial that Ray has stopped training, from its last report.

        It failed where the report carries a cause, is complete at its last epoch, and otherwise waits to be continued.
        """
        number = report.number
        if number not in self._running:
            return
        if self.exceeds(report):
            self.end(number, "pruned", Cause("budget", str(self.overspent())))
            return
        epoch = self.report(report)
        if report.ended is not None:
            self.end(number, "failed", report.ended)
        elif epoch is not None and (epoch >= self.max_epochs or report.last):
            self.end(number, "complete", report.stopped)
        else:
            self.release(number)

    def lose(self, number: int) -> None:
        """Record that the actor or the node under a trial is gone: it waits to be continued, a few times."""
        self.end(number, "failed", Cause("lost", f"its worker was lost {failures.CAUSES['lost'].retries + 1} times before it got on"))

    def release(self, number: int) -> None:
        """Let a trial wait to be continued."""
        if self._running.pop(number, None) is not None:
            self.study.release(number)

    def settle(self) -> None:
        """Where a budget is spent, end what had begun and waits, and then the search. What had not begun stays in the queue, for more to spend."""
        spent = self.overspent()
        if spent is None or self._running:
            return
        self.dismiss()
        for trial in self.study.trials("waiting"):
            if "seed" in trial.user_attrs:
                self.study.finish(trial.number, "pruned", Cause("budget", spent))
        self.study.set_facts({"search_ended": spent})

    def pause(self, number: int) -> None:
        """Let a trial wait while others go on first."""
        if number in self._running:
            self.study.set_trial_fact(number, "paused", {"epoch": last_epoch(self.study.trial(number))})
            self.release(number)

    def dismiss(self) -> None:
        """End the paused trials: none of them will go on."""
        for number in self.study.paused():
            self.study.finish(number, "pruned", _outdone(self.study.trial(number)))

    def release_all(self) -> None:
        """Let every trial that has not ended wait: an interrupt stopped the run without telling searcher and scheduler."""
        for number in self.running:
            self.release(number)
        self.study.set_facts({"search_seconds": self.seconds})


def _outdone(trial: FrozenTrial) -> Cause:
    return Cause("scheduler", f"paused at epoch {last_epoch(trial)}, and others were more promising to the end")


def epochs_s(study: Study) -> list[float]:
    """Return the seconds of each epoch that is recorded, over all trials."""
    facts = (trial.user_attrs.get(f"epoch_{epoch}", {}) for trial in study.trials() for epoch in history_of(trial))
    return [float(fact["seconds"]) for fact in facts if fact.get("seconds")]
