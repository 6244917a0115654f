"""The facts of a sweep: every one that is shown or was ever recorded has its type stated, and what is recorded has it."""

import warnings
from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError

from tuner.report.facts_schema import FACTS
from tuner.study.backends import open_study, read_study
from tuner.study.objective import Objective
from tuner.study.sweep_facts import SweepFacts

GOLDEN = Path(__file__).parents[1] / "golden"
STATED = set(SweepFacts.__annotations__)
with warnings.catch_warnings():  # pydantic says that it does not itself hold anybody back from changing what is read-only
    warnings.simplefilter("ignore", UserWarning)
    CHECK = TypeAdapter(SweepFacts)


def test_every_fact_that_a_report_reads_is_stated() -> None:
    assert set(FACTS["properties"]) <= STATED


@pytest.mark.parametrize("name", ["finished", "table", "interrupted", "folds"])
def test_facts_of_older_sweeps_are_stated_and_of_their_types(name: str) -> None:
    facts = read_study(GOLDEN / name / "sweep").facts
    assert {"spec", "dataset", "stages", "objective"} <= set(facts) <= STATED
    CHECK.validate_python(facts)


def test_no_fact_can_be_changed_where_it_is_read() -> None:
    assert set(SweepFacts.__annotations__) == SweepFacts.__readonly_keys__  # type: ignore[attr-defined]


def test_facts_are_recorded_in_their_order_and_each_takes_the_place_of_what_it_was(tmp_path: Path) -> None:
    study = open_study(tmp_path, "s", Objective("val_accuracy", "max"))
    study.set_facts({"name": "s", "seed": 3, "objective": {"metric": "val_accuracy", "mode": "max"}, "dataset": {"rows": 1}})
    study.set_facts({"seed": 4})
    facts = read_study(tmp_path).facts
    assert [name for name in facts if name in ("name", "seed", "dataset")] == ["name", "seed", "dataset"]
    assert (facts["name"], facts["seed"]) == ("s", 4)


def test_a_fact_of_another_type_is_seen() -> None:
    with pytest.raises(ValidationError, match="seed"):
        CHECK.validate_python({"seed": "three"})
