"""Two outputs with weighted losses: which digit it is, and how much ink it took."""

import keras
from sklearn.datasets import load_digits


def load():
    images, digits = load_digits(return_X_y=True)
    ink = images.mean(axis=1) / 16
    parts = {"train": slice(800), "validation": slice(800, 1100), "test": slice(1100, 1500)}
    return {name: {"x": (images[part] / 16).astype("float32"), "y": {"digit": digits[part], "ink": ink[part]}} for name, part in parts.items()}


def build(configuration, problem):
    inputs = keras.Input(problem.input_shape)
    x = keras.layers.Dense(configuration["units"], activation="relu")(inputs)
    outputs = {"digit": keras.layers.Dense(10, activation="softmax", name="digit")(x), "ink": keras.layers.Dense(1, name="ink")(x)}
    model = keras.Model(inputs, outputs)
    model.compile(
        keras.optimizers.Adam(configuration["learning_rate"]),
        loss={"digit": "sparse_categorical_crossentropy", "ink": "mse"},
        loss_weights={"digit": 1.0, "ink": 10.0},
        metrics={"digit": ["accuracy"], "ink": ["mae"]},
    )
    return model
