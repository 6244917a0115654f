"""Finished sweeps, run again on paper under their own rules and under others."""

import json
from pathlib import Path

import optuna
import pytest

from tests.search.test_simulate import EPOCHS, LOSS, SPACE, run
from tuner.errors import SweepError
from tuner.search.replay import replay
from tuner.search.rules.named import SchedulerSection
from tuner.search.samplers.named import SearchSection
from tuner.study.record import Study


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
