"""The facts of a sweep as a whole: what it began with, how long its stages took, and each opening of the test split.

Owns which of them are written down, in which order, and what refuses to go on with a sweep that was begun otherwise. Must not run anything.
"""

import io
import platform
import time
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any, cast

import numpy as np

from cluster.resources import Allotment
from search_spaces.space import SearchSpace
from tuner.data.dataset import Dataset
from tuner.errors import SpecError
from tuner.search.rules.milestones import milestones
from tuner.spec import sweep_spec as specs
from tuner.study.record import Study
from tuner.study.sweep_facts import Stage, SweepFacts
from tuner.study.writing import write_whole
from tuner.sweep import reopen, sources
from tuner.sweep.given import Given

COMPILED = "compiled epoch"  # as epoch.py calls it
VERSIONS_OF = ("ray", "optuna", "tensorflow", "keras", "numpy", "pyarrow", "scikit-learn")


def same_sweep(study: Study, spec: specs.SweepSpec) -> specs.SweepSpec:
    """Return the spec to go on with.

    A sweep that was extended goes on with its larger budgets also where the spec is the one that it was begun with. It may have moved: to
    another folder, storage or cluster.

    Args:
        study: of the sweep that is there.
        spec: as asked for now.

    Raises:
        SpecError: another spec than the recorded: its trials would not be comparable.
    """
    recorded = study.facts.get("spec")
    if recorded is None:
        return spec
    nowhere, asked = dict.fromkeys(reopen.MAY_MOVE), specs.to_json(spec)
    place = {name: asked[name] for name in reopen.MAY_MOVE}
    asked |= nowhere
    begun, now = ({**specs.with_defaults(reopen.with_direction(each or recorded, study)), **nowhere} for each in (study.facts.get("spec_as_begun"), recorded))
    changes = specs.differences(now, asked)
    if not changes or not specs.differences(begun, asked):
        return specs.check({**now, **place})
    budgets = all(change.startswith(("search.trials:", "search.epochs:", "search.seconds:")) for change in changes)
    mend = f"`tuner extend {spec.sweep_folder}` gives it more to spend" if budgets else "give the new one another name or folder"
    raise SpecError(f"{spec.sweep_folder}: holds a sweep of another spec ({'; '.join(changes)}); {mend}")


def record_beginning(study: Study, spec: specs.SweepSpec, space: SearchSpace, dataset: Dataset, given: Given) -> None:
    """Write down what the sweep is, once; a sweep that goes on keeps what it began with.

    Args:
        study: the record.
        spec: of the sweep.
        space: what is searched.
        dataset: as divided.
        given: builder and data from this program's memory, if any.

    Raises:
        SpecError: the data or the builder are not those that the sweep began with.
    """
    builder = given.files(spec.functions)
    before = study.facts.get("dataset", {})
    recorded = before.get("content_hash")
    if recorded is not None:
        if recorded != dataset.facts["content_hash"]:
            raise SpecError(f"dataset: its content has changed since this sweep began (was {recorded[:12]}, is {dataset.facts['content_hash'][:12]})")
        for name in ("task", "input_shape", "scaling"):
            if name in before and before[name] != dataset.facts[name]:
                # Another version of Tuner decided otherwise; the spec says nothing of it, or it would differ too.
                changed = f"the same data give {name} {dataset.facts[name]} now, and gave {before[name]} when this sweep began"
                raise SpecError(f"dataset: {changed} (Tuner {study.facts.get('tuner')}); finish it with that version, or begin it anew under another name")
        sources.refuse(spec.sweep_folder, sources.changes(study.facts, spec.sweep_folder, builder))
        return
    split = io.BytesIO()
    np.savez_compressed(split, allow_pickle=False, **dataset.indices())
    write_whole(spec.sweep_folder / "split.npz", split.getvalue())
    if builder:
        sources.record(study, spec.sweep_folder, builder)
    described = space.describe()
    facts: SweepFacts = {
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
        "begun_in": reopen.begun_in(given.search_path),
        "in_memory": [what for what, there in (("builder", given.source), ("data", given.load)) if there],
        "spec": specs.to_json(spec),
        "dataset": dataset.facts,  # the last one: `reopen.recorded` takes it as the sign of a whole beginning
    }
    study.set_facts(facts)


def record_place(study: Study, hardware: str, slots: int, allotment: Allotment) -> None:
    """Write down what the sweep runs on, and each change of it where it goes on elsewhere; and what all trials together hold of it.

    Args:
        study: the record.
        hardware: in words.
        slots: trials at a time.
        allotment: what a trial holds.
    """
    study.set_facts({"held": {"cpus": slots * allotment.usual.cpus, "gpus": slots * allotment.usual.gpus}})
    place = f"{hardware}; {slots} trial{'s' * (slots != 1)} at a time, {allotment} each"
    before = study.facts.get("hardware")
    if before is None or not before.endswith(place):
        study.set_facts({"hardware": place if before is None else f"{before}; then {place}"})


def record_ways(study: Study) -> None:
    """Write down how epochs were run, the compiled way or through Keras's own `fit` and why, and what Python warned of; each with its number of trials."""
    facts = [trial.user_attrs for trial in study.trials()]
    ways = [each["path"] if each["path"] == COMPILED else f"fit: {each['path']}" for each in facts if each.get("path")]
    study.set_facts({"ways": dict(Counter(ways).most_common())})
    study.set_facts({"python_warnings": dict(Counter(text for each in facts for text in set(each.get("warnings") or ())).most_common(20))})


def record_stage(study: Study, name: str, *, began: float, epochs: int) -> None:
    """Write down that a stage is over; what earlier parts of it took, before an interruption or an extension, is added.

    Args:
        study: the record.
        name: of the stage.
        began: when, by `time.monotonic`.
        epochs: number of epochs that it trained.
    """
    stages = {stage["name"]: stage for stage in study.facts.get("stages", [])}
    before, seconds = cast(Mapping[str, float], stages.get(name, {})), time.monotonic() - began
    held = cast(Mapping[str, float], study.facts.get("held", {}))
    spent = {"seconds": seconds, "epochs": epochs, **{f"{what[:-1]}_seconds": number * seconds for what, number in held.items()}}
    stages[name] = cast(Stage, {"name": name, **{what: round(before.get(what, 0) + amount, 3) for what, amount in spent.items()}})
    study.set_facts({"stages": list(stages.values())})


def record_opening(study: Study, reason: str) -> None:
    """Write down that the test split is opened now, and why.

    Args:
        study: the record.
        reason: in words.
    """
    study.set_facts({"test_openings": [*study.facts.get("test_openings", []), {"at": now(), "reason": reason}]})


def record_final(study: Study, final: dict[str, Any]) -> None:
    """Write down the final evaluation; one that it takes the place of is kept among the earlier ones.

    Args:
        study: the record.
        final: as report/facts_schema.py describes it.
    """
    before = study.facts.get("final")
    if before:
        earlier = {name: before[name] for name in ("trial", "epochs", "mean", "spread", "saved")}
        study.set_facts({"earlier_finals": [*study.facts.get("earlier_finals", []), earlier]})
    study.set_facts({"final": final})


def has_final_of(study: Study, trial: int, epochs: int) -> bool:
    """Say whether this very network has been evaluated already.

    Args:
        study: the record.
        trial: its number.
        epochs: that it was retrained for.
    """
    final = study.facts.get("final")
    return final is not None and (final["trial"], final["epochs"]) == (trial, epochs)


def began_at(study: Study) -> float:
    """Return when the sweep began, in seconds since 1970."""
    return datetime.fromisoformat(study.facts["started_at"]).timestamp()


def now() -> str:
    """Return the time as facts have it: UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
