"""Ways of training of a user's own, for the tests of them."""

from typing import Any


def phases(model: Any, data: Any, epochs: int, callbacks: list[Any]) -> None:
    """Train the last layer alone for two epochs, then all."""
    import keras

    for trainable, count in ((False, 2), (True, epochs - 2)):
        for layer in model.layers[:-1]:
            layer.trainable = trainable
        model.compile(keras.optimizers.SGD(0.05), "sparse_categorical_crossentropy", metrics=["accuracy"])
        model.fit(data.x, data.y, batch_size=data.batch_size, epochs=count, validation_data=data.validation, callbacks=callbacks, verbose=0)


def normalizing(model: Any, data: Any, epochs: int, callbacks: list[Any]) -> None:
    """Adapt the first layer to the training rows, then train."""
    model.layers[0].adapt(data.x)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(data.x, data.y, epochs=epochs, callbacks=callbacks, verbose=0)


def normalized(configuration: dict[str, Any], problem: Any) -> Any:
    import keras

    return _ending(problem, keras.layers.Normalization(axis=None))


def binned(configuration: dict[str, Any], problem: Any) -> Any:
    import keras

    return _ending(problem, keras.layers.Discretization(num_bins=4, output_mode="int"), keras.layers.Rescaling(0.25))


def _ending(problem: Any, *layers: Any) -> Any:
    import keras

    model = keras.Sequential([keras.Input(problem.input_shape), *layers, keras.layers.Flatten(), keras.layers.Dense(3, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def loop(model: Any, data: Any, epochs: int, callbacks: list[Any], configuration: dict[str, Any]) -> None:
    """A loop of one's own, which ends after three epochs."""
    for _ in range(3):
        losses = [model.train_on_batch(data.x[at : at + 32], data.y[at : at + 32], return_dict=True)["loss"] for at in range(0, len(data.x), 32)]
        callbacks[0].report({"loss": sum(losses) / len(losses), "rows": len(data.x)})


def silent(model: Any, data: Any) -> None:
    """Says nothing."""


def demanding(model: Any, data: Any, budget: int) -> None:
    """Wants what nobody has."""


def failing(model: Any, data: Any, epochs: int, callbacks: list[Any]) -> None:
    model.fit(data.x, data.y, epochs=1, callbacks=callbacks, verbose=0)
    raise RuntimeError("the second phase is wrong")


def schedule(configuration: dict[str, Any]) -> list[Any]:
    """Two that look at whole epochs."""
    import keras

    return [keras.callbacks.LearningRateScheduler(lambda epoch: 0.1 / (epoch + 1)), keras.callbacks.EarlyStopping("val_loss", patience=1, min_delta=10.0)]


HEARD: list[str] = []


def of_batches() -> list[Any]:
    """One that hears of every batch."""
    import keras

    class Counting(keras.callbacks.Callback):
        def on_train_begin(self, logs: Any = None) -> None:
            HEARD.append("train")

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            HEARD.append(f"epoch {epoch}, {'val_loss' in logs}")

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            HEARD.append("batch")

    return [Counting()]


def no_callbacks() -> Any:
    return "EarlyStopping"
