"""Builders as the guides of KerasTuner have people write them: each asks for its hyperparameters in another way."""

import keras_tuner
import numpy as np
import tensorflow as tf
from tensorflow import keras

SIDE, CLASSES = 8, 4


def images(*, columns: bool = False):
    """Return 120 images of four kinds, and their kinds as numbers or as a column each."""
    kinds = np.arange(120) % CLASSES
    x = np.random.default_rng(0).random((120, SIDE, SIDE, 1), dtype=np.float32)
    x[np.arange(120), kinds, kinds] += 3
    return x, np.eye(CLASSES, dtype=np.float32)[kinds] if columns else kinds


def numbers():
    """Return 120 rows of ten numbers, and a number for each of them."""
    x = np.random.default_rng(1).random((120, 10))
    return x, x.sum(axis=1, keepdims=True)


def layered(hp):
    """A network without an Input, for classes with a column each; its layers are counted by a hyperparameter, and one name is asked for in each of them."""
    model = keras.Sequential([keras.layers.Flatten()])
    for number in range(hp.Int("num_layers", 1, 3)):
        units = hp.Int(f"units_{number}", min_value=8, max_value=32, step=8)
        model.add(keras.layers.Dense(units, activation=hp.Choice("activation", ["relu", "tanh"])))
    if hp.Boolean("dropout"):
        model.add(keras.layers.Dropout(0.25))
    model.add(keras.layers.Dense(CLASSES, activation="softmax"))
    rate = hp.Float("lr", min_value=1e-4, max_value=1e-2, sampling="log")
    model.compile(optimizer=keras.optimizers.Adam(learning_rate=rate), loss="categorical_crossentropy", metrics=["accuracy"])
    return model


def existing_code(units, activation, dropout, lr):
    model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(units, activation=activation)])
    if dropout:
        model.add(keras.layers.Dropout(0.25))
    model.add(keras.layers.Dense(CLASSES, activation="softmax"))
    model.compile(keras.optimizers.Adam(lr), keras.losses.CategoricalCrossentropy(label_smoothing=0.1), metrics=["accuracy", keras.metrics.AUC(name="auc")])
    return model


def of_existing_code(hp):
    """Every hyperparameter is asked for first; the network is made by a function that knows nothing of them."""
    units, activation = hp.Int("units", 8, 32, 8), hp.Choice("activation", ["relu", "tanh"])
    return existing_code(units, activation, hp.Boolean("dropout"), hp.Float("lr", 1e-4, 1e-2, sampling="log"))


def without_a_last_layer(hp):
    """A network whose last layer is as wide as a hyperparameter says, not as there are classes: to Keras that is a loss like any other."""
    model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(hp.Int("units", min_value=32, max_value=128, step=32, default=64))])
    if hp.Boolean("dropout"):
        model.add(keras.layers.Dropout(rate=0.25))
    rate = hp.Choice("learning_rate", values=[1e-2, 1e-3, 1e-4])
    model.compile(keras.optimizers.Adam(rate), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


class OwnError(keras.metrics.Metric):
    """A metric of one's own, with a count of whole numbers and the old name of `reset_state`."""

    def __init__(self, **more):
        super().__init__(name="own_error", **more)
        self.total = self.add_weight(name="total", initializer="zeros")
        self.count = self.add_weight(name="count", dtype=tf.int32, initializer="zeros")

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.total.assign_add(tf.reduce_sum(tf.math.squared_difference(y_pred, y_true)))
        self.count.assign_add(tf.shape(y_true)[0])

    def result(self):
        return self.total / tf.cast(self.count, tf.float32)

    def reset_states(self):
        self.total.assign(0)
        self.count.assign(0)


def regressor(hp):
    """A number, judged by a metric of Keras's and by one of its own."""
    model = keras.Sequential([keras.layers.Dense(hp.Int("units", 32, 128, 32), activation="relu"), keras.layers.Dense(1)])
    model.compile(optimizer="adam", loss="mean_squared_error", metrics=[keras.metrics.MeanAbsoluteError(), OwnError()])
    return model


def convolutional(hp):
    """Blocks counted by a hyperparameter, each with names of its own."""
    inputs = tf.keras.Input(shape=(SIDE, SIDE, 1))
    x = inputs
    for block in range(hp.Int("conv_layers", 1, 2, default=2)):
        filters, size = hp.Int("filters_" + str(block), 2, 8, step=2, default=4), hp.Int("kernel_size_" + str(block), 2, 3)
        x = tf.keras.layers.Conv2D(filters=filters, kernel_size=size, activation="relu", padding="same")(x)
        pool = tf.keras.layers.MaxPooling2D if hp.Choice("pooling" + str(block), ["max", "avg"]) == "max" else tf.keras.layers.AveragePooling2D
        x = tf.keras.layers.ReLU()(tf.keras.layers.BatchNormalization()(pool(2)(x)))
    last = tf.keras.layers.GlobalMaxPooling2D() if hp.Choice("global_pooling", ["max", "avg"]) == "max" else tf.keras.layers.GlobalAveragePooling2D()
    model = tf.keras.Model(inputs, tf.keras.layers.Dense(CLASSES, activation="softmax")(last(x)))
    model.compile(hp.Choice("optimizer", ["adam", "sgd"]), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def either_kind(hp):
    """Two networks in one builder; what either asks for belongs to it alone."""
    inputs = x = keras.Input(shape=(SIDE, SIDE, 1))
    if hp.Choice("model_type", ["mlp", "cnn"]) == "mlp":
        x = keras.layers.Flatten()(x)
        for number in range(hp.Int("mlp_layers", 1, 2)):
            x = keras.layers.Dense(hp.Int(f"units_{number}", 8, 32, step=8), activation="relu")(x)
    else:
        for number in range(hp.Int("cnn_layers", 1, 2)):
            x = keras.layers.MaxPooling2D(2)(keras.layers.Conv2D(hp.Int(f"filters_{number}", 2, 8, step=2), 3, padding="same", activation="relu")(x))
        x = keras.layers.Flatten()(x)
    model = keras.Model(inputs, keras.layers.Dense(CLASSES, activation="softmax")(x))
    model.compile(loss="sparse_categorical_crossentropy", metrics=["accuracy"], optimizer="adam")
    return model


def _small(hp, error):
    one, other = hp.Int("units_1", 10, 40, step=10), hp.Int("units_2", 10, 30, step=10)
    model = keras.Sequential([keras.Input((10,)), keras.layers.Dense(one), keras.layers.Dense(other), keras.layers.Dense(1)])
    model.compile(loss="mse")
    if model.count_params() > 800:
        raise error(f"too large: {model.count_params()} parameters")
    return model


def small_or_not(hp):
    """A builder that gives some configurations up."""
    return _small(hp, keras_tuner.errors.FailedTrialError)


def small_or_nothing(hp):
    """A builder that gives the whole search up."""
    return _small(hp, keras_tuner.errors.FatalValueError)
