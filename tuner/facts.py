"""The facts of a sweep as a whole: what it began with, how long its stages took, and each opening of the test split.

Owns which of them are written down, in which order, and what refuses to go on with a sweep that was begun otherwise. Must not run anything.
"""

import platform
import time
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import numpy as np

from search_spaces.space import SearchSpace
from tuner import reopen
from tuner import spec as specs
from tuner.data import Dataset
from tuner.errors import SpecError
from tuner.scheduler import milestones
from tuner.study import Study

VERSIONS_OF = ("ray", "optuna", "tensorflow", "keras", "numpy", "pyarrow", "scikit-learn")


def same_sweep(study: Study, spec: specs.SweepSpec) -> specs.SweepSpec:
    """Return the spec to go on with.

    A sweep that was extended goes on with its larger budgets also where the spec is the one that it was begun with. Its folder may have moved.

    Raises:
        SpecError: another spec than the recorded: its trials would not be comparable.
    """
    recorded = study.facts.get("spec")
    if recorded is None:
        return spec
    asked = {**specs.to_json(spec), "folder": None}
    begun, now = ({**specs.with_defaults(study.facts.get(name) or recorded), "folder": None} for name in ("spec_as_begun", "spec"))
    changes = specs.differences(now, asked)
    if not changes or not specs.differences(begun, asked):
        return specs.check({**now, "folder": spec.folder})
    budgets = all(change.startswith(("search.trials:", "search.epochs:", "search.seconds:")) for change in changes)
    mend = f"`tuner extend {spec.sweep_folder}` gives it more to spend" if budgets else "give the new one another name or folder"
    raise SpecError(f"{spec.sweep_folder}: holds a sweep of another spec ({'; '.join(changes)}); {mend}")


def record_beginning(study: Study, spec: specs.SweepSpec, space: SearchSpace, dataset: Dataset, search_path: tuple[str, ...]) -> None:
    """Write down what the sweep is, once; a sweep that goes on keeps what it began with.

    Raises:
        SpecError: the data are not those that the sweep began with.
    """
    recorded = study.facts.get("dataset", {}).get("content_hash")
    if recorded is not None:
        if recorded != dataset.facts["content_hash"]:
            raise SpecError(f"dataset: its content has changed since this sweep began (was {recorded[:12]}, is {dataset.facts['content_hash'][:12]})")
        return
    np.savez_compressed(spec.sweep_folder / "split.npz", allow_pickle=False, **dataset.indices())
    described = space.describe()
    facts = {
        "name": spec.name,
        "seed": spec.seed,
        "started_at": now(),
        "tuner": version("keras-sweep-tuner"),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in VERSIONS_OF}},
        "platform": platform.platform(),
        "space": described["parameters"],
        "builder": described["builder"],
        "scheduler": {
            **spec.scheduler.model_dump(),
            "milestones": list(milestones(spec.training.max_epochs, spec.scheduler.grace_period, spec.scheduler.reduction_factor)),
        },
        "test_openings": [],
        "stages": [],
        "objective": {"metric": study.objective.metric, "mode": study.objective.mode},
        "begun_in": reopen.begun_in(search_path),
        "spec": specs.to_json(spec),
        "dataset": dataset.facts,  # the last one: `reopen.recorded` takes it as the sign of a whole beginning
    }
    for name, value in facts.items():
        study.set_fact(name, value)


def record_stage(study: Study, name: str, *, began: float, epochs: int) -> None:
    """Write down that a stage is over.

    Args:
        study: the record.
        name: of the stage.
        began: when, by `time.monotonic`.
        epochs: number of epochs that it trained.
    """
    study.set_fact("stages", [*study.facts.get("stages", []), {"name": name, "seconds": round(time.monotonic() - began, 3), "epochs": epochs}])


def record_opening(study: Study, reason: str) -> None:
    """Write down that the test split is opened now, and why."""
    study.set_fact("test_openings", [*study.facts.get("test_openings", []), {"at": now(), "reason": reason}])


def record_final(study: Study, final: dict[str, Any]) -> None:
    """Write down the final evaluation; one that it takes the place of is kept among the earlier ones."""
    before = study.facts.get("final")
    if before:
        earlier = {name: before[name] for name in ("trial", "epochs", "mean", "spread", "saved")}
        study.set_fact("earlier_finals", [*study.facts.get("earlier_finals", []), earlier])
    study.set_fact("final", final)


def has_final_of(study: Study, trial: int, epochs: int) -> bool:
    """Say whether this very network has been evaluated already."""
    final = study.facts.get("final")
    return final is not None and (final["trial"], final["epochs"]) == (trial, epochs)


def began_at(study: Study) -> float:
    """Return when the sweep began, in seconds since 1970."""
    return datetime.fromisoformat(study.facts["started_at"]).timestamp()


def now() -> str:
    """Return the time as facts have it: UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
