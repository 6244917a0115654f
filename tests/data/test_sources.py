"""Every row of SOURCES, held to one contract: what it gives, divided and sealed, the same for the same seed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tuner.data.arrays import archives
from tuner.data.dataset import DatasetSection, load
from tuner.data.sources import SOURCES


def _nothing(folder: Path, name: str) -> dict[str, Any]:
    return {}


def _in_kerass_cache(folder: Path, name: str) -> dict[str, Any]:
    (folder / "datasets").mkdir()
    shape, labels = ((4, 4, 3) if name == "cifar10" else (4, 4)), np.arange(60) % 10
    x = np.random.default_rng(0).integers(0, 256, (60, *shape), dtype=np.uint8)
    np.savez(folder / "datasets" / f"{name}.npz", x_train=x, y_train=labels, x_test=x[:20], y_test=labels[:20])
    return {}


def _npz(folder: Path, name: str) -> dict[str, Any]:
    np.savez(folder / "rows.npz", x=np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32), y=np.arange(60) % 3)
    return {"path": str(folder / "rows.npz")}


def _table(folder: Path, name: str) -> dict[str, Any]:
    (folder / "rows.csv").write_text("size,colour,answer\n" + "".join(f"{row / 7},{'rgb'[row % 3]},{'yn'[row % 2]}\n" for row in range(60)))
    return {"path": str(folder / "rows.csv"), "target": "answer"}


def _images(folder: Path, name: str) -> dict[str, Any]:
    for row in range(40):
        place = folder / "pictures" / ("cat", "dog")[row % 2]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((6, 6, 3), 5 * row, dtype=np.uint8)).save(place / f"{row}.png")
    return {"path": str(folder / "pictures")}


# What each source needs in a folder, and the keys of `[dataset]` that name it.
NEEDED: dict[str, Callable[[Path, str], dict[str, Any]]] = {
    "digits": _nothing,
    "mnist": _in_kerass_cache,
    "fashion_mnist": _in_kerass_cache,
    "cifar10": _in_kerass_cache,
    "npz": _npz,
    "table": _table,
    "images": _images,
}


@pytest.mark.parametrize("name", SOURCES)
def test_every_source_gives_rows_that_are_divided_sealed_and_the_same_for_the_same_seed(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(archives, "FETCH", "raise SystemExit('nothing was to be downloaded')")
    section = DatasetSection(source=name, **NEEDED[name](tmp_path, name))
    (dataset, test), (again, _), (other, _) = (load(section, seed) for seed in (1, 1, 2))
    (fold,) = dataset.folds
    assert (dataset.name, dataset.task) == (name, "classification")
    assert sorted([*fold.train, *fold.validation]) == list(range(len(dataset.x)))  # every row of the pool, once
    assert len(dataset.x) == len(dataset.y) and len(fold.validation) and test.rows
    assert dataset.outputs == len(dataset.classes) == len(dataset.facts["classes"]) >= 2
    # No row of the pool is one of the test split, unless the data bring the two apart.
    assert name in ("mnist", "fashion_mnist", "cifar10") or not set(dataset.rows) & set(dataset.test_rows)
    assert [again.facts[key] for key in ("content_hash", "split_hash")] == [dataset.facts[key] for key in ("content_hash", "split_hash")]
    assert other.facts["content_hash"] == dataset.facts["content_hash"] and other.facts["split_hash"] != dataset.facts["split_hash"]
    reasons: list[str] = []
    assert len(test.open(reasons.append, "a test")) == test.rows and reasons == ["a test"]
