"""Two inputs through one network."""

from pathlib import Path

import numpy as np
import pytest

from tests.programs import plain, rig, siamese


def test_pairs_are_told_apart_by_a_loss_of_their_distance(tmp_path: Path) -> None:
    board = rig.run("siamese", tmp_path / "s")
    test = siamese.load()["test"]
    distance, same = rig.predictions(tmp_path / "s", test["x"])["predicted"], test["y"]
    loss = float((same * distance**2 + (1 - same) * np.maximum(1 - distance, 0) ** 2).mean())
    assert board.facts["final"]["mean"]["test_loss"] == pytest.approx(loss, rel=1e-3)
    assert float(((distance < 0.5) == (same == 1)).mean()) > 0.8
    plain.compare("siamese", board, tmp_path / "s")
