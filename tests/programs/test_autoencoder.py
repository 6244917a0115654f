"""An own train_step, and no targets."""

from pathlib import Path

import pytest

from tests.programs import autoencoder, plain, rig


def test_network_with_steps_of_its_own_and_no_targets_is_judged_by_its_own_loss(tmp_path: Path) -> None:
    board = rig.run("autoencoder", tmp_path / "s")
    x = autoencoder.load()["test"]["x"]
    rebuilt = rig.predictions(tmp_path / "s", x)["predicted"]
    assert rebuilt.shape == x.shape
    error = float(((x - rebuilt) ** 2).sum(axis=1).mean())
    assert board.facts["final"]["mean"]["test_error"] == pytest.approx(error, rel=1e-3)
    # Better than answering with the mean digit.
    assert error < float(((x - autoencoder.load()["train"]["x"].mean(axis=0)) ** 2).sum(axis=1).mean())
    plain.compare("autoencoder", board, tmp_path / "s")
