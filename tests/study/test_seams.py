"""What a searcher hands to a trial, and what a trial tells: each survives Ray as it is."""

import json
import math

import pytest
from ray.tune.utils import flatten_dict

from tuner.study.assignment import Assignment
from tuner.study.epoch_report import EpochReport
from tuner.study.failures import Cause

REPORTS = [
    EpochReport(3, 1, {"val_loss": 0.5}, 2.0, facts={"parameters": 10, "warnings": ["old"]}),
    EpochReport(3, 9, {"val_loss": 0.5}, last=True),
    EpochReport(3, 2, ended=Cause("crash", "it was killed", "last words")),
    EpochReport(3, ended=Cause("error", "KeyError: x")),
    EpochReport(0, 1, {"epoch": 7.0, "done": 1.0, "top/5": 0.9, "number": 2.0, "ended/kind": 1.0}),
    EpochReport(5),
]


def test_assignment_is_the_same_on_the_other_side_of_ray() -> None:
    given = Assignment(4, {"rate": 0.1, "kind": "a"}, 7, 3, 1.0, 60.0, True)
    there = {**json.loads(json.dumps(given.to_json())), "__trial_info__": "Ray's own"}
    assert Assignment.from_json(there) == given
    assert Assignment.from_json(Assignment(0, {}, 1).to_json()) == Assignment(0, {}, 1, 0, 0.0, None, False)


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("report", REPORTS)
def test_report_is_the_same_on_the_other_side_of_ray_and_no_name_of_a_metric_is_a_key_of_another(report: EpochReport, flat: bool) -> None:
    there = {**report.to_json(), "done": False, "training_iteration": 4, "time_total_s": 1.5, "config": {"number": 99, "metrics": {"x": 1}}}
    assert EpochReport.from_json(flatten_dict(there) if flat else there) == report


def test_metric_that_is_undefined_stays_so_and_words_are_no_metrics() -> None:
    told = EpochReport.from_json({**EpochReport(1, 1, {"a": math.nan}).to_json(), "number": 1, "metrics": {"a": math.nan, "b": "high", "c": True, "d": None}})
    assert list(told.metrics) == ["a"] and math.isnan(told.metrics["a"])


def test_result_that_holds_nothing_is_of_the_trial_that_ray_says() -> None:
    assert EpochReport.from_json({}, number=8) == EpochReport(8)
