"""A network that is pretrained, frozen, then unfrozen: its `fit` has two phases, and compiles anew between them."""

from functools import cache

import keras
from sklearn.datasets import load_digits


def load():
    images, digits = load_digits(return_X_y=True)
    later = digits >= 5
    return {"x": (images[later] / 16).astype("float32"), "y": digits[later] - 5}


@cache
def base():
    """What was learnt of the digits below five."""
    images, digits = load_digits(return_X_y=True)
    earlier = digits < 5
    inputs = keras.Input((64,))
    features = keras.layers.Dense(32, activation="relu")(inputs)
    whole = keras.Model(inputs, keras.layers.Dense(5, activation="softmax")(features))
    whole.compile("adam", "sparse_categorical_crossentropy")
    whole.fit(images[earlier] / 16, digits[earlier], epochs=5, verbose=0)
    return keras.Model(inputs, features).get_weights()


def build(configuration, problem):
    inputs = keras.Input(problem.input_shape)
    features = keras.layers.Dense(32, activation="relu", name="base")(inputs)
    x = keras.layers.Dense(configuration["units"], activation="relu")(features)
    model = keras.Model(inputs, keras.layers.Dense(problem.outputs, activation="softmax")(x))
    model.get_layer("base").set_weights(base())
    model.compile(keras.optimizers.Adam(configuration["learning_rate"]), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def fit(model, data, epochs, callbacks, configuration):
    for trainable, count, factor in ((False, epochs // 2, 1.0), (True, epochs - epochs // 2, 0.1)):
        model.get_layer("base").trainable = trainable
        model.compile(keras.optimizers.Adam(factor * configuration["learning_rate"]), "sparse_categorical_crossentropy", metrics=["accuracy"])
        model.fit(data.x, data.y, batch_size=data.batch_size, epochs=count, validation_data=data.validation, callbacks=callbacks, verbose=0)
