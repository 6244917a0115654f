"""The multi-layer perceptron: its hyperparameters and the network that they describe, on one page.

The default ranges are meant for a few ten thousand examples of some hundred numbers each and a dozen or two epochs; a spec may move them as far as
their limits. Must not know how the network is trained: that part of the space comes from `optimizers`.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from search_spaces.layers import ACTIVATIONS, PENALTIES, USUAL_ACTIVATIONS, activated, output_layer, penalty_of, units_before
from search_spaces.optimizers import TRAINING
from search_spaces.parameter import Condition, Parameter, choice, integer, real
from search_spaces.problem import check_simple
from search_spaces.space import SearchSpace

if TYPE_CHECKING:
    import keras

    from search_spaces.problem import Problem

MAX_DEPTH = 10

_SAME = (Condition("layers", ("same",)),)


def _layer(number: int) -> dict[str, Parameter]:
    """Return the hyperparameters of one hidden layer, active where every layer has its own and the network is deep enough."""
    when = (Condition("layers", ("each",)), Condition("depth", at_least=number))
    return {
        # The same ranges as those of all layers together, below, for the same reasons.
        f"width_{number}": integer(64, 1024, log=True, limits=(1, 65536), default=256, when=when, help=f"units of hidden layer {number}"),
        f"activation_{number}": choice(*USUAL_ACTIVATIONS, among=ACTIVATIONS, default="relu", when=when, help=f"activation of hidden layer {number}"),
        f"dropout_{number}": real(0.0, 0.5, limits=(0.0, 0.95), default=0.2, when=when, help=f"share of units dropped after hidden layer {number}"),
    }


MLP = SearchSpace(
    name="mlp",
    builder="search_spaces.mlp:build_model",
    parameters={
        # One layer is already within a few tenths of a percent of the best on images of digits; beyond four, training gets harder and nothing is gained.
        "depth": integer(1, 4, limits=(1, MAX_DEPTH), default=2, help="hidden layers"),
        # One width, activation and dropout for all layers: 3 hyperparameters instead of up to 12, at hardly a loss. Source: Larochelle et al. 2009.
        "layers": choice("same", among=("same", "each"), help="whether all hidden layers are alike, or each has its own width, activation and dropout"),
        # From narrower than any good network for 784 inputs to where more units add seconds but no accuracy; log, as every doubling adds less.
        "width": integer(64, 1024, log=True, limits=(1, 65536), default=256, when=_SAME, help="units of each hidden layer"),
        "activation": choice(*USUAL_ACTIVATIONS, among=ACTIVATIONS, default="relu", when=_SAME, help="activation of the hidden layers"),
        # 0.5 is where dropout adds the most noise; more starves narrow layers.
        "dropout": real(0.0, 0.5, limits=(0.0, 0.95), default=0.2, when=_SAME, help="share of units dropped after each hidden layer"),
        **{name: parameter for number in range(1, MAX_DEPTH + 1) for name, parameter in _layer(number).items()},
        # Inputs are redundant in images but not in tables: half of the 0.2 that Srivastava et al. 2014 use on MNIST is the middle.
        "dropout_input": real(0.0, 0.2, limits=(0.0, 0.95), default=0.0, help="share of inputs dropped"),
        # It lets deep and saturating networks learn fast, and costs a third of an epoch: worth it or not, depending on the rest.
        "batch_normalization": choice(True, False, default=False, help="whether each hidden layer is normalised over the batch, before its activation"),
        **PENALTIES,
        **TRAINING,
    },
)


def build_model(configuration: Mapping[str, Any], problem: "Problem") -> "keras.Model":
    """Return the uncompiled network of a configuration of `MLP`.

    Args:
        configuration: hyperparameter -> value, active ones only.
        problem: what the network is for.
    """
    import keras

    check_simple("mlp", problem)
    inputs = x = keras.Input(problem.input_shape, name="input")
    if len(problem.input_shape) != 1:
        x = keras.layers.Flatten(name="flatten")(x)
    if configuration["dropout_input"]:
        x = keras.layers.Dropout(configuration["dropout_input"], name="dropout_input")(x)
    each, normalized = configuration["layers"] == "each", configuration["batch_normalization"]
    for number in range(1, configuration["depth"] + 1):
        width, activation, dropout = (configuration[f"{name}_{number}" if each else name] for name in ("width", "activation", "dropout"))
        # The normalisation has a shift of its own, which would make a bias idle.
        hidden = keras.layers.Dense(
            units_before(activation, width), use_bias=not normalized, kernel_regularizer=penalty_of(configuration), name=f"hidden_{number}"
        )
        x = activated(hidden(x), activation, normalized=normalized, name=str(number))
        if dropout:
            x = keras.layers.Dropout(dropout, name=f"dropout_{number}")(x)
    return keras.Model(inputs, output_layer(problem)(x), name="mlp")
