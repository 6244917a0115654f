"""Where data come from: one row per source, from the embedded digits to a table in a bucket.

Owns what a source must bring, which rows of it count, and the content hash. A source gives examples and labels as they are: splits, categories and scaling
come later.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tuner.data import archives, columns, from_tables, hashes
from tuner.data.dialect import Dialect
from tuner.data.features import Features
from tuner.data.interpret import Interpretation
from tuner.data.section import DatasetSection
from tuner.data.values import FILLED, to_float32
from tuner.errors import DatasetError

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Examples:
    """One file's worth of examples.

    Attributes:
        x: (n, ...) array, or a table of the feature columns.
        y: (n,) labels or targets of any type, or (n, k) targets.
        rows: (n,) int64: their row numbers in the source, before rows with missing values were dropped.
    """

    x: "np.ndarray | pa.Table"
    y: np.ndarray
    rows: np.ndarray


@dataclass(frozen=True)
class Raw:
    """What a source gives.

    Attributes:
        pool: the examples, or those of them that are not the given test split.
        test: a test split that the data bring; none: one is to be drawn.
        content_hash: sha256 of all values, independent of the file's format and chunks.
        task: where the source knows it.
        class_names: the names of classes 0, 1, ..., where the source knows them.
        largest: the largest value that a pixel can take; None: what the values show.
        columns: of a table: what they are.
        dialect: of a text table: how it is written.
    """

    pool: Examples
    test: Examples | None
    content_hash: str
    task: str | None = None
    class_names: tuple[str, ...] = ()
    largest: float | None = None
    columns: Interpretation | None = None
    dialect: Dialect | None = None


def _digits(section: DatasetSection) -> Raw:
    from sklearn.datasets import load_digits

    digits = load_digits()
    arrays = {"x": digits.images.astype(np.uint8), "y": digits.target.astype(np.int64)}
    return Raw(_examples(arrays, "", "digits"), None, hashes.of_arrays(arrays), "classification", tuple("0123456789"), largest=16.0)


def _keras(section: DatasetSection) -> Raw:
    name = section.source
    path = str(archives.keras_archive(name))
    arrays = archives.read(path, ("x_train", "y_train", "x_test", "y_test"))
    pool, test = _examples(arrays, "_train", path), _examples(arrays, "_test", path)
    return Raw(pool, test, hashes.of_arrays(arrays), "classification", CLASS_NAMES[name], largest=255.0)


def _npz(section: DatasetSection) -> Raw:
    path = str(section.path)
    arrays = archives.read(path)
    if set(arrays) not in ({"x_train", "y_train", "x_test", "y_test"}, {"x_train", "y_train"}, {"x", "y"}):
        raise DatasetError(f"{path}: got the arrays {', '.join(sorted(arrays)) or 'none'}; expected x_train and y_train (and x_test, y_test), or x and y")
    suffix = "" if "x" in arrays else "_train"
    pool = _examples(arrays, suffix, path)
    test = _examples(arrays, "_test", path) if "x_test" in arrays else None
    if test is not None and (test.x.shape[1:] != pool.x.shape[1:] or (test.x.dtype == np.uint8) != (pool.x.dtype == np.uint8)):
        expected = f"{pool.x.shape[1:]}, {arrays['x_train'].dtype} as in x_train"
        raise DatasetError(f"{path}: x_test holds examples of shape {test.x.shape[1:]}, {arrays['x_test'].dtype}; expected {expected}")
    content_hash = hashes.of_arrays(arrays)
    return Raw(_whole(pool, section.missing, path), None if test is None else _whole(test, section.missing, path), content_hash)


def _table(section: DatasetSection) -> Raw:
    found = from_tables.read_table(section)
    test = None if found.test is None else Examples(found.test.x, found.test.y, found.test.rows)
    return Raw(Examples(found.pool.x, found.pool.y, found.pool.rows), test, found.content_hash, columns=found.interpretation, dialect=found.dialect)


SOURCES: dict[str, Callable[[DatasetSection], Raw]] = {
    "digits": _digits,
    "mnist": _keras,
    "fashion_mnist": _keras,
    "cifar10": _keras,
    "npz": _npz,
    "table": _table,
}

CLASS_NAMES = {
    "mnist": tuple("0123456789"),
    "fashion_mnist": ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    "cifar10": ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
}


def read_for_prediction(
    path: str | Path,
    features: Features,
    *,
    format: str | None = None,
    dialect: Dialect | None = None,
    target: tuple[str, ...] = (),
    told: Callable[[str], None] | None = None,
) -> np.ndarray:
    """Read examples without labels and return them as rows of numbers, not yet scaled or filled.

    Args:
        path: a table with the columns of the features (further ones are ignored), or an archive with the array x, or an .npy file.
        features: fitted when the network was trained.
        format: of a table; none: told by the ending.
        dialect: how the table that the network was trained on is written; none: it is found out.
        target: the columns that were predicted, which a file without a header may lack.
        told: is given a line for each column with words that no row to train on had.

    Returns:
        (n, *shape) uint8 or float32, as `Features.encode`.

    Raises:
        DatasetError: the file is missing or damaged, or does not fit the features.
    """
    path = str(path)
    if not features.columns:
        return features.encode(archives.read_examples(path))
    table = from_tables.read_rows_to_predict(path, features, dialect or Dialect(), target=target, format=format)
    x = features.encode(table)
    if told is not None:
        for line in columns.unknown_words(table, features.columns):
            told(line)
    return x


def _examples(arrays: Mapping[str, np.ndarray], suffix: str, path: str) -> Examples:
    x, y = arrays[f"x{suffix}"], arrays[f"y{suffix}"]
    if x.ndim == 0 or y.ndim == 0 or len(x) != len(y):
        raise DatasetError(f"{path}: x{suffix} has shape {x.shape}, y{suffix} {y.shape}; expected as many labels as examples")
    if not len(x):
        raise DatasetError(f"{path}: x{suffix} has no rows")
    if x.ndim < 2 or not x.size:
        raise DatasetError(f"{path}: x{suffix} has shape {x.shape}; expected (rows, features) or (rows, height, width[, channels])")
    if x.dtype != np.uint8:
        x = to_float32(x, f"{path}: x{suffix}")
    return Examples(x, y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y, np.arange(len(x), dtype=np.int64))


def _whole(examples: Examples, missing: str, path: str) -> Examples:
    """Return the examples that `missing` leaves."""
    holes = np.zeros(len(examples.y), dtype=bool)
    for values in (examples.x, examples.y) if missing == "drop" else (examples.x,):
        if isinstance(values, np.ndarray) and np.issubdtype(values.dtype, np.floating):
            holes |= np.isnan(values.reshape(len(values), -1)).any(axis=1)
    if not holes.any() or missing in FILLED:
        return examples
    if missing == "error" or holes.all():
        found = f"{int(holes.sum())} of {len(holes)} rows have a missing value, the first is row {int(np.argmax(holes))}"
        raise DatasetError(f"{path}: {found}; expected none (dataset.missing = {missing!r})")
    return Examples(examples.x[~holes], examples.y[~holes], examples.rows[~holes])
