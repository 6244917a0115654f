"""What to train: all that a training's process is given, in JSON."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from tuner.training.class_weight import ClassWeight
from tuner.training.patience import Patience

PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
# What of a recipe are tuples, and lists in JSON.
_LISTS = ("search_path", "center", "spread", "classes", "names")


@dataclass(frozen=True)
class TrainingConfig:
    """What to train; nothing in it but JSON.

    Attributes:
        builder: `module:function` that makes the network.
        configuration: the hyperparameters.
        task: `classification` or `regression`.
        outputs: classes, or targets.
        epochs: the epochs that learning-rate schedules are stretched over.
        seed: everything random follows from it, from 0 to 2**32 - 1.
        deterministic: whether TensorFlow must repeat itself bit by bit (6 to 10 % slower).
        precision: a Keras dtype policy, one of `PRECISIONS`.
        search_path: folders where the builder's module is looked for.
        center, spread: for regression the mean and the standard deviation of each target, see `search_spaces.problem.Problem`.
        classes: the names of classes or labels, in the order of their numbers.
        targets: what is predicted, as `described` tells it, for where no targets are at hand; None: what task and outputs say.
        names: of each input, how many names its numbers are, see `search_spaces.problem.ArraySpec`; empty: nobody has looked.
        loss, metrics: by name, for builders that do not compile their models; None: those of the task.
        class_weight: see `class_weight.by_number`.
        patience: after which a training ends before its last epoch; None: it does not.
        fit: `module:function` that trains instead, see own_fit.py; None: epochs are Tuner's own.
        callbacks: `module:function` that makes callbacks, see callbacks.py; None: there are none.

    Raises:
        ValueError: an unknown precision, less than one epoch, or a seed out of range.
    """

    builder: str
    configuration: dict[str, Any]
    task: str
    outputs: int
    epochs: int
    seed: int
    deterministic: bool = False
    precision: str = "float32"
    search_path: tuple[str, ...] = ()
    center: tuple[float, ...] = ()
    spread: tuple[float, ...] = ()
    classes: tuple[str, ...] = ()
    targets: Any = None
    names: tuple[int, ...] = ()
    loss: str | None = None
    metrics: tuple[str, ...] | None = None
    class_weight: ClassWeight = None
    patience: Patience | None = None
    fit: str | None = None
    callbacks: str | None = None

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision: got {self.precision!r}; expected one of {', '.join(PRECISIONS)}")
        if self.epochs < 1 or not 0 <= self.seed < 2**32:
            raise ValueError(f"recipe: got epochs {self.epochs} and seed {self.seed}; expected at least 1 epoch and a seed from 0 to 2**32 - 1")

    def of(self, configuration: Mapping[str, Any], seed: int) -> "TrainingConfig":
        """Return the same recipe for another configuration and seed.

        Args:
            configuration: the hyperparameters.
            seed: from 0 to 2**32 - 1.
        """
        return replace(self, configuration=dict(configuration), seed=seed)

    def to_json(self) -> dict[str, Any]:
        """Return the recipe as JSON."""
        return {**asdict(self), **{name: list(getattr(self, name)) for name in _LISTS}}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "TrainingConfig":
        """Return the recipe that `to_json` wrote, now or in an earlier version."""
        lists = {name: tuple(value[name]) for name in (*_LISTS, "metrics", "class_weight") if isinstance(value.get(name), list | tuple)}
        patience = Patience(**value["patience"]) if value.get("patience") else None
        return cls(**{**value, **lists, "patience": patience})
