"""Where data come from: one row per source, from the embedded digits to a table in a bucket.

Owns what a source must bring, which rows of it count, and the content hash. A source gives examples and labels as they are: splits, categories and scaling
come later.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tuner.data import hashes
from tuner.data.arrays import archives, images, named_arrays
from tuner.data.arrays.inputs import Inputs
from tuner.data.arrays.structure import Structure, map_leaves, row_count
from tuner.data.decisions import Decision
from tuner.data.examples import Examples, Raw, of_arrays, whole
from tuner.data.features import Features
from tuner.data.own import functions, returned
from tuner.data.own.functions import Call
from tuner.data.own.returned import Arrays
from tuner.data.section import DatasetSection
from tuner.data.tables import aside, columns, from_tables
from tuner.data.tables.dialect import Dialect
from tuner.errors import DatasetError


def _digits(section: DatasetSection) -> Raw:
    from sklearn.datasets import load_digits

    digits = load_digits()
    arrays = {"x": digits.images.astype(np.uint8), "y": digits.target.astype(np.int64)}
    return Raw(_simple(arrays, "", "digits"), None, hashes.of_arrays(arrays), "classification", tuple("0123456789"), largest=16.0)


def _keras(section: DatasetSection) -> Raw:
    name = section.source
    path = str(archives.keras_archive(name))
    arrays = archives.read(path, ("x_train", "y_train", "x_test", "y_test"))
    pool, test = _simple(arrays, "_train", path), _simple(arrays, "_test", path)
    return Raw(pool, test, hashes.of_arrays(arrays), "classification", CLASS_NAMES[name], largest=255.0)


def _npz(section: DatasetSection) -> Raw:
    path = str(section.path)
    arrays = archives.read(path)
    parts = named_arrays.by_split(arrays, path, aside=section.aside)
    suffixed = not any(name == "x" or name.startswith("x/") for name in arrays)
    return of_splits({split: (part, f"{path}: {f'x_{split}' if suffixed else 'x'}") for split, part in parts.items()}, section, hashes.of_arrays(arrays))


def of_splits(parts: Mapping[str, tuple[Arrays, str]], section: DatasetSection, content_hash: str) -> Raw:
    """Return what arrays by split are.

    Args:
        parts: split -> arrays, and what its inputs are called in messages.
        section: `[dataset]`.
        content_hash: of all of them.

    Raises:
        DatasetError: they cannot be used, or differ in shape from split to split.
    """
    by_split = {}
    for split, (part, name) in parts.items():
        by_split[split] = whole(of_arrays(part, name, aside=section.aside if split == "train" else None), section.missing, name)
    train, test = by_split["train"], by_split.get("test")
    for split, examples in by_split.items():
        if isinstance(train.x, np.ndarray) and isinstance(examples.x, np.ndarray) and _kind(examples.x) != _kind(train.x):
            expected = f"{train.x.shape[1:]}, {parts['train'][0].x.dtype} as in {parts['train'][1].rpartition(' ')[2]}"
            raise DatasetError(f"{parts[split][1]} holds examples of shape {examples.x.shape[1:]}, {parts[split][0].x.dtype}; expected {expected}")
    return Raw(train, test, content_hash, class_names=section.classes or (), validation=by_split.get("validation"))


def of_function(section: DatasetSection, search_path: tuple[str, ...] = (), *, code: bytes = b"", text: str = "") -> Raw:
    """Call a function of the user's own, in a process of its own, and return what it gives.

    Args:
        section: `[dataset]`.
        search_path: folders where the function's module is looked for.
        code: the function itself, packed, where it is in no module.
        text: its source, likewise.

    Raises:
        DatasetError: the function fails, or gives what cannot be used.
    """
    steps = {"train": section.steps_per_epoch, "validation": section.validation_steps, "test": section.validation_steps}
    known_steps = {split: count for split, count in steps.items() if count is not None}
    asked = Call(section.source, section.arguments, search_path, known_steps, f"{section.version or ''}{text}", code)
    given = functions.call(asked)
    several = len(given.arrays) > 1
    parts = {split: (part, f"{section.source}{f' ({split})' if several else ''}: x") for split, part in given.arrays.items()}
    later = None
    if given.asks or (given.pipelines and "test" in given.pipelines):

        def later() -> Examples:
            name = f"{section.source} (test): x"
            part = functions.call_for_test(asked)
            if given.pipelines:
                return Examples(part.x, part.y, np.arange(row_count(part.x)), part.w)
            return whole(of_arrays(part, name), section.missing, name)

    if given.pipelines:
        shown = {split: Examples(part.x, part.y, np.arange(row_count(part.x)), part.w) for split, part in given.arrays.items()}
        names = section.classes or ()
        return Raw(shown["train"], None, given.content_hash, class_names=names, ask_for_test=later, pipelines=given.pipelines)
    return replace(of_splits(parts, section, given.content_hash), ask_for_test=later)


def of_memory(given: Any, section: DatasetSection, name: str = "data") -> Raw:
    """Return what a program holds in memory: all that a function of the user's own may return, but for pipelines.

    Args:
        given: (x, y), (x, y, w), a dict of `x`, `y`, `w`, or either of them by split.
        section: `[dataset]`.
        name: what it is called in messages.

    Raises:
        DatasetError: it is a pipeline, or nothing that Tuner takes.
    """
    splits = returned.by_split(given, name)
    parts = {}
    for split, part in splits.items():
        where = f"{name}{f' ({split})' if len(splits) > 1 else ''}"
        if not isinstance(part, Arrays):
            raise DatasetError(f'{where}: is a pipeline, which cannot leave its process; expected a function that makes it, in a module: "my_module:load"')
        # Copies: what the program does to its arrays later is no part of the sweep.
        copies = [map_leaves(np.array, structure) for structure in (part.x, part.y, part.w, dict(part.aside))]
        parts[split] = Arrays(*copies), f"{where}: x"
    return of_splits(parts, section, functions.content_hash({split: part for split, (part, _) in parts.items()}))


def _table(section: DatasetSection) -> Raw:
    table = from_tables.read_table(section)
    pool, content_hash = aside.of_table(section, str(section.path), Examples(table.pool.x, table.pool.y, table.pool.rows))
    parts = [table.content_hash, content_hash]
    test = None
    if table.test is not None:
        given = Examples(table.test.x, table.test.y, table.test.rows)
        test, test_hash = aside.of_table(section, str(section.test_path), given, to_split=False)
        parts.append(test_hash)
    hashed = [part for part in parts if part]
    content = hashes.of_parts(hashed) if len(hashed) > 1 else table.content_hash
    return Raw(pool, test, content, columns=table.interpretation, dialect=table.dialect)


def _images(section: DatasetSection) -> Raw:
    splits, classes = images.folders_of(str(section.path))
    look = images.Look(section.image_shape, images.CHANNELS[section.color_mode], section.skip_broken)
    by_split: dict[str, Examples] = {}
    broken: list[str] = []
    for split, folder in splits.items():
        read = images.read(folder, classes, look)
        look = replace(look, size=read.x.shape[1:3])
        y = np.eye(len(classes), dtype=np.float32)[read.labels] if section.one_hot else read.labels
        by_split[split] = Examples(read.x, y, read.rows)
        broken += [f"{split}/{name}" if len(splits) > 1 else name for name in read.broken]
    named_arrays = {f"{split}/{name}": values for split, part in by_split.items() for name, values in (("x", part.x), ("y", part.y))}
    content_hash = hashes.of_parts((hashes.of_arrays(named_arrays), *classes))
    note = Decision("images", "files", images.told_of(broken), "skip_broken = true") if broken else None
    task = section.task or "classification"
    raw = Raw(by_split["train"], by_split.get("test"), content_hash, task, classes, largest=255.0, validation=by_split.get("validation"))
    return raw if note is None else replace(raw, notes=(note,))


SOURCES: dict[str, Callable[[DatasetSection], Raw]] = {
    "digits": _digits,
    "mnist": _keras,
    "fashion_mnist": _keras,
    "cifar10": _keras,
    "npz": _npz,
    "table": _table,
    "images": _images,
}

CLASS_NAMES = {
    "mnist": tuple("0123456789"),
    "fashion_mnist": ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    "cifar10": ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
}


def read_for_prediction(
    path: str | Path,
    features: Features | Inputs,
    *,
    format: str | None = None,
    dialect: Dialect | None = None,
    target: tuple[str, ...] = (),
    warn: Callable[[str], None] | None = None,
) -> Structure:
    """Read examples without labels and return them as rows of numbers, not yet scaled or filled.

    Args:
        path: a table with the columns of the features (further ones are ignored), or an archive with the array x (x/<name> of several inputs), an
            .npy file, or an image or a folder of images.
        features: fitted when the network was trained.
        format: of a table; none: the ending decides.
        dialect: how the table that the network was trained on is written; none: its first lines decide.
        target: the columns that were predicted, which a file without a header may lack.
        warn: is given a line for each column with words that no row to train on had.

    Returns:
        (n, *shape) uint8 or float32, as `Features.encode`; of several inputs a structure, as `Inputs.encode`.

    Raises:
        DatasetError: the file is missing or damaged, or does not fit the features.
    """
    path = str(path)
    if isinstance(features, Inputs):
        if not features.columns:
            return features.encode(archives.read_inputs(path))
        return features.encode(from_tables.read_rows_to_predict(path, features, dialect or Dialect(), target=target, format=format))
    if not features.columns and images.are_images(path):
        return features.encode(images.to_predict(path, features.shape))
    if not features.columns:
        return features.encode(archives.read_examples(path))
    table = from_tables.read_rows_to_predict(path, features, dialect or Dialect(), target=target, format=format)
    x = features.encode(table)
    if warn is not None:
        for line in columns.unknown_words(table, features.columns):
            warn(line)
    return x


def _simple(arrays: Mapping[str, np.ndarray], suffix: str, where: str) -> Examples:
    return of_arrays(Arrays(arrays[f"x{suffix}"], arrays[f"y{suffix}"]), f"{where}: x{suffix}")


def _kind(x: np.ndarray) -> tuple[object, ...]:
    return x.shape[1:], x.dtype == np.uint8, x.dtype.kind == "S"
