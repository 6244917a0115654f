"""Columns of a table as they are."""

from pathlib import Path

import pytest

from tests.programs import columns, plain, rig
from tuner.results.prediction import predict


def test_columns_with_words_and_holes_reach_feature_space_as_they_are(tmp_path: Path) -> None:
    board = rig.run("columns", tmp_path / "s")
    assert {each["path"]: each["dtype"] for each in board.facts["dataset"]["inputs"]} == {"size": "float32", "colour": "string", "age": "float32"}
    test = columns.table().query("part == 'test'")
    test.drop(columns=["sold", "part"]).to_csv(tmp_path / "new.csv", index=False)
    answers = predict(tmp_path / "s", tmp_path / "new.csv", tmp_path / "answers.csv", search_path=(rig.HERE,))
    right = float((test["sold"].to_numpy() == answers["predicted"].to_numpy(zero_copy_only=False)).mean())
    assert board.facts["final"]["mean"]["test_accuracy"] == pytest.approx(right)
    assert right > 0.85
    plain.compare("columns", board, tmp_path / "s")
