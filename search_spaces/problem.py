"""What a builder is told of the data that its network is for."""

from dataclasses import dataclass
from typing import Any

from search_spaces.errors import SearchSpaceError, nearest

# What Tuner knows how to judge. `custom`: the builder compiles its model, and what goes in and comes out is between it and its data.
TASKS = ("classification", "multilabel", "regression", "custom")


@dataclass(frozen=True)
class ArraySpec:
    """One array of a structure of inputs or targets.

    Attributes:
        shape: of one example, without the batch axis.
        dtype: Keras's name for what a network gets of it: `float32`, `int32`, `string`, ...
        names: where its numbers are names, for an Embedding: how many there are, from 0 on; 0: they are none, or nobody knows.
    """

    shape: tuple[int, ...]
    dtype: str = "float32"
    names: int = 0


@dataclass(frozen=True)
class Problem:
    """What a network must fit.

    Attributes:
        task: one of `TASKS`.
        input_shape: the shape of one example, without a batch axis: `(784,)`, `(28, 28)` or `(32, 32, 3)`. Of several inputs a structure of shapes, as
            Keras has it: `{"age": (1,), "words": (20,)}`.
        outputs: how many classes, labels or targets; of several targets a structure of these numbers; 0 without targets.
        steps_per_epoch: batches in an epoch.
        epochs: the horizon of learning-rate schedules.
        center, spread: the mean and the standard deviation of each target; empty: 0 and 1.
        inputs: what goes in: an `ArraySpec`, or a tuple, list or dict of them; None: one array of float32 of `input_shape`.
        targets: what is to be predicted, likewise; None: what `task` and `outputs` say.
        classes: the names of the classes or labels, in the order of their numbers.

    Raises:
        SearchSpaceError: an unknown task, or numbers that no problem has.
    """

    task: str
    input_shape: Any
    outputs: Any
    steps_per_epoch: int
    epochs: int
    center: tuple[float, ...] = ()
    spread: tuple[float, ...] = ()
    inputs: Any = None
    targets: Any = None
    classes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise SearchSpaceError(f"task: unknown {self.task!r}; {nearest(self.task, TASKS)}")
        sizes = {"steps_per_epoch": self.steps_per_epoch, "epochs": self.epochs}
        if self.simple:
            sizes |= {"outputs": self.outputs, **{f"input_shape[{axis}]": length for axis, length in enumerate(self.input_shape)}}
        for name, size in sizes.items():
            if size < 1:
                raise SearchSpaceError(f"{name}: got {size}; expected at least 1")
        if self.inputs is None:
            object.__setattr__(self, "inputs", ArraySpec(tuple(self.input_shape)))
        if self.targets is None and self.task != "custom":
            object.__setattr__(self, "targets", self._usual_targets())

    @property
    def simple(self) -> bool:
        """Whether one array goes in and one class, one set of labels or one row of numbers is to come out."""
        single = (self.inputs is None or isinstance(self.inputs, ArraySpec)) and (self.targets is None or isinstance(self.targets, ArraySpec))
        return single and self.task != "custom" and (self.targets is None or len(self.targets.shape) <= 1)

    @property
    def one_hot(self) -> bool:
        """Whether classes come as one column each (or as probabilities), not as numbers."""
        one = isinstance(self.targets, ArraySpec) and self.targets.shape[-1:] == (self.outputs,) and "float" in self.targets.dtype
        return self.task == "classification" and one

    def _usual_targets(self) -> ArraySpec:
        if self.task == "classification":
            return ArraySpec((), "int32")
        return ArraySpec((self.outputs,) if self.task == "multilabel" or self.outputs > 1 else ())


def check_simple(space: str, problem: Problem) -> None:
    """Refuse data that a built-in network is not made for.

    Args:
        space: the network's name, for the message.
        problem: what it would have to fit.

    Raises:
        SearchSpaceError: there are several inputs or targets, targets with axes of their own, or words.
    """
    if not isinstance(problem.inputs, ArraySpec):
        raise SearchSpaceError(f"{space}: got several inputs; expected one array in, and a class, labels or numbers out; name a builder of your own")
    check_targets(space, problem)
    if problem.inputs.dtype == "string":
        raise SearchSpaceError(f"{space}: got words; expected numbers; name a builder of your own that looks words up")


def check_targets(space: str, problem: Problem) -> None:
    """Refuse targets that a built-in network is not made for, whatever goes in.

    Args:
        space: the network's name, for the message.
        problem: what it would have to fit.

    Raises:
        SearchSpaceError: there are several targets, none, or some with axes of their own.
    """
    one = isinstance(problem.targets, ArraySpec) and len(problem.targets.shape) <= 1
    if problem.task == "custom" or not one:
        what = f"targets of the task {problem.task!r}, {_described(problem.targets)}"
        raise SearchSpaceError(f"{space}: got {what}; expected one array in, and a class, labels or numbers out; name a builder of your own")


def _described(targets: Any) -> str:
    return f"shape {targets.shape}" if isinstance(targets, ArraySpec) else "several of them" if targets is not None else "none of them"
