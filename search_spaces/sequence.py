"""Networks for sequences: their hyperparameters and the network that they describe, on one page.

A row is a list of whole numbers that are names (words, letters, items), which are embedded; or a series, (steps,) or (steps, channels). The default ranges are
meant for some ten to a few hundred steps and a dozen or two epochs. Must not know how the network is trained: that part of the space comes from `optimizers`.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from search_spaces.layers import ACTIVATIONS, PENALTIES, USUAL_ACTIVATIONS, activated, normalization, output_layer, penalty_of, units_before
from search_spaces.optimizers import TRAINING
from search_spaces.parameter import Condition, choice, integer, real
from search_spaces.problem import check_simple
from search_spaces.space import SearchSpace

if TYPE_CHECKING:
    import keras

    from search_spaces.problem import Problem

RECURRENT = ("gru", "lstm")
_RECURRENT = (Condition("sequence_layer", RECURRENT),)
_CONVOLUTION = (Condition("sequence_layer", ("convolution",)),)
_TRANSFORMER = (Condition("sequence_layer", ("transformer",)),)
_PLAIN = (Condition("sequence_layer", (*RECURRENT, "convolution")),)

SEQUENCE = SearchSpace(
    name="sequence",
    builder="search_spaces.sequence:build_model",
    parameters={
        # Which suits depends on the data more than on anything else here. A convolution is ten times as fast on a CPU as the others, and hardly worse on short
        # sequences: it is tried first. An LSTM learns what a GRU learns, a third slower.
        "sequence_layer": choice("convolution", "gru", "lstm", "transformer", default="convolution", help="what looks along the sequence"),
        # Two layers of convolutions see some twenty steps; recurrent layers see all of them, and a third hardly ever pays.
        "depth": integer(1, 3, limits=(1, 8), default=2, help="such layers, one on the other"),
        # A row of names is embedded in as many numbers.
        "width": integer(32, 256, log=True, limits=(1, 65536), default=128, help="numbers that describe a step: units, filters, and the size of the embedding"),
        # 5 is a short phrase, or the reach of noise.
        "kernel_size": choice(3, 5, 7, among=(1, 2, 3, 4, 5, 6, 7, 9, 11, 15), default=5, when=_CONVOLUTION, help="steps that a filter sees"),
        # What comes later says as much of a step as what came before, where the whole sequence is there.
        "bidirectional": choice(True, False, default=True, when=_RECURRENT, help="whether the sequence is read from both ends"),
        # More heads than 8 leave each of them too few numbers at these widths.
        "attention_heads": choice(2, 4, 8, among=(1, 2, 3, 4, 6, 8, 12, 16), default=4, when=_TRANSFORMER, help="heads of each attention layer"),
        # The strongest sign anywhere decides what a text or a signal is, the last steps how a series goes on. All together are a good guess, and every place by
        # itself is best where places mean something and steps are few.
        "pooling": choice(
            "all",
            "max",
            "flatten",
            among=("all", "max", "average", "last", "flatten"),
            default="all",
            help="what of all steps is kept: their largest, their average, the last; all three of these; or every step (flatten)",
        ),
        # Recurrent layers keep their own, tanh and sigmoid, which alone are fast on a GPU.
        "activation": choice(
            *USUAL_ACTIVATIONS,
            among=ACTIVATIONS,
            default="relu",
            when=(Condition("sequence_layer", ("convolution", "transformer")),),
            help="activation of convolutions, and within the blocks of a transformer",
        ),
        "dropout": real(0.0, 0.5, limits=(0.0, 0.95), default=0.2, help="share of numbers dropped after each layer and before the output"),
        # Whole channels, or whole places of the embedding: single numbers say little of a sequence whose steps are alike.
        "dropout_input": real(0.0, 0.2, limits=(0.0, 0.95), default=0.0, help="share of channels, or of the embedding's numbers, dropped over all steps"),
        # A transformer has normalisations of its own, by layer. Off first: what the other rows of a batch are is noise to a forecast.
        "batch_normalization": choice(True, False, default=False, when=_PLAIN, help="whether what leaves each layer is normalised over the batch"),
        **PENALTIES,
        **TRAINING,
    },
)


def build_model(configuration: Mapping[str, Any], problem: "Problem") -> "keras.Model":
    """Return the uncompiled network of a configuration of `SEQUENCE`.

    Args:
        configuration: hyperparameter -> value, active ones only.
        problem: what the network is for; of whole numbers that are names, `inputs.names` says how many there are.

    Raises:
        SearchSpaceError: there are several inputs or targets, or words.
    """
    import keras

    check_simple("sequence", problem)
    shape, names, kind = problem.input_shape, problem.inputs.names, configuration["sequence_layer"]
    inputs = x = keras.Input(shape, name="input")
    if names and len(shape) == 1:
        # What no row that was trained on has is one name more: the last.
        x = keras.ops.cast(keras.ops.clip(x, 0, names), "int32")
        x = keras.layers.Embedding(names + 1, configuration["width"], name="embedding")(x)
    elif len(shape) != 2:
        # Further axes are channels.
        x = keras.layers.Reshape((shape[0], -1 if shape[1:] else 1), name="steps")(x)
    if configuration["dropout_input"]:
        x = keras.layers.SpatialDropout1D(configuration["dropout_input"], name="dropout_input")(x)
    if kind == "transformer":
        # Attention alone knows no order: what a convolution says of each step's neighbours tells it.
        x = keras.layers.Conv1D(configuration["width"], 3, padding="same", name="neighbours")(x)
    for number in range(1, configuration["depth"] + 1):
        x = _LAYERS[kind](x, configuration, str(number))
    if kind == "transformer":
        x = keras.layers.LayerNormalization(name="normalization_last")(x)
    x = _pooled(x, configuration["pooling"])
    if configuration["dropout"]:
        x = keras.layers.Dropout(configuration["dropout"], name="dropout_last")(x)
    return keras.Model(inputs, output_layer(problem)(x), name="sequence")


def _pooled(x: Any, pooling: str) -> Any:
    import keras

    if pooling == "flatten":
        return keras.layers.Flatten(name="flatten")(x)
    parts = []
    if pooling in ("max", "all"):
        parts.append(keras.layers.GlobalMaxPooling1D(name="largest")(x))
    if pooling in ("average", "all"):
        parts.append(keras.layers.GlobalAveragePooling1D(name="average")(x))
    if pooling in ("last", "all"):
        parts.append(keras.layers.Flatten(name="last")(keras.layers.Cropping1D((x.shape[1] - 1, 0), name="all_but_last")(x)))
    return keras.layers.Concatenate(name="pooled")(parts) if len(parts) > 1 else parts[0]


def _recurrent(x: Any, configuration: Mapping[str, Any], name: str) -> Any:
    import keras

    both = configuration["bidirectional"]
    kind = keras.layers.GRU if configuration["sequence_layer"] == "gru" else keras.layers.LSTM
    # Both directions together give `width` numbers.
    layer = kind(
        -(-configuration["width"] // 2) if both else configuration["width"],
        return_sequences=True,
        kernel_regularizer=penalty_of(configuration),
        name=f"recurrent_{name}",
    )
    x = keras.layers.Bidirectional(layer, name=f"both_{name}")(x) if both else layer(x)
    if configuration["batch_normalization"]:
        x = normalization(f"normalization_{name}")(x)
    return _dropped(x, configuration, name)


def _convolution(x: Any, configuration: Mapping[str, Any], name: str) -> Any:
    import keras

    normalized, activation = configuration["batch_normalization"], configuration["activation"]
    layer = keras.layers.Conv1D(
        units_before(activation, configuration["width"]),
        configuration["kernel_size"],
        padding="same",
        use_bias=not normalized,
        kernel_regularizer=penalty_of(configuration),
        name=f"convolution_{name}",
    )
    x = _dropped(activated(layer(x), activation, normalized=normalized, name=name), configuration, name)
    # Half the steps let the next layer see twice as far; of a single one nothing is left to halve.
    last = int(name) == configuration["depth"] or x.shape[1] < 2 * configuration["kernel_size"]
    return x if last else keras.layers.MaxPooling1D(2, name=f"halved_{name}")(x)


def _transformer(x: Any, configuration: Mapping[str, Any], name: str) -> Any:
    """Return what leaves a block: attention and a dense layer, each on what is normalised, added to what it got."""
    import keras

    width, heads, activation = configuration["width"], configuration["attention_heads"], configuration["activation"]
    normal = keras.layers.LayerNormalization(name=f"normalization_attention_{name}")(x)
    attention = keras.layers.MultiHeadAttention(heads, max(1, width // heads), kernel_regularizer=penalty_of(configuration), name=f"attention_{name}")
    x = keras.layers.Add(name=f"sum_attention_{name}")([x, _dropped(attention(normal, normal), configuration, f"attention_{name}")])
    normal = keras.layers.LayerNormalization(name=f"normalization_{name}")(x)
    # Twice the width within, of the usual four times: at these widths the attention needs no more.
    inner = keras.layers.Dense(units_before(activation, 2 * width), kernel_regularizer=penalty_of(configuration), name=f"hidden_{name}")
    block = activated(inner(normal), activation, normalized=False, name=name)
    block = keras.layers.Dense(width, kernel_regularizer=penalty_of(configuration), name=f"back_{name}")(block)
    return keras.layers.Add(name=f"sum_{name}")([x, _dropped(block, configuration, name)])


def _dropped(x: Any, configuration: Mapping[str, Any], name: str) -> Any:
    import keras

    return keras.layers.Dropout(configuration["dropout"], name=f"dropout_{name}")(x) if configuration["dropout"] else x


_LAYERS = {"gru": _recurrent, "lstm": _recurrent, "convolution": _convolution, "transformer": _transformer}
