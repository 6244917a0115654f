"""A checkpoint on disk: the variables of one or more networks, and the epoch they stand at.

Owns the files: arrays in a `.npz` without pickle, and `state.json`, which names them. The JSON is replaced last, in one step, so that a folder holds either
the old checkpoint or the new one, whole. Must not know what a network is: a variable is anything with `path`, `shape`, `dtype`, `numpy()` and `assign()`.
"""

import errno
import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

STATE = "state.json"


def write(folder: str | Path, epoch: int, networks: Sequence[Sequence[Any]]) -> None:
    """Write the variables of each network.

    Args:
        folder: of the checkpoint; it is made where there is none.
        epoch: that the networks stand at.
        networks: the variables of each.

    Raises:
        OSError: the folder cannot be written; what it held before is still whole.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    arrays = f"state-{epoch}-{os.getpid()}.npz"
    with _synced(folder / arrays) as file:
        np.savez(file, allow_pickle=False, **{_key(number, index): _stored(v) for number, network in enumerate(networks) for index, v in enumerate(network)})
    state = {"epoch": epoch, "arrays": arrays, "networks": [[_described(variable) for variable in network] for network in networks]}
    with _synced(folder / STATE) as file:
        file.write(json.dumps(state).encode())
    for old in folder.glob("state-*.npz"):
        if old.name != arrays:
            old.unlink()


def read(folder: str | Path, networks: Sequence[Sequence[Any]]) -> int:
    """Assign what `write` wrote to the variables of the same networks, all of them or none.

    Args:
        folder: of the checkpoint.
        networks: the variables of each, in the order in which they were written.

    Returns:
        The epoch of the checkpoint.

    Raises:
        OSError: there is no checkpoint, or it cannot be read.
        ValueError: it is damaged, or of other networks.
    """
    folder = Path(folder)
    try:
        state = json.loads((folder / STATE).read_bytes())
        epoch, name, described = int(state["epoch"]), Path(state["arrays"]).name, state["networks"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{folder / STATE}: is damaged ({type(error).__name__}: {error}); expected what save() wrote") from error
    expected = [[_described(variable) for variable in network] for network in networks]
    if described != expected:
        raise ValueError(f"{folder / STATE}: {_difference(described, expected)}; expected the checkpoint of this network")
    read_so_far = []
    try:
        with (folder / name).open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            for number, network in enumerate(networks):
                for index, variable in enumerate(network):
                    read_so_far.append((variable, _loaded(file[_key(number, index)], variable)))
    except FileNotFoundError as error:
        raise ValueError(f"{folder / STATE}: names {name}, which is not there; expected what save() wrote") from error
    except Exception as error:  # zipfile, zlib and numpy each raise their own when the bytes are wrong
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):  # EINVAL: a damaged length makes zipfile seek before the beginning
            raise OSError(error.errno, error.strerror, str(folder / name)) from error  # the storage refuses: the bytes may be right
        raise ValueError(f"{folder / name}: is damaged ({type(error).__name__}: {error}); expected what save() wrote") from error
    for variable, array in read_so_far:
        variable.assign(array)
    return epoch


def _key(network: int, index: int) -> str:
    return f"{network}_{index}"


def _described(variable: Any) -> list[Any]:
    # Keras numbers layers over the whole process: the numbers say nothing of this network.
    return [re.sub(r"_\d+", "", variable.path.rpartition("/")[2]), list(variable.shape), str(variable.dtype)]


def _difference(saved: Any, expected: list[list[Any]]) -> str:
    if not isinstance(saved, list) or [len(network) for network in saved] != [len(network) for network in expected]:
        return "holds other numbers of networks or variables"
    for one, other in zip((v for network in saved for v in network), (v for network in expected for v in network), strict=True):
        if one != other:
            return f"holds {one} where the network has {other}"
    return "differs"


def _stored(variable: Any) -> np.ndarray:
    array = np.asarray(variable.numpy())
    # numpy has no bfloat16 of its own and would write it as bytes without a type: the bits are kept as uint16.
    return array.view(np.uint16) if str(variable.dtype) == "bfloat16" else array


def _loaded(array: np.ndarray, variable: Any) -> np.ndarray:
    kind = np.asarray(variable.numpy()).dtype
    expected = np.dtype(np.uint16) if str(variable.dtype) == "bfloat16" else kind
    if array.dtype != expected or array.shape != tuple(variable.shape):
        raise ValueError(f"{variable.path} is {array.dtype} {array.shape}; expected {expected} {tuple(variable.shape)}")
    return array.view(kind)


@contextmanager
def _synced(path: Path) -> Iterator[IO[bytes]]:
    """Open a file that appears under its name only when it is whole and on the disk."""
    aside = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        with aside.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
