"""What `data` of `tuner.run` may be: arrays in memory in any structure, a function, a file, or the name of a source."""

import types
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from search_spaces.code import IN_MEMORY, packed
from tuner.data import dataset, hashes, sources
from tuner.data.arrays.structure import leaves, map_leaves, paths
from tuner.data.own.returned import Arrays, Batches, by_split
from tuner.data.section import SOURCE_NAMES, DatasetSection
from tuner.errors import DatasetError
from tuner.sweep.given import Load
from tuner.training.source_text import name_of, text_of

EXPECTED = (
    "expected arrays (x, y), tuner.Data(train=(x, y), ...), a function that returns them, a file (.npz, .csv, .parquet), or the name of a source: "
    + ", ".join(SOURCE_NAMES)
)
# What data in memory are called where sources are named.
ARRAYS = f"{IN_MEMORY}:data"


@dataclass(frozen=True)
class Data:
    """Data in memory, split as their owner wants them.

    Each split is `(x, y)`, `(x, y, weights)`, `x` alone, or a dictionary of `x`, `y`, `w` and what rows are divided by; x and y are arrays, or tuples, lists or
    dictionaries of arrays.

    Attributes:
        train: what is searched on.
        validation: what trials are compared by; None: it is drawn from `train`.
        test: sealed until the search is over; None: it is drawn from `train`.
    """

    train: Any
    validation: Any = None
    test: Any = None


@dataclass(frozen=True)
class Asked:
    """What a program gave as its data.

    Attributes:
        section: keys of `[dataset]`.
        held: the data themselves, by split; empty where they lie elsewhere.
        functions: `in_memory:name` -> the function that makes them, where it is in no module.
        text: the source of that function.
    """

    section: Mapping[str, Any]
    held: Mapping[str, Arrays] = field(default_factory=dict)
    functions: Mapping[str, Any] = field(default_factory=dict)
    text: str = ""

    def loader(self, section: DatasetSection, seed: int, search_path: tuple[str, ...]) -> Load | None:
        """Return what loads them; None where the spec says where they are.

        Args:
            section: `[dataset]`, checked.
            seed: of the splits.
            search_path: folders where modules are looked for.
        """
        if self.functions:
            code = packed(self.functions)
            return lambda: dataset.assemble(sources.of_function(section, search_path, code=code, text=self.text), section, seed)
        if not self.held:
            return None
        parts = {split: (part, f"data{f' ({split})' if len(self.held) > 1 else ''}: x") for split, part in self.held.items()}
        named = {f"{split}/{name}": leaf for split, part in self.held.items() for name, leaf in _named(part).items()}
        return lambda: dataset.assemble(sources.of_splits(parts, section, hashes.of_arrays(named)), section, seed)


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
        return Asked(place_of(str(given)))
    if isinstance(given, types.FunctionType | types.MethodType | type):
        importable = name_of(given, search_path)
        if importable is not None:
            return Asked({"source": importable})
        name = getattr(given, "__name__", "")
        name = f"{IN_MEMORY}:{name if name.isidentifier() else 'load'}"
        return Asked({"source": name}, functions={name: given}, text=text_of(given))
    if isinstance(given, Data):
        given = {split: part for split, part in vars(given).items() if part is not None}
    parts = by_split(given, "data")
    held = {}
    for split, part in parts.items():
        if isinstance(part, Batches):
            raise DatasetError(f"data: {split} is a live pipeline, which cannot be sent to trials; expected a function that makes it: data=lambda: ...")
        # Views: what is made read-only here stays writable for the program.
        x, y, w = (map_leaves(lambda leaf: leaf.view(), each) for each in (part.x, part.y, part.w))
        held[split] = Arrays(x, y, w, part.aside)
    return Asked({"source": ARRAYS}, held)


def place_of(given: str) -> dict[str, Any]:
    """Return the keys of `[dataset]` that a source's name, a data function's or a file mean.

    Raises:
        DatasetError: it is none of these.
    """
    if given in SOURCE_NAMES or (":" in given and "://" not in given and not Path(given).exists()):
        return {"source": given}
    suffix = Path(given).suffix
    if suffix == ".npz":
        return {"source": "npz", "path": given}
    if suffix or "://" in given or Path(given).is_dir():
        return {"source": "table", "path": given}
    raise DatasetError(f"data: got {given!r}; {EXPECTED}")


def _named(part: Arrays) -> dict[str, Any]:
    structure = {"x": part.x, "y": part.y, "w": part.w, **part.aside}
    return dict(zip(paths(structure), leaves(structure), strict=True))
