"""Two classes of which one is rare."""

from pathlib import Path

import pytest
from sklearn.metrics import accuracy_score, roc_auc_score

from tests.programs import imbalanced, plain, rig


def test_one_sigmoid_unit_is_chosen_by_auc_and_its_test_scores_are_those_of_its_predictions(tmp_path: Path) -> None:
    board = rig.run("imbalanced", tmp_path / "s")
    x, y = imbalanced.load()["test"]
    p = rig.predictions(tmp_path / "s", x)["predicted"]
    assert p.shape == (200, 2)
    scores = board.facts["final"]["mean"]
    assert scores["test_auc"] == pytest.approx(roc_auc_score(y, p[:, 1]), abs=2e-3)
    assert scores["test_accuracy"] == pytest.approx(accuracy_score(y, p[:, 1] > 0.5))
    # What always answering with the common class scores stands beside it.
    assert board.facts["final"]["test"]["baseline"]["scores"]["accuracy"] == pytest.approx(1 - y.mean())
    plain.compare("imbalanced", board, tmp_path / "s")
