import copy
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from tuner.data.dataset import SOURCES, Dataset, DatasetSection, Features, Fold, SealedTest, apply, load, read_for_prediction
from tuner.data.pool import Pool
from tuner.data.section import FROM_FILE, SOURCE_NAMES
from tuner.errors import DatasetError

CLASSES = np.arange(60) % 3


@pytest.fixture
def npz(tmp_path: Path) -> Callable[..., DatasetSection]:
    """Writes arrays to an archive and returns the section that reads it."""

    def write(*, section: dict[str, Any] | None = None, **arrays: np.ndarray) -> DatasetSection:
        path = tmp_path / "data.npz"
        np.savez(path, **arrays)
        return DatasetSection(source="npz", path=str(path), **(section or {}))

    return write


def numbers(rows: int = 60, features: int = 4) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(rows, features))


def spoilt(row: int, value: float) -> np.ndarray:
    x = numbers()
    x[row, 1] = value
    return x


# ---- what a search may see


def test_digits_come_as_bytes_in_stratified_splits_that_share_no_row() -> None:
    dataset, test = load(DatasetSection(), 0)
    (fold,) = dataset.folds
    assert (dataset.task, dataset.outputs, dataset.input_shape, dataset.x.dtype, dataset.y.dtype) == ("classification", 10, (8, 8), np.uint8, np.int32)
    assert dataset.classes == tuple("0123456789")
    assert len(fold.train) + len(fold.validation) == len(dataset.x) == 1438
    assert (len(fold.validation), test.rows) == (359, 359)
    indices = dataset.indices()
    assert sorted(np.concatenate([indices["train"], indices["validation"], indices["test"]])) == list(range(1797))
    for rows in (fold.train, fold.validation):
        assert np.ptp(np.bincount(dataset.y[rows]) / len(rows)) < 0.02


def test_sixteen_shades_become_one() -> None:
    dataset, _ = load(DatasetSection(), 0)
    scaled = apply(dataset.scaling(dataset.folds[0].train), dataset.x)
    assert (scaled.dtype, scaled.min(), scaled.max()) == (np.float32, 0.0, 1.0)


def test_same_seed_gives_the_same_splits_and_another_seed_others() -> None:
    hashes = [load(DatasetSection(), seed)[0].facts for seed in (1, 1, 2)]
    assert hashes[0]["split_hash"] == hashes[1]["split_hash"] != hashes[2]["split_hash"]
    assert hashes[0]["content_hash"] == hashes[2]["content_hash"]


def test_split_seed_keeps_the_splits_while_the_sweeps_seed_changes() -> None:
    section = DatasetSection(split_seed=5)
    assert load(section, 1)[0].facts["split_hash"] == load(section, 2)[0].facts["split_hash"]


def test_folds_divide_the_pool_so_that_each_row_validates_once() -> None:
    dataset, _ = load(DatasetSection(folds=4), 0)
    assert len(dataset.folds) == 4
    assert sorted(np.concatenate([fold.validation for fold in dataset.folds])) == list(range(len(dataset.x)))
    assert set(dataset.indices()) == {"test", *(f"{split}_{number}" for split in ("train", "validation") for number in (1, 2, 3, 4))}
    assert not np.array_equal(dataset.folds[0].validation, np.arange(len(dataset.folds[0].validation)))  # shuffled


def test_fractions_count_all_rows_and_whole_numbers_are_rows() -> None:
    dataset, test = load(DatasetSection(validation=0.25, test=0.5), 0)
    assert (len(dataset.folds[0].train), len(dataset.folds[0].validation), test.rows) == (450, 449, 898)
    dataset, test = load(DatasetSection(validation=100, test=50), 0)
    assert (len(dataset.folds[0].validation), test.rows) == (100, 50)


def test_whole_of_the_training_rows_is_split_where_the_data_bring_a_test_split() -> None:
    assert DatasetSection(source="mnist", validation=0.9).validation == 0.9


@pytest.mark.parametrize("most", [100, 1430])
def test_quick_look_takes_fewer_rows_of_every_class_and_leaves_the_test_split_whole(most: int) -> None:
    dataset, test = load(DatasetSection(max_rows=most), 0)
    assert (len(dataset.x), test.rows) == (most, 359)
    assert np.ptp(np.bincount(dataset.y)) < 9
    assert set(dataset.rows).isdisjoint(dataset.test_rows)


def test_given_test_split_is_kept_as_it_is(npz: Callable[..., DatasetSection]) -> None:
    x = numbers()
    dataset, test = load(npz(x_train=x, y_train=CLASSES, x_test=x[5:25], y_test=CLASSES[5:25]), 0)
    given = test.open(lambda reason: None, "a test")
    given_x, given_y = given.x, given.y
    assert np.array_equal(given_x, x[5:25].astype(np.float32))
    assert np.array_equal(given_y, CLASSES[5:25])
    assert len(dataset.x) == 60
    assert dataset.facts["test_given"]


def test_facts_are_json_and_state_the_splits() -> None:
    dataset, _ = load(DatasetSection(folds=3), 7)
    facts = json.loads(json.dumps(dataset.facts))
    assert (facts["seed"], facts["rows"], facts["pool_rows"], facts["test_rows"], facts["scaling"]) == (7, 1797, 1438, 359, "unit")
    assert facts["train_rows"] == [len(fold.train) for fold in dataset.folds]
    assert sum(facts["classes"].values()) == 1438
    assert len(facts["content_hash"]) == 64


def test_one_changed_value_changes_the_content_hash(npz: Callable[..., DatasetSection]) -> None:
    first = load(npz(x=numbers(), y=CLASSES), 0)[0].facts["content_hash"]
    assert load(npz(x=numbers(), y=CLASSES), 0)[0].facts["content_hash"] == first
    assert load(npz(x=spoilt(7, 0.0), y=CLASSES), 0)[0].facts["content_hash"] != first


def test_pool_cannot_be_written_to() -> None:
    dataset, _ = load(DatasetSection(), 0)
    with pytest.raises(ValueError, match="read-only"):
        dataset.x[0] = 0


def test_scaling_of_a_fold_knows_nothing_of_other_rows(npz: Callable[..., DatasetSection]) -> None:
    section = npz(x=numbers(), y=CLASSES)
    dataset, _ = load(section, 0)
    (fold,) = dataset.folds
    x = dataset.x.copy()
    x[fold.validation] *= 1000
    changed = Dataset(dataset.name, dataset.task, x, dataset.y, dataset.folds, dataset.classes, dataset.features, {}, dataset.scale)
    assert dataset.scaling(fold.train).to_json() == changed.scaling(fold.train).to_json()
    assert dataset.scaling(None).to_json() != changed.scaling(None).to_json()
    scaled = apply(dataset.scaling(fold.train), dataset.x[fold.train])
    assert np.allclose(scaled.mean(axis=0), 0, atol=1e-6)
    assert np.allclose(scaled.std(axis=0), 1, atol=1e-6)


# ---- labels


@pytest.mark.parametrize(
    ("labels", "task", "classes"),
    [
        (np.array(["no", "yes", "may be"])[CLASSES], "classification", ("may be", "no", "yes")),
        (np.array([b"no", b"yes"])[CLASSES % 2], "classification", ("no", "yes")),
        (CLASSES == 1, "classification", ("false", "true")),
        (CLASSES * 10, "classification", ("0", "10", "20")),
        (CLASSES.astype(np.uint8)[:, None], "classification", ("0", "1", "2")),
        (np.arange(60), "regression", ()),
        (CLASSES / 2, "regression", ()),
        (np.stack([CLASSES, CLASSES + 0.5], axis=1), "regression", ()),
    ],
)
def test_task_follows_from_the_labels(npz: Callable[..., DatasetSection], labels: np.ndarray, task: str, classes: tuple[str, ...]) -> None:
    dataset, test = load(npz(x=numbers(), y=labels), 0)
    assert (dataset.task, dataset.classes) == (task, classes)
    assert dataset.outputs == (len(classes) or labels[0].size)
    raw = labels[dataset.rows]
    if task == "regression":
        assert np.array_equal(dataset.y, raw.astype(np.float32))
    else:
        assert [classes[number].encode() for number in dataset.y] == [str(label).lower().encode() for label in raw.astype(str).reshape(-1)]
    assert test.open(lambda reason: None, "a test").y.dtype == dataset.y.dtype


def test_stated_task_overrides_the_labels(npz: Callable[..., DatasetSection]) -> None:
    assert load(npz(x=numbers(), y=CLASSES, section={"task": "regression"}), 0)[0].task == "regression"
    dataset, _ = load(npz(x=numbers(), y=CLASSES.astype(float), section={"task": "classification"}), 0)
    assert dataset.classes == ("0", "1", "2")


# ---- missing values of arrays


def test_rows_with_missing_values_are_dropped_and_keep_their_numbers(npz: Callable[..., DatasetSection]) -> None:
    dataset, test = load(npz(x=spoilt(3, np.nan), y=CLASSES, section={"missing": "drop"}), 0)
    assert len(dataset.x) + test.rows == 59
    assert 3 not in np.concatenate(list(dataset.indices().values()))


def test_missing_numbers_stay_until_the_scaling_fills_them(npz: Callable[..., DatasetSection]) -> None:
    x = numbers()
    x[::2, 1] = np.nan
    dataset, _ = load(npz(x=x, y=CLASSES, section={"missing": "mean"}), 0)
    assert np.isnan(dataset.x).any()
    rows = dataset.folds[0].train
    assert dataset.scaling(rows).fill[1] == pytest.approx(np.nanmean(dataset.x[rows, 1], dtype=np.float64))
    assert np.isfinite(apply(dataset.scaling(rows), dataset.x)).all()


# ---- the seal


def sealed() -> SealedTest:
    return SealedTest(Pool(np.ones((3, 2), np.float32), np.zeros(3, np.int32)))


@pytest.mark.parametrize("copier", [pickle.dumps, copy.copy, copy.deepcopy])
def test_sealed_test_split_is_neither_pickled_nor_copied(copier: Callable[[object], object]) -> None:
    with pytest.raises(TypeError, match="the test split is sealed"):
        copier(sealed())
    with pytest.raises(TypeError, match="the test split is sealed"):
        copier([{"hidden deeper": sealed()}]) if copier is not copy.copy else copier(sealed())


def test_sealed_test_split_shows_its_size_and_nothing_else() -> None:
    assert repr(sealed()) == "SealedTest(rows=3)"
    assert not any(isinstance(getattr(sealed(), name, None), np.ndarray) for name in dir(sealed()))


def test_opening_is_recorded_before_any_row_is_given_out() -> None:
    def fail(reason: str) -> None:
        raise OSError(f"the record cannot be written: {reason}")

    with pytest.raises(OSError, match="final score"):
        sealed().open(fail, "final score")
    reasons: list[str] = []
    assert len(sealed().open(reasons.append, "final score")) == 3
    assert reasons == ["final score"]
    with pytest.raises(ValueError, match="expected a reason"):
        sealed().open(reasons.append, " ")


def test_dataset_can_be_pickled() -> None:
    dataset, _ = load(DatasetSection(max_rows=50), 0)
    assert np.array_equal(pickle.loads(pickle.dumps(dataset)).x, dataset.x)  # noqa: S301


# ---- prediction


def test_images_to_predict_are_read_as_the_network_was_trained(tmp_path: Path) -> None:
    dataset, _ = load(DatasetSection(max_rows=50), 0)
    features = Features.from_json(json.loads(json.dumps(dataset.features.to_json())))
    assert features == dataset.features
    np.savez(tmp_path / "new.npz", x=dataset.x.astype(np.int64))
    np.save(tmp_path / "new.npy", dataset.x)
    for name in ("new.npz", "new.npy"):
        x = read_for_prediction(tmp_path / name, features)
        assert np.array_equal(x, dataset.x)
        assert x.dtype == np.uint8


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((5, 64), np.uint8), r"shape \(5, 64\); expected \(rows, 8, 8\)"),
        (np.zeros((5, 8, 8), np.float32), "got float32; expected whole numbers from 0 to 255"),
        (np.full((5, 8, 8), 256), "expected whole numbers from 0 to 255"),
    ],
)
def test_images_of_another_kind_are_not_predicted(tmp_path: Path, x: np.ndarray, message: str) -> None:
    np.savez(tmp_path / "new.npz", x=x)
    with pytest.raises(DatasetError, match=message):
        read_for_prediction(tmp_path / "new.npz", Features((8, 8), "uint8"))


# ---- what can be wrong


@pytest.mark.parametrize(
    ("arrays", "section", "message"),
    [
        ({"x": numbers(), "y": CLASSES[:50]}, {}, r"x has shape \(60, 4\), y \(50,\); expected as many labels as examples"),
        ({"images": numbers(), "y": CLASSES}, {}, "got the arrays images, y; expected x_train and y_train"),
        ({"x": numbers()[:0], "y": CLASSES[:0]}, {}, "x has no rows"),
        ({"x": numbers()[:, 0], "y": CLASSES}, {}, r"x has shape \(60,\); expected \(rows, features\)"),
        ({"x": numbers().astype("datetime64[s]"), "y": CLASSES}, {}, r"got values of type datetime64\[s\]; expected numbers"),
        ({"x": numbers() + 1j, "y": CLASSES}, {}, "got values of type complex128; expected numbers"),
        ({"x": spoilt(3, np.inf), "y": CLASSES}, {}, "row 3 holds inf; expected finite numbers"),
        ({"x": spoilt(3, 1e39), "y": CLASSES}, {}, "row 3 holds 1e[+]39; expected finite numbers within float32's range"),
        ({"x": spoilt(3, np.nan), "y": CLASSES}, {}, "1 of 60 rows have a missing value, the first is row 3"),
        ({"x": numbers() * np.nan, "y": CLASSES}, {"missing": "drop"}, "60 of 60 rows have a missing value"),
        ({"x": numbers(), "y": np.where(CLASSES == 2, np.nan, CLASSES)}, {}, "labels: 20 of 60 are missing, the first in row 2"),
        ({"x": numbers(), "y": CLASSES.astype("datetime64[s]")}, {}, r"got datetime64\[s\]"),
        ({"x": numbers(), "y": np.eye(3)[CLASSES] * 2}, {"task": "classification"}, r"got shape \(60, 3\).* y.argmax\(axis=1\)"),
        ({"x": numbers(), "y": numbers()[:, 0]}, {"task": "classification"}, 'did you mean dataset.task = "regression"'),
        ({"x": numbers(), "y": np.array(["a", "b", "c"])[CLASSES]}, {"task": "regression"}, "got words; expected numbers"),
        ({"x": numbers(), "y": CLASSES * 0}, {}, "every row has the class '0'; expected at least two classes"),
        ({"x": numbers(), "y": CLASSES * 0.0}, {}, "every row has the same value; there is nothing to learn"),
        ({"x": numbers(), "y": np.where(np.arange(60) == 5, 9, CLASSES)}, {}, "class '9' has 1 row; expected at least 3"),
        ({"x": numbers(), "y": CLASSES}, {"folds": 20}, "class '0' has 20 rows; expected at least 21 to be in every fold and in test"),
        ({"x": numbers(), "y": numbers()[:, 0]}, {"folds": 50}, "got 50 folds of 48 rows"),
        ({"x": numbers(), "y": CLASSES}, {"validation": 60}, "dataset.validation: got 60, 60 of 48 rows"),
        ({"x": numbers(), "y": CLASSES}, {"validation": 0.9}, "dataset.validation: got 0.9, 54 of 48 rows"),
        ({"x": numbers(), "y": CLASSES}, {"validation": 2}, "expected at least 3 on each side, one per class"),
        ({"x": numbers(), "y": CLASSES}, {"max_rows": 2}, "dataset.max_rows: got 2; expected at least 3, one per class"),
        ({"x_train": numbers(), "y_train": CLASSES, "x_test": numbers(), "y_test": CLASSES + 1}, {}, "test labels: row 2 has the class '3'"),
        ({"x_train": numbers(), "y_train": CLASSES, "x_test": numbers(60, 3), "y_test": CLASSES}, {}, r"shape \(3,\), float64; expected \(4,\)"),
        ({"x_train": numbers(), "y_train": CLASSES, "x_test": numbers(), "y_test": CLASSES}, {"test": 0.2}, "the data bring a test split"),
    ],
)
def test_wrong_arrays_are_told_in_one_line(npz: Callable[..., DatasetSection], arrays: dict[str, np.ndarray], section: dict[str, Any], message: str) -> None:
    with pytest.raises(DatasetError, match=message) as caught:
        load(npz(section=section, **arrays), 0)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"validation": 0.5, "test": 0.5}, r"validation \+ test: got 0.5 \+ 0.5; expected less than 1"),
        ({"test": 0.8}, r"validation \+ test: got 0.2 \+ 0.8"),
        ({"validation": 1.5}, "less than 1"),
        ({"validation": 0}, "greater than 0"),
        ({"folds": 1}, "greater than or equal to 2"),
        ({"folds": 3, "validation": 0.2}, "validation: got it beside folds"),
        ({"source": "dgits"}, "got 'dgits'; did you mean 'digits'.; or a function of your own, as \"my_module:load\""),
        ({"source": "my-module:load"}, 'or a function of your own, as "my_module:load"'),
        ({"arguments": {"a": 1}}, 'arguments: means nothing for source = "digits"'),
        ({"source": "a:b", "arguments": {"a": object()}}, "got what is no plain value"),
        ({"source": "a:b", "path": "x.npz"}, 'path: means nothing for source = "a:b"; expected it with source = npz or table or images only'),
        ({"source": "npz"}, 'path: missing; source = "npz" needs the file'),
        ({"source": "table", "path": "x.csv"}, "target: missing"),
        ({"source": "table", "path": "x.csv", "target": []}, "target: missing"),
        ({"path": "x.csv"}, 'path: means nothing for source = "digits"'),
        ({"source": "mnist", "test": 0.2}, 'test: means nothing for source = "mnist"'),
        ({"source": "npz", "path": "x.npz", "exclude": ["a"]}, "exclude: means nothing"),
        ({"source": "table", "path": "x.csv", "target": "y", "features": ["a", "y"]}, "'y' is the target"),
        ({"source": "table", "path": "x.csv", "target": "y", "features": ["a", "a"]}, "'a' is there twice"),
        ({"source": "table", "path": "x.csv", "target": "y", "features": ["a"], "exclude": ["a"]}, "'a' is also in exclude"),
        ({"source": "table", "path": "x.csv", "target": "y", "features": []}, "features: got an empty list"),
        ({"source": "table", "path": "x.csv", "target": "y", "missing_indicators": True}, "missing_indicators: means nothing"),
        ({"source": "table", "path": "x.csv", "target": "y", "test_path": "z.csv", "test": 0.2}, "test: got it beside test_path"),
        ({"source": "table", "path": "s3://key:secret@bucket/x.csv", "target": "y"}, "got a URL with credentials"),
        ({"sorce": "digits"}, "Extra inputs are not permitted"),
    ],
)
def test_section_that_cannot_be_meant_is_refused(section: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        DatasetSection(**section)


def test_every_source_can_be_named_in_a_spec() -> None:
    assert list(SOURCES) == list(SOURCE_NAMES)
    for name in SOURCES:
        assert DatasetSection(source=name, path="x" if name in FROM_FILE else None, target="y" if name == "table" else None).source == name


def test_fold_with_a_row_on_both_sides_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="both train and validation"):
        Fold(np.array([0, 1]), np.array([1, 2]))


def test_dataset_with_a_row_number_beyond_the_pool_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="within the pool"):
        fold = Fold(np.array([0]), np.array([60]))
        Dataset("d", "regression", numbers().astype(np.float32), np.zeros(60, np.float32), (fold,), (), Features((4,), "float32"), {})


def test_driver_reads_digits_and_tables_without_keras(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,y\n" + "".join(f"{row},{'ab'[row % 2]}\n" for row in range(40)))
    code = (
        "import sys\n"
        "from tuner.data.dataset import DatasetSection, load\n"
        "heavy = {'sklearn', 'pyarrow', 'keras', 'tensorflow', 'ray'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "load(DatasetSection(), 0)\n"
        "load(DatasetSection(source='table', path='t.csv', target='y'), 0)\n"
        "heavy = {'keras', 'tensorflow', 'ray'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    child = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert child.returncode == 0, child.stderr


@pytest.mark.skipif("TUNER_MNIST" not in os.environ, reason="TUNER_MNIST does not name an mnist.npz")
def test_real_mnist_keeps_its_test_split() -> None:
    dataset, test = load(DatasetSection(source="npz", path=os.environ["TUNER_MNIST"], validation=10_000), 0)
    assert (dataset.input_shape, dataset.x.dtype, dataset.outputs, test.rows) == ((28, 28), np.uint8, 10, 10_000)
    assert (len(dataset.folds[0].train), len(dataset.folds[0].validation)) == (50_000, 10_000)
    assert apply(dataset.scaling(None), dataset.x[:100]).max() == 1.0


def test_table_that_does_not_fit_into_memory_is_told_how_it_can_be_streamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(section: DatasetSection) -> None:
        raise MemoryError

    monkeypatch.setitem(SOURCES, "table", full)
    with pytest.raises(DatasetError, match=r"big\.parquet: does not fit into this machine's memory; dataset\.stream = true reads Parquet"):
        load(DatasetSection(source="table", path=str(tmp_path / "big.parquet"), target="y"), 0)
