"""The networks that the tutorial notebooks tuned by hand on MNIST, as configurations, each with the test accuracy that was published.

`BASELINES` and `GRID_SEARCH` are data: who trains them, and on what, is not known here. All took 60,000 training images, 784 inputs scaled to [0, 1]
(the convolutional one 28 x 28), softmax over 10 classes and cross-entropy. Where a notebook leaves an argument to Keras, its default stands here.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from search_spaces.cnn import CNN
from search_spaces.errors import SearchSpaceError
from search_spaces.mlp import MLP
from search_spaces.ranges import Value

_LANGUAGES = {space.name: space.widest() for space in (MLP, CNN)}


@dataclass(frozen=True)
class Baseline:
    """A network as it was trained in a notebook.

    Attributes:
        space: the built-in space that its configuration is written in.
        configuration: within the space's limits, though not always within its default ranges.
        epochs: how long it was trained.
        published: the test accuracies that were published for it, in [0, 1]; empty where none was.
        parameters: how many parameters the notebook printed; None where it printed none.
        note: what the scores leave out.

    Raises:
        SearchSpaceError: its configuration is none of its space.
    """

    space: str
    configuration: Mapping[str, Value]
    epochs: int
    published: tuple[float, ...] = ()
    parameters: int | None = None
    note: str = ""

    def __post_init__(self) -> None:
        if self.space not in _LANGUAGES:
            raise SearchSpaceError(f"space: unknown {self.space!r}; expected one of: {', '.join(_LANGUAGES)}")
        object.__setattr__(self, "configuration", _LANGUAGES[self.space].check(self.configuration))

    def best_published(self) -> float | None:
        """Return the best published test accuracy; None where none was published."""
        return max(self.published, default=None)


@dataclass(frozen=True)
class GridSearch:
    """A grid search as it was run in a notebook: one network under several optimizers, by cross-validation over the training images.

    Attributes:
        space: the built-in space.
        choices: what narrows it until the optimizer alone is open.
        epochs: how long each network was trained.
        folds: of the cross-validation.
        published: optimizer -> mean accuracy over the folds, in [0, 1].
    """

    space: str
    choices: Mapping[str, Value | list[Value]]
    epochs: int
    folds: int
    published: Mapping[str, float]


SGD: dict[str, Value] = {"optimizer": "sgd", "learning_rate": 0.01, "momentum": 0.0, "nesterov": False}
RMSPROP: dict[str, Value] = {"optimizer": "rmsprop", "learning_rate": 0.001, "rho": 0.9}
ADAM: dict[str, Value] = {"optimizer": "adam", "learning_rate": 0.001, "beta_1": 0.9, "beta_2": 0.999}
_PLAIN: dict[str, Value] = {"batch_normalization": False, "regularizer": "none", "schedule": "constant", "warmup": 0.0}


def _same(depth: int, width: int, activation: str, *, dropout: float = 0.0) -> dict[str, Value]:
    return {**_PLAIN, "depth": depth, "layers": "same", "width": width, "activation": activation, "dropout": dropout, "dropout_input": 0.0}


def _each(*layers: tuple[int, str, float], dropout_input: float = 0.0) -> dict[str, Value]:
    """Return the configuration of a network with its hidden layers given one by one: width, activation, dropout after it."""
    configuration: dict[str, Value] = {**_PLAIN, "depth": len(layers), "layers": "each", "dropout_input": dropout_input}
    for number, (width, activation, dropout) in enumerate(layers, 1):
        configuration |= {f"width_{number}": width, f"activation_{number}": activation, f"dropout_{number}": dropout}
    return configuration


def _big_deep(*, dropout_input: float, dropout_wide: float, dropout_narrow: float) -> dict[str, Value]:
    wide, narrow = (200, "relu", 0.0), (100, "relu", 0.0)
    wide_end, narrow_end = (200, "relu", dropout_narrow), (100, "relu", dropout_narrow)
    return _each((1000, "relu", dropout_wide), wide, wide, wide_end, narrow, narrow, narrow_end, (50, "sigmoid", 0.0), dropout_input=dropout_input)


BASELINES: dict[str, Baseline] = {
    "dense-512": Baseline(
        "mlp",
        {**_same(1, 512, "relu"), **RMSPROP, "batch_size": 128},
        epochs=5,
        published=(0.9810, 0.9789),
        parameters=407_050,
        note="the second score is that of another notebook",
    ),
    "dense-300-200": Baseline("mlp", {**_each((300, "relu", 0.0), (200, "relu", 0.0)), **RMSPROP, "batch_size": 128}, epochs=5, parameters=297_710),
    "dense-500-300-200": Baseline(
        "mlp", {**_each((500, "relu", 0.0), (300, "relu", 0.0), (200, "relu", 0.0)), **RMSPROP, "batch_size": 128}, epochs=5, parameters=605_010
    ),
    "mlp-256-dropout": Baseline(
        "mlp",
        {**_same(2, 256, "relu", dropout=0.45), **ADAM, "batch_size": 128},
        epochs=20,
        published=(0.982, 0.983),
        parameters=269_322,
        note="published as a range",
    ),
    "mlp-256-l2": Baseline(
        "mlp",
        {**_same(2, 256, "relu"), "regularizer": "l2", "l2": 0.001, **ADAM, "batch_size": 128},
        epochs=20,
        parameters=269_322,
        note="published as below mlp-256-dropout, without a number",
    ),
    "small-tanh": Baseline(
        "mlp",
        # Keras then had a `decay` argument: the learning rate over 1 + decay x steps so far, which is inverse-time decay.
        {**_same(1, 100, "tanh"), **SGD, "learning_rate": 0.001, "momentum": 0.9, "schedule": "inverse_time_decay", "decay": 1e-6, "batch_size": 100},
        epochs=10,
        published=(0.9214,),
        parameters=79_510,
    ),
    "deep-200x5": Baseline(
        "mlp",
        {**_each(*[(200, "relu", 0.0)] * 4, (200, "relu", 0.2), dropout_input=0.2), **ADAM, "batch_size": 100},
        epochs=10,
        published=(0.9813,),
    ),
    "tanh-500x3": Baseline("mlp", {**_same(3, 500, "tanh"), **ADAM, "batch_size": 100}, epochs=10, published=(0.9771,), parameters=898_510),
    "big-deep": Baseline(
        "mlp",
        {**_big_deep(dropout_input=0.2, dropout_wide=0.2, dropout_narrow=0.1), **ADAM, "batch_size": 100},
        epochs=10,
        published=(0.9828,),
    ),
    "big-deep-no-dropout": Baseline(
        "mlp",
        {**_big_deep(dropout_input=0.0, dropout_wide=0.0, dropout_narrow=0.0), **ADAM, "batch_size": 100},
        epochs=10,
        published=(0.9792,),
    ),
    "dense-400-100": Baseline(
        "mlp",
        {**_each((400, "relu", 0.0), (100, "relu", 0.5)), **ADAM, "batch_size": 64},
        epochs=10,
        published=(0.9816,),
    ),
    "cnn": Baseline(
        "cnn",
        {
            "blocks": 2,
            "filters": 10,
            "filters_growth": 2,
            "kernel_size": 5,
            "padding": "valid",
            "pooling": "max",
            "pool_size": 2,
            "convolutions": 1,
            "augmentation": "none",
            "activation": "relu",
            "dropout_convolution": 0.5,
            "width": 320,
            "dropout": 0.5,
            **_PLAIN,
            **ADAM,
            "batch_size": 64,
        },
        epochs=10,
        published=(0.9922,),
    ),
}

GRID_SEARCH = GridSearch(
    "mlp",
    {
        **_each((400, "relu", 0.0), (100, "relu", 0.5)),
        "batch_size": 64,
        "optimizer": ["sgd", "rmsprop", "adam", "adamax", "nadam"],
        # The defaults of the Keras of the time: Adamax and Nadam had twice today's.
        "learning_rate_sgd": 0.01,
        "learning_rate_adam": 0.001,
        "learning_rate_adamax": 0.002,
        "momentum": 0.0,
        "nesterov": False,
    },
    epochs=1,
    folds=4,
    published={"sgd": 0.8741, "rmsprop": 0.9539, "adam": 0.9550, "adamax": 0.9459, "nadam": 0.9570},
)
