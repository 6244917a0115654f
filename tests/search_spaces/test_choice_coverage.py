"""The branches of a space: every choice once, each a configuration of the space."""

import pytest

from search_spaces.choice_coverage import branches
from search_spaces.space import space_of
from search_spaces.spaces import SPACES


@pytest.mark.parametrize("name", sorted(SPACES))
def test_branches_of_every_built_in_space_are_configurations_of_it(name: str) -> None:
    space = SPACES[name]
    found = branches(space)
    assert len({branch.name for branch in found}) == len(found) > 5
    for branch in found:
        space.check(branch.largest)
        space.check(branch.smallest)


def test_each_choice_has_a_branch_at_both_ends_of_the_ranges() -> None:
    space = space_of("net:build", {"kind": ["plain", "wide"], "size": {"low": 2, "high": 9}, "rate": {"low": 0.5, "high": 1.5}})
    found = {branch.name: branch for branch in branches(space)}
    assert set(found) == {"kind = 'plain'", "kind = 'wide'"}
    assert found["kind = 'wide'"].largest == {"kind": "wide", "size": 9, "rate": 1.5}
    assert found["kind = 'wide'"].smallest == {"kind": "wide", "size": 2, "rate": 0.5}


def test_conditional_choice_is_reached_through_what_it_needs() -> None:
    found = {branch.name: branch for branch in branches(SPACES["mlp"].narrow({"layers": "each"}))}
    assert found["nesterov = True"].largest["optimizer"] == found["nesterov = True"].smallest["optimizer"] == "sgd"
    # A fourth layer needs a network that is as deep, whatever else is small; there is never a fifth.
    assert found["activation_4 = 'tanh'"].smallest["depth"] == 4
    assert found["activation_4 = 'tanh'"].smallest["activation_4"] == "tanh"
    assert "activation_5 = 'tanh'" not in found


def test_space_without_choices_is_one_branch() -> None:
    space = space_of("net:build", {"size": {"low": 2, "high": 9}, "fixed": 3})
    (branch,) = branches(space)
    assert branch.largest == {"size": 9, "fixed": 3}
    assert branch.smallest == {"size": 2, "fixed": 3}
