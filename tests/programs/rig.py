"""Runs a program of this folder as a user would: a sweep, the sealed test, and predictions from the saved model alone."""

import importlib
import threading
from pathlib import Path
from typing import Any

import numpy as np

from tests.programs.kinds import KINDS
from tests.sweep.test_journey import Told
from tuner.data.arrays.structure import Structure, leaves, paths
from tuner.results.leaderboard import Leaderboard
from tuner.results.prediction import predict
from tuner.spec import sweep_spec as specs
from tuner.sweep.given import Given
from tuner.sweep.journey import run_sweep

HERE = str(Path(__file__).parent)


def run(program: str, folder: Path, *, address: str | None = None, space: dict[str, Any] | None = None) -> Leaderboard:
    """Run the sweep of a program, whose `load` gives the data and whose `build` gives the network, to its end.

    Args:
        program: the module's name, a row of `KINDS`.
        folder: of the sweep.
        address: of a Ray head; None: all in this process.
        space: instead of the program's own network.
    """
    kind = KINDS[program]
    dataset = {"source": f"{program}:load", **kind.dataset}
    if "path" in dataset:
        importlib.import_module(f"tests.programs.{program}").write(folder.parent)
        dataset["path"] = str(folder.parent / dataset["path"])
    values: dict[str, Any] = {
        "name": program,
        "folder": str(folder),
        "dataset": dataset,
        "space": space or {"builder": f"{program}:build", **(kind.space or {"units": [8, 16], "learning_rate": 0.01, "batch_size": 16})},
        "search": {"sampler": "random", "trials": 2},
        "scheduler": {"name": "fifo"},
        "training": {"max_epochs": 3},
        "evaluation": {"seeds": 1, "confirm": 0},
        "cluster": {"target": "address", "address": address} if address else {"target": "in-process"},
    }
    board = run_sweep(specs.check({**values, **kind.sections}), view=Told(), interrupted=threading.Event(), given=Given((HERE,)))
    assert [record.state for record in board.records] == ["complete"] * 2
    assert len(board.facts["test_openings"]) == 1
    assert (folder / "report.html").exists() and (folder / "model.keras").exists()
    return board


def predictions(folder: Path, x: Structure, target: str = "answers.npz") -> dict[str, np.ndarray]:
    """Return what `tuner predict` writes for rows: name -> array.

    Args:
        folder: of a sweep that has ended.
        x: the rows, as the program's `load` gives them.
        target: the file's name, whose ending says its format.
    """
    source = folder / "rows.npz"
    named = {"x": x} if isinstance(x, np.ndarray) else {f"x/{path}": array for path, array in zip(paths(x), leaves(x), strict=True)}
    np.savez(source, allow_pickle=False, **named)
    table = predict(folder, source, folder / target, search_path=(HERE,))
    if target.endswith(".npz"):
        with np.load(folder / target) as written:
            return dict(written)
    return {name: table[name].to_numpy() for name in table.column_names}
