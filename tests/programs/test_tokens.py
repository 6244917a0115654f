"""Whole numbers that are names."""

from pathlib import Path

import pytest

from tests.programs import plain, rig, tokens


def test_the_numbers_of_a_small_vocabulary_reach_the_embedding_as_they_are_and_it_is_said(tmp_path: Path) -> None:
    board = rig.run("tokens", tmp_path / "s")
    x, y = tokens.load()["test"]
    (_, decision, *_) = board.facts["dataset"]["decisions"]
    assert decision["treatment"] == "left as they are"
    assert decision["why"] == "whole numbers from 0 to 29 in any order, as the numbers of words are"
    p = rig.predictions(tmp_path / "s", x)["predicted"]
    right = float((p.argmax(axis=1) == y).mean())
    assert board.facts["final"]["mean"]["test_accuracy"] == pytest.approx(right)
    assert right > max(y.mean(), 1 - y.mean()) + 0.05
    plain.compare("tokens", board)
