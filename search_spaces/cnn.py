"""The small convolutional network: its hyperparameters and the network that they describe, on one page.

The default ranges are meant for small images (8 to 64 pixels a side) and a dozen epochs; a spec may move them as far as their limits. Must not know how the
network is trained: that part of the space comes from `optimizers`.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from search_spaces.errors import SearchSpaceError
from search_spaces.layers import ACTIVATIONS, PENALTIES, USUAL_ACTIVATIONS, activated, output_layer, penalty_of, units_before
from search_spaces.optimizers import TRAINING
from search_spaces.parameter import Condition, choice, integer, real
from search_spaces.problem import check_simple
from search_spaces.space import SearchSpace

if TYPE_CHECKING:
    import keras

    from search_spaces.problem import Problem

CNN = SearchSpace(
    name="cnn",
    builder="search_spaces.cnn:build_model",
    parameters={
        # Each block halves the image: after three, 28 pixels are 4, and a convolution has nothing left to see.
        "blocks": integer(1, 3, limits=(1, 8), default=2, help="blocks of convolution, normalisation, activation and pooling"),
        # A second convolution sees further before the image shrinks, at twice the time; more belong to images larger than these.
        "convolutions": integer(1, 2, limits=(1, 4), default=1, help="convolutions of each block, one after the other"),
        # Off unless a spec asks: only who knows the images can say what leaves their class as it is. A digit that is flipped is another, or none.
        "augmentation": choice("none", among=("none", "shift", "flip", "shift_and_flip"), help="how images are changed at random while they are trained on"),
        # A tenth is three pixels of 28: what a hand or a camera does by chance.
        "augmentation_shift": real(
            0.1,
            0.1,
            limits=(0.0, 0.5),
            when=(Condition("augmentation", ("shift", "shift_and_flip")),),
            help="the largest shift, as a share of each side",
        ),
        # The first block looks for edges and strokes: 8 kinds are few, beyond 64 an epoch on a CPU takes minutes.
        "filters": integer(8, 64, log=True, limits=(1, 4096), default=32, help="filters of the first block"),
        # A pooled image has a quarter of the pixels: twice the filters let the work of a block halve and not vanish, as in the notebooks' 10 and 20.
        "filters_growth": integer(2, 2, limits=(1, 8), help="how many times more filters each block has than the one before"),
        # 3 is the modern habit, 5 the notebooks'; even sizes shift the image by half a pixel.
        "kernel_size": choice(3, 5, among=(1, 2, 3, 4, 5, 6, 7, 9, 11), default=3, help="pixels a side of a filter"),
        # With "same" every image size fits every depth; "valid" is what the notebooks used.
        "padding": choice("same", among=("same", "valid"), help="whether the image keeps its size in a convolution (same) or loses its rim (valid)"),
        # It lets deep networks learn; at two or three blocks it is as good as none. Source: He et al. 2016.
        "residual_connections": choice(
            False, True, default=False, when=(Condition("padding", ("same",)),), help="whether each block's convolutions add to what it gets"
        ),
        # The strongest answer is what counts for strokes; an average blurs.
        "pooling": choice("max", among=("max", "average", "none"), help="how each block shrinks the image"),
        "pool_size": integer(2, 2, limits=(2, 8), when=(Condition("pooling", ("max", "average")),), help="how many times smaller pooling makes each side"),
        "activation": choice(*USUAL_ACTIVATIONS, among=ACTIVATIONS, default="relu", help="activation of all hidden layers"),
        # It lets higher learning rates work, which counts when epochs are few.
        "batch_normalization": choice(True, False, default=True, help="whether each hidden layer is normalised over the batch, before its activation"),
        # Filters share their weights over the image and overfit less than dense layers; the notebooks' 0.5 is the upper end.
        "dropout_convolution": real(0.0, 0.5, limits=(0.0, 0.95), default=0.1, help="share of pixels dropped after the last convolution, before its pooling"),
        # One dense layer of about the size of the notebooks' 320; it holds most of the parameters, so the lower end makes small networks.
        "width": integer(32, 512, log=True, limits=(1, 65536), default=128, help="units of the dense layer between the convolutions and the output"),
        # 0.5 is where dropout adds the most noise.
        "dropout": real(0.0, 0.5, limits=(0.0, 0.95), default=0.3, help="share of units dropped after the dense layer"),
        **PENALTIES,
        **TRAINING,
    },
)


def build_model(configuration: Mapping[str, Any], problem: "Problem") -> "keras.Model":
    """Return the uncompiled network of a configuration of `CNN`.

    Args:
        configuration: hyperparameter -> value, active ones only.
        problem: what the network is for.

    Raises:
        SearchSpaceError: the examples are no images, or too small for so many blocks.
    """
    import keras

    check_simple("cnn", problem)
    if len(problem.input_shape) not in (2, 3):
        raise SearchSpaceError(f"cnn: got examples of shape {problem.input_shape}; expected images, (height, width) or (height, width, channels)")
    activation, normalized, padding, blocks = (configuration[name] for name in ("activation", "batch_normalization", "padding", "blocks"))
    inputs = x = keras.Input(problem.input_shape, name="input")
    if len(problem.input_shape) == 2:
        x = keras.layers.Reshape((*problem.input_shape, 1), name="channel")(x)
    # Older records have none of these three.
    x = _augmented(x, configuration.get("augmentation", "none"), configuration.get("augmentation_shift", 0.0))
    convolutions, residual = configuration.get("convolutions", 1), configuration.get("residual_connections", False)
    for block in range(1, blocks + 1):
        needed = convolutions * (configuration["kernel_size"] - 1) + configuration.get("pool_size", 1)
        if padding == "valid" and min(x.shape[1:3]) < needed:
            raise SearchSpaceError(
                f"cnn: block {block} gets images of {x.shape[1]} x {x.shape[2]} and needs {needed} x {needed}; use fewer blocks or padding = 'same'"
            )
        filters = units_before(activation, configuration["filters"] * configuration["filters_growth"] ** (block - 1))
        given = x
        for number in range(1, convolutions + 1):
            name = str(block) if number == 1 else f"{block}_{number}"
            # The normalisation has a shift of its own, which would make a bias idle.
            convolution = keras.layers.Conv2D(
                filters,
                configuration["kernel_size"],
                padding=padding,
                use_bias=not normalized,
                kernel_regularizer=penalty_of(configuration),
                name=f"convolution_{name}",
            )
            x = activated(convolution(x), activation, normalized=normalized, name=name)
        if residual:
            if given.shape[-1] != x.shape[-1]:
                given = keras.layers.Conv2D(x.shape[-1], 1, use_bias=False, kernel_regularizer=penalty_of(configuration), name=f"projection_{block}")(given)
            x = keras.layers.Add(name=f"sum_{block}")([given, x])
        if block == blocks and configuration["dropout_convolution"]:
            x = keras.layers.Dropout(configuration["dropout_convolution"], name="dropout_convolution")(x)
        if configuration["pooling"] != "none":
            pooling = keras.layers.MaxPooling2D if configuration["pooling"] == "max" else keras.layers.AveragePooling2D
            x = pooling(configuration["pool_size"], padding=padding, name=f"pooling_{block}")(x)
    x = keras.layers.Flatten(name="flatten")(x)
    width = units_before(activation, configuration["width"])
    dense = keras.layers.Dense(width, use_bias=not normalized, kernel_regularizer=penalty_of(configuration), name="dense")
    x = activated(dense(x), activation, normalized=normalized, name="dense")
    if configuration["dropout"]:
        x = keras.layers.Dropout(configuration["dropout"], name="dropout")(x)
    return keras.Model(inputs, output_layer(problem)(x), name="cnn")


def _augmented(x: Any, augmentation: str, shift: float) -> Any:
    """Return images as training sees them; what is scored stays as it is."""
    import keras

    if "flip" in augmentation:
        x = keras.layers.RandomFlip("horizontal", name="flip")(x)
    if "shift" in augmentation and shift:
        x = keras.layers.RandomTranslation(shift, shift, fill_mode="nearest", name="shift")(x)
    return x
