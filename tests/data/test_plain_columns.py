"""Tables whose columns are left as they are, and several targets by name."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from tuner.data.arrays.inputs import inputs_from_json
from tuner.data.dataset import DatasetSection, load, read_for_prediction
from tuner.errors import DatasetError

ROWS = 40


@pytest.fixture
def table(tmp_path: Path) -> Callable[..., DatasetSection]:
    """Writes a table and returns the section that reads it."""

    def write(columns: dict[str, Any] | None = None, *, asked: dict[str, str] | None = None, **section: Any) -> DatasetSection:
        import pyarrow as pa
        import pyarrow.csv as csv

        random = np.random.default_rng(0)
        usual = {
            "age": random.integers(20, 60, ROWS),
            "pressure": random.normal(120, 10, ROWS),
            "town": np.array(["Bergen", "Århus", "Åbo"])[random.integers(0, 3, ROWS)],
            "smokes": random.integers(0, 2, ROWS).astype(bool),
            "ill": np.array(["no", "yes"])[np.arange(ROWS) % 2],
            "days": random.normal(5, 2, ROWS),
        }
        csv.write_csv(pa.table({**usual, **(columns or {})}), tmp_path / "data.csv")
        keys = {"source": "table", "path": str(tmp_path / "data.csv"), "target": "ill", "exclude": ["days"], "encode": False, "columns": asked or {}}
        return DatasetSection(**{**keys, **section})

    return write


def test_columns_stay_as_they_are(table: Callable[..., DatasetSection]) -> None:
    dataset, test = load(table(), 0)
    assert {name: (leaf.dtype.kind, leaf.shape[1:]) for name, leaf in dataset.x.items()} == {
        "age": ("i", (1,)),
        "pressure": ("f", (1,)),
        "town": ("S", (1,)),
        "smokes": ("i", (1,)),
    }
    assert dataset.scalings(None) == (None, None, None, None)
    assert {word.decode() for word in dataset.x["town"][:, 0].tolist()} == {"Bergen", "Århus", "Åbo"}
    assert (dataset.task, dataset.classes) == ("classification", ("no", "yes"))
    assert set(test.open(lambda reason: None, "a test").x) == set(dataset.x)


def test_rows_to_predict_become_the_same_columns(table: Callable[..., DatasetSection], tmp_path: Path) -> None:
    section = table()
    dataset, _ = load(section, 0)
    features = inputs_from_json(json.loads(json.dumps(dataset.features.to_json())))
    assert features == dataset.features
    x = read_for_prediction(str(section.path), features)
    assert all(np.array_equal(x[name][dataset.rows], dataset.x[name]) for name in dataset.x)
    (tmp_path / "other.csv").write_text("age,pressure,town,smokes\n33.5,120,Oslo,true\n")
    with pytest.raises(DatasetError, match=r"column 'age': row 0 holds 33\.5; expected whole numbers.*dataset\.columns\.age = \"number\" takes fractions"):
        read_for_prediction(tmp_path / "other.csv", features)


def test_word_of_the_spec_makes_whole_numbers_measured_ones(table: Callable[..., DatasetSection]) -> None:
    dataset, _ = load(table(asked={"age": "number"}, scaling={"age": "standard"}), 0)
    assert dataset.x["age"].dtype == np.float32
    scaling = dataset.scalings(dataset.folds[0].train)
    assert float(scaling[0].center[0]) == pytest.approx(dataset.x["age"][dataset.folds[0].train].mean(), rel=1e-6)
    assert scaling[1:] == (None, None, None)


def test_missing_values_are_empty_words_and_numbers_to_fill(table: Callable[..., DatasetSection]) -> None:
    holes = {"town": [None if row % 5 == 0 else "Bergen" for row in range(ROWS)], "age": [None if row % 4 == 0 else row for row in range(ROWS)]}
    with pytest.raises(DatasetError, match="values are missing"):
        load(table(holes), 0)
    dataset, _ = load(table(holes, missing="mean"), 0)
    assert set(dataset.x["town"][:, 0].tolist()) == {b"", b"Bergen"}
    assert np.isnan(dataset.x["age"]).any()
    fill = dataset.scalings(dataset.folds[0].train)[0]
    assert (float(fill.center[0]), float(fill.factor[0])) == (0.0, 1.0)
    assert float(fill.fill[0]) == pytest.approx(np.nanmean(dataset.x["age"][dataset.folds[0].train]), rel=1e-6)
    assert not np.isnan(load(table(holes, missing="drop"), 0)[0].x["age"]).any()


def test_targets_of_mixed_kinds_come_by_name(table: Callable[..., DatasetSection]) -> None:
    dataset, test = load(table(target=["ill", "days"], exclude=[], encode=True), 0)
    assert (dataset.task, dataset.outputs) == ("custom", {"ill": 2, "days": 1})
    assert {name: (leaf.dtype, leaf.shape[1:]) for name, leaf in dataset.y.items()} == {"ill": (np.int32, ()), "days": (np.float32, ())}
    assert dataset.facts["targets"][0]["classes"] == ["no", "yes"]
    assert set(test.open(lambda reason: None, "a test").y) == {"ill", "days"}
    assert dataset.x.ndim == 2


def test_numbers_are_targets_by_name_where_the_builder_compiles(table: Callable[..., DatasetSection]) -> None:
    keys = {"target": ["pressure", "days"], "exclude": [], "encode": True}
    assert load(table(**keys), 0)[0].y.shape == (32, 2)
    assert set(load(table(**keys, task="custom"), 0)[0].y) == {"pressure", "days"}
    with pytest.raises(DatasetError, match="expected numbers, as there are several targets"):
        load(table(target=["ill", "days"], exclude=[], encode=True, task="regression"), 0)


@pytest.mark.parametrize(
    ("columns", "section", "message"),
    [
        ({"when": np.arange(ROWS).astype("datetime64[D]")}, {}, "column 'when': is a date, which encode = false would leave as it is"),
        ({}, {"scaling": {"town": "standard"}}, "column 'town' holds words; expected numbers to scale"),
        ({}, {"scaling": {"towns": "standard"}}, "there is no column 'towns'; did you mean 'town'"),
    ],
)
def test_what_cannot_be_left_as_it_is_is_told(table: Callable[..., DatasetSection], columns: dict[str, Any], section: dict[str, Any], message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        load(table(columns, **section), 0)


def test_streams_are_encoded() -> None:
    with pytest.raises(ValidationError, match="stream: means nothing with encode = false"):
        DatasetSection(source="table", path="t.parquet", target="y", encode=False, stream=True)
