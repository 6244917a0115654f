"""Files as people write them, and how they are loaded."""

from pathlib import Path
from typing import Any

import numpy as np

from tuner.data.dataset import Dataset, DatasetSection, load
from tuner.data.decisions import lines


def table(folder: Path, text: str | bytes, *, name: str = "t.csv", **section: Any) -> Dataset:
    """Write a table and load it with the shortest spec; the target is `y` unless it is told."""
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return load(DatasetSection(source="table", path=str(path), **{"target": "y", **section}), 0)[0]


def archive(folder: Path, **arrays: Any) -> Dataset:
    """Write x and y as an archive and load it; what is neither goes into the spec."""
    path = folder / "d.npz"
    np.savez(path, x=arrays.pop("x"), y=arrays.pop("y"))
    return load(DatasetSection(source="npz", path=str(path), **arrays), 0)[0]


def rows(header: str, row: Any, count: int = 60, end: str = "\n") -> str:
    """Return a text table: a header, and what `row` gives for 0, 1, ..."""
    return end.join([header, *(row(number) for number in range(count))]) + end


def column(dataset: Dataset, name: str) -> np.ndarray:
    """Return (n,) of one encoded feature, in the order of the file."""
    return dataset.x[np.argsort(dataset.rows), dataset.features.names.index(name)]


def told(dataset: Dataset) -> str:
    """Return what is told before a search."""
    return "\n".join(lines(dataset.facts["decisions"]))
