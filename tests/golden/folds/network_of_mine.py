import keras


def build(configuration, problem):
    inputs = keras.Input(problem.input_shape)
    x = keras.layers.Dense(configuration["units"], activation="relu")(keras.layers.Flatten()(inputs))
    for _ in range(configuration.get("blocks", 0)):
        x = x + keras.layers.Dense(configuration["units"], activation="relu")(x)
    return keras.Model(inputs, keras.layers.Dense(problem.outputs, activation="softmax")(x))
