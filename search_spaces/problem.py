"""What a builder is told of the data that its network is for."""

from dataclasses import dataclass

from search_spaces.errors import SearchSpaceError, nearest

TASKS = {"classification": ("sparse_categorical_crossentropy", "accuracy"), "regression": ("mean_squared_error", "mae")}


@dataclass(frozen=True)
class Problem:
    """What a network must fit.

    Attributes:
        task: `classification` or `regression`.
        input_shape: the shape of one example, without a batch axis: `(784,)`, `(28, 28)` or `(32, 32, 3)`.
        outputs: how many classes, or how many targets.
        steps_per_epoch: batches in an epoch.
        epochs: the horizon of learning-rate schedules.
        center, spread: the mean and the standard deviation of each target; empty: 0 and 1.

    Raises:
        SearchSpaceError: an unknown task, or numbers that no problem has.
    """

    task: str
    input_shape: tuple[int, ...]
    outputs: int
    steps_per_epoch: int
    epochs: int
    center: tuple[float, ...] = ()
    spread: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise SearchSpaceError(f"task: unknown {self.task!r}; {nearest(self.task, TASKS)}")
        sizes = {"outputs": self.outputs, "steps_per_epoch": self.steps_per_epoch, "epochs": self.epochs}
        for name, size in {**sizes, **{f"input_shape[{axis}]": length for axis, length in enumerate(self.input_shape)}}.items():
            if size < 1:
                raise SearchSpaceError(f"{name}: got {size}; expected at least 1")
