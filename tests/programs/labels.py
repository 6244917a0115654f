"""Several labels for each row: one sigmoid unit each, compiled by the task."""

import keras
from sklearn.datasets import make_multilabel_classification


def load():
    x, y = make_multilabel_classification(600, 12, n_classes=4, random_state=2)
    return {"train": (x[:400], y[:400]), "validation": (x[400:500], y[400:500]), "test": (x[500:], y[500:])}


def build(configuration, problem):
    inputs = keras.Input(problem.input_shape)
    x = keras.layers.Dense(configuration["units"], activation="relu")(inputs)
    return keras.Model(inputs, keras.layers.Dense(problem.outputs, activation="sigmoid")(x))
