"""Networks that the benchmarks train."""

from typing import Any


def dense(configuration: dict[str, Any], problem: Any) -> Any:
    """Dense layers of the configuration's `widths`, with batch normalisation and dropout where it says `normalized`; compiled with its `optimizer`."""
    import keras

    layers = [keras.Input(problem.input_shape)]
    for width in configuration["widths"]:
        layers.append(keras.layers.Dense(width, activation="relu", use_bias=not configuration.get("normalized")))
        if configuration.get("normalized"):
            layers += [keras.layers.BatchNormalization(), keras.layers.Dropout(0.2)]
    return _compiled(keras.Sequential([*layers, keras.layers.Dense(problem.outputs, activation="softmax", dtype="float32")]), configuration)


def convolutional(configuration: dict[str, Any], problem: Any) -> Any:
    """The notebooks' small convolutional network, on flat rows of 784."""
    import keras
    from keras.layers import Conv2D, Dense, Dropout, Flatten, MaxPooling2D, Reshape

    first = [keras.Input(problem.input_shape), Reshape((28, 28, 1)), Conv2D(10, 5, activation="relu"), MaxPooling2D(), Conv2D(20, 5, activation="relu")]
    last = [Dropout(0.5), MaxPooling2D(), Flatten(), Dense(320, "relu"), Dropout(0.5), Dense(problem.outputs, "softmax")]
    return _compiled(keras.Sequential([*first, *last]), configuration)


def _compiled(model: Any, configuration: dict[str, Any]) -> Any:
    model.compile(configuration.get("optimizer", "adam"), "sparse_categorical_crossentropy", metrics=["accuracy"], jit_compile=False)
    return model
