"""The durable record of a sweep: one Optuna study, written before anything acts on it.

Here stands how a trial's life is written down: which facts it carries, and which states it passes through. Parameters, values per epoch, states, seeds,
seconds, checkpoints and causes of failure live in it and nowhere else; the leaderboard is computed from it. Where it lies is backends.py's.

The states, and their names everywhere in Tuner:

    running      an epoch of it is being trained, or about to be
    waiting      created, interrupted or paused, to be started or continued (Optuna's WAITING); a paused one has the fact `paused`
    complete     ran to its last epoch
    pruned       ended early by the scheduler or by a budget; `cause` says which
    failed       diverged, crashed, ran out of memory, ...; `cause` says why
"""

import json
import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any, Final, cast

import optuna
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from tuner.study.failures import Cause
from tuner.study.journal import SweepJournal
from tuner.study.objective import Objective
from tuner.study.sweep_facts import SweepFacts
from tuner.study.view import StudyView

# The facts of an epoch are a trial's fact of this name and the epoch's number.
EPOCH = "epoch_"
# The fact that holds the space of a builder which asks for its hyperparameters itself.
FOUND: Final = "found_space"

optuna.logging.set_verbosity(optuna.logging.WARNING)  # each trial's end would be a line on the console

STATES = {
    TrialState.RUNNING: "running",
    TrialState.WAITING: "waiting",
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}


class Study:
    """The record of one sweep.

    What a method changes has been written to the storage when it returns; within `together`, when that ends.

    Attributes:
        optuna: Optuna's study.
        objective: what is optimised.
        earlier: trials of other sweeps, which samplers and rules see before the study's own; their numbers are below 0.
    """

    def __init__(self, study: optuna.Study, objective: Objective) -> None:
        self.optuna = study
        self.objective = objective
        self.earlier: Sequence[FrozenTrial] = ()
        self._storage: BaseStorage = study._storage
        self._id = study._study_id
        self._looked: int | None = None  # trials that `waiting` has looked at
        self._may_wait: set[int] = set()

    def together(self) -> AbstractContextManager[None]:
        """Write what is recorded within a context at its end: a journal then waits for the disk once. Nothing may follow from the records before that."""
        backend = getattr(self._storage, "_backend", None)
        return backend.together() if isinstance(backend, SweepJournal) else nullcontext()

    # ---- the whole sweep

    @property
    def facts(self) -> SweepFacts:
        """The facts of the sweep as a whole: spec, data, versions, test-set openings, final evaluation."""
        return cast(SweepFacts, self.optuna.user_attrs)

    def set_facts(self, facts: SweepFacts) -> None:
        """Record facts of the sweep, in their order; each takes the place of what it was before.

        Args:
            facts: JSON.
        """
        for name, value in facts.items():
            self.set_fact(name, value)

    def set_fact(self, name: str, value: Any) -> None:
        """Record a fact of the sweep; whoever knows which one takes `set_facts`, where its type is checked.

        Args:
            name: of the fact.
            value: JSON.
        """
        self.optuna.set_user_attr(name, _json(value))

    def trials(self, *states: str) -> list[FrozenTrial]:
        """Return the trials in order of their numbers, all or those in the named states (see the module). They are not copies: do not change them."""
        optuna_states = {name: state for state, name in STATES.items()}
        # A list, not a tuple: for `(WAITING,)` Optuna 5.0's storage in memory skips trials that waited, ran and wait again.
        wanted: Any = [optuna_states[name] for name in states] or None
        return self._storage.get_all_trials(self._id, deepcopy=False, states=wanted)

    def view(self, *, snapshot: bool = False) -> StudyView:
        """Return the study as samplers see it; a snapshot may be looked at from another thread."""
        return StudyView(self.optuna, self.earlier, snapshot=snapshot)

    def count(self) -> int:
        """Return the number of trials; unlike counting `trials()`, as fast with many."""
        if self._looked is None:
            self._looked, self._may_wait = len(self.trials()), {trial.number for trial in self.trials("waiting")}
        with suppress(KeyError):
            while True:
                self._trial_id(self._looked)
                self._may_wait.add(self._looked)
                self._looked += 1
        return self._looked

    def waiting(self) -> int | None:
        """Return the number of the first trial that waits to be started or continued, paused ones aside; unlike `trials("waiting")`, as fast with many."""
        self.count()
        for number in sorted(self._may_wait):
            trial = self.trial(number)
            if trial.state != TrialState.WAITING:
                self._may_wait.discard(number)
            elif not is_paused(trial):
                return number
        return None

    def paused(self) -> list[int]:
        """Return the numbers of the trials that wait because others were to go on first."""
        self.count()
        return [number for number in sorted(self._may_wait) if is_paused(self.trial(number))]

    # ---- one trial

    def trial(self, number: int) -> FrozenTrial:
        """Return one trial by its number."""
        return self._storage.get_trial(self._trial_id(number))

    def ask(self) -> optuna.Trial:
        """Return the next trial: one that waits to be started or continued, else a new one from the sampler. It is then running."""
        return self.optuna.ask()

    def resume(self, number: int) -> optuna.Trial:
        """Let a waiting trial run, and return it so that it can be asked for parameters that it lacks."""
        trial_id = self._trial_id(number)
        if is_paused(self._storage.get_trial(trial_id)):
            self.set_trial_fact(number, "paused", None)
        self._storage.set_trial_state_values(trial_id, state=TrialState.RUNNING)
        return optuna.Trial(self.optuna, trial_id)

    def enqueue(self, parameters: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
        """Let a configuration wait to be the next new trial.

        Args:
            parameters: values for the space's own suggestions; empty where the configuration lies outside the space.
            facts: the trial's facts from the start, such as `{"configuration": {...}, "baseline": "dense-512"}`.
        """
        self.optuna.enqueue_trial(dict(parameters), user_attrs={name: _json(value) for name, value in facts.items()})

    def set_trial_fact(self, number: int, name: str, value: Any) -> None:
        """Record a fact of one trial: `configuration`, `seed`, `baseline`, `parameters`, `seconds`, `checkpoint`, `cause`, ...

        Args:
            number: of the trial.
            name: of the fact.
            value: JSON.
        """
        self._storage.set_trial_user_attr(self._trial_id(number), name, _json(value))

    def report(self, number: int, epoch: int, metrics: Mapping[str, float], *, seconds: float | None = None) -> None:
        """Record an epoch's metrics, the objective's among them. Reporting an epoch again changes nothing.

        A value that is not a finite number is missing there: Optuna's samplers and pruners never meet it.

        Args:
            number: the trial.
            epoch: from 1.
            metrics: name -> value.
            seconds: how long the epoch took.
        """
        trial_id = self._trial_id(number)
        if epoch in history_of(self._storage.get_trial(trial_id)):
            return
        value = metrics[self.objective.metric]
        timed = {} if seconds is None else {"seconds": seconds}
        with self.together():
            self._storage.set_trial_user_attr(trial_id, f"{EPOCH}{epoch}", {name: _number(value) for name, value in {**metrics, **timed}.items()})
            if math.isfinite(value):
                self._storage.set_trial_intermediate_value(trial_id, epoch, float(value))

    def finish(self, number: int, state: str, cause: Cause | None = None) -> None:
        """End a trial.

        Complete and pruned trials end with their best value so far; one without any value is failed. A trial that already
        ended is left alone, so that finishing is safe to repeat.

        Args:
            number: of the trial.
            state: `complete`, `pruned` or `failed`.
            cause: why it ended before its last epoch.
        """
        trial_id = self._trial_id(number)
        trial = self._storage.get_trial(trial_id)
        if trial.state.is_finished():
            return
        history = trial.intermediate_values
        if state != "failed" and not history:
            state, cause = "failed", self._without_value(trial, cause)
        if cause is not None:
            self._storage.set_trial_user_attr(trial_id, "cause", {"kind": cause.kind, "message": cause.message, "details": cause.details})
        values = None if state == "failed" else [history[self.objective.best_epoch(history)]]
        target = {name: optuna_state for optuna_state, name in STATES.items()}[state]
        self._storage.set_trial_state_values(trial_id, state=target, values=values)

    def _without_value(self, trial: FrozenTrial, cause: Cause | None) -> Cause:
        epochs = len(history_of(trial))
        if cause is not None or not epochs:
            return cause or Cause("error", "ended without a single epoch")
        return Cause("undefined", f"{self.objective.metric} was no number in any of its {epochs} epochs")

    def release(self, number: int) -> None:
        """Let a running trial wait, to be continued by whoever asks next: an interrupted sweep, a lost worker, a driver that was killed."""
        trial_id = self._trial_id(number)
        if self._storage.get_trial(trial_id).state == TrialState.RUNNING:
            self._storage.set_trial_state_values(trial_id, state=TrialState.WAITING)
            self._may_wait.add(number)

    def take_over(self) -> None:
        """Let the trials that a killed driver left running wait to be continued."""
        for trial in self.trials("running"):
            self.release(trial.number)

    def _trial_id(self, number: int) -> int:
        return self._storage.get_trial_id_from_study_id_trial_number(self._id, number)


def history_of(trial: FrozenTrial) -> dict[int, float]:
    """Return a trial's values of the objective by epoch, every recorded epoch in order; NaN where an epoch has none."""
    reported = {int(name[len(EPOCH) :]) for name in trial.user_attrs if name.startswith(EPOCH) and name[len(EPOCH) :].isdecimal()}
    return {epoch: trial.intermediate_values.get(epoch, math.nan) for epoch in sorted(reported | trial.intermediate_values.keys())}


def is_paused(trial: FrozenTrial) -> bool:
    """Say whether a trial waits because the rule of early stopping lets others go on first."""
    return trial.state == TrialState.WAITING and trial.user_attrs.get("paused") is not None


def last_epoch(trial: FrozenTrial) -> int:
    """Return the last epoch of a trial that is recorded; 0 before the first."""
    return max(history_of(trial), default=0)


def _json(value: Any) -> Any:
    """Return the value as JSON gives it back, so that a fact reads the same before and after a restart."""
    return json.loads(json.dumps(value, allow_nan=False))


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
