"""The built-in search spaces, by the name that a spec gives them."""

from collections.abc import Mapping

from search_spaces.cnn import CNN
from search_spaces.mlp import MLP
from search_spaces.ranges import Value
from search_spaces.sequence import SEQUENCE
from search_spaces.space import SearchSpace
from search_spaces.tabular import TABULAR

SPACES: dict[str, SearchSpace] = {space.name: space for space in (MLP, TABULAR, CNN, SEQUENCE)}

# What a network was by hyperparameters that its space did not have yet, when older records were made.
BEFORE: dict[str, dict[str, Value]] = {"cnn": {"convolutions": 1, "residual_connections": False, "augmentation": "none"}}


def as_recorded(space: SearchSpace, recorded: Mapping[str, object]) -> SearchSpace:
    """Return a built-in space as it was when a record was made: what it did not have then is as if it were not there.

    Args:
        space: of today, narrowed by the record's spec.
        recorded: hyperparameter -> its range, as the record has them.
    """
    if space.name not in SPACES or space.builder != SPACES[space.name].builder:
        return space
    added = {name: value for name, value in BEFORE.get(space.name, {}).items() if name not in recorded and space.is_reachable(name)}
    return space.narrow(added) if recorded and added else space
