import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet
import pytest

from tests.flowers import ROWS, flowers, write
from tuner.data.dataset import Dataset, DatasetSection, Features, SealedTest, apply, load, read_for_prediction
from tuner.errors import DatasetError


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., tuple[Dataset, SealedTest]]:
    """Writes a table and loads it."""

    def load_table(table: pa.Table | str, *, name: str = "flowers.parquet", **section: Any) -> tuple[Dataset, SealedTest]:
        path = write(table, tmp_path / name)
        return load(DatasetSection(source="table", path=str(path), **{"target": "kind", **section}), 0)

    return load_table


def csv(row: Callable[[int], str], rows: int = ROWS, header: str = "a,b,kind") -> str:
    return "\n".join([header, *(row(number) for number in range(rows))]) + "\n"


def holed(name: str, every: int = 6) -> pa.Table:
    values = flowers().column(name).to_pylist()
    return flowers(**{name: [None if row % every == 0 else value for row, value in enumerate(values)]})


# ---- formats


@pytest.mark.parametrize("name", ["flowers.csv", "flowers.parquet", "flowers.feather", "flowers.arrow"])
def test_every_format_gives_the_same_data_and_the_same_hash(read: Callable, name: str) -> None:
    dataset, test = read(flowers(), name=name)
    expected, expected_test = read(flowers())
    assert dataset.facts["content_hash"] == expected.facts["content_hash"]
    assert np.array_equal(dataset.x, expected.x)
    assert np.array_equal(dataset.y, expected.y)
    assert np.array_equal(test.open(lambda reason: None, "a test").x, expected_test.open(lambda reason: None, "a test").x)


def test_features_are_numbers_booleans_and_one_column_per_word(read: Callable) -> None:
    dataset, _ = read(flowers())
    assert dataset.features.names == ("length", "petals", "wild", "colour = blue", "colour = red", "colour = white")
    source = flowers().to_pylist()
    for row, number in zip(dataset.x, dataset.rows, strict=True):
        given = source[number]
        words = [float(given["colour"] == word) for word in ("blue", "red", "white")]
        assert row.tolist() == pytest.approx([given["length"], given["petals"], float(given["wild"]), *words])
    assert dataset.classes == ("rose", "tulip")
    assert [dataset.classes[number] for number in dataset.y] == [source[number]["kind"] for number in dataset.rows]


def test_numbers_are_standardised_and_zeros_and_ones_are_not(read: Callable) -> None:
    dataset, _ = read(flowers())
    scaled = apply(dataset.scaling(None), dataset.x)
    assert np.allclose(scaled[:, :2].mean(axis=0), 0, atol=1e-6)
    assert np.array_equal(scaled[:, 2:], dataset.x[:, 2:])


def test_dictionary_encoding_and_number_width_change_nothing(read: Callable) -> None:
    expected, _ = read(flowers())
    table = flowers()
    encoded = table.set_column(3, "colour", table.column("colour").dictionary_encode()).set_column(4, "kind", table.column("kind").dictionary_encode())
    dataset, _ = read(encoded.set_column(1, "petals", table.column("petals").cast(pa.int8())))
    assert np.array_equal(dataset.x, expected.x)
    assert dataset.classes == expected.classes
    assert dataset.facts["content_hash"] == expected.facts["content_hash"]


def test_folder_of_files_is_one_table_and_names_of_its_folders_are_a_column(tmp_path: Path) -> None:
    for part, year in enumerate((2024, 2025)):
        folder = tmp_path / "run=7" / "flowers" / f"year={year}"
        folder.mkdir(parents=True)
        write(flowers().slice(part * 30, 30), folder / "part.parquet")
        (folder / "_SUCCESS").write_text("")
    dataset, _ = load(DatasetSection(source="table", path=str(tmp_path / "run=7" / "flowers"), target="kind"), 0)
    assert "year" in dataset.features.names
    assert "run" not in dataset.features.names
    years = dataset.x[:, dataset.features.names.index("year")]
    assert np.array_equal(years, np.where(dataset.rows < 30, 2024, 2025))


def test_columns_are_chosen_by_features_or_exclude(read: Callable) -> None:
    assert read(flowers(), features=["colour", "length"])[0].features.names == ("colour = blue", "colour = red", "colour = white", "length")
    assert read(flowers(), exclude=["colour", "wild"])[0].features.names == ("length", "petals")


def test_excluded_column_may_hold_anything(read: Callable) -> None:
    assert read(flowers(tags=[["a"]] * ROWS), exclude=["tags"])[0].input_shape == (6,)


def test_several_targets_are_a_regression(read: Callable) -> None:
    dataset, _ = read(flowers(), target=["length", "petals"])
    assert (dataset.task, dataset.outputs, dataset.y.shape[1], dataset.y.dtype) == ("regression", 2, 2, np.float32)


def test_own_separator_and_a_quoted_newline_are_read(read: Callable) -> None:
    dataset, _ = read(csv(lambda row: f'{row};"two\nlines";{"ab"[row % 2]}', header="a;b;kind"), name="t.csv", separator=";")
    assert dataset.features.names == ("a", "b = two\nlines")


def test_word_or_decimal_far_down_a_csv_file_changes_its_columns_type_and_loses_nothing(read: Callable) -> None:
    far = 120_000  # beyond the first megabyte, by which the types are told
    words = csv(lambda row: f"{row % 10 if row < far else row % 10 + 0.5},{row % 3 if row < far else 'many'},{'ab'[row % 2]}", rows=far + 500)
    dataset, _ = read(words, name="t.csv")
    assert dataset.features.names == ("a", "b = 0", "b = 1", "b = 2", "b = many")
    assert (dataset.x[:, 0] % 1 == 0.5).sum() == (dataset.rows >= far).sum() > 0


# ---- missing values


def test_missing_value_is_an_error_unless_the_spec_says_otherwise(read: Callable) -> None:
    with pytest.raises(DatasetError, match=r"column 'length': 10 of 60 values are missing, the first in row 0; expected none"):
        read(holed("length"))


def test_nan_in_a_file_is_a_missing_value(read: Callable) -> None:
    values = [float("nan") if row == 9 else 1.0 * row for row in range(ROWS)]
    with pytest.raises(DatasetError, match="column 'length': 1 of 60 values are missing, the first in row 9"):
        read(flowers(length=values))


@pytest.mark.parametrize("name", ["length", "wild", "colour", "kind"])
def test_drop_leaves_out_rows_with_a_missing_value_of_any_kind(read: Callable, name: str) -> None:
    dataset, test = read(holed(name), missing="drop")
    kept = np.concatenate(list(dataset.indices().values()))
    assert len(dataset.x) + test.rows == 50
    assert not (kept % 6 == 0).any()


@pytest.mark.parametrize(("missing", "expected"), [("mean", np.nanmean), ("median", np.nanmedian), ("zero", lambda values, axis: np.zeros(6))])
def test_numbers_are_filled_by_what_the_training_rows_hold(read: Callable, missing: str, expected: Callable) -> None:
    dataset, _ = read(holed("length"), missing=missing)
    train = dataset.folds[0].train
    assert np.isnan(dataset.x[:, 0]).any()
    assert dataset.scaling(train).fill[0] == pytest.approx(expected(dataset.x[train].astype(np.float64), axis=0)[0], rel=1e-6)


def test_missing_word_is_a_category_of_its_own(read: Callable) -> None:
    dataset, _ = read(holed("colour"), missing="mean")
    assert dataset.features.names[-1] == "colour is missing"
    assert np.array_equal(dataset.x[:, -1] == 1, dataset.rows % 6 == 0)
    assert (dataset.x[:, 3:].sum(axis=1) == 1).all()


def test_empty_field_of_a_csv_file_is_missing_with_quotes_and_without(read: Callable) -> None:
    table = csv(lambda row: f"{row},{('', chr(34) * 2, 'x')[row % 3]},{'ab'[row % 2]}")
    dataset, _ = read(table, name="t.csv", missing="zero")
    assert dataset.features.names == ("a", "b = x", "b is missing")


def test_indicators_say_where_a_number_was_missing(read: Callable) -> None:
    dataset, _ = read(holed("length"), missing="median", missing_indicators=True)
    assert dataset.features.names[:3] == ("length", "length is missing", "petals")
    assert np.array_equal(dataset.x[:, 1] == 1, np.isnan(dataset.x[:, 0]))
    scaling = dataset.scaling(None)
    assert (scaling.center[1], scaling.factor[1]) == (0, 1)


# ---- the pool alone decides


def test_word_that_only_the_test_split_has_becomes_zeros(read: Callable, tmp_path: Path) -> None:
    other = write(flowers(colour=["green"] * ROWS), tmp_path / "test.parquet")
    dataset, test = read(flowers(), test_path=str(other))
    x = test.open(lambda reason: None, "a test").x
    assert test.rows == ROWS
    assert not x[:, 3:].any()
    assert "colour = green" not in dataset.features.names


def test_test_file_without_words_or_decimals_is_read_as_the_other_was(read: Callable, tmp_path: Path) -> None:
    pool = csv(lambda row: f"{row / 2},{(row % 3) or 'none of them'},{'ab'[row % 2]}")
    other = write(csv(lambda row: f"{row},{row % 3},{'ab'[row % 2]}", rows=10), tmp_path / "test.csv")
    dataset, test = read(pool, name="t.csv", test_path=str(other))
    x = test.open(lambda reason: None, "a test").x
    assert dataset.features.names == ("a", "b = 1", "b = 2", "b = none of them")
    assert x[1].tolist() == [1, 1, 0, 0]


# ---- prediction


@pytest.mark.parametrize("name", ["new.csv", "new.parquet"])
def test_new_rows_are_encoded_as_the_pool_was_whatever_their_columns_order(read: Callable, tmp_path: Path, name: str) -> None:
    dataset, _ = read(flowers())
    features = Features.from_json(json.loads(json.dumps(dataset.features.to_json())))
    assert features == dataset.features
    table = flowers().select(["colour", "wild", "petals", "length"]).append_column("further", [["x"] * ROWS])
    assert np.array_equal(read_for_prediction(write(table, tmp_path / name), features)[dataset.rows], dataset.x)


def test_new_rows_without_a_needed_column_or_of_another_type_are_refused(read: Callable, tmp_path: Path) -> None:
    features = read(flowers())[0].features
    with pytest.raises(DatasetError, match=r"no column 'colour' in .*; did you mean 'color'"):
        read_for_prediction(write(flowers().rename_columns(["length", "petals", "wild", "color", "kind"]), tmp_path / "new.parquet"), features)
    with pytest.raises(DatasetError, match="column 'petals': row 0 holds 'five'; expected a number"):
        read_for_prediction(write(flowers(petals=["five"] * ROWS), tmp_path / "new.parquet"), features)
    with pytest.raises(DatasetError, match="column 'petals': row 0 holds 'five'; expected a number"):
        read_for_prediction(write(flowers(petals=["five"] * ROWS), tmp_path / "new.csv"), features)
    with pytest.raises(DatasetError, match="column 'length': 10 of 60 values are missing"):
        read_for_prediction(write(holed("length"), tmp_path / "new.parquet"), features)


def test_missing_number_of_a_new_row_waits_for_the_scaling(read: Callable, tmp_path: Path) -> None:
    dataset, _ = read(holed("length"), missing="mean")
    x = read_for_prediction(write(flowers(petals=[None] * ROWS), tmp_path / "new.csv"), dataset.features)
    assert np.isnan(x[:, 1]).all()
    assert np.isfinite(apply(dataset.scaling(None), x)).all()


# ---- what can be wrong


@pytest.mark.parametrize(
    ("table", "section", "message"),
    [
        (flowers(), {"target": "knd"}, "dataset.target: no column 'knd' in .*; did you mean 'kind'"),
        (flowers(), {"features": ["lenght"]}, "dataset.features: no column 'lenght' in .*; did you mean 'length'"),
        (flowers(), {"exclude": ["lenght"]}, "dataset.exclude: no column 'lenght' in .*; did you mean 'length'"),
        (flowers(), {"exclude": ["length", "petals", "wild", "colour"]}, "expected at least one to predict from"),
        (flowers(), {"target": ["length", "kind"], "task": "regression"}, "target 'kind': got values of type string; expected numbers, as there are several"),
        (flowers(), {"columns": {"colour": "number"}}, "dataset.columns: colour = \"number\", but it holds 'blue'"),
        (flowers(), {"columns": {"length": "date"}}, 'dataset.columns: length = "date", but its values are of type double'),
        (flowers(kind=pa.array(range(ROWS), pa.timestamp("s"))), {}, r"target 'kind': got values of type timestamp\[.*\]; .* a date is no class"),
        (flowers(tags=[["a"]] * ROWS), {}, "column 'tags': got values of type list<"),
        (flowers(empty=pa.nulls(ROWS)), {"features": ["empty", "length"]}, r"column 'empty': holds no value at all; exclude = \['empty'\]"),
        (flowers(length=[None, 1.0] * 30, petals=[1, None] * 30), {"missing": "drop"}, "\"drop\" leaves no row; column 'length' alone misses 30 of 60"),
        (flowers(length=[float("inf") if row == 8 else 1.0 * row for row in range(ROWS)]), {}, "column 'length': row 8 holds inf"),
        (flowers(length=[1.7e9 + row % 3 for row in range(ROWS)]), {}, "lose their differences in float32; subtract a constant"),
        (flowers(name=[f"flower {row % 24}" for row in range(ROWS)]), {"max_categories": 10}, "column 'name': 24 distinct words"),
        (flowers(code=[str(row) if row % 50 else "l0" for row in range(ROWS)]), {}, "nearly all its values are numbers, but 'l0' is none"),
        (holed("kind"), {"missing": "mean"}, "target 'kind': 10 of 60 values are missing, the first in row 0"),
        (flowers(kind=pa.nulls(ROWS)), {}, "target 'kind': got values of type null"),
        (flowers(kind=["rose"] * ROWS), {}, "every row has the class 'rose'"),
        (flowers().slice(0, 0), {}, "the table has no rows"),
    ],
)
def test_table_that_cannot_be_learned_is_told_in_one_line(read: Callable, table: pa.Table, section: dict[str, Any], message: str) -> None:
    with pytest.raises(DatasetError, match=message) as caught:
        read(table, **section)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", b"", "Empty CSV file"),
        ("t.csv", b"a,kind\n", "the table has no rows"),
        ("t.csv", b"a,a,kind\n1,2,x\n", "names the column 'a' twice; .* has it a header"),
        ("t.csv", b"a,b,kind\n1,2,x\n1,2\n", "Expected 3 columns, got 2"),
        ("t.csv", b"a;b;kind\n1;2;x\n1;2\n", "no column 'kind' in .*; is the separator ',' right"),
        ("t.csv", b"a,b,kind\n1,\xe4,x\n", "column 'b': got values of type binary.*UTF-8"),
        ("t.csv", b"a,\xeb,kind\n1,2,x\n", "cannot be read .*codec can't decode"),
        ("t.parquet", b"", "Parquet file size is 0 bytes"),
        ("t.parquet", b"PAR1 and something else", "cannot be read"),
        ("t.feather", b"words", "cannot be read"),
        ("t.xlsx", b"words", "no known ending; expected one of .csv, .*, or dataset.format"),
    ],
)
def test_damaged_table_is_told_in_one_line(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DatasetError, match=message) as caught:
        load(DatasetSection(source="table", path=str(tmp_path / name), target="kind"), 0)
    assert "\n" not in str(caught.value)


def test_folder_that_is_not_one_table_is_refused(tmp_path: Path) -> None:
    section = DatasetSection(source="table", path=str(tmp_path), target="kind")
    with pytest.raises(DatasetError, match="the folder holds no table"):
        load(section, 0)
    write(flowers(), tmp_path / "a.csv")
    write(flowers(), tmp_path / "b.parquet")
    with pytest.raises(DatasetError, match="the folder holds csv and parquet; expected files of one format"):
        load(section, 0)


def test_near_name_is_offered_for_a_file_that_is_not_there(tmp_path: Path) -> None:
    write(flowers(), tmp_path / "flowers.csv")
    with pytest.raises(DatasetError, match=r"flower.csv: no such file or folder; did you mean 'flowers.csv'"):
        load(DatasetSection(source="table", path=str(tmp_path / "flower.csv"), target="kind"), 0)


@pytest.mark.parametrize("name", ["good.csv", "good.parquet", "good.feather"])
def test_damaged_bytes_never_raise_anything_but_one_line(tmp_path: Path, name: str) -> None:
    whole = write(flowers(), tmp_path / name).read_bytes()
    random = np.random.default_rng(0)
    bad = tmp_path / f"bad{Path(name).suffix}"
    section = DatasetSection(source="table", path=str(bad), target="kind", missing="mean")
    refused = 0
    for number in range(120):
        at, length = int(random.integers(len(whole))), int(random.integers(1, 40))
        doubled, cut, short = whole[: at + length] + whole[at:], whole[:at] + whole[at + length :], whole[:at]
        spoilt = whole[:at] + random.bytes(length) + whole[at + length :]
        bad.write_bytes((doubled, cut, short, spoilt)[number % 4])
        try:
            load(section, 0)
        except DatasetError as error:
            assert "\n" not in str(error)
            refused += 1
    assert refused > 40
