"""The virtual clock: order of events, budgets, replays, and the same decisions as a real run of Ray Tune."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution

from search_spaces.space import Condition, Parameter, SearchSpace
from tuner.errors import SweepError
from tuner.search.accounts import Accounts
from tuner.search.rules import SchedulerSection
from tuner.search.samplers.named import SearchSection, build_sampler
from tuner.search.scheduler import StudyScheduler
from tuner.search.searcher import StudySearcher
from tuner.search.simulate import Curve, VirtualClock, replay, search, simulate
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
    return search(SPACE, LOSS, curves, search=section, scheduler=SchedulerSection(name=scheduler), max_epochs=EPOCHS, workers=workers, seed=seed)


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


@pytest.mark.parametrize(("sampler", "scheduler"), [("random", "asha"), ("forecast", "forecast")])
def test_a_finished_sweep_replayed_under_its_own_rules_with_its_own_configurations_comes_out_the_same(sampler: str, scheduler: str) -> None:
    study, events = run(sampler, scheduler, workers=1)
    again = replay(study, SPACE, search=None, scheduler=SchedulerSection(name=scheduler), max_epochs=EPOCHS, workers=1, seed=0)
    best = min((event for event in events), key=lambda event: event.value)
    assert (again.chosen, again.value, again.trials, again.epochs, again.guessed) == (best.number, best.value, 20, len(events), 0)


def test_a_replay_without_early_stopping_says_what_that_would_have_cost_and_how_much_is_a_guess() -> None:
    study, events = run()
    again = replay(study, SPACE, search=None, scheduler=SchedulerSection(name="fifo"), max_epochs=EPOCHS, workers=3, seed=0)
    failed = len(study.trials("failed"))
    assert again.epochs == EPOCHS * (20 - failed) + 2 * failed
    assert again.guessed == again.epochs - len(events)
    assert again.seconds > events[-1].seconds


def test_a_replay_under_another_searcher_takes_the_nearest_configurations() -> None:
    study, _ = run("random", "fifo", trials=60)
    again = replay(study, SPACE, search=SearchSection(sampler="forecast", trials=20), scheduler=SchedulerSection(), max_epochs=EPOCHS, workers=2, seed=0)
    assert again.trials == 20
    assert again.chosen in range(60)
    assert again.guessed == 0


def test_nothing_to_replay_is_an_error_in_one_line() -> None:
    with pytest.raises(SweepError, match="no trial with an epoch"):
        replay(Study(optuna.create_study(), LOSS), SPACE, search=None, scheduler=SchedulerSection(), max_epochs=EPOCHS, workers=1, seed=0)


def test_simulator_and_ray_take_identical_decisions_for_the_same_order_of_events(ray_address: str, tmp_path: Any) -> None:
    """With one worker the order of events is the order of epochs: Ray and the simulator must then write the same study."""
    import ray
    from ray import tune

    def parts(clock: Any) -> tuple[StudySearcher, StudyScheduler]:
        section = SearchSection(sampler="forecast", trials=14)
        study = Study(optuna.create_study(direction="minimize"), LOSS)
        study.optuna.sampler = build_sampler(section, SPACE, objective=LOSS, max_epochs=EPOCHS, seed=5)
        accounts = Accounts(study, max_epochs=EPOCHS, budget=section.budget, clock=clock)
        return StudySearcher(accounts, SPACE, section=section, seed=5), StudyScheduler(accounts, SPACE, section=SchedulerSection(), seed=5)

    clock = VirtualClock()
    simulated = parts(clock)
    simulate(*simulated, curves, workers=1, clock=clock)

    class Player(tune.Trainable):
        def setup(self, config: dict[str, Any]) -> None:
            self.reset_config(config)

        def reset_config(self, new_config: dict[str, Any]) -> bool:
            self.epoch, self.curve = new_config["epoch"], curves(new_config["configuration"], new_config["seed"])
            self.number = new_config["number"]
            return True

        def step(self) -> dict[str, Any]:
            if self.epoch >= len(self.curve.values):
                return {"number": self.number, "done": True, "ended": self.curve.ended}
            self.epoch += 1
            facts = {"facts": dict(self.curve.facts)}
            return {"number": self.number, "epoch": self.epoch, "val_loss": self.curve.values[self.epoch - 1], "done": self.epoch >= EPOCHS, **facts}

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


def test_finished_sweep_is_replayed_from_the_command_line(tmp_path: Path, blobs: Path, ray_address: str) -> None:
    from click.testing import CliRunner

    from tests.sweep.test_journey import sweep
    from tuner.cli.main import cli

    folder = tmp_path / "sweep"
    every = {"scheduler": {"name": "fifo", "grace_period": 1}, "evaluation": {"enabled": False}}
    board = sweep(folder, ray_address, dataset={"source": "npz", "path": str(blobs)}, **every)
    same = json.loads(CliRunner().invoke(cli, ["simulate", str(folder), "--json"], catch_exceptions=False).output)
    assert same["chosen"] == board.best.number
    assert same["value"] == board.best.score
    assert (same["trials"], same["epochs"], same["guessed"]) == (3, 9, 0)
    other = CliRunner().invoke(cli, ["simulate", str(folder), "--scheduler", "asha", "--workers", "2"], catch_exceptions=False)
    assert "would have chosen trial" in other.output
