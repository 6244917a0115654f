"""Where data come from: one row per source, from the embedded digits to a table in a bucket.

Owns reading and the content hash. A source gives examples and labels as they are: splits, categories and scaling come later. Must not import Keras: its
loaders run in a short-lived process of their own.
"""

import hashlib
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from search_spaces.errors import nearest
from tuner.datasets.section import DatasetSection
from tuner.errors import DatasetError

if TYPE_CHECKING:
    import pyarrow as pa

FETCH_TIMEOUT_S = 900


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
        largest: the largest value that a pixel can take.
    """

    pool: Examples
    test: Examples | None
    content_hash: str
    task: str | None = None
    class_names: tuple[str, ...] = ()
    largest: float = 255.0


def _digits(section: DatasetSection) -> Raw:
    from sklearn.datasets import load_digits

    digits = load_digits()
    arrays = {"x": digits.images.astype(np.uint8), "y": digits.target.astype(np.int64)}
    return Raw(_examples(arrays["x"], arrays["y"]), None, hash_arrays(arrays), "classification", tuple("0123456789"), largest=16.0)


def _keras(section: DatasetSection) -> Raw:
    name = section.source
    path = keras_cache() / f"{name}.npz"
    if not path.exists():
        _fetch(name, path)
    arrays = _read_archive(str(path), ("x_train", "y_train", "x_test", "y_test"))
    return Raw(_examples(arrays["x_train"], arrays["y_train"]), _examples(arrays["x_test"], arrays["y_test"]), hash_arrays(arrays), "classification", CLASS_NAMES[name])


def _npz(section: DatasetSection) -> Raw:
    path = str(section.path)
    arrays = _read_archive(path)
    known = [{"x_train", "y_train", "x_test", "y_test"}, {"x_train", "y_train"}, {"x", "y"}]
    if set(arrays) not in known:
        raise DatasetError(f"{path}: got the arrays {', '.join(sorted(arrays)) or 'none'}; expected x_train and y_train (and x_test, y_test), or x and y")
    pool = _examples(arrays.get("x_train", arrays.get("x")), arrays.get("y_train", arrays.get("y")), path)
    test = _examples(arrays["x_test"], arrays["y_test"], path, "_test") if "x_test" in arrays else None
    if test is not None and test.x.shape[1:] != pool.x.shape[1:]:
        raise DatasetError(f"{path}: x_test holds examples of shape {test.x.shape[1:]}; expected {pool.x.shape[1:]} as in x_train")
    content_hash = hash_arrays(arrays)
    if section.missing == "drop":
        pool, test = _drop(pool), None if test is None else _drop(test)
    return Raw(pool, test, content_hash, section.task)


def _table(section: DatasetSection) -> Raw:
    from tuner.datasets import tables

    raise DatasetError(f"dataset.source: tables are not there yet {tables}")


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


def hash_arrays(arrays: Mapping[str, np.ndarray]) -> str:
    """Return the sha256 of named arrays: their names, types, shapes and values in row order."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).data.cast("B") if array.size else b"")
    return digest.hexdigest()


# ---- Keras's own loaders

# Runs where Keras may be imported. Written aside and renamed: a killed download leaves nothing that looks whole.
_FETCH = """
import os, sys
import numpy as np
from keras import datasets

name, path = sys.argv[1:]
(x_train, y_train), (x_test, y_test) = getattr(datasets, name).load_data()
if not os.path.exists(path):
    np.savez_compressed(path + ".part.npz", x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
    os.replace(path + ".part.npz", path)
"""


def keras_cache() -> Path:
    """Return the folder that Keras keeps its data sets in."""
    return Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras").expanduser() / "datasets"


def _fetch(name: str, path: Path) -> None:
    """Let Keras download a data set into its cache.

    Raises:
        DatasetError: it could not.
    """
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "0"}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        child = subprocess.run([sys.executable, "-c", _FETCH, name, str(path)], capture_output=True, text=True, timeout=FETCH_TIMEOUT_S, env=environment, check=False)
        reason = None if child.returncode == 0 else _last_line(child.stderr) or f"exit code {child.returncode}"
    except subprocess.TimeoutExpired:
        reason = f"no end after {FETCH_TIMEOUT_S} s"
    except OSError as error:
        reason = str(error)
    if reason is None and not path.exists():
        reason = "Keras wrote no file there"
    if reason is not None:
        raise DatasetError(
            f"dataset.source: {name} is not in {path.parent} and could not be downloaded ({reason}); bring {path.name} there by hand, "
            f'or name it: source = "npz", path = ".../{path.name}" (arrays x_train, y_train, x_test, y_test)'
        )


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1].removeprefix("Exception: ") if lines else ""


# ---- NumPy archives


def _read_archive(path: str, needed: tuple[str, ...] = ()) -> dict[str, np.ndarray]:
    """Return every array of an .npz file.

    Raises:
        DatasetError: it is missing, unreadable, pickled, or lacks an array.
    """
    arrays: dict[str, np.ndarray] = {}
    try:
        with np.load(path, allow_pickle=False) as archive:
            for name in archive.files:
                arrays[name] = archive[name]
    except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
        raise DatasetError(f"{path}: cannot be read ({error})") from error
    for name in needed:
        if name not in arrays:
            raise DatasetError(f"{path}: no array {name!r}; {nearest(name, arrays)}")
    return arrays


def _examples(x: np.ndarray, y: np.ndarray, path: str = "", suffix: str = "") -> Examples:
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if len(x) != len(y):
        raise DatasetError(f"{path}: x{suffix} has {len(x)} rows, y{suffix} has {len(y)}; expected as many labels as examples")
    return Examples(x, y, np.arange(len(x), dtype=np.int64))


def _drop(examples: Examples) -> Examples:
    keep = np.ones(len(examples.y), dtype=bool)
    for values in (examples.x, examples.y):
        if np.issubdtype(values.dtype, np.floating):
            keep &= ~np.isnan(values.reshape(len(values), -1)).any(axis=1)
    return Examples(examples.x[keep], examples.y[keep], examples.rows[keep])
