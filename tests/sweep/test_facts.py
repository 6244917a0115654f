"""What is written down of a sweep as a whole."""

import time
from pathlib import Path

import pytest

from cluster.resources import Allotment, Resources
from tuner.errors import SpecError
from tuner.spec import sweep_spec as specs
from tuner.study.backends import open_study
from tuner.study.objective import Objective
from tuner.study.record import Study
from tuner.sweep import facts


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return open_study(tmp_path / "s", "s", Objective("val_accuracy", "max"))


def test_stage_in_parts_is_one_stage_with_the_sum_of_them(study: Study) -> None:
    facts.record_place(study, "a machine", 2, Allotment(Resources(cpus=3.0)))
    facts.record_stage(study, "search", began=time.monotonic() - 10, epochs=40)
    facts.record_stage(study, "retrain", began=time.monotonic() - 1, epochs=5)
    facts.record_stage(study, "search", began=time.monotonic() - 20, epochs=2)
    search, retrain = study.facts["stages"]
    assert (search["name"], search["epochs"], retrain["name"], retrain["epochs"]) == ("search", 42, "retrain", 5)
    assert search["seconds"] == pytest.approx(30, abs=1)
    # Six CPUs are held, and no GPU.
    assert (search["cpu_seconds"], search["gpu_seconds"]) == (pytest.approx(180, abs=6), 0)


def test_place_is_told_once_and_again_where_the_sweep_moves(study: Study) -> None:
    one = Allotment(Resources())
    for hardware, slots in (("a laptop", 1), ("a laptop", 1), ("a cluster", 4)):
        facts.record_place(study, hardware, slots, one)
    assert study.facts["hardware"] == f"a laptop; 1 trial at a time, {one} each; then a cluster; 4 trials at a time, {one} each"


def test_ways_and_warnings_are_counted_by_trials(study: Study) -> None:
    for number, (path, warnings) in enumerate([("compiled epoch", []), ("its own train_step", ["old", "old"]), ("compiled epoch", ["old"])]):
        study.ask()
        study.set_trial_fact(number, "path", path)
        study.set_trial_fact(number, "warnings", warnings)
    facts.record_ways(study)
    assert study.facts["ways"] == {"compiled epoch": 2, "fit: its own train_step": 1}
    assert study.facts["python_warnings"] == {"old": 2}


def test_sweep_goes_on_in_another_place_and_shown_elsewhere_but_not_under_other_rules(study: Study) -> None:
    begun = specs.check({"name": "s", "folder": "here"})
    study.set_fact("spec", specs.to_json(begun))
    moved = specs.check({"name": "s", "folder": "there", "trackers": ["tensorboard"], "cluster": {"target": "address", "address": "10.0.0.1:6379"}})
    assert facts.same_sweep(study, moved) == moved
    with pytest.raises(SpecError, match=r"holds a sweep of another spec \(seed: 0 -> 1\)"):
        facts.same_sweep(study, specs.check({"name": "s", "folder": "here", "seed": 1}))


def test_sweep_whose_direction_was_once_guessed_from_a_name_goes_on_in_it(tmp_path: Path) -> None:
    study = open_study(tmp_path, "s", Objective("val_f1", "min"))
    begun = specs.check({"name": "s", "folder": str(tmp_path), "objective": {"metric": "val_f1", "mode": "min"}})
    recorded = specs.to_json(begun)
    study.set_fact("spec", {**recorded, "objective": {"metric": "val_f1", "mode": None}})
    assert facts.same_sweep(study, begun).objective.mode == "min"
    with pytest.raises(SpecError, match=r"objective\.mode"):
        facts.same_sweep(study, begun.model_copy(update={"objective": begun.objective.model_copy(update={"mode": "max"})}))
