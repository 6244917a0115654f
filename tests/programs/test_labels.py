"""Several labels for each row."""

from pathlib import Path

import pytest

from tests.programs import labels, plain, rig


def test_labels_are_predicted_each_by_itself_and_scored_as_their_predictions_are(tmp_path: Path, ray_address: str) -> None:
    board = rig.run("labels", tmp_path / "s", address=ray_address)
    assert board.facts["dataset"]["task"] == "multilabel"
    x, y = labels.load()["test"]
    table = rig.predictions(tmp_path / "s", x, "answers.csv")
    assert list(table) == ["0", "1", "2", "3", *(f"probability of {label}" for label in range(4))]
    agree = sum(float((table[str(label)] == (y[:, label] == 1)).mean()) for label in range(4)) / 4
    assert board.facts["final"]["mean"]["test_binary_accuracy"] == pytest.approx(agree)
    assert agree > max(y.mean(), 1 - y.mean())
    plain.compare("labels", board, tmp_path / "s")
