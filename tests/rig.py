"""Searcher and scheduler over one study, driven by hand as Ray's controller does it."""

import math
import time
from typing import Any

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from ray.tune.utils import flatten_dict

from search_spaces.space import Condition, Parameter, SearchSpace
from tuner.search.accounts import Accounts
from tuner.search.prefetch import Prefetcher
from tuner.search.rules.named import SchedulerSection, build_rule
from tuner.search.samplers.named import SearchSection, build_sampler
from tuner.search.scheduler import StudyScheduler
from tuner.search.searcher import StudySearcher
from tuner.study.epoch_report import EpochReport
from tuner.study.objective import Objective
from tuner.study.record import STATES, Study

SPACE = SearchSpace(
    "made up",
    {
        "kind": Parameter(CategoricalDistribution(["plain", "curved"])),
        "bend": Parameter(FloatDistribution(0.0, 1.0), (Condition("kind", ("curved",)),)),
        "rate": Parameter(FloatDistribution(1e-4, 1.0, log=True)),
        "size": Parameter(IntDistribution(1, 64, log=True)),
        "second": Parameter(IntDistribution(2, 10, step=4), (Condition("size", at_least=8),)),
        "fixed": Parameter(CategoricalDistribution([5])),
    },
    "nowhere:build",
)
SMALL = SearchSpace("small", {"a": Parameter(IntDistribution(1, 3)), "b": Parameter(CategoricalDistribution(["left", "right"]))}, "nowhere:build")
ACCURACY = Objective.of("val_accuracy")
EPOCHS = 9


class RayTrial:
    """What a scheduler sees of Ray's trial."""

    def __init__(self, trial_id: str) -> None:
        self.trial_id = trial_id


class Rig:
    def __init__(
        self,
        study: Study | None = None,
        *,
        space: SearchSpace = SPACE,
        sampler: str = "random",
        scheduler: str = "asha",
        type: str = "stopping",
        seed: int = 0,
        clock: Any = time.monotonic,
        ahead: dict[str, Any] | None = None,
        **budget: Any,
    ) -> None:
        self.section = SearchSection(sampler=sampler, **(budget or {"trials": 1000}))
        self.study = study or Study(optuna.create_study(direction="maximize"), ACCURACY)
        self.study.optuna.sampler = build_sampler(self.section, space, study=self.study, max_epochs=EPOCHS, seed=seed)
        self.accounts = Accounts(self.study, max_epochs=EPOCHS, budget=self.section.budget, clock=clock)
        self.ahead = None if ahead is None else Prefetcher(self.study, space, **ahead)
        stopping = SchedulerSection(name=scheduler, type=type, audit=0.0)  # type: ignore[arg-type]
        rule = build_rule(stopping, self.study, space, max_epochs=EPOCHS, seed=seed)
        self.searcher = StudySearcher(self.accounts, space, section=self.section, rule=rule, seed=seed, ahead=self.ahead)
        self.scheduler = StudyScheduler(self.accounts, rule, section=stopping, seed=seed)
        self._count = 0

    def suggest(self) -> Any:
        self._count += 1
        suggestion = self.searcher.suggest(f"ray-{self._count}")
        return (f"ray-{self._count}", suggestion) if isinstance(suggestion, dict) else suggestion

    def report(self, ray_id: str, epoch: int, value: float, **more: Any) -> str:
        """Deliver a result that is not done, and the completion where the scheduler stops the trial."""
        result = flatten_dict({**self.told(ray_id, epoch, {"val_accuracy": value}, **more), "training_iteration": 1})
        decision = self.scheduler.on_trial_result(None, RayTrial(ray_id), result)
        if decision == "STOP":
            self.end(ray_id, result)
        else:
            self.searcher.on_trial_result(ray_id, result)
        return decision

    def told(self, ray_id: str, epoch: int | None = None, metrics: Any = None, **more: Any) -> dict[str, Any]:
        """Return a result as a trial gives it to Ray."""
        number = self.accounts.number_of(ray_id)
        assert number is not None
        return EpochReport(number, epoch, metrics or {}, **more).to_json()

    def done(self, ray_id: str, epoch: int | None = None, value: float | None = None, **more: Any) -> None:
        """Deliver a last result, which reaches nobody but as the trial's completion."""
        self.end(ray_id, flatten_dict({**self.told(ray_id, epoch, None if value is None else {"val_accuracy": value}, **more), "done": True}))

    def end(self, ray_id: str, result: dict[str, Any]) -> None:
        self.scheduler.on_trial_complete(None, RayTrial(ray_id), result)
        self.searcher.on_trial_complete(ray_id, result)

    def run(self, ray_id: str, value: float = 0.5, first: int = 1) -> None:
        for epoch in range(first, EPOCHS):
            if self.report(ray_id, epoch, value) == "STOP":
                return
        self.done(ray_id, EPOCHS, value)

    def states(self) -> list[str]:
        return [STATES[trial.state] for trial in self.study.trials()]


def value_of(configuration: dict[str, Any]) -> float:
    return 1.0 - abs(math.log10(configuration["rate"]) + 2.0) / 4.0
