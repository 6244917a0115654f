"""Two classes, 6 % of one of them: a sigmoid unit, judged by the area under its curve."""

import keras
from sklearn.datasets import make_classification


def load():
    x, y = make_classification(1200, 10, n_informative=5, weights=[0.94], flip_y=0, random_state=1)
    return {"train": (x[:800], y[:800]), "validation": (x[800:1000], y[800:1000]), "test": (x[1000:], y[1000:])}


def build(configuration, problem):
    model = keras.Sequential([
        keras.Input(problem.input_shape),
        keras.layers.Dense(configuration["units"], activation="relu"),
        keras.layers.Dense(1, activation="sigmoid"),
    ])
    model.compile(keras.optimizers.Adam(configuration["learning_rate"]), "binary_crossentropy", metrics=["accuracy", keras.metrics.AUC(2000, name="auc")])
    return model
