"""NumPy archives, and Keras's data sets as archives in Keras's own cache.

Owns reading .npz files without pickle, and the download. Must not import Keras: its loaders run in a short-lived process of their own.
"""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np

from search_spaces.errors import nearest
from tuner.data.arrays.structure import Structure, nested
from tuner.data.files import first_line, is_url, locate
from tuner.errors import DatasetError

FETCH_TIMEOUT_S = 900

# Runs where Keras may be imported. Written aside and renamed: a killed download leaves nothing that looks whole.
FETCH = """
import os, sys
import numpy as np
from keras import datasets

name, path = sys.argv[1:]
(x_train, y_train), (x_test, y_test) = getattr(datasets, name).load_data()
if not os.path.exists(path):
    np.savez(path + ".part.npz", x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
    os.replace(path + ".part.npz", path)
"""


def read(path: str, needed: tuple[str, ...] = ()) -> dict[str, np.ndarray]:
    """Return every array of an .npz file.

    Args:
        path: a file or a URL.
        needed: arrays that must be among them.

    Returns:
        name -> array, of any shape and any dtype but object.

    Raises:
        DatasetError: it is missing, damaged, holds pickled objects, or lacks an array.
    """
    system, inner, is_folder = locate(path)
    if is_folder:
        raise DatasetError(f"{path}: is a folder; expected an .npz file")
    arrays: dict[str, np.ndarray] = {}
    name = ""
    try:
        with system.open_input_file(inner) if is_url(path) else open(inner, "rb") as file:
            if not zipfile.is_zipfile(file):
                raise DatasetError(f"{path}: is no NumPy archive, or is cut short; expected an .npz file as np.savez writes it")
            file.seek(0)
            with np.load(file, allow_pickle=False) as archive:
                for name in archive.files:
                    arrays[name] = archive[name]
    except DatasetError:
        raise
    except Exception as error:  # zipfile, zlib, ast and numpy each raise their own when the bytes are wrong
        if "allow_pickle" in str(error):
            held = f"the array {name!r} holds Python objects, and unpickling them runs whatever their author wrote"
            raise DatasetError(f"{path}: {held}; save numbers or fixed-length strings") from error
        raise DatasetError(f"{path}: cannot be read ({first_line(error)}); is it damaged?") from error
    for name in needed:
        if name not in arrays:
            raise DatasetError(f"{path}: no array {name!r}; {nearest(name, arrays)}")
    return arrays


def read_examples(path: str, *, mapped: bool = False) -> np.ndarray:
    """Return the array x of an .npz file, or the one array of an .npy file.

    Args:
        path: a file or a URL.
        mapped: of an .npy file: only what is looked at is read.

    Returns:
        (n, ...) of any dtype but object, as it was saved.

    Raises:
        DatasetError: see `read`.
    """
    if not path.lower().endswith(".npy"):
        return read(path, ("x",))["x"]
    locate(path)
    try:
        return np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)
    except Exception as error:  # as in `read`
        raise DatasetError(f"{path}: cannot be read ({first_line(error)}); expected numbers as np.save writes them") from error


def read_inputs(path: str) -> Structure:
    """Return the inputs of an .npz file, `x` or `x/<name>`; other arrays are ignored.

    Raises:
        DatasetError: see `read`.
    """
    inputs = {name.partition("/")[2]: array for name, array in read(path).items() if name.partition("/")[0] == "x"}
    if not inputs:
        raise DatasetError(f"{path}: no array 'x' or 'x/<name>'; expected the inputs that the network was trained on")
    try:
        return nested(inputs)
    except ValueError as error:
        raise DatasetError(f"{path}: x: {error}") from error


def keras_archive(name: str) -> Path:
    """Return the archive of one of Keras's data sets, downloaded by Keras where its cache lacks it.

    Raises:
        DatasetError: it could not be downloaded.
    """
    path = Path(os.environ.get("KERAS_HOME") or "~/.keras").expanduser() / "datasets" / f"{name}.npz"
    if not path.exists():
        reason = _fetch(name, path)
        if reason is not None:
            raise DatasetError(
                f"dataset.source: {name} is not in {path.parent} and could not be downloaded ({reason}); bring {path.name} there by hand, "
                f'or name it: source = "npz", path = ".../{path.name}" (arrays x_train, y_train, x_test, y_test)'
            )
    return path


def _fetch(name: str, path: Path) -> str | None:
    """Let Keras download a data set; return why it could not, none when it could."""
    # A GPU belongs to the trials; what this process would print is read from its error stream alone.
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "0"}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-P", "-c", FETCH, name, str(path)]  # -P: a keras.py beside the spec is not Keras
        child = subprocess.run(command, capture_output=True, text=True, timeout=FETCH_TIMEOUT_S, env=environment, check=False)
    except subprocess.TimeoutExpired:
        return f"no end after {FETCH_TIMEOUT_S} s"
    except OSError as error:
        return first_line(error)
    if child.returncode != 0:
        lines = [line.strip() for line in child.stderr.splitlines() if line.strip()]
        return lines[-1].removeprefix("Exception: ") if lines else f"exit code {child.returncode}"
    return None if path.exists() else "Keras wrote no file there"
