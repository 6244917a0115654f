"""Two photographs in pieces, as class folders of PNG files: is it China or a flower? Augmentation layers, of which only training sees anything."""

import keras
import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_images


def write(folder):
    generator = np.random.default_rng(6)
    for name, photograph in zip(("china", "flower"), load_sample_images().images, strict=True):
        # Neighbouring pieces overlap in no split: each takes its own stripe of the photograph.
        for split, (left, right), count in (("train", (0, 320), 80), ("validation", (320, 480), 30), ("test", (480, 640), 40)):
            place = folder / "pictures" / split / name
            place.mkdir(parents=True)
            for number in range(count):
                row, column = generator.integers(0, 427 - 48), generator.integers(left, right - 48)
                Image.fromarray(photograph[row : row + 48, column : column + 48]).resize((16, 16)).save(place / f"{number}.png")


def build(configuration, problem):
    return keras.Sequential([
        keras.Input(problem.input_shape),
        keras.layers.RandomFlip("horizontal"),
        keras.layers.RandomTranslation(0.1, 0.1),
        keras.layers.Conv2D(configuration["units"], 3, activation="relu"),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dense(problem.outputs, activation="softmax"),
    ])


def parts(folder):
    options = {"image_size": (16, 16), "batch_size": None, "label_mode": "int", "shuffle": False, "verbose": False}
    splits = ("train", "validation", "test")
    return {split: keras.utils.image_dataset_from_directory(folder / "pictures" / split, **options).batch(32) for split in splits}
