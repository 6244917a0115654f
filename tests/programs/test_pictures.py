"""Pictures in class folders."""

from pathlib import Path

import pytest

from tests.programs import plain, rig
from tuner.results.prediction import predict


def test_pictures_in_folders_are_learnt_with_augmentation_and_predicted_from_a_folder(tmp_path: Path) -> None:
    board = rig.run("pictures", tmp_path / "s")
    assert board.facts["dataset"]["classes"] == {"china": 110, "flower": 110}
    right = 0
    for name in ("china", "flower"):
        table = predict(tmp_path / "s", tmp_path / "pictures" / "test" / name, tmp_path / f"{name}.csv", search_path=(rig.HERE,))
        right += table["predicted"].to_pylist().count(name)
    # Augmented predictions would differ from call to call.
    assert board.facts["final"]["mean"]["test_accuracy"] == pytest.approx(right / 80)
    plain.compare("pictures", board, tmp_path / "s")
