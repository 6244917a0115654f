"""Every program of this folder once more by `tuner.run`, as a notebook would have it: its network and its data from the program's own memory."""

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tuner
from tests.programs.kinds import KINDS
from tuner.data.arrays.structure import leaves, map_leaves

ONCE: dict[str, Any] = {"trials": 1, "max_epochs": 1, "seeds": 1, "confirm": 0, "sampler": "random", "cluster": {"target": "in-process"}, "quiet": True}


def asked(program: str, folder: Path) -> tuple[Any, dict[str, Any]]:
    """Return the data and the further keywords of a program's row: data in memory where it has them, else the place of what it writes."""
    kind, module = KINDS[program], importlib.import_module(f"tests.programs.{program}")
    keywords: dict[str, Any] = {"space": kind.space or {"units": [8], "learning_rate": 0.01, "batch_size": 32}, "objective": kind.sections.get("objective")}
    keywords |= {"dataset": dict(kind.dataset)}
    if "path" in kind.dataset:
        module.write(folder)
        keywords["dataset"]["path"] = str(folder / kind.dataset["path"])
        return None, keywords
    if program == "pipeline":  # live data do not travel: its function does
        return module.load, keywords
    return module.load(), keywords


@pytest.mark.parametrize("program", KINDS)
def test_a_program_runs_from_memory_and_gives_a_model_predictions_a_table_and_a_page(program: str, tmp_path: Path) -> None:
    module = importlib.import_module(f"tests.programs.{program}")
    data, keywords = asked(program, tmp_path)
    result = tuner.run(module.build, data, folder=str(tmp_path / "s"), name=program, **ONCE, **{key: value for key, value in keywords.items() if value})
    assert [record.state for record in result.leaderboard.records] == ["complete"]
    assert result.test is not None and np.isfinite(result.test[KINDS[program].score])
    assert list(result.leaderboard.to_pandas()["config.units"]) == [8]
    page = result._repr_html_()
    assert "<table>" in page and "<iframe srcdoc=" in page and KINDS[program].score in page

    x, rows = new_rows(program, data, tmp_path)
    answers = result.predict(x)
    assert {len(leaf) for leaf in leaves(answers)} == {rows}
    again = tuner.load(result.folder)
    again.model()
    assert all(np.array_equal(one, other) for one, other in zip(leaves(answers), leaves(again.predict(x)), strict=True)), "read by another program as well"


def new_rows(program: str, data: Any, folder: Path) -> tuple[Any, int]:
    """Return five rows or so as a user has them, without targets: arrays, a data frame, or the path of a folder."""
    if program == "columns":
        module = importlib.import_module("tests.programs.columns")
        return module.table().head(5).drop(columns=["sold", "part"]), 5
    if program == "pictures":
        return folder / "pictures" / "test" / "china", 40
    if program == "pipeline":
        (x, _), *_ = importlib.import_module("tests.programs.pipeline").load("test").as_numpy_iterator()
        return x, len(x)
    part = data.get("test", data)
    x = part["x"] if isinstance(part, dict) else part[0]
    return map_leaves(lambda leaf: leaf[:5], x), 5


def test_a_table_is_predicted_from_a_frame_a_dictionary_and_a_file_alike(tmp_path: Path) -> None:
    module = importlib.import_module("tests.programs.columns")
    _, keywords = asked("columns", tmp_path)
    result = tuner.run("mlp", folder=str(tmp_path / "s"), **ONCE, dataset={**keywords["dataset"], "encode": True})
    frame = module.table().query("part == 'test'").drop(columns=["sold", "part"])
    frame.to_csv(tmp_path / "new.csv", index=False)
    answers = [result.predict(x, probabilities=True) for x in (frame, {name: frame[name] for name in frame}, tmp_path / "new.csv")]
    assert answers[0].shape == (len(frame), 2)
    assert all(np.allclose(answers[0], other, atol=1e-6) for other in answers[1:])
    assert set(result.predict(frame)) <= {"yes", "no"}
    with pytest.raises(tuner.DatasetError, match=r"x: got ndarray .*expected a data frame, an Arrow table or a dictionary"):
        result.predict(np.zeros((2, 3)))
    with pytest.raises(tuner.DatasetError, match="size"):
        result.predict(frame.drop(columns=["size"]))
