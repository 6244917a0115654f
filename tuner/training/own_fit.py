"""A training by the user's own `fit`: called once, in a thread that stands still between two epochs until the next one is wanted.

Whoever trains like that may freeze layers, compile anew, train in phases or write a loop: what is reported is what the callback hears that the function is
handed, and the scores are Tuner's own. Runs in a trial's process.
"""

import inspect
import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from search_spaces import network
from search_spaces.define_by_run import building
from search_spaces.errors import SearchSpaceError
from tuner.data.arrays.structure import Structure, map_leaves
from tuner.data.own.pipelines import Pipeline
from tuner.data.pool import Pool
from tuner.data.splits.drawing import Fold
from tuner.data.tables.stream import Stream
from tuner.training.config import TrainingConfig
from tuner.training.epoch import Epoch
from tuner.training.inputs import gather

# What the way of training is called in reports.
OWN = "own fit"

# What a float stands for that a HyperModel's `fit` returns: KerasTuner's own name for it, and less is better.
DEFAULT_OBJECTIVE = "default_objective"


@dataclass(frozen=True)
class FitData:
    """What a training may see.

    Attributes:
        x: training rows as the network takes them, `(rows, ...)`, scaled where the sweep scales; or the batches of a pipeline.
        y: their targets; None where there are none, or the batches hold them.
        w: their weights; None where there are none.
        validation: `(x, y)` or `(x, y, w)` of the validation rows, or their batches; None where there are none.
        batch_size: what the configuration says.
    """

    x: Structure
    y: Structure = None
    w: Structure = None
    validation: Any = None
    batch_size: int = 32


def own_training(model: Any, fit: str | None, *, epochs: int, configuration: Mapping[str, Any]) -> Callable[[FitData, Sequence[Any]], Any] | None:
    """Return what trains a model instead of Tuner's epochs: `training.fit` of the spec, or its HyperModel's own; None where there is neither.

    Args:
        model: built.
        fit: `module:function`; None: the spec names none.
        epochs: of a whole training.
        configuration: the hyperparameters.

    Raises:
        SearchSpaceError: there is no such function.
    """
    if fit is not None:
        function, name = network.resolved(fit), fit
        fixed = {"model": model, "epochs": epochs, "configuration": dict(configuration)}
        return lambda data, callbacks: by_name(function, name, {**fixed, "data": data, "batch_size": data.batch_size, "callbacks": callbacks})
    of_hypermodel = building.own_fit_of(model)
    if of_hypermodel is None:
        return None

    def train(data: FitData, callbacks: Sequence[Any]) -> Any:
        weights = {} if data.w is None else {"sample_weight": data.w}
        given = (data.x,) if data.y is None else (data.x, data.y)
        return of_hypermodel(model, *given, validation_data=data.validation, epochs=epochs, callbacks=list(callbacks), **weights)

    return train


class _Over(BaseException):
    """Unwinds the user's function where no further epoch is wanted; no `except Exception` of theirs catches it."""


class OwnFit:
    """One call of a user's function, epoch by epoch."""

    def __init__(self, train: Callable[[Sequence[Any]], Any], begin: Callable[[], None], check: Callable[[Mapping[str, float]], None]) -> None:
        """Prepare the call.

        Args:
            train: trains the model; is given the callbacks.
            begin: called first, in the thread that trains: Keras keeps its policy and its seed per thread.
            check: called with each report; raises where the training has done what cannot be.
        """
        self._train, self._begin, self._check = train, begin, check
        self._reports: queue.Queue[tuple[dict[str, float] | None, BaseException | None, bool]] = queue.Queue()
        self._wanted = threading.Semaphore(0)
        self._thread: threading.Thread | None = None
        self._last: dict[str, float] = {}
        self._closed = False

    def epoch(self) -> tuple[dict[str, float], bool]:
        """Let the function go on to the end of its next epoch.

        Returns:
            What it reports of that, and whether it has come to its end. A function that ends where an epoch was wanted repeats its last report: nothing was
            trained since.

        Raises:
            SearchSpaceError: it has come to its end without a report.
            BaseException: whatever the function raises.
        """
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="own fit", daemon=True)
            self._thread.start()
        else:
            self._wanted.release()
        report, error, ended = self._reports.get()
        if error is not None:
            raise error
        if report is None and not self._last:
            raise SearchSpaceError(
                "its fit returned without a word; expected it to hand `callbacks` to model.fit, or to call callbacks[0].report({...}) after each epoch"
            )
        self._last = self._last if report is None else report
        self._check(self._last)
        return dict(self._last), ended

    def close(self) -> None:
        """End the function where it stands."""
        self._closed = True
        if self._thread is not None:
            self._wanted.release()
            self._thread.join(10.0)

    def _run(self) -> None:
        try:
            self._begin()
            callback = _callback(self._hand_over)
            returned = self._train([callback])
            self._reports.put((callback.pending or (None if callback.heard else _figures(returned)), None, True))
        except _Over:
            return
        except BaseException as error:
            self._reports.put((None, error, True))

    def _hand_over(self, report: dict[str, float]) -> None:
        self._reports.put((report, None, False))
        self._wanted.acquire()
        if self._closed:
            raise _Over


def _callback(hand_over: Callable[[dict[str, float]], None]) -> Any:
    import keras

    class Progress(keras.callbacks.Callback):
        """Tells Tuner of each epoch: as a callback of `model.fit`, or by `report` in a loop of one's own."""

        def __init__(self) -> None:
            super().__init__()
            self.pending: dict[str, float] | None = None
            self.heard = False

        def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
            # Not at the epoch's end: other callbacks may have something to do there, and whether another epoch follows shows only now.
            if self.pending is not None:
                self.report(self.pending)

        def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
            self.pending, self.heard = numbers(logs or {}), True

        def report(self, logs: Mapping[str, Any]) -> None:
            """Say what an epoch came to; returns where the next one is wanted.

            Args:
                logs: name -> number.
            """
            self.pending, self.heard = None, True
            hand_over(numbers(logs))

        def __deepcopy__(self, memo: Any) -> Any:
            return self  # as KerasTuner's users copy callbacks, which all tell the same

    return Progress()


def numbers(logs: Mapping[str, Any]) -> dict[str, float]:
    """Return what of logs are single numbers, as floats.

    Args:
        logs: name -> number, array or tensor.
    """
    arrays = {name: np.asarray(value) for name, value in logs.items()}
    return {name: float(array.reshape(())) for name, array in arrays.items() if array.size == 1 and array.dtype.kind in "iufb"}


def _figures(returned: Any) -> dict[str, float] | None:
    """Return what a function returns that has reported nothing meanwhile: a number, a dictionary, a History, or a list of these."""
    if isinstance(returned, list | tuple) and returned:
        parts = [_figures(part) or {} for part in returned]
        return {name: float(np.mean([part[name] for part in parts])) for name in parts[0]}
    if isinstance(returned, Mapping):
        return numbers(returned)
    if hasattr(returned, "history"):
        return numbers({name: values[-1] for name, values in returned.history.items() if values})
    if isinstance(returned, int | float | np.number):
        return {DEFAULT_OBJECTIVE: float(returned)}
    return None


def by_name(function: Callable[..., Any], name: str, available: Mapping[str, Any]) -> Any:
    """Call a function with those of its parameters that there is something for.

    Args:
        function: the user's.
        name: of it, for messages.
        available: parameter -> what it is given.

    Raises:
        SearchSpaceError: it wants something else.
    """
    parameters = inspect.signature(function).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return function(**available)
    wanted = [parameter for parameter in parameters if parameter.kind is not parameter.VAR_POSITIONAL]
    for parameter in wanted:
        if parameter.name not in available and parameter.default is parameter.empty:
            raise SearchSpaceError(f"{name}: wants {parameter.name!r}; expected parameters among {', '.join(available)}")
    return function(**{parameter.name: available[parameter.name] for parameter in wanted if parameter.name in available})


def fit_of(config: TrainingConfig, runner: Epoch, fold: Fold, pools: tuple[Pool, Pool], *, seed: int, batches: Callable[..., Any]) -> OwnFit | None:
    """Return the user's way of training a network, ready to begin; None where epochs are Tuner's own, or nothing is to be trained.

    Args:
        config: what is trained.
        runner: of the network; it leaves training to the user from now on.
        fold: its rows.
        pools: of tensors: as rows count in training, and as they count otherwise.
        seed: of the network.
        batches: `(pipeline, name=split)` gives a pipeline's batches.

    Raises:
        SearchSpaceError: there is no such function, or it cannot have the rows that it wants.
    """
    import keras

    train = own_training(runner.model, config.fit, epochs=config.epochs, configuration=config.configuration)
    if train is None:
        return None
    runner.leave_to_keras(f"it is trained by {config.fit or 'the fit of its HyperModel'}", path=OWN)
    if fold.train is None:
        return None
    if isinstance(fold.train, Stream):
        raise SearchSpaceError("training.fit: rows are streamed (dataset.stream), and an own fit wants them in memory; expected one of the two")
    if isinstance(fold.train, Pipeline) and config.class_weight is not None:
        raise SearchSpaceError("training.class_weight: the batches of a pipeline go to an own fit as they are; expected weights in the batches, or none")

    def begin() -> None:
        keras.config.set_dtype_policy(config.precision)
        keras.utils.set_random_seed(seed)

    def given(rows: Any, name: str, pool: Pool) -> tuple[Any, Any, Any]:
        if isinstance(rows, Pipeline):
            return batches(rows, name=name), None, None
        y, w = (None if part is None else map_leaves(np.asarray, gather(part, rows)) for part in (pool.y, pool.w))
        return runner.inputs(pool.x, rows), y, w

    def data() -> FitData:
        x, y, w = given(fold.train, "train", pools[0])
        validation: Any = None
        if fold.validation is not None:
            ours, theirs, weights = given(fold.validation, "validation", pools[1])
            validation = ours if theirs is None else (ours, theirs) if weights is None else (ours, theirs, weights)
        return FitData(x, y, w, validation, runner.batch_size)

    before = _words_of(runner.model)

    def checked(logs: Mapping[str, float]) -> None:
        changed = [name for name, words in _words_of(runner.model).items() if words != before.get(name)]
        if changed:
            raise SearchSpaceError(
                f"{config.fit or 'fit'}: adapts {', '.join(changed)}, whose words no checkpoint holds; expected the builder to adapt it (Normalization may be)"
            )

    return OwnFit(lambda callbacks: train(data(), callbacks), begin, checked)


def _words_of(model: Any) -> dict[str, Any]:
    """Return what layers have looked up in data and keep outside their variables: vocabularies and boundaries, by the layers' names."""
    words: dict[str, Any] = {}
    for layer in model._flatten_layers():
        if hasattr(layer, "get_vocabulary"):
            words[layer.name] = list(layer.get_vocabulary())
        elif hasattr(layer, "bin_boundaries"):
            words[layer.name] = list(layer.bin_boundaries or ())
    return words
