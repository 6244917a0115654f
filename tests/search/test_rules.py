"""The rules of early stopping, one by one: values in, a reason to stop out."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.rig import RayTrial
from tuner.search.rules.asha import Asha
from tuner.search.rules.fifo import Fifo
from tuner.search.rules.median import Median
from tuner.search.rules.milestones import milestones
from tuner.search.rules.named import SCHEDULERS, SchedulerSection
from tuner.search.rules.promotion import Promotion
from tuner.study.objective import Objective

ACCURACY = Objective.of("val_accuracy")
LOSS = Objective.of("val_loss")
EPOCHS = 27


@pytest.mark.parametrize(
    ("max_epochs", "grace", "factor", "expected"),
    [(52, 2, 3, (2, 6, 18)), (27, 1, 3, (1, 3, 9)), (28, 1, 3, (1, 3, 9, 27)), (1, 1, 3, ()), (10, 3, 1.2, (3, 4, 5, 6, 7, 9))],
)
def test_rungs_rise_by_the_factor_and_end_before_the_last_epoch(max_epochs: int, grace: int, factor: float, expected: tuple[int, ...]) -> None:
    assert milestones(max_epochs, grace, factor) == expected


def test_asha_lets_the_best_third_go_on_as_rays_does() -> None:
    from ray.tune.schedulers.async_hyperband import _Bracket

    ours, theirs = Asha(ACCURACY, max_epochs=EPOCHS, grace_period=1, reduction_factor=3), _Bracket(1, EPOCHS, 3, 0)
    generator = np.random.default_rng(0)
    stops = 0
    for number in range(200):
        values: dict[int, float] = {0: generator.random()}
        for epoch in range(1, EPOCHS + 1):
            values[epoch] = max(values.values()) + 0.1 * generator.random()
            stopped = ours.decide(number, epoch, values) is not None
            if epoch < EPOCHS:
                assert stopped == (theirs.on_result(RayTrial(str(number)), epoch, values[epoch]) == "STOP")
            if stopped:
                stops += 1
                break
    assert 100 < stops < 200


def test_asha_stops_ties_and_ranks_by_the_best_value_so_far() -> None:
    asha = Asha(LOSS, max_epochs=EPOCHS, grace_period=3, reduction_factor=3)
    assert asha.decide(0, 3, {1: 0.9, 2: 0.1, 3: 0.8}) is None
    assert asha.decide(1, 3, {1: 0.1, 2: 0.1, 3: 0.1}) == "not in the best 1/3 of 2 trials at epoch 3"
    assert asha.decide(2, 3, {3: 0.05}) is None


def test_median_stops_what_is_worse_than_the_others_were_on_average() -> None:
    median = Median(ACCURACY, grace_period=2)
    for number in range(5):
        assert median.decide(number, 1, {1: 0.1 * number}) is None
        assert median.decide(number, 2, {1: 0.1 * number, 2: 0.1 * number + 0.2}) is None or number < 2
    assert median.decide(5, 1, {1: 0.0}) is None
    assert median.decide(5, 2, {1: 0.0, 2: 0.1}) == "worse than the median of 5 other trials at epoch 2"
    assert median.decide(6, 1, {1: 0.0}) is None
    assert median.decide(6, 2, {1: 0.0, 2: 0.9}) is None


def test_asha_and_median_judge_by_the_epochs_that_have_a_value() -> None:
    nothing = math.nan
    asha = Asha(LOSS, max_epochs=EPOCHS, grace_period=3, reduction_factor=3)
    assert asha.decide(0, 3, {1: nothing, 2: nothing, 3: nothing}) is None
    assert asha.decide(1, 3, {1: 0.5, 2: nothing, 3: nothing}) is None  # the first of its rung: the other has no value there
    assert asha.decide(2, 3, {1: nothing, 2: 0.6, 3: nothing}) == "not in the best 1/3 of 2 trials at epoch 3"
    assert asha.rungs[3] == {1: 0.5, 2: 0.6}
    median = Median(LOSS, grace_period=2)
    for number in range(5):
        assert median.decide(number, 3, {1: nothing, 2: 0.2, 3: 0.1 * number}) is None
    assert median.decide(5, 3, {1: nothing, 2: nothing, 3: nothing}) is None
    for history in ({1: nothing, 2: 0.9, 3: nothing}, {1: nothing, 2: nothing, 3: 0.9}):
        assert median.decide(6, 3, history) == "worse than the median of 5 other trials at epoch 3"
    assert median.decide(6, 3, {1: nothing, 2: 0.05, 3: nothing}) is None


def test_fifo_stops_nothing() -> None:
    fifo = Fifo()
    fifo.record(0, {1: 0.0})
    assert all(fifo.decide(1, epoch, {epoch: 0.0}) is None for epoch in range(1, 9))


# ---- promotion


def test_promotion_decides_as_syne_tunes_does_on_the_same_order_of_events() -> None:
    """The events are a run of Syne Tune 0.13's PromotionRungSystem: three workers, rungs 1, 3 and 9 of 27 epochs, factor 3, losses that never rise."""
    promotion = Promotion(LOSS, max_epochs=EPOCHS, grace_period=1, reduction_factor=3)
    histories: dict[int, dict[int, float]] = {}
    paused: set[int] = set()
    for what, number, *told in json.loads((Path(__file__).parent / "promotion_of_syne_tune.json").read_text()):
        if what == "report":
            epoch, value, decision = told
            histories[number][epoch] = value
            assert promotion.decide(number, epoch, histories[number]) is None
            assert promotion.pauses(number, epoch) == (decision == "pause" and epoch < EPOCHS)
            paused |= {number} if decision == "pause" and epoch < EPOCHS else set()
            continue
        expected = number if what == "resume" else None
        assert (promotion.resumes(sorted(paused), may_begin=True) if paused else None) == expected
        histories.setdefault(number, {})
        paused.discard(number)


def test_trials_of_a_later_bracket_pass_the_first_rungs_by_as_often_as_syne_tune_draws_them() -> None:
    promotion = Promotion(LOSS, max_epochs=EPOCHS, grace_period=1, reduction_factor=3, brackets=3, seed=4)
    first = [next(epoch for epoch in range(1, EPOCHS) if promotion.pauses(number, epoch)) for number in range(2000)]
    weights = np.array([4 / (4 * 1), 4 / (3 * 3), 4 / (2 * 9)])  # the number of levels, through those that are left and the first one
    assert [first.count(epoch) / 2000 for epoch in (1, 3, 9)] == pytest.approx(list(weights / weights.sum()), abs=0.03)
    history = {1: 0.5, 2: 0.4, 3: 0.3}
    promotion.decide(first.index(3), 3, history)
    assert promotion.rungs[1] == {} and list(promotion.rungs[3].values()) == [0.3]


def test_promotion_of_a_restarted_search_goes_on_where_the_first_was() -> None:
    first, again = (Promotion(LOSS, max_epochs=EPOCHS, grace_period=1, reduction_factor=3) for _ in range(2))
    histories = [{1: 0.1 * number} for number in range(6)]
    for number, history in enumerate(histories):
        first.decide(number, 1, history)
    assert first.resumes(range(6), may_begin=True) == 0
    first.decide(0, 2, histories[0] | {2: 0.0}), first.decide(0, 3, histories[0] | {2: 0.0, 3: 0.0})
    for number, history in enumerate([histories[0] | {2: 0.0, 3: 0.0}, *histories[1:]]):
        again.record(number, history)
    assert first.rungs == again.rungs
    assert first.resumes(range(6), may_begin=True) == again.resumes(range(6), may_begin=True) == 1


def test_trial_without_a_value_is_never_promoted_before_one_with() -> None:
    promotion = Promotion(LOSS, max_epochs=EPOCHS, grace_period=1, reduction_factor=3)
    for number in range(5):
        promotion.decide(number, 1, {1: math.nan})
    assert promotion.resumes(range(5), may_begin=True) == 0  # nothing is known of any
    for number in range(5, 8):
        promotion.decide(number, 1, {1: 0.5})
    assert promotion.resumes(range(1, 8), may_begin=True) == 5


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"name": "median", "type": "promotion"}, "type: 'promotion' is a kind of scheduler 'asha', not of 'median'; remove it"),
        ({"name": "asha", "brackets": 3}, "brackets: belongs to name = 'asha' with type = 'promotion'; remove it"),
        ({"name": "ash"}, "unknown scheduler; did you mean 'asha'"),
    ],
)
def test_section_refuses_what_does_not_go_together(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SchedulerSection(**given)
    assert all(len(row.help) > 10 for row in SCHEDULERS.values())
