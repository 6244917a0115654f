"""Which rows train, validate and test: at random, by time, by group, as a column says. All of it by row numbers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from tuner.data.dataset import Dataset, DatasetSection, load
from tuner.data.splits import drawing
from tuner.errors import DatasetError

ROWS = 100


@pytest.fixture
def npz(tmp_path: Path) -> Callable[..., DatasetSection]:
    """Writes arrays to an archive and returns the section that reads it."""

    def write(arrays: dict[str, np.ndarray], **section: Any) -> DatasetSection:
        np.savez(tmp_path / "data.npz", **{"x": np.random.default_rng(0).normal(size=(ROWS, 3)), "y": np.linspace(0, 1, ROWS), **arrays})
        return DatasetSection(source="npz", path=str(tmp_path / "data.npz"), **section)

    return write


@pytest.fixture
def table(tmp_path: Path) -> Callable[..., DatasetSection]:
    """Writes a table and returns the section that reads it."""

    def write(columns: dict[str, Any], **section: Any) -> DatasetSection:
        import pyarrow as pa
        import pyarrow.csv as csv

        csv.write_csv(pa.table({"a": np.random.default_rng(0).normal(size=ROWS), "y": np.linspace(0, 1, ROWS), **columns}), tmp_path / "data.csv")
        return DatasetSection(source="table", path=str(tmp_path / "data.csv"), target="y", **section)

    return write


def sides(dataset: Dataset) -> dict[str, list[int]]:
    return {name: rows.tolist() for name, rows in dataset.indices().items()}


# ---- by time


def test_by_time_train_comes_before_validation_before_test_with_gaps_between(npz: Callable[..., DatasetSection]) -> None:
    dataset, test = load(npz({}, split="time", gap=5, validation=0.2, test=0.1), 0)
    assert sides(dataset) == {"train": list(range(60)), "validation": list(range(65, 85)), "test": list(range(90, 100))}
    # The final training takes the gap before the validation rows too, but none of the rows that overlap with test.
    assert dataset.rows[dataset.whole].tolist() == list(range(85))
    assert test.rows == 10


def test_folds_by_time_expand_and_validate_on_what_comes_next(npz: Callable[..., DatasetSection]) -> None:
    dataset, _ = load(npz({}, split="time", gap=2, folds=3, test=20), 0)
    rows = sides(dataset)
    for fold in (1, 2, 3):
        train, validation = rows[f"train_{fold}"], rows[f"validation_{fold}"]
        assert train == list(range(len(train)))
        assert validation[0] == train[-1] + 3
        assert len(validation) == 19
        assert validation == list(range(validation[0], validation[0] + 19))
    assert [len(rows[f"train_{fold}"]) for fold in (1, 2, 3)] == [19, 38, 57]
    assert rows["validation_3"][-1] == 77
    assert rows["test"] == list(range(80, 100))


@pytest.mark.parametrize("kind", [np.float64, np.int64, "datetime64[s]", str])
def test_column_of_moments_puts_rows_in_order(table: Callable[..., DatasetSection], kind: Any) -> None:
    order = np.random.default_rng(1).permutation(ROWS)
    moments: Any = order.astype(np.int64)
    if kind is str:
        moments = np.array([f"2026-01-{1 + number // 24:02d} {number % 24:02d}:00" for number in order])
    elif kind != np.int64:
        moments = order.astype(kind)
    dataset, _ = load(table({"when": moments}, time="when", validation=20, test=20), 0)
    by_time = np.argsort(order)
    assert sides(dataset) == {"train": by_time[:60].tolist(), "validation": by_time[60:80].tolist(), "test": by_time[80:].tolist()}
    assert dataset.features.names == ("a",)


def test_one_moment_is_never_on_two_sides(table: Callable[..., DatasetSection]) -> None:
    days = np.arange(ROWS) // 7
    dataset, _ = load(table({"day": days}, time="day", validation=0.2, test=0.2), 0)
    rows = {name: set(days[numbers].tolist()) for name, numbers in dataset.indices().items()}
    assert rows == {"train": set(range(8)), "validation": {8, 9, 10}, "test": {11, 12, 13, 14}}


def test_quick_look_by_time_takes_the_latest_rows(npz: Callable[..., DatasetSection]) -> None:
    dataset, _ = load(npz({}, split="time", max_rows=40, validation=10, test=10), 0)
    assert sides(dataset) == {"train": list(range(50, 80)), "validation": list(range(80, 90)), "test": list(range(90, 100))}


def test_windows_of_a_series_do_not_overlap_across_sides(npz: Callable[..., DatasetSection]) -> None:
    window, ahead = 8, 4
    series = np.arange(ROWS + window + ahead, dtype=np.float64)
    x = np.stack([series[start : start + window] for start in range(ROWS)])[..., None]
    y = np.stack([series[start + window : start + window + ahead] for start in range(ROWS)])
    dataset, test = load(npz({"x": x, "y": y}, split="time", gap=window + ahead - 1), 0)
    (fold,) = dataset.folds
    held = test.open(lambda reason: None, "a test")
    assert dataset.y[fold.train].max() < dataset.x[fold.validation].min()
    assert dataset.y.max() < held.x.min()


@pytest.mark.parametrize(
    ("columns", "section", "message"),
    [
        ({"when": [f"{row % 28 + 1}.01.2026" for row in range(ROWS)]}, {"time": "when"}, r"holds '1\.01\.2026'; expected numbers, or dates like 2026-01-31"),
        ({"when": [None, *range(1, ROWS)]}, {"time": "when"}, "column 'when': the value of row 0 is missing"),
        ({"when": [1] * ROWS}, {"time": "when"}, "leave nothing to train on"),
        ({}, {"split": "time", "gap": 40}, "with a gap of 40 leave nothing to train on"),
        ({}, {"time": "wehn"}, "dataset.time: no column 'wehn'"),
    ],
)
def test_moments_that_divide_nothing_are_told(table: Callable[..., DatasetSection], columns: dict[str, Any], section: dict[str, Any], message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        load(table(columns, **section), 0)


# ---- by group


@pytest.mark.parametrize("folds", [None, 4])
def test_no_group_is_on_two_sides(table: Callable[..., DatasetSection], folds: int | None) -> None:
    groups = np.array([f"patient {number}" for number in np.random.default_rng(2).integers(0, 17, ROWS)])
    dataset, _ = load(table({"who": groups}, group="who", folds=folds), 0)
    rows = dataset.indices()
    for fold in range(1, (folds or 1) + 1):
        suffix = f"_{fold}" if folds else ""
        parts = [set(groups[rows[name]]) for name in (f"train{suffix}", f"validation{suffix}", "test")]
        assert all(parts)
        assert not (parts[0] & parts[1]) | (parts[0] & parts[2]) | (parts[1] & parts[2])
    assert sum(len(numbers) for name, numbers in rows.items() if "train" not in name) <= ROWS
    assert dataset.features.names == ("a",)


def test_groups_are_drawn_so_that_shares_and_classes_stay_near_what_was_asked(npz: Callable[..., DatasetSection]) -> None:
    random = np.random.default_rng(3)
    groups, classes = np.arange(ROWS) // 4, random.integers(0, 2, ROWS)
    dataset, test = load(npz({"group": groups, "y": classes}, split="group", validation=0.25, test=0.25), 0)
    (fold,) = dataset.folds
    held = test.open(lambda reason: None, "a test").y
    assert abs(test.rows - 25) <= 4
    assert abs(len(fold.validation) - 25) <= 4
    assert abs(held.mean() - classes.mean()) < 0.15
    assert abs(dataset.y[fold.validation].mean() - classes.mean()) < 0.15


def test_groups_are_drawn_alike_by_one_seed_and_otherwise_by_another(npz: Callable[..., DatasetSection]) -> None:
    section = npz({"group": np.arange(ROWS) // 4}, split="group")
    hashes = [load(section, seed)[0].facts["split_hash"] for seed in (1, 1, 2)]
    assert hashes[0] == hashes[1] != hashes[2]


def test_quick_look_by_group_takes_whole_groups(npz: Callable[..., DatasetSection]) -> None:
    groups = np.arange(ROWS) // 5
    dataset, _ = load(npz({"group": groups}, split="group", max_rows=42), 0)
    assert len(dataset.whole) == 40
    assert set(np.bincount(groups[dataset.rows])) <= {0, 5}


@pytest.mark.parametrize(
    ("arrays", "section", "message"),
    [
        ({}, {"split": "group"}, "there is no array 'group'"),
        ({"group": np.zeros(ROWS)}, {"split": "group"}, "has 1 group to divide into 2 sides"),
        ({"group": np.zeros(ROWS)}, {}, 'dataset.split = "group" uses it'),
        ({"group": np.where(np.arange(ROWS) == 3, np.nan, 1.0)}, {"split": "group"}, "the value of row 3 is missing"),
    ],
)
def test_groups_that_divide_nothing_are_told(npz: Callable[..., DatasetSection], arrays: dict[str, Any], section: dict[str, Any], message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        load(npz(arrays, **section), 0)


# ---- as a column says


def test_column_says_what_each_row_is_for(table: Callable[..., DatasetSection]) -> None:
    words = np.array(["train", "Val", "TEST", "train", "train"] * 20)
    dataset, _ = load(table({"part": words}, split_column="part"), 0)
    assert sides(dataset) == {"train": np.flatnonzero(words == "train").tolist(), "validation": list(range(1, 100, 5)), "test": list(range(2, 100, 5))}


def test_what_a_column_does_not_name_is_drawn_from_the_rows_to_train_on(npz: Callable[..., DatasetSection]) -> None:
    words = np.array(["train"] * 80 + ["test"] * 20)
    dataset, _ = load(npz({"split": words}, split="column", validation=0.25), 0)
    rows = sides(dataset)
    assert rows["test"] == list(range(80, 100))
    assert len(rows["validation"]) == 20
    assert sorted(rows["train"] + rows["validation"]) == list(range(80))


@pytest.mark.parametrize(
    ("words", "section", "message"),
    [
        (["train"] * 50 + ["tset"] * 50, {}, "holds 'tset'; did you mean 'test'"),
        (["test"] * 50 + ["val"] * 50, {}, 'no row is called "train"'),
        (["train"] * 50 + ["test"] * 50, {"test": 0.3}, "dataset.test: got 0.3, but column 'part' says which rows these are"),
    ],
)
def test_column_that_says_something_else_is_told(table: Callable[..., DatasetSection], words: list[str], section: dict[str, Any], message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        load(table({"part": words}, split_column="part", **section), 0)


# ---- at random


def test_labels_are_stratified_one_by_one(npz: Callable[..., DatasetSection]) -> None:
    labels = (np.random.default_rng(4).random((ROWS, 3)) < [0.5, 0.3, 0.1]).astype(int)
    dataset, test = load(npz({"y": labels}), 0)
    (fold,) = dataset.folds
    for part, share in ((dataset.y[fold.train], 0.6), (dataset.y[fold.validation], 0.2), (test.open(lambda reason: None, "a test").y, 0.2)):
        assert np.abs(part.sum(axis=0) - labels.sum(axis=0) * share).max() <= 1.5


def test_labels_are_divided_into_folds_of_equal_size(npz: Callable[..., DatasetSection]) -> None:
    labels = (np.random.default_rng(4).random((ROWS, 3)) < [0.5, 0.3, 0.1]).astype(int)
    dataset, _ = load(npz({"y": labels}, folds=4), 0)
    assert sorted(np.concatenate([fold.validation for fold in dataset.folds])) == list(range(80))
    assert [len(fold.validation) for fold in dataset.folds] == [20] * 4
    assert np.ptp([dataset.y[fold.validation].sum(axis=0) for fold in dataset.folds], axis=0).max() <= 2


@pytest.mark.parametrize("counts", [(60, 40), (34, 33, 33)])
def test_sides_have_as_many_rows_as_asked(counts: tuple[int, ...]) -> None:
    labels = np.random.default_rng(5).integers(0, 2, (ROWS, 4))
    found = drawing.of_labels(labels, counts=counts, seed=0)
    assert tuple(np.bincount(found)) == counts


def test_validation_split_of_the_data_takes_no_share_and_no_folds(npz: Callable[..., DatasetSection], tmp_path: Path) -> None:
    x, y = np.random.default_rng(0).normal(size=(ROWS, 3)), np.arange(ROWS) % 2
    np.savez(tmp_path / "v.npz", x_train=x, y_train=y, x_val=x[:30], y_val=y[:30])
    dataset, test = load(DatasetSection(source="npz", path=str(tmp_path / "v.npz")), 0)
    (fold,) = dataset.folds
    assert (len(fold.train), len(fold.validation), test.rows) == (80, 30, 20)
    assert np.array_equal(dataset.x[fold.validation], x[:30].astype(np.float32))
    for section in ({"folds": 3}, {"validation": 0.2}, {"split": "time"}):
        with pytest.raises(DatasetError, match=r"the data bring a validation split \(30 rows\)"):
            load(DatasetSection(source="npz", path=str(tmp_path / "v.npz"), **section), 0)


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"gap": 3}, 'gap: means nothing without split = "time"'),
        ({"time": "a", "group": "b"}, "group: got it beside time"),
        ({"split": "random", "time": "a"}, 'time: means nothing with split = "random"'),
        ({"split": "group"}, 'group: missing; split = "group" needs the column'),
        ({"split_column": "a", "folds": 3}, "folds: got it beside a column"),
        ({"time": "a", "stream": True}, 'split: got "time" with stream = true'),
        ({"group": "y"}, "group: 'y' is the target"),
        ({"split": "tme"}, "Input should be 'random', 'time', 'group' or 'column'"),
    ],
)
def test_splits_that_cannot_be_meant_are_refused(section: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        DatasetSection(source="table", path="t.parquet", target="y", **section)


def test_random_draw_with_groups_is_one_by_group() -> None:
    assert DatasetSection(source="table", path="t.csv", target="y", split="random", group="who").mode == "group"


def test_row_weights_of_a_table_follow_their_rows_and_are_no_feature(table: Callable[..., DatasetSection]) -> None:
    weights = np.arange(ROWS) / 10
    dataset, test = load(table({"worth": weights}, weight="worth"), 0)
    assert dataset.features.names == ("a",)
    assert np.allclose(dataset.pool.w, weights[dataset.rows])
    assert np.allclose(test.open(lambda reason: None, "a test").w, weights[dataset.test_rows])
    changed, _ = load(table({"worth": weights + 1}, weight="worth"), 0)
    assert changed.facts["content_hash"] != dataset.facts["content_hash"]
    with pytest.raises(DatasetError, match=r"column 'worth': row 0 holds -1.0; expected weights of 0 or more"):
        load(table({"worth": weights - 1}, weight="worth"), 0)
