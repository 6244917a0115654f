"""The configuration of a space that one would try first."""

import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from search_spaces import ranges
from search_spaces.errors import SearchSpaceError
from search_spaces.optimizers import OPTIMIZERS
from search_spaces.space import SearchSpace, Value, space_of
from search_spaces.spaces import SPACES


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
def test_every_built_in_space_has_a_default_configuration_and_so_has_what_a_spec_makes_of_it(space: SearchSpace) -> None:
    assert space.contains(space.default())
    for optimizer in OPTIMIZERS:
        narrowed = space.narrow({"optimizer": optimizer, "schedule": ["exponential", "inverse_time_decay"], "width": {"low": 300, "high": 303, "step": 3}})
        default = narrowed.default()
        assert narrowed.contains(default)
        assert (default["optimizer"], default["width"], default["schedule"]) == (optimizer, 300, "exponential")
    assert space.widest().contains(space.widest().default())


@pytest.mark.parametrize(
    ("value", "distribution", "expected"),
    [
        (0.2, FloatDistribution(0.0, 1.0), 0.2),
        (0.2, FloatDistribution(0.3, 1.0), 0.3),
        (2e-3, FloatDistribution(1e-5, 1e-3, log=True), 1e-3),
        (0.34, FloatDistribution(0.1, 0.5, step=0.1), 0.3),
        (70, IntDistribution(16, 64), 64),
        (70, IntDistribution(10, 85, step=25), 60),
        (128, CategoricalDistribution((32, 100, 512)), 100),
        (True, CategoricalDistribution((1, True)), True),
        ("relu", CategoricalDistribution(("tanh", "relu")), "relu"),
        ("relu", CategoricalDistribution(("tanh", "gelu")), "tanh"),
    ],
)
def test_closest_value_is_one_that_is_allowed(value: Value, distribution: BaseDistribution, expected: Value) -> None:
    closest = ranges.closest(value, distribution)
    assert closest == expected
    assert type(closest) is type(expected)


def test_a_users_space_has_a_default_configuration_where_it_says_so_for_all_that_is_active() -> None:
    units, kind, width = {"low": 8, "high": 64, "default": 32}, {"choices": ["a", "b"], "default": "b"}, {"low": 1, "high": 9, "when": {"kind": "a"}}
    assert space_of("mine:build", {"units": units, "kind": kind, "width": width, "seed": 3}).default() == {"units": 32, "kind": "b", "seed": 3}
    assert space_of("mine:build", {"units": units, "kind": ["a", "b"]}).default() is None
    assert space_of("mine:build", {"units": units}).describe()["parameters"]["units"]["default"] == 32
    with pytest.raises(SearchSpaceError, match=r"^units\.default: got 65; expected an integer from 8 to 64$"):
        space_of("mine:build", {"units": {**units, "default": 65}})
