"""The model card: what a saved model is, how it came about, and all that its predictions need besides the model itself.

Owns `model.json` and `MODEL_CARD.md` beside `model.keras`. A model is rebuilt from the card's recipe and given its weights; nothing in either file is executed.
"""

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tuner.data import scaling
from tuner.data.dataset import Dataset
from tuner.errors import SweepError
from tuner.results.leaderboard import Leaderboard
from tuner.results.model_card import CARD_PAGE, page_of
from tuner.study import builder_copy
from tuner.study.sweep_facts import SweepFacts
from tuner.study.writing import write_whole
from tuner.training import whole
from tuner.training.config import TrainingConfig

CARD = "model.json"
# Of what the test split says: all but the single rows.
_OF_TEST = ("rows", "per_class", "macro_f1", "multi_label", "errors", "intervals", "baseline", "no_probabilities")
GIT_TIMEOUT_S = 20
# What predictions cannot do without.
NEEDED = {"model", "recipe", "features", "scaling", "dataset", "classes"}


def write_card(
    folder: Path, final: Mapping[str, Any], config: TrainingConfig, dataset: Dataset, facts: SweepFacts, *, chosen: Mapping[str, Any] | None = None
) -> Path:
    """Write the card of the model in this folder, for programs and as a page for people, each whole or not at all.

    Args:
        folder: of the sweep; the model is there already.
        final: what the evaluation gave, see `held_out.held_out_metrics`.
        config: what was trained.
        dataset: what it was trained on.
        facts: of the sweep.
        chosen: how the winner was chosen, see `chosen_by`.

    Returns:
        The path of `model.json`.
    """
    file = whole.metadata_of(folder / final["model"])
    card = {
        "model": final["model"],
        "whole": bool(file.get("whole")),
        **({"not_whole": file["why"]} if "why" in file else {}),
        "inputs": file.get("inputs", []),
        "outputs": whole.outputs_of(file["meaning"], dataset.classes) if "meaning" in file else {},
        "needs": file.get("needs", []),
        "configuration": final["configuration"],
        "recipe": config.to_json() | {"configuration": final["configuration"], "seed": final["saved_seed"], "search_path": [], "patience": None},
        "epochs": final["epochs"],
        "seed": final["saved_seed"],
        "metrics": final["saved"],
        "test": {part: final["test"][part] for part in _OF_TEST if part in final.get("test", ())},
        "chosen": dict(chosen or {}),
        "git": _commit(config.search_path),
        "over_seeds": {"mean": final["mean"], "spread": final["spread"], "seeds": [run["seed"] for run in final["runs"]]},
        "parameters": final["parameters"],
        "layers": final["layers"],
        "input_shape": list(dataset.input_shape),
        "classes": list(dataset.classes),
        "features": dataset.features.to_json(),
        "scaling": scaling.to_json(dataset.scalings(None)),
        "dataset": dataset.facts,
        "versions": facts.get("versions"),
        builder_copy.FACT: facts.get(builder_copy.FACT),
        "sweep": {"name": facts.get("name"), "seed": facts.get("seed"), "trial": final["trial"], "test_openings": facts.get("test_openings")},
    }
    return rewrite(folder, card)


def rewrite(folder: Path, card: Mapping[str, Any]) -> Path:
    """Write a card anew, and its page; returns the path of `model.json`.

    Args:
        folder: of the sweep.
        card: all of it.
    """
    target = folder / CARD
    write_whole(target, json.dumps(card, indent=2, allow_nan=False))
    write_whole(folder / CARD_PAGE, page_of(card))
    return target


def chosen_by(board: Leaderboard) -> dict[str, Any]:
    """Return how the winner of a board was chosen, as JSON: by which `metric` and `mode`, of how many `trials`, its score in the search and on fresh seeds."""
    fresh = next((entry for entry in board.facts.get("confirmed") or () if entry.get("chosen")), None)
    numbers = None if fresh is None else {key: fresh.get(key) for key in ("mean", "low", "high")} | {"seeds": len(fresh.get("runs") or ())}
    by = {"metric": board.objective.metric, "mode": board.objective.mode}
    return {**by, "trials": len(board.records), "search_score": board.winner.score, "confirmed": numbers}


def _commit(places: Sequence[str]) -> dict[str, Any] | None:
    """Return the git commit of the first folder of the user's that is in a repository, and whether files there have changed since; None without one."""
    git = shutil.which("git")
    for place in places if git else ():
        asked = [[git or "", "-C", place, *words] for words in (("rev-parse", "HEAD"), ("status", "--porcelain", "--untracked-files=no"))]
        try:
            answers = [subprocess.run(words, capture_output=True, text=True, timeout=GIT_TIMEOUT_S, check=False) for words in asked]
        except (OSError, subprocess.TimeoutExpired):  # a card without a commit is a card
            return None
        if all(answer.returncode == 0 for answer in answers):
            return {"commit": answers[0].stdout.strip(), "changed": bool(answers[1].stdout.strip())}
    return None


def read_card(folder: Path) -> dict[str, Any]:
    """Read a card.

    Raises:
        SweepError: there is none, or it is damaged.
    """
    path = folder / CARD
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise SweepError(f"{folder}: no saved model there ({CARD} is missing); expected the folder of a sweep that has ended") from error
    except (OSError, ValueError) as error:
        raise SweepError(f"{path}: cannot be read as a model card; expected the {CARD} that Tuner wrote") from error
    if not isinstance(card, dict) or NEEDED - card.keys():
        raise no_card(path)
    return card


def no_card(path: Path) -> SweepError:
    """Return the error that says that a file is JSON, but no card that Tuner wrote."""
    return SweepError(f"{path}: is no model card, or a damaged one; expected the {CARD} that Tuner wrote")
