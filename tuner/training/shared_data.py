"""The data of a node in files, which every process of it maps instead of copying: one side writes them, the other reads them, both here."""

import contextlib
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tuner.data.arrays.structure import Structure, leaves, rebuild, skeleton
from tuner.data.own.pipelines import Pipeline
from tuner.data.pool import Pool
from tuner.data.scaling import from_json
from tuner.data.splits.drawing import Fold
from tuner.data.tables.stream import Stream

POOL = "pool.json"


@dataclass(frozen=True)
class SharedData:
    """Arrays in files, which every process of a node maps instead of copying."""

    folder: Path

    def with_folds(self, folds: Sequence[Fold]) -> Path:
        """Write which rows each network gets, once, and return the file."""
        arrays: dict[str, np.ndarray] = {}
        for number, fold in enumerate(folds):
            rows = {"train": fold.train, "validation": fold.validation}
            described: dict[str, Any] = {"scaling": [None if scaling is None else scaling.to_json() for scaling in fold.scaling]}
            for name, given in rows.items():
                if isinstance(given, Stream | Pipeline):
                    described[name] = {"kind": "stream" if isinstance(given, Stream) else "pipeline", **given.to_json()}
            arrays[f"{number}_told"] = np.frombuffer(json.dumps(described).encode(), np.uint8)
            arrays |= {f"{number}_{name}": np.asarray(value, np.int64) for name, value in rows.items() if value is not None and name not in described}
        content = hashlib.sha256()
        for name, array in arrays.items():
            content.update(f"{name}{array.shape}".encode())
            content.update(array.tobytes())
        path = self.folder / f"folds-{content.hexdigest()[:16]}.npz"
        if not path.exists():
            with _whole(path) as aside:
                np.savez(aside, allow_pickle=False, **arrays)
        return path


def store(folder: str | Path, pool: Pool) -> SharedData:
    """Write arrays where the processes of this node map them. Once: whoever comes later finds them, or waits until they are whole.

    Args:
        folder: for these arrays alone; it is the caller's to remove.
        pool: the rows.

    Raises:
        ValueError: the folder holds other arrays.
        OSError: the folder cannot be written.
    """
    folder = Path(folder)
    # Data are for this user's eyes: whoever else works on this node can enter neither folder.
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    with _locked(folder):
        bones = {"parts": skeleton((pool.x, pool.y, pool.w))}
        for number, array in enumerate(leaves((pool.x, pool.y, pool.w))):
            path = folder / f"{number}.npy"
            if not path.exists():
                with _whole(path) as aside:
                    np.save(aside, np.ascontiguousarray(array), allow_pickle=False)
                continue
            there = np.load(path, mmap_mode="r", allow_pickle=False)
            if there.shape != array.shape or there.dtype != array.dtype:
                raise ValueError(f"{path}: holds {there.dtype} {there.shape}; expected {array.dtype} {array.shape}, or an empty folder")
        if not (folder / POOL).exists():
            with _whole(folder / POOL) as aside:
                aside.write_text(json.dumps(bones), encoding="utf-8")
    return SharedData(folder)


def mapped(folder: Path) -> Pool:
    """Return the pool that `store` wrote, mapped: all processes of a node share its pages.

    Args:
        folder: where it was written.

    Returns:
        Arrays that are writable, for TensorFlow takes over only such memory; nothing ever writes to them.
    """
    bones = json.loads((folder / POOL).read_text(encoding="utf-8"))["parts"]
    parts = [np.load(folder / f"{number}.npy", mmap_mode="c", allow_pickle=False) for number in range(len(list(folder.glob("[0-9]*.npy"))))]
    return Pool(*rebuild(bones, parts))


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


@contextlib.contextmanager
def _whole(path: Path) -> Iterator[Path]:
    aside = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        yield aside
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def read_folds(path: Path) -> list[Fold]:
    """Return the folds that `SharedData.with_folds` wrote."""
    with np.load(path, allow_pickle=False) as file:
        arrays = dict(file)
    folds = []
    for number in range(sum(name.endswith("_told") for name in arrays)):
        described = json.loads(arrays[f"{number}_told"].tobytes())
        train, validation = (_rows(arrays.get(f"{number}_{name}"), described.get(name)) for name in ("train", "validation"))
        folds.append(Fold(train, validation, from_json(described["scaling"])))
    return folds


def _rows(numbers: np.ndarray | None, described: dict[str, Any] | None) -> Any:
    """Return row numbers, or the stream or pipeline that gives the rows."""
    if described is None:
        return numbers
    kind = described.pop("kind")
    return Stream.from_json(described) if kind == "stream" else Pipeline.from_json(described)


def write_structure(folder: Path, structure: Structure) -> None:
    """Write a structure of arrays into a folder of its own, for one reader.

    Args:
        folder: made here.
        structure: of arrays.
    """
    folder.mkdir()
    for number, array in enumerate(leaves(structure)):
        np.save(folder / f"{number}.npy", array, allow_pickle=False)
    (folder / POOL).write_text(json.dumps(skeleton(structure)), encoding="utf-8")


def read_structure(folder: Path) -> Structure:
    """Return what `write_structure` wrote."""
    bones = json.loads((folder / POOL).read_text(encoding="utf-8"))
    return rebuild(bones, [np.load(folder / f"{number}.npy", allow_pickle=False) for number in range(len(list(folder.glob("*.npy"))))])
