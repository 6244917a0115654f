"""Callbacks of the user's own, beside Tuner's epochs: what happens once an epoch is called here, and what happens at every batch makes Keras's `fit` train.

Runs in a trial's process.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from search_spaces import network
from search_spaces.errors import SearchSpaceError
from tuner.training.config import TrainingConfig
from tuner.training.epoch import Epoch
from tuner.training.own_fit import by_name

_OF_BATCHES = (
    "on_batch_begin", "on_batch_end", "on_train_batch_begin", "on_train_batch_end", "on_test_begin", "on_test_end", "on_test_batch_begin",
    "on_test_batch_end", "on_predict_begin", "on_predict_end", "on_predict_batch_begin", "on_predict_batch_end",
)  # fmt: skip


class Callbacks:
    """Some callbacks over a training that is run epoch by epoch.

    Attributes:
        busy: which of them listen to batches, by their classes' names.
    """

    def __init__(self, given: Any, name: str, model: Any, epochs: int) -> None:
        """Bind them to a model.

        Args:
            given: what the user's function returned.
            name: of it, for messages.
            model: compiled.
            epochs: of the training.

        Raises:
            SearchSpaceError: they are no callbacks.
        """
        import keras

        if not isinstance(given, Sequence) or not all(isinstance(each, keras.callbacks.Callback) for each in given):
            raise SearchSpaceError(f"{name}: returned {_described(given)}; expected a list of keras.callbacks.Callback")
        self._each, self._model, self._epochs, self._begun = list(given), model, epochs, False
        plain = keras.callbacks.Callback
        self.busy = [type(each).__name__ for each in given if any(getattr(type(each), verb) is not getattr(plain, verb) for verb in _OF_BATCHES)]

    def begin(self, epoch: int) -> None:
        """Let an epoch begin; the first one begins the training.

        Args:
            epoch: from 0, as Keras counts.
        """
        if not self._begun:
            self._begun = True
            self._model.stop_training = False
            for each in self._each:
                each.set_model(self._model)
                each.set_params({"epochs": self._epochs, "verbose": 0})
                each.on_train_begin({})
        for each in self._each:
            each.on_epoch_begin(epoch, {})

    def end(self, epoch: int, report: Mapping[str, float]) -> str:
        """Let an epoch end.

        Args:
            epoch: from 0.
            report: what it came to; callbacks cannot change it.

        Returns:
            The name of the callback that ends the training; empty where it goes on.
        """
        stopper = ""
        for each in self._each:
            each.on_epoch_end(epoch, dict(report))
            if self._model.stop_training and not stopper:
                stopper = type(each).__name__
        if stopper or epoch + 1 >= self._epochs:
            for each in self._each:
                each.on_train_end(dict(report))
        return stopper

    def for_fit(self) -> list[Any]:
        """Return what hands the events of batches on, for a `fit` of one epoch: its other events are none of the training's."""
        import keras

        every = self._each

        def passing(verb: str) -> Any:
            def call(self: Any, *arguments: Any, **named: Any) -> None:
                for each in every:
                    getattr(each, verb)(*arguments, **named)

            return call

        listening = type("Batches", (keras.callbacks.Callback,), {verb: passing(verb) for verb in _OF_BATCHES if not verb.startswith("on_batch")})
        return [listening()] if self.busy else []


def callbacks_over(runner: Epoch, config: TrainingConfig) -> Callbacks | None:
    """Return the user's callbacks over a network; where they listen to batches, `fit` trains it. None where the spec names none.

    Args:
        runner: of the network.
        config: what is trained.

    Raises:
        SearchSpaceError: there is no such function, or it makes no callbacks.
    """
    name = config.callbacks
    if name is None:
        return None
    made = by_name(network.resolved(name), name, {"model": runner.model, "configuration": dict(config.configuration), "epochs": config.epochs})
    callbacks = Callbacks(made, name, runner.model, config.epochs)
    if callbacks.busy:
        runner.leave_to_keras(f"{', '.join(callbacks.busy)} of {name} listens to batches", listeners=callbacks.for_fit())
    return callbacks


def _described(given: Any) -> str:
    if isinstance(given, list | tuple):
        return f"a list of {', '.join(sorted({type(each).__name__ for each in given}))}"
    return type(given).__name__
