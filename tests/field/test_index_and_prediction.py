"""Columns that only number the rows are left out; a sweep's own files can be predicted as they are; what is unknown there is named; streams decide alike."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest

from tests.field.rig import column, rows, table, told
from tuner.data.dataset import Dataset, DatasetSection, Features, apply, load, read_for_prediction
from tuner.data.tables.dialect import dialect_in
from tuner.errors import DatasetError


def frame(count: int = 60) -> pandas.DataFrame:
    """Sorted by class, as files often are: the row's number gives the class away."""
    random = np.random.default_rng(0)
    return pandas.DataFrame({"noise": random.normal(size=count), "y": np.repeat(["a", "b", "c"], count // 3)})


# ---- index columns


def test_row_number_that_pandas_writes_to_csv_is_no_feature(tmp_path: Path) -> None:
    dataset = table(tmp_path, frame().to_csv())
    assert dataset.features.names == ("noise",)
    assert "column 1: left out (it has no name and holds another value in each row, as a row's number or name does" in told(dataset)


def test_row_number_that_was_read_back_and_written_again_is_no_feature(tmp_path: Path) -> None:
    (tmp_path / "once.csv").write_text(frame().to_csv())
    again = pandas.read_csv(tmp_path / "once.csv")
    assert again.columns[0] == "Unnamed: 0"
    assert table(tmp_path, again.to_csv(index=False)).features.names == ("noise",)
    assert table(tmp_path, again.to_csv()).features.names == ("noise",)


@pytest.mark.parametrize("name", ["id", "Index", "rownames", "row_id"])
def test_column_called_as_an_index_is_left_out_only_where_each_row_has_its_own_value(name: str, tmp_path: Path) -> None:
    assert table(tmp_path, frame().rename_axis(name).to_csv()).features.names == ("noise",)
    shared = frame().assign(**{name: [row // 4 for row in range(60)]})
    assert table(tmp_path, shared.to_csv(index=False)).features.names == ("noise", name)


def test_names_of_rows_without_a_name_are_left_out_and_a_column_without_a_name_is_not(tmp_path: Path) -> None:
    text = rows('"","a","y"', lambda row: f'"Mazda {row}",{row % 9},"{"ab"[row % 2]}"')
    assert table(tmp_path, text).features.names == ("a",)
    text = rows(",a,y", lambda row: f"{row % 5}.5,{row % 9},{'ab'[row % 2]}")
    assert table(tmp_path, text).features.names == ("column 1", "a")


@pytest.mark.parametrize(
    ("made", "left"),
    [
        (lambda data: data.sample(frac=1, random_state=1), "__index_level_0__"),
        (lambda data: data.set_index(pandas.date_range("2020-01-01", periods=60, name="when")), "when"),
        (lambda data: data.set_index(pandas.Index([f"row {row // 2}" for row in range(60)], name="place")), "place"),
        (lambda data: data, None),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_index_that_pandas_metadata_tell_of_is_left_out_of_parquet(made: Any, left: str | None, stream: bool, tmp_path: Path) -> None:
    made(frame()).to_parquet(tmp_path / "t.parquet")
    section = {"source": "table", "path": str(tmp_path / "t.parquet"), "target": "y", "stream": stream}
    dataset, _ = load(DatasetSection(**section), 0)
    assert dataset.features.names == ("noise",)
    assert (f"{left}: left out (the file's metadata call it an index" in told(dataset)) == (left is not None)
    if left is not None:
        kind = {"when": "date", "place": "category"}.get(left, "number")
        taken, _ = load(DatasetSection(**section, columns={left: kind}), 0)
        assert len(taken.features.names) > 1


def test_shuffled_row_number_scores_no_better_than_chance(tmp_path: Path) -> None:
    from sklearn.tree import DecisionTreeClassifier

    frame(300).sample(frac=1, random_state=2).to_parquet(tmp_path / "t.parquet")
    dataset, _ = load(DatasetSection(source="table", path=str(tmp_path / "t.parquet"), target="y"), 0)
    fold = dataset.folds[0]
    tree = DecisionTreeClassifier(max_depth=5, random_state=0).fit(dataset.x[fold.train], dataset.y[fold.train])
    assert tree.score(dataset.x[fold.validation], dataset.y[fold.validation]) < 0.5  # with the row's number: 1.0


# ---- prediction


def predicted(dataset: Dataset, path: Path, lines: list[str] | None = None) -> np.ndarray:
    """Encode a file as `tuner predict` does: from what the card keeps alone."""
    card = json.loads(json.dumps({"features": dataset.features.to_json(), "dataset": dataset.facts}))
    return read_for_prediction(
        path,
        Features.from_json(card["features"]),
        dialect=dialect_in(card["dataset"]),
        target=tuple(card["dataset"]["target"]),
        warn=(lines if lines is not None else []).append,
    )


WILD = [
    ("a;b;y", lambda row: f"{row / 8};{row % 3};{row % 2}", {}),
    ("a;b;y", lambda row: f"{row / 8};{row % 3};{row % 2}", {"separator": ";"}),
    ("a;b;y", lambda row: f"1.{100 + row},5;{row},25;{'uv'[row % 2]}", {}),
    ("a,b,y", lambda row: f'"{1 + row},000",{"?" if row % 5 == 0 else row / 4},{"uv"[row % 2]}', {"missing": "median"}),
    (
        "a,b,y",
        lambda row: f"{-999 if row % 6 == 0 else row},{'NA' if row % 4 == 0 else 'xyz'[row % 3]},{'uv'[row % 2]}",
        {"missing": "mean", "missing_values": [-999]},
    ),
    ("when,b,y", lambda row: f"{1 + row % 28}.{1 + row % 12}.2021 {row % 24}:15,{('no', 'yes')[row // 2 % 2]},{'uv'[row % 2]}", {}),
    ("when,b,y", lambda row: f"202101{1 + row % 28:02},{row},{'uv'[row % 2]}", {}),
    ('"","a","y"', lambda row: f'"{row + 1}", {row % 7}.5 ,"{"uv"[row % 2]}"', {}),
    ("code,b,y", lambda row: f"0{row % 4},{row},{'uv'[row % 2]}", {"columns": {"code": "category"}}),
    ("7.5,3,u", lambda row: f"{row / 4},{row % 5},{'uv'[row % 2]}", {"header": False, "target": "3"}),
    ("7.5,3,u", lambda row: f"{row / 4},{row % 5},{'uv'[row % 2]}", {"header": ["a", "b", "kind"], "target": "kind"}),
]


@pytest.mark.parametrize(("header", "row", "section"), WILD)
def test_file_that_was_trained_on_is_predicted_as_it_is_and_also_without_its_target(header: str, row: Any, section: dict[str, Any], tmp_path: Path) -> None:
    text = rows(header, row)
    dataset = table(tmp_path, text, **section)
    np.testing.assert_array_equal(predicted(dataset, tmp_path / "t.csv")[dataset.rows], dataset.x)
    separator = dataset.facts["dialect"]["separator"]
    bare = tmp_path / "new.csv"
    bare.write_text("\n".join(line.rsplit(separator, 1)[0] for line in text.splitlines()) + "\n")
    np.testing.assert_array_equal(predicted(dataset, bare)[dataset.rows], dataset.x)


@pytest.mark.parametrize(("header", "row", "section"), WILD)
def test_test_file_is_read_as_the_other_was(header: str, row: Any, section: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "test.csv").write_text(rows(header, row))
    dataset, test = load(
        DatasetSection(**{"source": "table", "path": str(tmp_path / "test.csv"), "test_path": str(tmp_path / "test.csv"), "target": "y", **section}), 0
    )
    whole = test.open(lambda reason: None, "a test")
    np.testing.assert_array_equal(whole.x[dataset.rows], dataset.x)
    np.testing.assert_array_equal(whole.y[dataset.rows], dataset.y)


def test_unknown_word_is_named_and_an_empty_one_too(tmp_path: Path) -> None:
    dataset = table(tmp_path, rows("colour,a,y", lambda row: f"{('red', 'blue')[row % 2]},{row},{'uv'[row % 2]}"), missing="mean")
    (tmp_path / "new.csv").write_text("colour,a\nred,1\ngreen,2\nteal,3\ngreen,4\n,5\n")
    lines: list[str] = []
    x = predicted(dataset, tmp_path / "new.csv", lines)
    assert x[:, :2].tolist() == [[0, 1], [0, 0], [0, 0], [0, 0], [0, 0]]
    assert lines == ["column 'colour': 3 of 5 rows hold 'green', 'teal', which no row to train on had; the network sees none of the column's categories there"]
    (tmp_path / "new.csv").write_text("colour,a\nred,1\nblue,2\n")
    lines.clear()
    predicted(dataset, tmp_path / "new.csv", lines)
    assert lines == []


def test_rows_to_predict_may_have_another_separator(tmp_path: Path) -> None:
    dataset = table(tmp_path, rows("a;b;y", lambda row: f"{row / 4};{row % 3};{'uv'[row % 2]}"))
    (tmp_path / "new.csv").write_text("b,a\n2,0.25\n1,7\n")
    assert predicted(dataset, tmp_path / "new.csv").tolist() == [[0.25, 2], [7, 1]]


def test_values_that_cannot_be_read_are_named_with_column_and_row_all_at_once(tmp_path: Path) -> None:
    dataset = table(tmp_path, rows("a;when;y", lambda row: f"{row},5;{1 + row % 28}.1.2020;{'uv'[row % 2]}"))
    (tmp_path / "new.csv").write_text("a;when\n1,5;1.1.2020\nlong;2020\n")
    with pytest.raises(DatasetError, match=r"2 problems: \(1\) column 'a': row 1 holds 'long'; expected a number.* \(2\) column 'when': row 1 holds '2020'"):
        predicted(dataset, tmp_path / "new.csv")


def test_record_of_an_older_sweep_without_a_dialect_is_read_all_the_same(tmp_path: Path) -> None:
    old = {
        "shape": [3],
        "dtype": "float32",
        "missing": "error",
        "columns": [
            {"name": "a", "kind": "number", "categories": [], "missing": False},
            {"name": "b", "kind": "category", "categories": ["x", "y"], "missing": False},
        ],
    }
    (tmp_path / "new.csv").write_text("a;b;further\n1.5;x;7\n2;y;8\n")
    x = read_for_prediction(tmp_path / "new.csv", Features.from_json(old), dialect=dialect_in({"source": "table"}))
    assert x.tolist() == [[1.5, 1, 0], [2, 0, 1]]


# ---- streams


def test_stream_decides_about_every_kind_of_column_as_memory_does(tmp_path: Path) -> None:
    count = 900
    random = np.random.default_rng(3)
    data = pandas.DataFrame(
        {
            "when": pandas.to_datetime("2020-03-01") + pandas.to_timedelta(random.integers(0, 400 * 24, count), unit="h"),
            "name": [f"person {row}" for row in range(count)],
            "code": random.integers(1, 4, count),
            "size": random.normal(5, 2, count),
            "took": pandas.to_timedelta(random.integers(1, 90, count), unit="min"),
            "mark": np.where(random.random(count) < 0.1, -999, random.integers(0, 50, count)),
            "word": random.choice(["p", "q", "?"], count),
            "y": random.integers(0, 3, count) * 1.0,
        }
    ).sample(frac=1, random_state=1)
    data.to_parquet(tmp_path / "t.parquet", row_group_size=200)
    section = {
        "source": "table",
        "path": str(tmp_path / "t.parquet"),
        "target": "y",
        "missing": "mean",
        "missing_values": [-999, "?"],
        "columns": {"code": "category", "size": "unscaled"},
    }
    whole, _ = load(DatasetSection(**section), 0)
    streamed, _ = load(DatasetSection(**section, stream=True), 0)
    assert (streamed.task, streamed.classes) == (whole.task, whole.classes) == ("classification", ("0", "1", "2"))
    assert streamed.features.names == whole.features.names
    assert {"when (days)", "when (day, cos)", "code = 1", "took", "word is missing"} <= set(streamed.features.names)
    assert not {"name", "__index_level_0__"} & {column.name for column in streamed.features.columns}
    assert streamed.facts["content_hash"] == whole.facts["content_hash"]
    for name in ("name", "__index_level_0__"):
        assert [line for line in told(streamed).splitlines() if line.strip().startswith(name)]
    # The days are counted from the first one of the pool, which may be another one; scaled, they are where they were.
    chunks = [x for x, _ in streamed.whole.chunks(np.random.default_rng(0), 100)]
    scaled = apply(streamed.scaling(None), np.concatenate(chunks))
    numbers = ~streamed.features.plain
    known = streamed.features.names.index("mark"), streamed.features.names.index("when (days)")
    np.testing.assert_allclose(scaled[:, numbers].mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(scaled[:, numbers].std(axis=0), 1, atol=1e-3)
    assert all(numbers[index] for index in known) and not numbers[streamed.features.names.index("size")]


def test_target_of_a_stream_is_a_number_where_it_is_in_memory(tmp_path: Path) -> None:
    count = 900
    for name, y in {"rings": np.arange(count) % 17 + 4, "floats": np.arange(count) % 4 * 1.0, "halves": np.arange(count) % 4 + 0.5}.items():
        pandas.DataFrame({"a": np.arange(count) * 1.0, "y": y}).to_parquet(tmp_path / f"{name}.parquet", row_group_size=100)
        section = {"source": "table", "path": str(tmp_path / f"{name}.parquet"), "target": "y"}
        tasks = {load(DatasetSection(**section, stream=stream), 0)[0].task for stream in (False, True)}
        assert tasks == {"classification" if name == "floats" else "regression"}


def test_order_of_rows_is_kept(tmp_path: Path) -> None:
    dataset = table(tmp_path, rows("a,y", lambda row: f"{row},{'uv'[row % 2]}"))
    assert np.array_equal(column(dataset, "a"), np.sort(dataset.rows))
