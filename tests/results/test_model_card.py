"""The card of a model as a page, and how its winner was chosen."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.sweeps_made_up import changed
from tests.sweeps_made_up import sweep as made_up
from tuner.results.card import _commit, chosen_by, read_card, rewrite
from tuner.results.model_card import page_of

GOLDEN = Path(__file__).parents[1] / "golden"


def test_page_says_what_the_model_is_for_how_good_it_is_and_how_to_load_it() -> None:
    card = read_card(GOLDEN / "finished" / "sweep")
    card |= {
        "whole": True,
        "inputs": [{"name": "size | cm", "column": "size | cm", "dtype": "float32", "shape": [1], "says": "a number"}],
        "outputs": {"kind": "probabilities", "columns": ["cat", "dog"], "threshold": 0.5},
        "needs": ["mine>Twice"],
        "classes": ["cat", "dog"],
        "test": {
            "per_class": [{"class": "cat", "precision": 0.5, "recall": None, "f1": 0.25, "support": 1200}],
            "intervals": {"test_accuracy": {"low": 0.91, "high": 0.99, "method": "Wilson, 90 test rows"}},
            "baseline": {"name": "always dog", "scores": {"accuracy": 0.6}},
        },
        "chosen": {"metric": "val_accuracy", "mode": "max", "trials": 40, "search_score": 0.97, "confirmed": {"mean": 0.96, "low": 0.95, "high": 0.97}},
        "git": {"commit": "abc123", "changed": True},
        "metrics": {"test_accuracy": 0.955},
    }
    page = page_of(card)
    assert "tells one of 2 classes: cat, dog" in page
    assert 'keras.saving.load_model("model.keras")' in page and 'model.predict({"size | cm": ...})' in page and "mine>Twice" in page
    assert "| size \\| cm | `float32` | 1 | a number |" in page
    assert "| test_accuracy | 0.9550 | 0.9100 to 0.9900 (Wilson, 90 test rows) |" in page and "doing nothing (always dog)" in page and "| 0.6000 |" in page
    assert "| cat | 0.5000 | - | 0.2500 | 1,200 |" in page
    assert "of 40, by val_accuracy (the larger the better): 0.9700 in the search, on fresh seeds 0.9600 (95 % interval 0.9500 to 0.9700)" in page
    assert "from a probability of 0.5 on" in page
    assert card["dataset"]["content_hash"] in page and "`abc123`, with changes that were not committed" in page


@pytest.mark.parametrize("name", ["finished", "table", "folds"])
def test_cards_of_older_sweeps_have_a_page_that_promises_nothing_of_raw_rows(name: str, tmp_path: Path) -> None:
    rewrite(tmp_path, read_card(GOLDEN / name / "sweep"))
    page = (tmp_path / "MODEL_CARD.md").read_text()
    assert "It takes rows that are filled and scaled by the numbers in `model.json`" in page
    assert "What goes in" not in page
    assert read_card(tmp_path) == read_card(GOLDEN / name / "sweep")


def test_winner_was_chosen_by_what_the_board_says() -> None:
    board = made_up()
    second = {"trial": board.ranked[1].number, "mean": 0.9, "low": 0.8, "high": 0.95, "runs": [0.9, 0.9], "chosen": True}
    said = chosen_by(changed(board, confirmed=[{"trial": board.ranked[0].number, "mean": 0.7, "runs": [0.7], "chosen": False}, second]))
    assert (said["metric"], said["mode"], said["trials"]) == (board.objective.metric, board.objective.mode, len(board.records))
    assert said["search_score"] == board.ranked[1].score
    assert said["confirmed"] == {"mean": 0.9, "low": 0.8, "high": 0.95, "seeds": 2}
    assert chosen_by(changed(board, confirmed=[]))["confirmed"] is None
    json.dumps(said)


def test_commit_is_that_of_the_users_folder_and_changes_are_seen(tmp_path: Path) -> None:
    def git(*words: str) -> str:
        author = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
        return subprocess.run(["git", *author, "-C", str(tmp_path), *words], capture_output=True, text=True, check=True).stdout.strip()

    assert _commit([str(tmp_path)]) is None
    git("init")
    (tmp_path / "mine.py").write_text("a = 1\n")
    git("add", "mine.py")
    git("commit", "-m", "first")
    assert _commit([str(tmp_path)]) == {"commit": git("rev-parse", "HEAD"), "changed": False}
    (tmp_path / "mine.py").write_text("a = 2\n")
    assert _commit([str(tmp_path)]) == {"commit": git("rev-parse", "HEAD"), "changed": True}
