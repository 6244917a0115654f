"""The built-in spaces on the data of programs whose networks people would have to write otherwise."""

from pathlib import Path

import numpy as np
import pytest

from tests.programs import columns, rig, tokens
from tuner.results.prediction import predict


def test_columns_with_words_as_they_are_need_no_builder(tmp_path: Path) -> None:
    chosen = {"name": "tabular", "width": 16, "depth": [1, 2], "batch_size": 16, "learning_rate": 0.01, "optimizer": "adam"}
    board = rig.run("columns", tmp_path / "s", space=chosen)
    test = columns.table().query("part == 'test'")
    test.drop(columns=["sold", "part"]).to_csv(tmp_path / "new.csv", index=False)
    answers = predict(tmp_path / "s", tmp_path / "new.csv", tmp_path / "answers.csv")
    right = float((test["sold"].to_numpy() == answers["predicted"].to_numpy(zero_copy_only=False)).mean())
    assert board.facts["final"]["mean"]["test_accuracy"] == pytest.approx(right)
    assert right > 0.85


def test_numbers_that_are_names_need_no_builder_and_the_model_knows_how_many_there_are(tmp_path: Path) -> None:
    chosen = {"name": "sequence", "sequence_layer": ["convolution", "gru"], "depth": 1, "width": 16, "batch_size": 16, "optimizer": "adam"}
    board = rig.run("tokens", tmp_path / "s", space={**chosen, "learning_rate": 0.01})
    (embedding,) = [layer for layer in board.facts["final"]["layers"] if layer["type"] == "Embedding"]
    assert embedding["parameters"] == (30 + 1) * 16
    x, y = tokens.load()["test"]
    # Fewer names than there were, and one that there was not.
    few = np.where(x[:20] > 9, 0, x[:20])
    few[0, 0] = 1000
    assert rig.predictions(tmp_path / "s", few)["predicted"].shape == (20, 2)
    p = rig.predictions(tmp_path / "s", x)["predicted"]
    right = float((p.argmax(axis=1) == y).mean())
    assert board.facts["final"]["mean"]["test_accuracy"] == pytest.approx(right)
    assert right > max(y.mean(), 1 - y.mean())
