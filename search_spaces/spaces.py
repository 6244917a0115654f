"""The built-in search spaces, by the name that a spec gives them."""

from search_spaces.cnn import CNN
from search_spaces.mlp import MLP
from search_spaces.space import SearchSpace

SPACES: dict[str, SearchSpace] = {space.name: space for space in (MLP, CNN)}
