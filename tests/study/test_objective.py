import math

import pytest

from tuner.errors import SpecError
from tuner.study.objective import Objective


def test_mode_follows_from_the_name_of_the_metric() -> None:
    assert Objective.of("val_accuracy").mode == "max"
    assert Objective.of("val_loss").mode == "min"
    assert Objective.of("val_mae").mode == "min"
    assert Objective.of("val_loss", "max").mode == "max"


def test_unknown_mode_is_refused_with_the_two_that_exist() -> None:
    with pytest.raises(SpecError, match="got 'up'; expected 'max' or 'min'"):
        Objective("val_loss", "up")


def test_nan_is_never_better() -> None:
    objective = Objective("val_loss", "min")
    assert not objective.better(math.nan, 1.0)
    assert objective.better(1.0, math.nan)
    assert not objective.better(math.nan, math.nan)


@pytest.mark.parametrize(("mode", "epoch"), [("max", 2), ("min", 1)])
def test_best_epoch_is_the_earliest_of_the_best_and_ignores_nan(mode: str, epoch: int) -> None:
    history = {1: 0.1, 2: 0.9, 3: 0.9, 4: math.nan, 5: 0.1}
    assert Objective("m", mode).best_epoch(history) == epoch


def test_best_epoch_of_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="history is empty"):
        Objective("m", "max").best_epoch({})
