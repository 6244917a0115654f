"""A tf.data pipeline: digits that are shifted at random while they are trained on, batch by batch."""

import keras
import tensorflow as tf
from sklearn.datasets import load_digits


def load(split):
    images, digits = load_digits(return_X_y=True)
    rows = {"train": slice(900), "validation": slice(900, 1300), "test": slice(1300, None)}[split]
    x = images[rows].reshape(-1, 8, 8, 1).astype("float32") / 16
    data = tf.data.Dataset.from_tensor_slices((x, digits[rows]))
    if split == "train":
        data = data.shuffle(900, seed=1).map(shifted)
    return data.batch(32).prefetch(2)


def shifted(image, digit):
    return tf.roll(image, tf.random.uniform((2,), -1, 2, "int32"), (0, 1)), digit


def build(configuration, problem):
    return keras.Sequential([
        keras.Input(problem.input_shape),
        keras.layers.Conv2D(configuration["units"], 3, activation="relu"),
        keras.layers.Flatten(),
        keras.layers.Dense(problem.outputs, activation="softmax"),
    ])
