"""Numbers that are not magnitudes: what is done to each array and target is right, told, and overruled by name."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from tests.field.rig import archive, rows, table, told
from tuner.data.dataset import Dataset, apply
from tuner.errors import DatasetError

RANDOM = np.random.default_rng(5)


def scaled(dataset: Dataset) -> np.ndarray:
    return apply(dataset.scaling(None), dataset.x)


def test_words_numbers_reach_the_network_as_they_are(tmp_path: Path) -> None:
    random = np.random.default_rng(7)
    x, y = random.integers(1, 500, (400, 40)), random.integers(0, 2, 400)
    x[:, :10] *= random.random((400, 10)) < 0.7
    dataset = archive(tmp_path, x=x.astype("int32"), y=y)
    assert np.array_equal(scaled(dataset), x[dataset.rows])
    assert (
        'x: numbers, left as they are (whole numbers from 0 to 499 in any order, as the numbers of words are; otherwise: dataset.scaling = "standard")'
        in told(dataset)
    )
    overruled = archive(tmp_path, x=x.astype("int32"), y=y, scaling="standard")
    assert np.abs(scaled(overruled).mean()) < 0.01 and scaled(overruled).std() == pytest.approx(1, abs=0.01)


def test_words_numbers_filled_up_with_zeros_and_often_the_same_are_still_left(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    x = np.minimum(random.zipf(1.3, (600, 30)), 4999)
    x[np.arange(30) >= random.integers(5, 30, 600)[:, None]] = 0
    dataset = archive(tmp_path, x=x, y=random.integers(0, 2, 600))
    assert np.array_equal(scaled(dataset), x[dataset.rows])


@pytest.mark.parametrize(("low", "letters"), [(0, 4), (1, 28), (1, 99)])
@pytest.mark.parametrize("type_", ["uint8", "int64", "float32"])
def test_numbers_of_few_letters_are_left_whatever_their_type(low: int, letters: int, type_: str, tmp_path: Path) -> None:
    random = np.random.default_rng(letters)
    x = random.integers(low, low + letters, (500, 12))
    if low:
        x[np.arange(12) >= random.integers(8, 13, 500)[:, None]] = 0
    dataset = archive(tmp_path, x=x.astype(type_), y=random.integers(0, 2, 500))
    assert np.array_equal(scaled(dataset), x[dataset.rows])
    assert "in any order, as the numbers of words are" in told(dataset)


def test_counts_of_words_are_no_words(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    dataset = archive(tmp_path, x=random.poisson(0.4, (500, 30)), y=random.integers(0, 2, 500))
    assert dataset.scale == "standard"


@pytest.mark.parametrize("kind", ["counts", "signal", "pixels"])
def test_whole_numbers_that_are_measured_are_standardised_and_it_is_said(kind: str, tmp_path: Path) -> None:
    random, steps = np.random.default_rng(2), np.arange(40)
    x = {
        "counts": np.round(random.gamma(2, 10 + 30 * steps, (300, 40))),
        "signal": np.round(2000 + 900 * np.sin(steps / 5 + random.uniform(0, 6, (300, 1))) + random.normal(0, 30, (300, 40))),
        "pixels": np.clip(np.round(120 + 60 * np.sin(steps / 9 + random.uniform(0, 6, (300, 1))) + random.normal(0, 5, (300, 40))), 0, 255),
    }[kind].astype(int)
    dataset = archive(tmp_path, x=x, y=random.integers(0, 2, 300))
    pool = x[dataset.rows].astype(float)
    np.testing.assert_allclose(scaled(dataset), (pool - pool.mean(axis=0)) / pool.std(axis=0), atol=1e-3)
    assert 'want to be left as they are; otherwise: dataset.scaling = "none"' in told(dataset)


def test_flags_stored_as_bytes_are_learnt_as_well_as_flags_stored_as_numbers(tmp_path: Path) -> None:
    x = (RANDOM.random((800, 64)) < 0.3).astype("uint8")
    weights = RANDOM.normal(size=64)
    y = (x @ weights > np.median(x @ weights)).astype(int)
    found = {}
    for kind in ("uint8", "float32"):
        dataset = archive(tmp_path, x=x.astype(kind), y=y)
        fold = dataset.folds[0]
        learnt = LogisticRegression(C=0.01, max_iter=500).fit(scaled(dataset)[fold.train], dataset.y[fold.train])
        found[kind] = learnt.score(scaled(dataset)[fold.validation], dataset.y[fold.validation])
    assert set(np.unique(scaled(archive(tmp_path, x=x, y=y)))) == {0.0, 1.0}
    assert found["uint8"] > 0.8 and found["uint8"] == pytest.approx(found["float32"], abs=0.07)
    assert "x: bytes, left as they are (none is larger than 1" in told(archive(tmp_path, x=x, y=y))


@pytest.mark.parametrize(("largest", "factor"), [(1, 1.0), (16, 1 / 16), (100, 1 / 100), (200, 1 / 255), (255, 1 / 255)])
def test_images_of_bytes_span_zero_to_one_whatever_their_largest_value(largest: int, factor: float, tmp_path: Path) -> None:
    x = RANDOM.integers(0, largest + 1, (60, 5, 5)).astype("uint8")
    x[:, 0, 0] = largest
    dataset = archive(tmp_path, x=x, y=np.arange(60) % 2)
    np.testing.assert_allclose(scaled(dataset), x[dataset.rows] * np.float32(factor), rtol=1e-6)
    assert dataset.x.dtype == np.uint8
    assert ("divided by" in told(dataset)) == (largest > 1)


def test_columns_of_bytes_are_standardised_each_by_itself_and_pixels_in_a_row_are_not(tmp_path: Path) -> None:
    ages = np.stack([RANDOM.integers(18, 90, 200), RANDOM.integers(0, 5, 200), RANDOM.integers(150, 200, 200)], axis=1).astype("uint8")
    dataset = archive(tmp_path, x=ages, y=np.arange(200) % 2)
    pool = ages[dataset.rows].astype(float)
    np.testing.assert_allclose(scaled(dataset), (pool - pool.mean(axis=0)) / pool.std(axis=0), atol=1e-5)
    pixels = RANDOM.integers(0, 256, (200, 64)).astype("uint8")
    dataset = archive(tmp_path, x=pixels, y=np.arange(200) % 2)
    np.testing.assert_allclose(scaled(dataset), pixels[dataset.rows] / 255, rtol=1e-6)
    assert archive(tmp_path, x=pixels, y=np.arange(200) % 2, scaling="standard").scale == "standard"


@pytest.mark.parametrize(("shape", "is_told"), [((4, 24, 24), True), ((3, 32, 32), True), ((24, 24, 4), False), ((3, 32, 3), False), ((24, 24), False)])
def test_images_whose_channels_come_first_are_asked_about(shape: tuple[int, ...], is_told: bool, tmp_path: Path) -> None:
    dataset = archive(tmp_path, x=RANDOM.integers(0, 256, (40, *shape)).astype("uint8"), y=np.arange(40) % 2)
    assert ("is read as height, width, channels; if channels come first, save np.moveaxis(x, 1, -1)" in told(dataset)) == is_told


# ---- class or number


@pytest.mark.parametrize("kind", ["0.0", "0"])
def test_two_classes_written_with_a_decimal_are_two_classes(kind: str, tmp_path: Path) -> None:
    text = rows("a,y", lambda row: f"{row / 7:.3f},{row % 2}{kind[1:]}")
    dataset = table(tmp_path, text)
    assert (dataset.task, dataset.classes) == ("classification", ("0", "1"))
    # Stratified: half of each side is of each class.
    assert all(np.ptp(np.bincount(dataset.y[part])) == 0 for part in (dataset.folds[0].train, dataset.folds[0].validation))
    assert 'y: 2 classes (0, 1) (whole numbers; otherwise: dataset.task = "regression")' in told(dataset)
    assert table(tmp_path, text, task="regression").task == "regression"


@pytest.mark.parametrize(
    ("labels", "task"),
    [
        (np.arange(200) % 10 * 1.0, "classification"),
        (np.arange(200) % 2 * 2.0 - 1, "classification"),
        (np.arange(200) % 5 + 1, "classification"),
        (np.arange(900) % 100, "classification"),
        (np.arange(200) % 17 + 4, "regression"),
        (np.arange(900) % 101, "regression"),
        (np.arange(200) % 10 + 0.5, "regression"),
        (np.arange(200) % 10 * 10.0, "classification"),
        (np.arange(200) % 12 * 10, "regression"),
    ],
)
def test_whole_numbers_are_classes_where_they_are_few_or_count_up_as_labels_do(labels: np.ndarray, task: str, tmp_path: Path) -> None:
    dataset = archive(tmp_path, x=np.zeros((len(labels), 2)) + labels[:, None], y=labels)
    assert dataset.task == task
    if task == "classification":
        assert dataset.classes == tuple(str(int(label)) for label in np.unique(labels))
        assert f"y: {len(np.unique(labels))} classes" in told(dataset)
    other = "classification" if task == "regression" else "regression"
    if (labels == np.round(labels)).all():
        assert f'otherwise: dataset.task = "{other}"' in told(dataset)
        assert archive(tmp_path, x=np.zeros((len(labels), 2)) + labels[:, None], y=labels, task=other).task == other


def test_count_is_taken_as_a_number_and_a_rare_class_that_is_a_number_may_be_meant_as_one(tmp_path: Path) -> None:
    random = np.random.default_rng(4)
    length = random.uniform(0.1, 0.8, 1500)
    rings = np.clip(np.round(2 + 14 * length + random.gamma(2, 1.2, 1500)), 1, 29).astype(int)
    rings[0] = 29
    text = rows("sex,length,rings", lambda row: f"{'MFI'[row % 3]},{length[row]:.3f},{rings[row]}", 1500)
    dataset = table(tmp_path, text, target="rings")
    assert (dataset.task, dataset.outputs) == ("regression", 1)
    assert np.array_equal(dataset.y, rings[dataset.rows].astype(np.float32))
    assert f'rings: a number, from {rings.min()} to 29 (whole numbers, {len(set(rings))} different ones; otherwise: dataset.task = "classification")' in told(
        dataset
    )
    with pytest.raises(
        DatasetError, match=r"class '29' has 1 row; .* bring more rows; or dataset.task = \"regression\", which takes the classes as the numbers"
    ):
        table(tmp_path, text, target="rings", task="classification")


def test_rare_class_that_is_a_word_is_not_said_to_be_a_number(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="class 'rare' has 1 row") as caught:
        table(tmp_path, rows("a,y", lambda row: f"{row},{'rare' if row == 9 else 'ab'[row % 2]}"))
    assert "regression" not in str(caught.value)
