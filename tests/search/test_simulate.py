"""The virtual clock: order of events, budgets, and the same decisions as a real run of Ray Tune."""

import math
from collections.abc import Mapping
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution

from search_spaces.space import Condition, Parameter, SearchSpace
from tuner.search.accounts import Accounts
from tuner.search.rules.named import SchedulerSection, build_rule
from tuner.search.samplers.named import SearchSection, build_sampler
from tuner.search.scheduler import StudyScheduler
from tuner.search.searcher import StudySearcher
from tuner.search.simulate import Curve, Problem, VirtualClock, search, simulate
from tuner.study.assignment import Assignment
from tuner.study.epoch_report import EpochReport
from tuner.study.failures import Cause
from tuner.study.objective import Objective
from tuner.study.record import Study

SPACE = SearchSpace(
    "made up",
    {
        "kind": Parameter(CategoricalDistribution(["flat", "steep"])),
        "x": Parameter(FloatDistribution(0.0, 1.0)),
        "pace": Parameter(FloatDistribution(1.0, 6.0), (Condition("kind", ("steep",)),)),
    },
    "nowhere:build",
)
LOSS = Objective.of("val_loss")
EPOCHS = 9


def curves(configuration: Mapping[str, Any], seed: int) -> Curve:
    """Losses that fall from 1; a configuration in a corner fails after two epochs."""
    x, pace = configuration["x"], configuration.get("pace", 3.0)
    end = 0.2 + (x - 0.3) ** 2
    values = [end + (1 - end) * math.exp(-epoch / pace) for epoch in range(1, EPOCHS + 1)]
    if x > 0.8:
        return Curve(values[:2], [1.0 + x] * 3, ended={"kind": "memory", "message": "too large", "details": ""})
    return Curve(values, [1.0 + x] * EPOCHS, facts={"parameters": int(1000 * x)})


def run(sampler: str = "random", scheduler: str = "asha", workers: int = 3, seed: int = 0, **budget: Any) -> tuple[Study, list[Any]]:
    section = SearchSection(sampler=sampler, **(budget or {"trials": 20}))
    return search(Problem(SPACE, LOSS, curves, EPOCHS), search=section, scheduler=SchedulerSection(name=scheduler), workers=workers, seed=seed)


def told(study: Study) -> list[tuple[Any, ...]]:
    return [(t.state.name, t.user_attrs["configuration"], t.user_attrs["seed"], t.intermediate_values, t.user_attrs.get("cause")) for t in study.trials()]


def test_events_come_in_the_order_of_time_and_never_more_trials_than_workers_run() -> None:
    study, events = run(workers=3)
    assert [event.seconds for event in events] == sorted(event.seconds for event in events)
    last = {event.number: index for index, event in enumerate(events)}
    first = {event.number: index for index, event in reversed(list(enumerate(events)))}
    for index in range(len(events)):
        assert sum(first[number] <= index <= last[number] for number in first) <= 3
    assert study.facts["search_seconds"] == events[-1].seconds


def test_failures_and_facts_arrive_in_the_study() -> None:
    study, _ = run(scheduler="fifo", trials=40)
    failed = study.trials("failed")
    assert failed
    assert all(trial.user_attrs["cause"]["kind"] == "memory" and len(trial.intermediate_values) == 2 for trial in failed)
    assert all(trial.user_attrs["parameters"] == int(1000 * trial.params["x"]) for trial in study.trials("complete", "pruned"))
    assert not study.trials("running", "waiting")


def test_a_search_is_the_same_again_for_the_same_seed_and_another_for_another() -> None:
    assert told(run("forecast", "forecast", seed=3)[0]) == told(run("forecast", "forecast", seed=3)[0])
    assert told(run(seed=3)[0]) != told(run(seed=4)[0])


def test_virtual_seconds_end_a_search() -> None:
    study, events = run(seconds=30.0)
    assert events[-1].seconds <= 30.0 + 2.0
    assert {trial.user_attrs["cause"]["kind"] for trial in study.trials("pruned")} == {"scheduler", "budget"}


def test_more_workers_take_less_virtual_time() -> None:
    assert run(scheduler="fifo", workers=8)[1][-1].seconds < 0.5 * run(scheduler="fifo", workers=2)[1][-1].seconds


@pytest.mark.parametrize("stopping", [SchedulerSection(), SchedulerSection(name="asha", type="promotion")], ids=["forecast", "promotion"])
def test_simulator_and_ray_take_identical_decisions_for_the_same_order_of_events(stopping: SchedulerSection, ray_address: str, tmp_path: Any) -> None:
    """With one worker the order of events is the order of epochs: Ray and the simulator must then write the same study."""
    import ray
    from ray import tune

    def parts(clock: Any) -> tuple[StudySearcher, StudyScheduler]:
        section = SearchSection(sampler="forecast", trials=14)
        study = Study(optuna.create_study(direction="minimize"), LOSS)
        study.optuna.sampler = build_sampler(section, SPACE, study=study, max_epochs=EPOCHS, seed=5)
        accounts = Accounts(study, max_epochs=EPOCHS, budget=section.budget, clock=clock)
        rule = build_rule(stopping, study, SPACE, max_epochs=EPOCHS, seed=5)
        return StudySearcher(accounts, SPACE, section=section, rule=rule, seed=5), StudyScheduler(accounts, rule, section=stopping, seed=5)

    clock = VirtualClock()
    simulated = parts(clock)
    simulate(*simulated, curves, workers=1, clock=clock)

    class Player(tune.Trainable):
        def setup(self, config: dict[str, Any]) -> None:
            self.reset_config(config)

        def reset_config(self, new_config: dict[str, Any]) -> bool:
            assignment = Assignment.from_json(new_config)
            self.number, self.epoch, self.curve = assignment.number, assignment.epoch, curves(assignment.configuration, assignment.seed)
            return True

        def step(self) -> dict[str, Any]:
            if self.epoch >= len(self.curve.values):
                return {**EpochReport(self.number, ended=Cause(**self.curve.ended)).to_json(), "done": True}
            self.epoch += 1
            report = EpochReport(self.number, self.epoch, {"val_loss": self.curve.values[self.epoch - 1]}, facts=self.curve.facts)
            return {**report.to_json(), "done": self.epoch >= EPOCHS}

    ray.init(address=ray_address, configure_logging=False, log_to_driver=False)
    try:
        driven = parts(lambda: 0.0)
        tune.Tuner(
            Player,
            tune_config=tune.TuneConfig(search_alg=driven[0], scheduler=driven[1], num_samples=-1, max_concurrent_trials=1, reuse_actors=True),
            run_config=tune.RunConfig(storage_path=str(tmp_path), verbose=0, checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False)),
        ).fit()
    finally:
        ray.shutdown()
    assert told(driven[0].accounts.study) == told(simulated[0].accounts.study)
    assert len({state for state, *_ in told(driven[0].accounts.study)}) >= 2
