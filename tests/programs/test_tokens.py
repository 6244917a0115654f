"""Whole numbers that are names."""

from pathlib import Path

import numpy as np
import pytest

from search_spaces.errors import SearchSpaceError
from tests.programs import plain, rig, tokens
from tuner.data import scaling as scaling_room
from tuner.data.pool import Pool
from tuner.data.splits.drawing import Fold
from tuner.training.config import TrainingConfig
from tuner.training.trainer import Training


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
    plain.compare("tokens", board, tmp_path / "s")


def test_an_embedding_over_scaled_numbers_is_refused_in_one_line() -> None:
    x, y = tokens.load()["train"]
    scaling = scaling_room.fit("standard", x.astype(np.float32))
    config = TrainingConfig("tests.programs.tokens:build", {"units": 4}, "classification", 2, 1, 1)
    with pytest.raises(SearchSpaceError, match=r'begins with int32, for whole numbers, and these are scaled; expected dataset.scaling = "none"'):
        Training(config, Pool(x.astype(np.float32), y), [Fold(np.arange(400), np.arange(400, 800), (scaling,))])
