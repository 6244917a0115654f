"""Targets for every pixel."""

from pathlib import Path

import pytest

from tests.programs import masks, plain, rig


def test_masks_are_predicted_pixel_by_pixel_in_their_own_shape(tmp_path: Path) -> None:
    board = rig.run("masks", tmp_path / "s")
    assert board.facts["dataset"]["task"] == "custom"
    x, y = masks.load()["test"]
    p = rig.predictions(tmp_path / "s", x)["predicted"]
    assert p.shape == y.shape
    right = float(((p > 0.5) == y).mean())
    assert board.facts["final"]["mean"]["test_accuracy"] == pytest.approx(right)
    assert right > 1 - y.mean()
    plain.compare("masks", board, tmp_path / "s")
