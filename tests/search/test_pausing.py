"""Trials that pause: another takes their worker, and they go on from where they were, or end when the search does."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.rig import EPOCHS, SPACE, Rig
from tuner.search.rules.named import SchedulerSection
from tuner.search.samplers.named import SearchSection
from tuner.search.simulate import Curve, Problem, search
from tuner.study.backends import open_study
from tuner.study.objective import Objective
from tuner.study.record import history_of, is_paused

ACCURACY = Objective.of("val_accuracy")
PROMOTION = SchedulerSection(name="asha", type="promotion", audit=0.0)


def curve(configuration: Any, seed: int) -> Curve:
    end = 1.0 - abs(configuration["rate"] - 0.3)
    return Curve([end * (1 - 0.5**epoch) for epoch in range(1, EPOCHS + 1)], [1.0] * EPOCHS)


def three(rig: Rig) -> None:
    """Run three trials at a time to the first rung; the second is the best."""
    ids = [rig.suggest()[0] for _ in range(3)]
    for ray_id, value in zip(ids, (0.5, 0.9, 0.4), strict=True):
        assert rig.report(ray_id, 1, value) == "CONTINUE"
        assert rig.report(ray_id, 2, value) == "STOP"  # for Ray it is over


def test_paused_trial_keeps_its_place_and_goes_on_from_its_epoch_once_it_is_among_the_best() -> None:
    rig = Rig(scheduler="asha", type="promotion", trials=20)
    three(rig)
    assert rig.states() == ["waiting"] * 3
    assert rig.study.paused() == [0, 1, 2] and rig.study.waiting() is None
    _, best = rig.suggest()
    assert (best["number"], best["epoch"], best["pause_s"]) == (1, 2, 0.0)
    assert rig.states() == ["waiting", "running", "waiting"] and rig.study.paused() == [0, 2]
    assert rig.suggest()[1]["number"] == 3  # no other of three is in the best third


def test_interrupted_trial_goes_on_before_any_that_pauses() -> None:
    rig = Rig(scheduler="asha", type="promotion", trials=20)
    three(rig)
    ray_id, suggestion = rig.suggest()
    assert suggestion["number"] == 1
    rig.searcher.on_trial_complete(ray_id, error=True)  # its worker was lost before it got on
    assert rig.study.waiting() == 1 and not is_paused(rig.study.trial(1))
    assert rig.suggest()[1]["number"] == 1


@pytest.mark.parametrize("budget", [{"trials": 3}, {"epochs": 7}])
def test_where_nothing_more_may_begin_what_is_not_promoted_ends_with_its_reason(budget: dict[str, int]) -> None:
    rig = Rig(scheduler="asha", type="promotion", **budget)
    while isinstance(suggested := rig.suggest(), tuple):
        ray_id, suggestion = suggested
        for epoch in range(suggestion["epoch"] + 1, EPOCHS):
            if rig.report(ray_id, epoch, 0.1 * suggestion["number"]) == "STOP":
                break
        else:
            rig.done(ray_id, EPOCHS, 0.1 * suggestion["number"])
    rig.accounts.settle()
    assert suggested == "FINISHED" and "search_ended" in rig.study.facts
    assert not rig.study.trials("waiting", "running")
    causes = [trial.user_attrs["cause"] for trial in rig.study.trials("pruned") if trial.user_attrs["cause"]["kind"] == "scheduler"]
    assert {"kind": "scheduler", "message": "paused at epoch 2, and others were more promising to the end", "details": ""} in causes


def test_paused_trials_pause_on_after_a_kill_of_the_driver_and_are_promoted_by_what_was_recorded(tmp_path: Path) -> None:
    rig = Rig(open_study(tmp_path, "s", ACCURACY), scheduler="asha", type="promotion")
    three(rig)
    again = Rig(open_study(tmp_path, "s", ACCURACY), scheduler="asha", type="promotion")
    assert again.study.paused() == [0, 1, 2]
    assert again.suggest()[1]["number"] == 1


def test_trial_that_goes_on_keeps_where_and_when_it_began() -> None:
    rig = Rig(scheduler="asha", type="promotion")
    for (ray_id, _), value, worker in zip([rig.suggest(), rig.suggest()], (0.5, 0.9), ("a", "b"), strict=True):
        rig.report(ray_id, 1, value, facts={"worker": worker, "started_at": 1.0, "parameters": 7}), rig.report(ray_id, 2, value)
    ray_id, suggestion = rig.suggest()
    rig.report(ray_id, 3, 0.95, facts={"worker": "a", "started_at": 9.0, "parameters": 7})
    facts = rig.study.trial(suggestion["number"]).user_attrs
    assert (facts["worker"], facts["started_at"], facts["resumed"]) == ("b", 1.0, [{"epoch": 2, "started_at": 9.0, "worker": "a"}])


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("section", [PROMOTION, PROMOTION.model_copy(update={"brackets": 3})], ids=["one bracket", "three brackets"])
def test_search_by_promotion_trains_every_epoch_once_and_leaves_nothing_waiting(workers: int, section: SchedulerSection) -> None:
    problem = Problem(SPACE, ACCURACY, curve, EPOCHS)
    study, events = search(problem, search=SearchSection(sampler="random", trials=40), scheduler=section, workers=workers, seed=3)
    assert len(study.trials()) == 40 and not study.trials("waiting", "running")
    assert len(events) == len({(event.number, event.epoch) for event in events})
    for trial in study.trials():
        assert list(history_of(trial)) == list(range(1, len(history_of(trial)) + 1))
    complete = [1.0 - abs(trial.params["rate"] - 0.3) for trial in study.trials("complete")]
    assert max(complete) == max(1.0 - abs(trial.params["rate"] - 0.3) for trial in study.trials())
    assert len(complete) < 15 * (1 if section.brackets == 1 else 2)  # the third bracket never pauses


def test_sweep_by_promotion_goes_on_from_checkpoints(tmp_path: Path, blobs: Path, ray_address: str) -> None:
    from tests.sweep.test_journey import sweep

    rules = {"scheduler": {"name": "asha", "type": "promotion", "grace_period": 1, "reduction_factor": 2, "audit": 0.0}, "evaluation": {"enabled": False}}
    board = sweep(tmp_path / "sweep", ray_address, dataset={"source": "npz", "path": str(blobs)}, training={"max_epochs": 4}, search={"trials": 4}, **rules)
    assert {record.state for record in board.records} == {"complete", "pruned"}
    complete = [record for record in board.records if record.state == "complete"]
    assert complete and all(record.epochs == 4 for record in complete)
    assert all(record.cause["message"].startswith("paused at epoch") for record in board.records if record.state == "pruned")
    journal = (tmp_path / "sweep" / "journal.log").read_text()
    assert '"resumed"' in journal and "its checkpoint is lost" not in journal
    assert json.dumps("paused") in journal
