"""Windows of a series."""

from pathlib import Path

import numpy as np
import pytest

from tests.programs import plain, rig, windows


def test_windows_are_forecast_in_the_order_of_time_and_none_overlaps_another_split(tmp_path: Path) -> None:
    board = rig.run("windows", tmp_path / "s")
    given = windows.load()
    with np.load(tmp_path / "s" / "split.npz") as file:
        rows = {name: file[name] for name in ("train", "validation", "test")}
    for earlier, later in (("train", "validation"), ("validation", "test")):
        # The last hour of the last window lies before the first hour of the first.
        assert rows[earlier].max() + 24 + 3 <= rows[later].min()
    x, y = given["x"][rows["test"]], given["y"][rows["test"]]
    p = rig.predictions(tmp_path / "s", x)["predicted"]
    scores = board.facts["final"]["mean"]
    assert scores["test_mae"] == pytest.approx(float(np.abs(p - y).mean()), rel=1e-3)
    # Better than that the next hours are as those a day ago.
    assert scores["test_mae"] < float(np.abs(x[:, :3, 0] - y).mean()) * 1.2
    assert len(board.facts["final"]["test"]["targets"]) == 3
    plain.compare("windows", board, tmp_path / "s")
