"""The accounts of a search: every report, every end and every budget of its trials, kept in the study by one object.

The searcher and the scheduler both act through it, so that Ray may call them in any order, twice, or not at all: each entry is written before
the decision that follows from it is handed to Ray, and making an entry again changes nothing. Owns which trial of Ray is which trial of the
study, what a result says, and whether the budget allows another epoch. Must not know how configurations are chosen or which trials are stopped.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from tuner.study import failures
from tuner.study.record import Cause, Study

# What our trainable says in a result besides the metrics.
OWN_KEYS = frozenset({"number", "epoch", "ended", "last"})


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
        self.epochs = sum(len(trial.intermediate_values) for trial in study.trials())
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

    def exceeds(self, number: int, result: Mapping[str, Any]) -> bool:
        """Say whether a result tells of a new epoch that the budget of epochs has no room for: it was under way when the last one was spent."""
        if self.budget.epochs is None or self.epochs < self.budget.epochs or cause_of(result) is not None:
            return False
        return result.get("epoch") not in self.history(number)

    @property
    def deadline_s(self) -> float | None:
        """Seconds after which an epoch is taken as hung; None while it is too early to say."""
        if len(self._epochs_s) > 1.1 * self._deadline[0]:  # the median of many takes long, and moves slowly
            self._deadline = len(self._epochs_s), failures.deadline_s(self._epochs_s)
        return self._deadline[1]

    def begin(self, ray_id: str, number: int) -> None:
        """Note that a trial of Ray trains this trial of the study from now on."""
        self._numbers[ray_id] = number
        self._running[number] = 0

    def number_of(self, ray_id: str) -> int | None:
        """Return the study's number of a trial of Ray; None if it is not one of ours."""
        return self._numbers.get(ray_id)

    def is_running(self, number: int) -> bool:
        """Say whether the trial was begun in this run and has not ended."""
        return number in self._running

    def report(self, number: int, result: Mapping[str, Any]) -> int | None:
        """Record the epoch that a result tells of; return it, or None where the result holds no epoch or the trial has ended.

        Args:
            number: the trial.
            result: flat; `epoch`, the metrics, and `facts/<name>` for facts of the trial.
        """
        if number not in self._running:
            return None
        for key, value in result.items():
            if key.startswith("facts/") and value is not None:
                self.study.set_trial_fact(number, key.removeprefix("facts/"), value)
        epoch = result.get("epoch")
        if not epoch or self.study.objective.metric not in result:
            return None
        if epoch > self._running[number]:
            if epoch not in self.history(number):
                self.study.report(number, epoch, metrics_of(result))
                self.epochs += 1
                self._epochs_s += [float(result["seconds"])] if result.get("seconds") else []
            self._running[number] = epoch
        return epoch

    def history(self, number: int) -> Mapping[int, float]:
        """Return the trial's recorded values by epoch."""
        return self.study.trial(number).intermediate_values

    def end(self, number: int, state: str, cause: Cause | None = None) -> None:
        """Record that a trial ended as `complete`, `pruned` or `failed`; nothing happens where it had ended before.

        A failure that is tried again is noted, and the trial waits to be continued.
        """
        if number not in self._running:
            return
        trial = self.study.trial(number)
        retried, epoch = trial.user_attrs.get("retried", []), max(trial.intermediate_values, default=0)
        if state == "failed" and cause is not None and failures.is_retried(cause.kind, failures.counted(retried, epoch)):
            self.study.set_trial_fact(number, "retried", [*retried, {"kind": cause.kind, "message": cause.message, "epoch": epoch}])
            self.release(number)
            return
        del self._running[number]
        self.study.finish(number, state, cause)
        self.study.set_fact("search_seconds", self.seconds)
        if state == "failed" and (first := failures.broken(self.study.trials())) is not None:
            said = first.user_attrs["cause"]
            self.broken = f"all trials so far failed alike: {said['message']}; expected a builder that works\n{said['details']}".rstrip()

    def conclude(self, number: int, result: Mapping[str, Any]) -> None:
        """Record the end of a trial that Ray has stopped training, from its last result.

        It failed where the result carries a cause, is complete at its last epoch, and otherwise waits to be continued.
        """
        if number not in self._running:
            return
        if self.exceeds(number, result):
            self.end(number, "pruned", Cause("budget", str(self.overspent())))
            return
        epoch = self.report(number, result)
        ended = cause_of(result)
        if ended is not None:
            self.end(number, "failed", ended)
        elif epoch is not None and (epoch >= self.max_epochs or result.get("last")):
            self.end(number, "complete")
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
        for trial in self.study.trials("waiting"):
            if "seed" in trial.user_attrs:
                self.study.finish(trial.number, "pruned", Cause("budget", spent))
        self.study.set_fact("search_ended", spent)

    def release_all(self) -> None:
        """Let every trial that has not ended wait: an interrupt stopped the run without telling searcher and scheduler."""
        for number in self.running:
            self.release(number)
        self.study.set_fact("search_seconds", self.seconds)


def epochs_s(study: Study) -> list[float]:
    """Return the seconds of each epoch that is recorded, over all trials."""
    facts = (trial.user_attrs.get(f"epoch_{epoch}", {}) for trial in study.trials() for epoch in trial.intermediate_values)
    return [float(fact["seconds"]) for fact in facts if fact.get("seconds")]


@cache
def _not_metrics() -> frozenset[str]:
    """Return the keys of a result that are no metrics: ours, and those that Ray Tune adds to each."""
    from ray.tune.result import AUTO_RESULT_KEYS, DEBUG_METRICS, SHOULD_CHECKPOINT  # loads all of Ray Tune, which a spec that is only read does without

    return OWN_KEYS.union(DEBUG_METRICS, AUTO_RESULT_KEYS, (SHOULD_CHECKPOINT, "checkpoint_dir_name"))


def metrics_of(result: Mapping[str, Any]) -> dict[str, float]:
    """Return the metrics in a result of Ray's: the numbers that are neither Ray's own keys nor ours."""
    return {
        name: float(value)
        for name, value in result.items()
        if name not in _not_metrics() and "/" not in name and isinstance(value, int | float) and not isinstance(value, bool)
    }


def cause_of(result: Mapping[str, Any]) -> Cause | None:
    """Return the cause that a result carries, as a nested dict or flattened by Ray to `ended/kind`, ..."""
    ended = result.get("ended") or {key.removeprefix("ended/"): value for key, value in result.items() if key.startswith("ended/")}
    if not ended:
        return None
    return Cause(str(ended.get("kind", "error")), str(ended.get("message", "")), str(ended.get("details") or ""))
