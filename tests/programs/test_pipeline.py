"""A tf.data pipeline."""

from pathlib import Path

import numpy as np
import pytest

from tests.programs import pipeline, plain, rig


def test_a_pipeline_is_trained_on_confirmed_retrained_and_tested_as_arrays_are(tmp_path: Path, ray_address: str) -> None:
    board = rig.run("pipeline", tmp_path / "s", address=ray_address)
    assert board.facts["dataset"]["pipeline"] == {"form": "dataset", "steps": 29 + 13}
    assert all(len(each["runs"]) >= 2 for each in board.facts["confirmed"]) and board.facts["confirmed"]
    x, y = (np.concatenate(each) for each in zip(*pipeline.load("test").as_numpy_iterator(), strict=True))
    p = rig.predictions(tmp_path / "s", x)["predicted"]
    right = float((p.argmax(axis=1) == y).mean())
    assert board.facts["final"]["mean"]["test_accuracy"] == pytest.approx(right)
    plain.compare("pipeline", board, tmp_path / "s")
