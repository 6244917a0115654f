"""Networks for tables: their hyperparameters and the network that they describe, on one page.

Numbers come as one array, in which categories are columns of zeros and ones: there the first layer is their embedding. Columns that come as they are
(`dataset.encode = false`) are put together here: words are hashed into an embedding each, numbers are normalised by what passes. The default ranges are meant
for a few hundred to a few hundred thousand rows. Must not know how the network is trained: that part of the space comes from `optimizers`.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from search_spaces.errors import SearchSpaceError
from search_spaces.layers import ACTIVATIONS, PENALTIES, USUAL_ACTIVATIONS, activated, normalization, output_layer, penalty_of, units_before
from search_spaces.optimizers import TRAINING
from search_spaces.parameter import choice, integer, real
from search_spaces.problem import ArraySpec, check_simple, check_targets
from search_spaces.space import SearchSpace

if TYPE_CHECKING:
    import keras

    from search_spaces.problem import Problem

# Of each column of words. The embeddings of a thousand words take few parameters, and two of a hundred words share one with a chance of one in ten.
HASHED = 1000

TABULAR = SearchSpace(
    name="tabular",
    builder="search_spaces.tabular:build_model",
    parameters={
        # Tables are learnt by shallow networks; with residual connections a few more blocks do no harm. Source: Gorishniy et al. 2021.
        "depth": integer(1, 4, limits=(1, 16), default=2, help="hidden layers, or residual blocks of two layers each"),
        # What each block adds to its input is easier to learn than a new layer, and never worse than nothing. Source: Gorishniy et al. 2021.
        "residual_connections": choice(True, False, default=True, help="whether layers are blocks that add to what they get"),
        # Below 32 even small tables lose; beyond 512 a few thousand rows are learnt by heart.
        "width": integer(32, 512, log=True, limits=(1, 65536), default=128, help="units of each hidden layer"),
        # 8 numbers tell a few hundred categories apart; more are a matter of many rows.
        "embedding_size": integer(4, 32, log=True, limits=(1, 1024), default=8, help="numbers that a word becomes, where columns of words come as they are"),
        "activation": choice(*USUAL_ACTIVATIONS, among=ACTIVATIONS, default="relu", help="activation of the hidden layers"),
        # Tables are small, and networks learn them by heart sooner than images.
        "dropout": real(0.0, 0.5, limits=(0.0, 0.95), default=0.2, help="share of units dropped after each hidden layer"),
        # Columns of a table are seldom redundant: none by default.
        "dropout_input": real(0.0, 0.2, limits=(0.0, 0.95), default=0.0, help="share of inputs dropped"),
        # In a residual block it stands before the layers, where it keeps the sum of many blocks in bounds.
        "batch_normalization": choice(True, False, default=True, help="whether each hidden layer, or each block's input, is normalised over the batch"),
        **PENALTIES,
        **TRAINING,
    },
)


def build_model(configuration: Mapping[str, Any], problem: "Problem") -> "keras.Model":
    """Return the uncompiled network of a configuration of `TABULAR`.

    Args:
        configuration: hyperparameter -> value, active ones only.
        problem: what the network is for.

    Raises:
        SearchSpaceError: the data are no table.
    """
    import keras

    if isinstance(problem.inputs, ArraySpec):
        check_simple("tabular", problem)
        inputs = x = keras.Input(problem.input_shape, name="input")
        if len(problem.input_shape) != 1:
            x = keras.layers.Flatten(name="flatten")(x)
    else:
        check_targets("tabular", problem)
        inputs, x = _columns(problem, configuration["embedding_size"])
    if configuration["dropout_input"]:
        x = keras.layers.Dropout(configuration["dropout_input"], name="dropout_input")(x)
    if configuration["residual_connections"]:
        x = _residual(x, configuration)
    else:
        for number in range(1, configuration["depth"] + 1):
            x = _hidden(x, configuration, str(number), normalized=configuration["batch_normalization"])
    return keras.Model(inputs, output_layer(problem)(x), name="tabular")


def _hidden(x: Any, configuration: Mapping[str, Any], name: str, *, normalized: bool) -> Any:
    """Return what leaves a hidden layer and its dropout."""
    import keras

    units = units_before(configuration["activation"], configuration["width"])
    layer = keras.layers.Dense(units, use_bias=not normalized, kernel_regularizer=penalty_of(configuration), name=f"hidden_{name}")
    x = activated(layer(x), configuration["activation"], normalized=normalized, name=name)
    return keras.layers.Dropout(configuration["dropout"], name=f"dropout_{name}")(x) if configuration["dropout"] else x


def _residual(x: Any, configuration: Mapping[str, Any]) -> Any:
    """Return what leaves the residual blocks: each normalises what it gets, takes it through two layers, and adds that."""
    import keras

    normalized = configuration["batch_normalization"]
    x = keras.layers.Dense(configuration["width"], kernel_regularizer=penalty_of(configuration), name="projection")(x)
    for number in range(1, configuration["depth"] + 1):
        block = normalization(f"normalization_{number}")(x) if normalized else x
        block = _hidden(block, configuration, str(number), normalized=False)
        block = keras.layers.Dense(configuration["width"], kernel_regularizer=penalty_of(configuration), name=f"back_{number}")(block)
        x = keras.layers.Add(name=f"sum_{number}")([x, block])
    if normalized:
        x = normalization("normalization_last")(x)
    return keras.layers.Activation("relu", name="activation_last")(x)


def _columns(problem: "Problem", size: int) -> tuple[Any, Any]:
    """Return the inputs of a table's columns, in their own structure, and all of them as one row of numbers."""
    import keras

    inputs: list[Any] = []
    numbers, words = [], []

    def column(spec: ArraySpec, name: str | None = None) -> Any:
        if len(spec.shape) > 1:
            raise SearchSpaceError(f"tabular: got an input of shape {spec.shape}; expected columns of a table, or name a builder of your own")
        place = len(inputs)
        if name is not None and "/" in name:
            raise SearchSpaceError(f"tabular: got the column {name!r}; expected a name without a slash, which Keras does not take; rename it")
        given = keras.Input(spec.shape, dtype=spec.dtype, name=name or f"column_{place}")
        inputs.append(given)
        if spec.dtype == "string":
            hashed = keras.layers.Hashing(HASHED, name=f"hashed_{place}")(given)
            embedded = keras.layers.Embedding(HASHED, size, name=f"embedding_{place}")(hashed)
            words.append(keras.layers.Flatten(name=f"flat_{place}")(embedded) if spec.shape else embedded)
        else:
            number = keras.ops.cast(given, "float32")
            numbers.append(number if spec.shape else keras.ops.expand_dims(number, -1))
        return given

    if isinstance(problem.inputs, dict) and all(isinstance(spec, ArraySpec) for spec in problem.inputs.values()):
        structure: Any = {name: column(spec, name) for name, spec in problem.inputs.items()}  # Keras wants an input to be called as its key is
    else:
        structure = keras.tree.map_structure(column, problem.inputs)
    parts = list(words)
    if numbers:
        joined = keras.layers.Concatenate(name="numbers")(numbers) if len(numbers) > 1 else numbers[0]
        parts.insert(0, normalization("normalization_numbers", scaled=False)(joined))
    return structure, keras.layers.Concatenate(name="row")(parts) if len(parts) > 1 else parts[0]
