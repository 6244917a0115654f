"""Several inputs."""

from pathlib import Path

import pytest

from tests.programs import bags, plain, rig


def test_inputs_by_name_reach_their_branches_in_search_test_and_prediction(tmp_path: Path, ray_address: str) -> None:
    board = rig.run("bags", tmp_path / "s", address=ray_address)
    test = bags.load()["test"]
    p = rig.predictions(tmp_path / "s", test["x"])["predicted"]
    right = float((p.argmax(axis=1) == test["y"]).mean())
    assert board.facts["final"]["mean"]["test_accuracy"] == pytest.approx(right)
    assert right > 0.85
    plain.compare("bags", board, tmp_path / "s")
