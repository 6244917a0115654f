"""Builders for the tests of training and of its process: small networks, and some that go wrong."""

import os
import signal
import time
from typing import Any


def network(configuration: dict[str, Any], problem: Any) -> Any:
    """Two hidden layers with whatever the configuration asks for; compiled where it names an optimizer."""
    import keras

    penalty = keras.regularizers.L2(configuration["l2"]) if "l2" in configuration else None
    layers = [keras.Input(problem.input_shape)]
    if configuration.get("convolved"):
        images = keras.layers.Reshape((*problem.input_shape, 1))
        layers += [images, keras.layers.Conv2D(4, 3, padding="same", use_bias=False), keras.layers.BatchNormalization(), keras.layers.ReLU()]
    layers.append(keras.layers.Flatten())
    for _ in range(2):
        layers.append(keras.layers.Dense(8, activation="relu", kernel_regularizer=penalty, use_bias=not configuration.get("normalized")))
        if configuration.get("normalized"):
            layers.append(keras.layers.BatchNormalization())
        if configuration.get("dropped"):
            layers.append(keras.layers.Dropout(configuration["dropped"]))
    classes = problem.task == "classification"
    model = keras.Sequential([*layers, keras.layers.Dense(problem.outputs, activation="softmax" if classes else None, dtype="float32")])
    if "optimizer" in configuration:
        rate = configuration.get("rate", 0.01)
        if configuration.get("decays"):
            rate = keras.optimizers.schedules.CosineDecay(rate, 20)
        optimizer = keras.optimizers.get({"class_name": configuration["optimizer"], "config": {"learning_rate": rate, **configuration.get("arguments", {})}})
        loss, metrics = ("sparse_categorical_crossentropy", ["accuracy"]) if classes else ("mse", ["mae"])
        model.compile(optimizer, loss, metrics=metrics, **configuration.get("compile", {}))
    return model


def own_step(configuration: dict[str, Any], problem: Any) -> Any:
    """A model with a train_step of its own."""
    import keras

    class Own(keras.Sequential):
        def train_step(self, data: Any) -> Any:
            return super().train_step(data)

    model = Own(network({}, problem).layers)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def own_loop(configuration: dict[str, Any], problem: Any) -> Any:
    """A model with a fit of its own."""
    import keras

    class Own(keras.Sequential):
        def fit(self, *given: Any, **named: Any) -> Any:
            return super().fit(*given, **named)

    model = Own(network({}, problem).layers)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def subclassed(configuration: dict[str, Any], problem: Any) -> Any:
    """A model of a class of its own, not compiled."""
    import keras

    class Own(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.dense = keras.layers.Dense(problem.outputs)

        def call(self, x: Any) -> Any:
            return self.dense(x)

    return Own()


def huge_steps(configuration: dict[str, Any], problem: Any) -> Any:
    """A network whose loss is soon no number."""
    return network({"optimizer": "SGD", "rate": 1e30}, problem)


def faulty(configuration: dict[str, Any], problem: Any) -> Any:
    """A builder with a bug."""
    return _looked_up(configuration)


def _looked_up(configuration: dict[str, Any]) -> Any:
    return {}["units"]


def killed(configuration: dict[str, Any], problem: Any) -> Any:
    """A builder that ends its process by a signal."""
    os.write(2, b"last words\n")
    os.kill(os.getpid(), getattr(signal, configuration["signal"]))


def asleep(configuration: dict[str, Any], problem: Any) -> Any:
    """A builder that does not come back."""
    time.sleep(600)


def greedy(configuration: dict[str, Any], problem: Any) -> Any:
    """A network whose first layer has no room in a small memory."""
    import keras

    return keras.Sequential([keras.Input(problem.input_shape), keras.layers.Flatten(), keras.layers.Dense(60_000_000), keras.layers.Dense(problem.outputs)])


def talkative(configuration: dict[str, Any], problem: Any) -> Any:
    """A builder that prints and warns."""
    import warnings

    print("hello from the builder")
    warnings.warn("this builder is old", stacklevel=1)
    return network({}, problem)


def surroundings(configuration: dict[str, Any], problem: Any) -> Any:
    """A builder that refuses to work, saying what its process looks like."""
    import sys

    import tensorflow as tf

    threads = tf.config.threading.get_intra_op_parallelism_threads()
    main = getattr(sys.modules["__main__"], "__file__", None)
    raise ValueError(f"threads {threads} gpus {os.environ['CUDA_VISIBLE_DEVICES']} main {main} interrupt {signal.getsignal(signal.SIGINT)!r}")


def last_in_eager_mode(configuration: dict[str, Any], problem: Any) -> Any:
    """A network that `fit` must train step by step."""
    return network({"optimizer": "SGD", "compile": {"run_eagerly": True}}, problem)
