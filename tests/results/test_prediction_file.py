"""Predictions of files of any size: part by part they are what they are in one piece, and rows that cannot be read are named and keep their places."""

import io
import shutil
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from tuner.data.arrays.inputs import Inputs
from tuner.data.features import Features
from tuner.data.tables.dialect import Dialect
from tuner.data.to_predict import parts_of, readable
from tuner.errors import DatasetError, SweepError
from tuner.results.card import read_card
from tuner.results.prediction import predict, predict_file
from tuner.results.prediction_file import Predicted, Progress, Writer, check, spooled

GOLDEN = Path(__file__).parents[1] / "golden"


def test_a_table_is_predicted_part_by_part_as_in_one_piece_and_bad_rows_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "table"
    shutil.copytree(GOLDEN / "table" / "sweep", folder)
    measures = (GOLDEN / "table" / "measures.csv").read_text().splitlines()
    at = read_card(folder)["features"]["columns"][0]["name"]
    place = measures[0].split(",").index(at)
    whole = predict(folder, GOLDEN / "table" / "measures.csv", tmp_path / "whole.parquet")
    assert whole.num_rows == len(measures) - 1
    assert pq.read_table(tmp_path / "whole.parquet").equals(whole)

    bad = list(measures)
    for row in (3, 20):
        fields = bad[1 + row].split(",")
        fields[place] = "many"
        bad[1 + row] = ",".join(fields)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("\n".join(bad).encode())))
    assert predict_file(folder, Path("-"), tmp_path / "bad.feather", batch_size=9) == Predicted(len(measures) - 1, 2)
    part = pyarrow.feather.read_table(tmp_path / "bad.feather").column("predicted").to_pylist()
    assert [index for index, value in enumerate(part) if value is None] == [3, 20]
    expected = whole.column("predicted").to_pylist()
    fine = [index for index, value in enumerate(part) if value is not None]
    assert [part[index] for index in fine] == pytest.approx([expected[index] for index in fine], rel=1e-5)
    told = capsys.readouterr().err
    assert f"row 3 is not predicted: column {at!r}: row 3 holds 'many'" not in told  # the number is said once
    assert f"row 3 is not predicted: column {at!r}: holds 'many'" in told and "row 20 is not predicted" in told
    assert f"2 of {len(measures) - 1} rows could not be predicted" in told


def test_parts_of_arrays_are_the_rows_of_the_file_in_their_order(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(23, 3)).astype(np.float32)
    np.savez(tmp_path / "plain.npz", x=x, y=x)
    np.savez_compressed(tmp_path / "packed.npz", x=x)
    np.savez(tmp_path / "columns_first.npz", x=np.asfortranarray(x))
    np.save(tmp_path / "one.npy", x)
    features = Features((3,), "float32")
    for name in ("plain.npz", "packed.npz", "columns_first.npz", "one.npy"):
        parts = list(parts_of(str(tmp_path / name), features, 10, dialect=Dialect()))
        assert [part.rows for part in parts] == [10, 10, 3]
        assert np.array_equal(np.concatenate([part.encode(0, part.rows) for part in parts]), x), name
    words = np.array(["a", "bc", "d"] * 5)
    inputs = Inputs.of({"left": x[:15], "word": np.char.encode(words)}, "error")
    np.savez(tmp_path / "two.npz", **{"x/left": x[:15], "x/word": words})
    parts = list(parts_of(str(tmp_path / "two.npz"), inputs, 4, dialect=Dialect()))
    assert [part.rows for part in parts] == [4, 4, 4, 3]
    assert [word.decode() for part in parts for word in part.encode(0, part.rows)["word"]] == words.tolist()
    (tmp_path / "cut.npz").write_bytes((tmp_path / "plain.npz").read_bytes()[:300])
    with pytest.raises(DatasetError, match="no NumPy archive"):
        list(parts_of(str(tmp_path / "cut.npz"), features, 4, dialect=Dialect()))


def test_rows_with_holes_are_told_from_the_others_and_a_file_of_nothing_else_is_refused(tmp_path: Path) -> None:
    x = np.zeros((9, 2), np.float32)
    x[[2, 7], 1] = np.nan
    np.save(tmp_path / "x.npy", x)
    (part,) = parts_of(str(tmp_path / "x.npy"), Features((2,), "float32"), 100, dialect=Dialect())
    fine, pieces, problems = readable(part, some=True)
    assert fine == [0, 1, 3, 4, 5, 6, 8] and sum(map(len, pieces)) == 7 and sorted(problems) == [2, 7]
    np.save(tmp_path / "x.npy", x[[2, 7]])
    (part,) = parts_of(str(tmp_path / "x.npy"), Features((2,), "float32"), 100, dialect=Dialect())
    with pytest.raises(DatasetError, match="2 of 4 values are missing"):
        readable(part, some=True)
    assert readable(part, some=False)[0] == []


def test_answers_without_predictions_are_nan_in_an_archive_and_missing_in_a_table(tmp_path: Path) -> None:
    answers = np.arange(6, dtype=np.float32).reshape(2, 3)
    for name in ("a.npz", "a.csv"):
        with Writer(tmp_path / name) as out:
            out.answered(pa.table({"predicted": [1.5, 2.5]}), [("predicted", answers)], [0, 2], 3)
            out.unanswered(2)
            assert not (tmp_path / name).exists(), "a file is there once it is whole"
    with np.load(tmp_path / "a.npz") as archive:
        assert np.array_equal(archive["predicted"][[0, 2]], answers) and np.isnan(archive["predicted"][[1, 3, 4]]).all()
    assert (tmp_path / "a.csv").read_text().splitlines() == ['"predicted"', "1.5", "nan", "2.5", "nan", "nan"], "no line is empty"
    with pytest.raises(KeyError), Writer(tmp_path / "b.parquet") as out:
        out.answered(pa.table({"predicted": ["u"]}), [("predicted", answers[:1])], [0], 1)
        raise KeyError("on the way")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "a.npz"]
    with pytest.raises(SweepError, match=r"cannot write \.xlsx"):
        check(tmp_path / "a.xlsx")


def test_standard_input_is_kept_under_the_ending_that_its_first_bytes_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for content, name in ((b"PAR1....", "stdin.parquet"), (b"PK\x03\x04....", "stdin.npz"), (b"a,b\n1,2\n", "stdin.csv")):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
        kept = spooled(Path("-"), tmp_path)
        assert kept.name == name and kept.read_bytes() == content
    assert spooled(Path("a.csv"), tmp_path) == Path("a.csv")


def test_new_words_are_said_once_for_each_column_and_no_more_than_twenty_rows_are_named() -> None:
    said: list[str] = []
    progress = Progress(said.append)
    progress.unknown(["column 'a': 1 of 9 rows", "column 'b': 2 of 9 rows"])
    progress.unknown(["column 'a': 3 of 9 rows"])
    progress.add(30, {row: "a hole" for row in range(30)})
    assert progress.ended() == Predicted(30, 30)
    assert sum("column 'a'" in line for line in said) == 1
    assert sum("is not predicted" in line for line in said) == 20 and "10 of them not named" in said[-1]
