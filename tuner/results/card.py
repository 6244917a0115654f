"""The model card: what a saved model is, how it came about, and all that its predictions need besides the model itself.

Owns `model.json` beside `model.keras`. A model is rebuilt from the card's recipe and given its weights; nothing in either file is executed.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tuner.data import scaling
from tuner.data.dataset import Dataset
from tuner.errors import SweepError
from tuner.study import builder_copy
from tuner.study.writing import write_whole
from tuner.training.trainer import TrainingConfig

CARD = "model.json"
# What predictions cannot do without.
NEEDED = {"model", "recipe", "features", "scaling", "dataset", "classes"}


def write_card(folder: Path, final: Mapping[str, Any], config: TrainingConfig, dataset: Dataset, facts: Mapping[str, Any]) -> Path:
    """Write the card of the model in this folder, whole or not at all."""
    card = {
        "model": final["model"],
        "configuration": final["configuration"],
        "recipe": config.to_json() | {"configuration": final["configuration"], "seed": final["saved_seed"], "search_path": [], "patience": None},
        "epochs": final["epochs"],
        "seed": final["saved_seed"],
        "metrics": final["saved"],
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
    target = folder / CARD
    write_whole(target, json.dumps(card, indent=2, allow_nan=False))
    return target


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
