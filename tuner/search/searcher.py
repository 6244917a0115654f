"""What is tried next: the searcher that hands a sampler's configurations to Ray Tune.

Trials that were interrupted or put in the queue come first, then paused ones that the rule of early stopping wants to go on, then new configurations from the
sampler, none of them twice, until a budget is spent or a finite space is exhausted.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from optuna.trial import Trial
from ray.tune.search import Searcher

from search_spaces.space import SearchSpace
from tuner.search.accounts import Accounts
from tuner.search.configurations import key_of
from tuner.search.not_pickled import NotPickled
from tuner.search.prefetch import Drawn, Prefetcher, draw
from tuner.search.rules.rule import Rule
from tuner.search.samplers.named import SAMPLERS, SearchSection
from tuner.search.samplers.plain import SOURCE
from tuner.study import failures
from tuner.study.assignment import Assignment
from tuner.study.epoch_report import EpochReport
from tuner.study.record import last_epoch
from tuner.study.seeds import seed_of

REDRAWS = 100


class StudySearcher(NotPickled, Searcher):
    """Hands the study's waiting trials, and then new ones, to Ray Tune.

    A suggestion is an `Assignment`, as Ray carries it. Configurations of earlier sweeps that the study shows are not run again.

    Args:
        accounts: what is spent and running; shared with the scheduler. Its study has the sampler.
        space: what is searched.
        section: how configurations are chosen.
        rule: of early stopping; says which paused trial goes on, and when.
        seed: of the sweep; a trial's own seed derives from it and the trial's number.
        ahead: draws the configurations, some of them ahead; the caller closes it. None: each is drawn when it is asked for.
        grown: returns a larger space where the space has grown since it was last asked, and has given the study a sampler for it. None: it never grows.
    """

    def __init__(
        self,
        accounts: Accounts,
        space: SearchSpace,
        *,
        section: SearchSection,
        rule: Rule,
        seed: int,
        ahead: Prefetcher | None = None,
        grown: Callable[[], SearchSpace | None] | None = None,
    ) -> None:
        super().__init__()
        self.accounts = accounts
        self._ahead = ahead or Prefetcher(accounts.study, space, noticeable=math.inf)
        self._study = accounts.study
        self._space = space
        self._section = section
        self._rule = rule
        self._seed = seed
        self._grown = grown
        self._size = space.size()
        self._seen: set[tuple[tuple[str, str], ...]] = {key_of(trial.user_attrs["configuration"]) for trial in self._study.earlier}
        self._read = 0
        self._read_seen()

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:  # type: ignore[override]
        """Return what the trial of Ray with this id is to train; None for not now, FINISHED for never again."""
        with self._study.together():
            return self._suggest(trial_id)

    def _suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        if self.accounts.overspent():
            return Searcher.FINISHED
        number = self._study.waiting()
        if number is None and (paused := self._study.paused()):
            self._grow()
            number = self._rule.resumes(paused, may_begin=self._nothing_new() is None)
        if number is not None:
            configuration = self._configuration(self._study.resume(number))
        else:
            self._grow()
            if reason := self._nothing_new():
                return self._finish(reason)
            drawn = self._ahead.take(self._study.count(), wait=not self.accounts.running)
            if drawn is None:
                return None
            drawn = self._unlike_any(drawn)
            if drawn is None:
                return self._finish(f"all {self._size} configurations of the space have been run")
            number, configuration = self._record(drawn), drawn.configuration
        trial = self._study.trial(number)
        self._seen.add(key_of(configuration))
        self.accounts.begin(trial_id, number)
        facts, epoch = trial.user_attrs, last_epoch(trial)
        if "seed" not in facts:
            self._study.set_trial_fact(number, "configuration", configuration)
            self._study.set_trial_fact(number, "source", facts.get("source", "enqueued"))
            self._study.set_trial_fact(number, "seed", seed_of(self._seed, number))
        if self._nothing_new() is None:
            self._ahead.begin(self._study.count())
        retried = facts.get("retried", [])
        return Assignment(
            number,
            configuration,
            facts.get("seed", seed_of(self._seed, number)),
            epoch,
            failures.pause_s(sum(entry["epoch"] >= epoch for entry in retried)),
            self.accounts.deadline_s,
            any(entry["kind"] == "share" for entry in retried),
        ).to_json()

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Do nothing: the scheduler has recorded the epoch by now."""

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Record the end of a trial, where the scheduler has not done so."""
        number = self.accounts.number_of(trial_id)
        if number is None:
            return
        with self._study.together():
            if error:
                self.accounts.lose(number)
            else:
                self.accounts.conclude(EpochReport.from_json(result or {}, number=number))

    def save(self, checkpoint_path: str) -> None:
        """Write nothing: the study is the record, and Ray's snapshots are never read back."""

    def restore(self, checkpoint_path: str) -> None:
        """Read nothing; see `save`."""

    def _grow(self) -> None:
        larger = None if self._grown is None else self._grown()
        if larger is not None:
            self._space, self._size = larger, larger.size()
            self._ahead.search(larger)

    def _nothing_new(self) -> str | None:
        """Say why no new trial may begin; None if one may."""
        self._read_seen()
        limit = self.accounts.budget.trials
        if limit is not None and self._study.count() >= limit:
            return f"the budget of {limit} trials is spent"
        if self._section.patience is not None and self._in_vain() >= self._section.patience:
            return f"none of the last {self._section.patience} trials was better than the best before them"
        if self._size is not None and len(self._seen) >= self._size and sum(1 for _ in self._unseen()) == 0:
            return f"all {self._size} configurations of the space have been run"
        return None

    def _in_vain(self) -> int:
        """Return how many of the trials that began after the best one have ended."""
        trials, objective = self._study.trials(), self._study.objective
        costs = {trial.number: min(map(objective.cost, trial.intermediate_values.values())) for trial in trials if trial.intermediate_values}
        best = min(costs, key=lambda number: (costs[number], number), default=-1)
        return sum(trial.number > best and trial.state.is_finished() for trial in trials)

    def _finish(self, reason: str) -> str | None:
        # A trial that runs may yet be lost and wait again: as long as one does, the answer is "not now".
        if self.accounts.running:
            return None
        self.accounts.dismiss()
        self._study.set_facts({"search_ended": reason})
        return Searcher.FINISHED

    def _read_seen(self) -> None:
        for number in range(self._read, self._study.count()):
            trial = self._study.trial(number)
            self._seen.add(key_of(trial.user_attrs.get("configuration", trial.params)))
        self._read = self._study.count()

    def _unseen(self) -> Any:
        return (configuration for configuration in self._space.grid() if key_of(configuration) not in self._seen)

    def _configuration(self, trial: Trial) -> dict[str, Any]:
        """Return the configuration of a trial that waited; one outside the space is in its facts only."""
        frozen = self._study.trial(trial.number)
        stated = frozen.user_attrs.get("configuration")
        if stated is not None and (frozen.params or not frozen.system_attrs.get("fixed_params")):
            return dict(stated)
        suggested = self._space.suggest(trial)
        return dict(stated) if stated is not None else suggested

    def _unlike_any(self, drawn: Drawn) -> Drawn | None:
        """Return what was drawn, or something else in its place if that has been run; None where the space has no more."""
        number = drawn.draft.frozen.number
        for _ in range(REDRAWS):
            if key_of(drawn.configuration) not in self._seen:
                return drawn
            drawn = draw(self._study.view(), self._space, number)
        if self._size is None:
            return drawn
        rest = list(self._unseen())
        if not rest:
            return None
        configuration = rest[int(np.random.default_rng([self._seed, number]).integers(len(rest)))]
        frozen = drawn.draft.frozen
        frozen.system_attrs.pop(SOURCE, None)
        frozen.params = self._space.parameters_of(configuration)
        frozen.distributions = {name: self._space.parameters[name].distribution for name in frozen.params}
        return Drawn(drawn.draft, configuration)

    def _source(self) -> str:
        """Say whether the configurations of a sampler that notes nothing come from a model yet."""
        startup = SAMPLERS[self._section.sampler].startup
        return "random" if startup is None or len(self._study.trials("complete", "pruned")) < (self._section.warm_up or startup) else "model"

    def _record(self, drawn: Drawn) -> int:
        """Record a new trial, and return its number."""
        frozen = drawn.draft.frozen
        source = frozen.system_attrs.pop(SOURCE, None) or self._source()
        frozen.user_attrs = {"configuration": drawn.configuration, "seed": seed_of(self._seed, frozen.number), "source": source}
        self._study.optuna.add_trial(frozen)
        return frozen.number
