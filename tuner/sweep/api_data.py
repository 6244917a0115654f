"""What `data` of `tuner.run` may be: arrays in memory, a function, a file, or the name of a source."""

import types
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tuner.data import dataset as data
from tuner.data import hashes
from tuner.data.section import DatasetSection
from tuner.data.sources import SOURCES, Examples, Raw
from tuner.errors import DatasetError
from tuner.sweep.given import Load
from tuner.training.source_text import name_of

EXPECTED = (
    "expected arrays (x, y), tuner.Data(train=(x, y), ...), a function that returns them, a file (.npz, .csv, .parquet), or the name of a source: "
    + ", ".join(SOURCES)
)


@dataclass(frozen=True)
class Data:
    """Data in memory, split as their owner wants them.

    Attributes:
        train: (x, y), or a dictionary of `x` and `y`.
        validation: likewise; None: it is drawn from `train`.
        test: likewise, sealed until the search is over; None: it is drawn from `train`.
    """

    train: Any
    validation: Any = None
    test: Any = None


@dataclass(frozen=True)
class Asked:
    """What a program gave as its data.

    Attributes:
        section: keys of `[dataset]`.
        held: the data themselves; None where they lie elsewhere.
    """

    section: Mapping[str, Any]
    held: Data | None = None

    def loader(self, section: DatasetSection, seed: int) -> Load | None:
        """Return what loads them; None where the spec says where they are."""
        held = self.held
        if held is None:
            return None
        return lambda: data.assemble(_raw(held), section, seed)


def asked_for(given: Any, search_path: list[str]) -> Asked:
    """Return what was given as data.

    Args:
        given: see `EXPECTED`.
        search_path: the folders where modules are looked for.

    Raises:
        DatasetError: it is nothing that Tuner takes.
    """
    if given is None:
        return Asked({})
    if isinstance(given, str | Path):
        return Asked(_place(str(given)))
    if isinstance(given, types.FunctionType):
        name = name_of(given, search_path)
        if name is not None and _takes_functions():
            return Asked({"source": name})
        return Asked({}, _held(given()))
    return Asked({}, _held(given))


def _takes_functions() -> bool:
    return DatasetSection.model_fields["source"].annotation is str


def _place(given: str) -> dict[str, Any]:
    if given in SOURCES or ":" in given.partition("://")[0]:
        return {"source": given}
    suffix = Path(given).suffix
    if suffix == ".npz":
        return {"source": "npz", "path": given}
    if suffix or Path(given).is_dir():
        return {"source": "table", "path": given}
    raise DatasetError(f"data: got {given!r}; {EXPECTED}")


def _held(given: Any) -> Data:
    if isinstance(given, Data):
        return given
    if isinstance(given, Mapping) and "train" in given:
        return Data(**given)
    if isinstance(given, tuple) and len(given) == 2 and all(isinstance(part, tuple) and len(part) == 2 for part in given):
        return Data(given[0], test=given[1])  # what Keras's own load_data returns
    return Data(given)


def _raw(held: Data) -> Raw:
    if held.validation is not None:
        raise DatasetError("data.validation: not taken yet; leave it to be drawn from train")
    pool, arrays = _examples(held.train, "train")
    test = None
    if held.test is not None:
        test, others = _examples(held.test, "test")
        arrays |= others
    return Raw(pool, test, hashes.of_arrays(arrays))


def _examples(given: Any, name: str) -> tuple[Examples, dict[str, np.ndarray]]:
    if isinstance(given, Mapping) and set(given) == {"x", "y"}:
        given = (given["x"], given["y"])
    if not (isinstance(given, tuple | list) and len(given) == 2):
        raise DatasetError(f"data: got {type(given).__name__} as {name}; {EXPECTED}")
    x, y = (np.asarray(part) for part in given)
    if x.ndim < 2 or not len(x) or len(x) != len(y):
        raise DatasetError(f"data: {name} has x of shape {x.shape} and y of shape {y.shape}; expected as many rows in both, and x with two axes or more")
    # A copy: what the program does to its arrays later is no part of the sweep.
    x = np.array(x if x.dtype == np.uint8 else x.astype(np.float32))
    y = np.array(y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y)
    return Examples(x, y, np.arange(len(x), dtype=np.int64)), {f"{name}/x": x, f"{name}/y": y}
