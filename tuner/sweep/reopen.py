"""A sweep that exists, opened again by its folder alone: to go on with it as it was begun, or to give it more to spend.

Owns what is read from the record for that, and how a recorded budget grows. Must not run anything.
"""

import math
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tuner.errors import SpecError, SweepError
from tuner.spec import sweep_spec as specs
from tuner.study import builder_copy
from tuner.study.backends import forget_unbegun, read_study
from tuner.study.directions import direction_of
from tuner.study.lock import exclusive_driver
from tuner.study.mirror import RESULTS
from tuner.study.record import Study
from tuner.study.sweep_facts import SweepFacts
from tuner.sweep import sources
from tuner.sweep.given import Given

# Where a sweep runs, lies and is shown says nothing about its trials.
MAY_MOVE = ("folder", "storage", "cluster", "trackers")
BUDGETS = ("trials", "epochs", "seconds")


@dataclass(frozen=True)
class Recorded:
    """How a sweep was begun.

    Attributes:
        spec: as it is recorded, its folder where it lies now.
        search_path: folders in which the spec's own builder is looked for.
        place: the working folder that relative paths in the spec start from.
    """

    spec: specs.SweepSpec
    search_path: tuple[str, ...]
    place: Path

    @property
    def given(self) -> Given:
        """Where its code is."""
        return Given(self.search_path)


def recorded(folder: str | Path) -> Recorded:
    """Return how the sweep in a folder was begun.

    Raises:
        SweepError: there is none, or it was killed before it began.
    """
    study = read_study(folder)
    facts = study.facts
    if "dataset" not in facts:  # what is recorded last of a beginning
        raise SweepError(f"{folder}: was interrupted before it began; run its spec again")
    if held := facts.get("in_memory"):
        raise SweepError(f"{folder}: its {' and '.join(held)} came from a program's memory (tuner.run); run that program again, and it goes on")
    begun = facts["begun_in"]
    spec = spec_of_record(study, folder)
    # Where the builder is not found any more, its copy in the sweep's folder is as good.
    return Recorded(spec, (*begun["search_path"], *builder_copy.kept(facts, folder)), Path(begun["folder"]))


def spec_of_record(study: Study, folder: str | Path) -> specs.SweepSpec:
    """Return the spec that a sweep was begun with, its folder where it lies now.

    Args:
        study: the record.
        folder: where it lies.
    """
    return specs.check({**with_direction(study.facts["spec"], study), "folder": str(Path(folder).resolve())})


def begin_anew(spec: specs.SweepSpec, given: Given) -> str | None:
    """Remove the record of a sweep that has not one epoch to show, where its spec or its builder is another now; its lock must be held.

    Args:
        spec: checked.
        given: where its code is.

    Returns:
        What was done, in a line; None where there was nothing to do.
    """
    folder = spec.sweep_folder

    def is_other(facts: SweepFacts) -> bool:
        recorded = facts.get("spec")
        if recorded is None:  # killed before it was written down: nothing says that it was this one
            return True
        nowhere = dict.fromkeys(MAY_MOVE)
        asked = {**specs.to_json(spec), **nowhere}
        now, begun = ({**specs.with_defaults(each or recorded), **nowhere} for each in (recorded, facts.get("spec_as_begun")))
        builder = given.files(spec.functions)
        return bool(sources.changes(facts, folder, builder)) or bool(specs.differences(now, asked) and specs.differences(begun, asked))

    if not forget_unbegun(folder, is_other):
        return None
    for name in (*RESULTS, *(f"report.{form}" for form in ("html", "md"))):
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(folder / builder_copy.FOLDER, ignore_errors=True)
    return f"{folder}: the sweep there never finished an epoch; it is begun anew under the spec and the builder of today"


def has_trials(folder: Path) -> bool:
    """Say whether a sweep in this folder has begun a trial."""
    try:
        return bool(read_study(folder).trials())
    except SweepError:  # there is none; where it is damaged, opening it says so
        return False


def check_builder(folder: Path, changed_builder: bool = False) -> None:
    """Refuse to go on with a sweep whose builder has changed since it began, before anything is done with it.

    Args:
        folder: of the sweep.
        changed_builder: it is to go on with it all the same.

    Raises:
        SpecError: it has changed.
        SweepError: there is no sweep.
    """
    begun = recorded(folder)
    if not changed_builder:
        sources.refuse(folder, sources.changes(read_study(folder).facts, folder, Given(begun.search_path).files(begun.spec.functions)))


def take_on_builder(folder: Path, given: Given) -> str | None:
    """Let a sweep go on with a builder that has changed since it began; the record says from which trial on.

    Args:
        folder: of the sweep.
        given: where the builder is.

    Returns:
        What has changed, in a line; None where nothing has, or no sweep is there.

    Raises:
        SweepError: it is running, or cannot be read.
    """
    if not folder.is_dir():
        return None
    with exclusive_driver(folder):
        try:
            study = read_study(folder)
        except SweepError:  # nothing is recorded yet, or the run itself says what is wrong with it
            return None
        files = given.files(specs.functions_in(study.facts.get("spec") or {}))
        lines = sources.changes(study.facts, folder, files)
        if not lines:
            return None
        sources.record(study, folder, files)
    return f"the new builder is taken on ({'; '.join(lines)}): trials from {len(study.trials())} on are built by it, those before were not"


def with_direction(recorded: Mapping[str, Any], study: Study) -> dict[str, Any]:
    """Return a recorded spec with the direction of its objective, where that was once taken from a name that does not tell it.

    Args:
        recorded: the spec, as JSON.
        study: whose direction is recorded beside it.
    """
    objective = dict(recorded.get("objective") or {})
    if objective.get("metric") and not objective.get("mode") and direction_of(objective["metric"]) is None:
        objective["mode"] = study.objective.mode
    return {**recorded, "objective": objective}


def extend(folder: str | Path, **amounts: str | None) -> list[str]:
    """Raise the recorded budgets of a sweep, and let its search go on.

    Args:
        folder: of the sweep.
        amounts: for `trials`, `epochs`, `seconds`: `+50` is so much more, `50` so much in all; None leaves it.

    Returns:
        One line per budget that changed.

    Raises:
        SpecError: an amount is no number, no more than before, or for a budget that the sweep does not have.
        SweepError: there is no sweep, it is running, or another budget would still end it at once.
    """
    read_study(folder)  # before a lock makes the folder
    with exclusive_driver(folder):
        study = read_study(folder)
        search = dict(study.facts["spec"]["search"])
        changes = []
        for name, text in amounts.items():
            if text is not None:
                new = _raised(name, search.get(name), text)
                changes.append(f"search.{name}: {search[name]:g} -> {new:g}")
                search[name] = new
        if not changes:
            raise SpecError("extend: nothing to add; expected --trials, --epochs or --seconds, such as --trials +50")
        _check_enough(study, search)
        if "spec_as_begun" not in study.facts:
            study.set_facts({"spec_as_begun": study.facts["spec"]})
        at = datetime.now(UTC).isoformat(timespec="seconds")
        study.set_facts({"extensions": [*study.facts.get("extensions", []), {"at": at, "changes": changes}]})
        # In this order: killed in between, the search ends again at once, and nothing is lost but the extension.
        study.set_facts({"search_ended": None})
        study.set_facts({"confirmed": None})
        study.set_facts({"spec": {**study.facts["spec"], "search": search}})
    return changes


def _raised(name: str, before: float | None, text: str) -> float:
    kind = float if name == "seconds" else int
    try:
        amount = kind(text)
    except ValueError:
        amount = math.nan
    if not 0 < amount < math.inf:
        raise SpecError(f"--{name} {text}: not an amount; expected so much more, such as +50, or so much in all")
    if before is None:
        raise SpecError(f"--{name} {text}: this sweep has no budget of {name}; expected one that it has")
    new = before + amount if text.startswith("+") else amount
    if new <= before:
        raise SpecError(f"--{name} {text}: no more than before ({before:g}); expected +{text} for so much more")
    return new


def _check_enough(study: Study, search: dict) -> None:
    """Refuse an extension that another budget would end at once."""
    spent = {
        "trials": len(study.trials()) if not study.trials("waiting", "running") else 0,
        "epochs": sum(len(trial.intermediate_values) for trial in study.trials()),
        "seconds": float(study.facts.get("search_seconds", 0.0)),
    }
    for name in BUDGETS:
        if search.get(name) is not None and spent[name] >= search[name]:
            raise SweepError(f"search.{name}: {spent[name]:g} of {search[name]:g} are spent; give --{name} as well")


def begun_in(search_path: tuple[str, ...]) -> dict:
    """Return what `recorded` needs besides the spec, as JSON."""
    return {"folder": os.getcwd(), "search_path": [str(Path(folder).resolve()) for folder in search_path]}
