"""What a network is judged with: its averaged weights where its optimizer keeps an average, and a loss without penalties on weights.

Both hold for scores alone: what is trained keeps its weights and its penalties. Runs in a trial's process.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def without_penalties(model: Any) -> Iterator[None]:
    """Let a model's loss be that of its answers alone, while it is traced or run: no regulariser of weights or of what layers give out counts.

    Two networks are compared by what they answer; a penalty is a means to that, and differs from trial to trial. What a layer adds by `add_loss` counts.

    Args:
        model: a Keras model; it is as before afterwards.
    """
    import keras

    # Zeros rather than nothing: a step of one's own may add up a list that must not be empty.
    weights = [(weight, weight.regularizer) for weight in model.variables if weight.regularizer is not None]
    layers = [(layer, layer.activity_regularizer) for layer in model._flatten_layers() if layer.activity_regularizer is not None]
    try:
        for weight, _ in weights:
            weight.regularizer = lambda value: keras.ops.zeros(())
        for layer, _ in layers:
            object.__setattr__(layer, "activity_regularizer", None)  # not setattr: a layer that is built refuses changes
        yield
    finally:
        for weight, regularizer in weights:
            weight.regularizer = regularizer
        for layer, regularizer in layers:
            object.__setattr__(layer, "activity_regularizer", regularizer)


@contextmanager
def metrics_kept(model: Any) -> Iterator[None]:
    """Leave a model's metrics as they are: it is scored in the middle of a training that counts on."""
    values = {id(metric): [variable.numpy() for variable in metric.variables] for metric in model.metrics}
    try:
        yield
    finally:
        for metric in model.metrics:
            before = values.get(id(metric), [])
            if len(before) != len(metric.variables):  # it was made meanwhile
                metric.reset_state()
                continue
            for variable, value in zip(metric.variables, before, strict=True):
                variable.assign(value)


@contextmanager
def averaged(model: Any) -> Iterator[None]:
    """Give a model the averages of its weights (`use_ema`) for a while; what training goes on from are its own."""
    pairs = _averages(model)
    own = [variable.numpy() for variable, _ in pairs]
    try:
        for variable, average in pairs:
            variable.assign(average)
        yield
    finally:
        for (variable, _), value in zip(pairs, own, strict=True):
            variable.assign(value)


@contextmanager
def not_finished(model: Any) -> Iterator[None]:
    """Let `fit` return without its last act of a training, which is to replace weights by their averages: here an epoch is not a training."""
    optimizer = model.optimizer
    if optimizer is None:
        yield
        return
    object.__setattr__(optimizer, "finalize_variable_values", lambda weights: None)
    try:
        yield
    finally:
        object.__delattr__(optimizer, "finalize_variable_values")


def averages_of(optimizer: Any) -> list[Any]:
    """Return the averages of weights that a built optimizer keeps (`use_ema`), one for each that it trains."""
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    return list(inner._model_variables_moving_average) if inner is not None and inner.use_ema and inner.built else []


def _averages(model: Any) -> list[tuple[Any, Any]]:
    """Return each trained variable with its average; none before the first step."""
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    if optimizer is None or not optimizer.use_ema or not optimizer.built or not int(optimizer.iterations):
        return []
    return list(zip(optimizer._trainable_variables, optimizer._model_variables_moving_average, strict=True))
