"""A variational autoencoder of scikit-learn's digits, with a train_step of its own and no targets."""

import keras
import tensorflow as tf
from sklearn.datasets import load_digits


def load():
    x = (load_digits().data / 16).astype("float32")
    return {"train": {"x": x[:600]}, "validation": {"x": x[600:800]}, "test": {"x": x[800:1000]}}


@keras.saving.register_keras_serializable("programs")
class VAE(keras.Model):
    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.hidden, self.mean, self.spread = keras.layers.Dense(32, "relu"), keras.layers.Dense(units), keras.layers.Dense(units)
        self.decoder = keras.Sequential([keras.layers.Dense(32, "relu"), keras.layers.Dense(64, "sigmoid")])
        self.seed = keras.random.SeedGenerator(1)

    def call(self, x, training=False):
        return self.losses_of(x, training)[0]

    def losses_of(self, x, training):
        hidden = self.hidden(x)
        mean, spread = self.mean(hidden), self.spread(hidden)
        noise = keras.random.normal(keras.ops.shape(mean), seed=self.seed) if training else 0.0
        rebuilt = self.decoder(mean + keras.ops.exp(0.5 * spread) * noise)
        divergence = -0.5 * keras.ops.mean(keras.ops.sum(1 + spread - mean**2 - keras.ops.exp(spread), axis=1))
        return rebuilt, keras.ops.mean(keras.ops.sum((x - rebuilt) ** 2, axis=1)), divergence

    def train_step(self, x):
        with tf.GradientTape() as tape:
            _, error, divergence = self.losses_of(x, True)
            loss = error + 0.1 * divergence
        self.optimizer.apply(tape.gradient(loss, self.trainable_weights), self.trainable_weights)
        return {"loss": loss, "error": error}

    def test_step(self, x):
        _, error, divergence = self.losses_of(x, False)
        return {"loss": error + 0.1 * divergence, "error": error}

    def get_config(self):
        return {**super().get_config(), "units": self.units}


def build(configuration, problem):
    model = VAE(configuration["units"])
    model.compile(keras.optimizers.Adam(configuration["learning_rate"]))
    return model
