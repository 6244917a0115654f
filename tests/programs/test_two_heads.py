"""Two outputs."""

from pathlib import Path

import pytest
from sklearn.metrics import accuracy_score, confusion_matrix, r2_score

from tests.programs import plain, rig, two_heads


def test_each_head_has_its_scores_its_figures_and_its_baseline(tmp_path: Path) -> None:
    board = rig.run("two_heads", tmp_path / "s")
    assert board.objective.mode == "max"
    test = two_heads.load()["test"]
    p = rig.predictions(tmp_path / "s", test["x"])
    digits, ink = p["predicted_digit"], p["predicted_ink"]
    right = accuracy_score(test["y"]["digit"], digits.argmax(axis=1))
    assert board.facts["final"]["mean"]["test_digit_accuracy"] == pytest.approx(right)
    heads = board.facts["final"]["test"]["heads"]
    assert heads["digit"]["confusion"] == confusion_matrix(test["y"]["digit"], digits.argmax(axis=1)).tolist()
    assert heads["ink"]["errors"]["R2"] == pytest.approx(r2_score(test["y"]["ink"], ink), abs=1e-4)
    assert heads["digit"]["baseline"]["scores"]["accuracy"] < 0.15
    page = (tmp_path / "s" / "report.html").read_text(encoding="utf-8")
    assert "Head digit" in page and "Head ink" in page
    plain.compare("two_heads", board, tmp_path / "s")
