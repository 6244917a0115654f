"""Pretrained, frozen, then unfrozen."""

from pathlib import Path

import pytest
from sklearn.metrics import accuracy_score

from tests.programs import plain, rig, unfreeze
from tuner.data import dataset as data
from tuner.spec import sweep_spec as specs


def test_two_phases_are_searched_retrained_tested_and_predicted_with(tmp_path: Path) -> None:
    board = rig.run("unfreeze", tmp_path / "s")
    assert "it is trained by unfreeze:fit" in (tmp_path / "s" / "report.html").read_text(encoding="utf-8")
    recorded = specs.check(dict(board.facts["spec"]))
    _, sealed = data.load(recorded.dataset, recorded.seed, (rig.HERE,))
    test = sealed.open(lambda reason: None, "a test's own look")
    answers = rig.predictions(tmp_path / "s", test.x)
    assert accuracy_score(test.y, answers["predicted"].argmax(axis=1)) == pytest.approx(board.facts["final"]["saved"]["test_accuracy"])
    plain.compare("unfreeze", board, tmp_path / "s")
    assert len(unfreeze.base()) == 2
