"""The example notebook, cell by cell in a real Jupyter kernel, as whoever opens it would run it."""

import json
import re
from pathlib import Path

import pytest

pytest.importorskip("ipykernel")
pytest.importorskip("jupyter_client")
pytest.importorskip("keras_tuner")

from tests.notebook.kernel import Shown, kernel

pytestmark = [pytest.mark.timeout(900), pytest.mark.filterwarnings("default")]
NOTEBOOK = json.loads(Path(__file__).with_name("example.ipynb").read_text(encoding="utf-8"))


def test_every_cell_of_the_example_runs_and_shows_what_it_is_about(tmp_path: Path) -> None:
    shown: dict[str, Shown] = {}
    with kernel(tmp_path) as cells:
        for cell in NOTEBOOK["cells"]:
            if cell["cell_type"] == "code":
                shown[cell["id"]] = cells.run("".join(cell["source"]))
                assert shown[cell["id"]].error == ("", ""), cell["id"]
        again = cells.run("tuner.load('sweeps/notebook').leaderboard")
    assert shown["plan"].text == shown["run"].text == "", "nothing but what they show"
    plan = shown["plan"].result["text/plain"]
    assert "layers         1 to 2" in plan
    assert re.search(r"units_1 .*16 to 64 in steps of 16, where layers >= 2", plan), "the part of the space that hangs on another"
    assert "<table>" in shown["run"].result["text/html"] and "<iframe srcdoc=" in shown["run"].result["text/html"]
    assert any("<progress" in page for page in shown["run"].pages), "a bar while it searches"
    best = eval(shown["best"].result["text/plain"])
    assert ("units_1" in best) == (best["layers"] == 2)
    assert shown["frame"].result["text/plain"].count("\n") == 6, "a head and six trials"
    assert "test_accuracy" in shown["predict"].text
    assert re.fullmatch(r"array\(\[(\d, ){9}\d\].*\)", shown["predict"].result["text/plain"])
    assert any("Dense" in page for page in shown["model"].pages)
    assert "srcdoc" in shown["report"].result["text/html"]
    assert again.result["text/plain"].startswith("rank")
    assert (tmp_path / "sweeps" / "notebook" / "report.html").is_file()


def test_the_example_is_kept_without_outputs() -> None:
    code = [cell for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
