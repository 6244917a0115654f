"""A table of numbers and words with holes, which the network itself prepares by keras.utils.FeatureSpace."""

import keras
import numpy as np
import pandas as pd
import tensorflow as tf


def table():
    generator = np.random.default_rng(9)
    size, age = generator.normal(5, 2, 900).round(3), generator.integers(18, 80, 900)
    colour = generator.choice(["blue", "green", "red"], 900)
    sold = np.where(size + 3 * (colour == "red") + age / 20 + generator.normal(0, 0.5, 900) > 9, "yes", "no")
    frame = pd.DataFrame({"size": size, "colour": colour, "age": age, "sold": sold, "part": ["train"] * 600 + ["validation"] * 150 + ["test"] * 150})
    frame.loc[::11, "size"] = None
    frame.loc[::13, "colour"] = None
    return frame


def write(folder):
    table().to_csv(folder / "columns.csv", index=False)


def build(configuration, problem):
    features = keras.utils.FeatureSpace({"size": "float_normalized", "colour": "string_categorical", "age": "float_discretized"}, output_mode="concat")
    train = table().query("part == 'train'").fillna({"size": 5, "colour": ""})
    features.adapt(tf.data.Dataset.from_tensor_slices({name: train[name].to_numpy(None if name == "colour" else "float32") for name in features.features}))
    inputs = dict(features.get_inputs())
    x = keras.layers.Dense(configuration["units"], activation="relu")(features.get_encoded_features())
    return keras.Model(inputs, keras.layers.Dense(problem.outputs, activation="softmax")(x))


def parts(folder):
    frame = pd.read_csv(folder / "columns.csv").fillna({"size": 5, "colour": ""})
    columns = {name: frame[[name]].to_numpy(None if name == "colour" else "float32") for name in ("size", "colour", "age")}
    columns["colour"] = columns["colour"].astype("S")
    y, rows = (frame["sold"] == "yes").to_numpy("int32"), {name: (frame["part"] == name).to_numpy() for name in ("train", "validation", "test")}
    return {name: ({key: values[chosen] for key, values in columns.items()}, y[chosen]) for name, chosen in rows.items()}
