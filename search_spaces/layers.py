"""What the built-in networks share between their first and last layer: activations by name, weight penalties, the output layer.

Owns the table of activations and the hyperparameters of regularisation. Must not know how many layers a network has, nor how it is trained.
"""

from typing import TYPE_CHECKING, Any

from search_spaces.parameter import Condition, Parameter, choice, real

if TYPE_CHECKING:
    from collections.abc import Mapping

    import keras

    from search_spaces.problem import Problem

# Every activation that Keras 3.15 knows by name and that needs no argument; `threshold` has two without a default. A test holds the table against Keras.
ACTIVATIONS = (
    "celu",
    "elu",
    "exponential",
    "gelu",
    "glu",
    "hard_shrink",
    "hard_sigmoid",
    "hard_silu",
    "hard_swish",
    "hard_tanh",
    "leaky_relu",
    "linear",
    "log_sigmoid",
    "log_softmax",
    "mish",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "silu",
    "soft_shrink",
    "softmax",
    "softplus",
    "softsign",
    "sparse_plus",
    "sparse_sigmoid",
    "sparsemax",
    "squareplus",
    "swish",
    "tanh",
    "tanh_shrink",
)

# relu is fast and hard to beat, gelu and silu are its smooth kin and win now and then, tanh is what the notebooks set against relu. Saturating gates
# (sigmoid, softmax, ...) learn worse as hidden layers and would cost a sweep a share of its trials; a spec can name them.
USUAL_ACTIVATIONS = ("relu", "gelu", "silu", "tanh")


def _penalised_by(name: str) -> tuple[Condition, ...]:
    return (Condition("regularizer", (name, "l1_l2")),)


PENALTIES: dict[str, Parameter] = {
    # L1 makes weights sparse, which buys no accuracy in networks of this size: off unless a spec asks. "none" is a choice, because no log range reaches 0.
    "regularizer": choice("none", "l2", among=("none", "l1", "l2", "l1_l2"), default="none", help="the penalty on the kernels"),
    # L1 pulls at every weight alike, L2 by twice the weight: at weights near 0.05, a tenth of L2's range pulls as hard.
    "l1": real(1e-7, 1e-4, limits=(0.0, 10.0), default=1e-6, log=True, when=_penalised_by("l1"), help="the factor of the sum of absolute kernel weights"),
    # The notebooks' 1e-3 already costs accuracy on MNIST (their own comparison with dropout), and below 1e-6 the penalty is lost in the loss's noise.
    "l2": real(1e-6, 1e-3, limits=(0.0, 10.0), default=1e-5, log=True, when=_penalised_by("l2"), help="the factor of the sum of squared kernel weights"),
}


def penalty_of(configuration: "Mapping[str, Any]") -> "keras.regularizers.Regularizer | None":
    """Return the kernel regulariser of a configuration; None where it has none."""
    import keras

    if configuration["regularizer"] == "none":
        return None
    return keras.regularizers.L1L2(l1=configuration.get("l1", 0.0), l2=configuration.get("l2", 0.0))


def activated(x: Any, activation: str, *, normalized: bool, name: str) -> Any:
    """Return what leaves a layer of weights: normalised over the batch where asked for, then activated.

    Args:
        x: a `keras.KerasTensor`, with `units_before` units.
        activation: one of `ACTIVATIONS`.
        normalized: whether to normalise first.
        name: what the names of the layers end with.
    """
    import keras

    if normalized:
        x = normalization(f"normalization_{name}")(x)
    if activation == "glu":
        # Keras 3.15's Activation layer declares as many outputs as inputs, though glu halves them; the operation alone is right.
        return keras.ops.glu(x)
    return keras.layers.Activation(activation, name=f"activation_{name}")(x)


def normalization(name: str, *, scaled: bool = True) -> "keras.Layer":
    """Return a normalisation over the batch.

    Keras's own momentum, 0.99, needs some five hundred steps until the averages that a score is made with are those of the data: a small table is trained for
    fewer, and scores by chance. At 0.9 it takes fifty.

    Args:
        name: of the layer.
        scaled: whether it learns a factor and a shift for each unit.
    """
    import keras

    return keras.layers.BatchNormalization(momentum=0.9, center=scaled, scale=scaled, name=name)


def units_before(activation: str, units: int) -> int:
    """Return how many units an activation needs to give out `units`: glu gates one half of what it gets with the other.

    Args:
        activation: by its name.
        units: that come out of it, at least 1.
    """
    return 2 * units if activation == "glu" else units


def output_layer(problem: "Problem") -> "keras.Layer":
    """Return the last layer: softmax over classes, a sigmoid per label, a linear unit per target; always float32, whatever the precision of the others."""
    import keras

    activation = {"classification": "softmax", "multilabel": "sigmoid"}.get(problem.task, "linear")
    return keras.layers.Dense(problem.outputs, activation=activation, dtype="float32", name="output")
