"""Search spaces for Keras networks, in the words of Optuna and Keras; never Ray's.

`SPACES` are the built-in ones, by the name that a spec gives them. Importing this package does not import Keras.
"""

from search_spaces.cnn import CNN
from search_spaces.mlp import MLP
from search_spaces.space import SearchSpace

SPACES: dict[str, SearchSpace] = {space.name: space for space in (MLP, CNN)}
