"""Are two digits the same? Two inputs through one network, and a contrastive loss of their distance."""

import keras
import numpy as np
from sklearn.datasets import load_digits


def load():
    images, digits = load_digits(n_class=3, return_X_y=True)
    generator = np.random.default_rng(8)
    left = generator.integers(0, len(images), 900)
    same = generator.random(900) < 0.5
    right = np.array([generator.choice(np.flatnonzero((digits == digits[one]) == alike)) for one, alike in zip(left, same, strict=True)])
    x = (images / 16).astype("float32")
    parts = {"train": slice(600), "validation": slice(600, 750), "test": slice(750, None)}
    return {name: {"x": (x[left[part]], x[right[part]]), "y": same[part].astype("float32")[:, None]} for name, part in parts.items()}


def contrastive(same, distance):
    return keras.ops.mean(same * distance**2 + (1 - same) * keras.ops.maximum(1 - distance, 0) ** 2, axis=-1)


def build(configuration, problem):
    tower = keras.Sequential([keras.layers.Dense(configuration["units"], activation="relu"), keras.layers.Dense(4)])
    inputs = tuple(keras.Input(shape) for shape in problem.input_shape)
    difference = keras.layers.subtract([tower(each) for each in inputs])
    distance = keras.ops.norm(difference + 1e-6, axis=1, keepdims=True)
    model = keras.Model(inputs, distance)
    model.compile(keras.optimizers.Adam(configuration["learning_rate"]), contrastive)
    return model
