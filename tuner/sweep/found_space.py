"""The space of a sweep whose builder asks for its hyperparameters itself: found once by running it, and from then on read from the record."""

import hashlib
import json
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from search_spaces.space import SearchSpace, described_space
from search_spaces.spaces import as_recorded
from tuner.errors import SpecError, SweepError
from tuner.monitor.console import View
from tuner.spec import sweep_spec as specs
from tuner.study.record import FOUND, Study
from tuner.sweep import sources
from tuner.sweep.given import Given
from tuner.training.finding import find_space
from tuner.training.process import ProcessDied


def space_of_record(study: Study) -> SearchSpace | None:
    """Return the space that was found for a sweep; None where its spec describes it."""
    described = study.facts.get(FOUND)
    return None if described is None else described_space(described)


def space_of(spec: specs.SweepSpec, study: Study | None, given: Given, *, view: View, interrupted: threading.Event) -> SearchSpace:
    """Return the space of a sweep, narrowed by its spec; where its builder has to be run for it, that is done now, and written down.

    Args:
        spec: checked.
        study: the record; None: nothing is written down.
        given: where the builder is.
        view: hears of the builder's runs, and of what a user should know of the space.
        interrupted: set from a signal handler.

    Raises:
        SpecError: the space is not the one that the sweep began with, or the spec narrows it in a way that is impossible.
        SearchSpaceError: the builder shows no space.
        SweepError: the builder crashed its process, or the user asked to stop.
    """
    if not spec.space.define_by_run:
        space = spec.search_space()
        return space if study is None else as_recorded(space, study.facts.get("space") or {})
    recorded = None if study is None else study.facts.get(FOUND)
    source = _source(spec, given)
    if recorded is None or recorded["source"] != source:
        if study is not None and recorded is not None:
            sources.refuse(spec.sweep_folder, sources.changes(study.facts, spec.sweep_folder, given.files(spec.functions)))
        view.stage("space", text=f"{spec.builder} is run until its space is known")
        seen = {**_find(spec, given, interrupted), "source": source}
        if recorded is not None:
            _refuse_other(spec, recorded, seen)
            seen |= {name: recorded[name] for name in ("parameters", "joined") if name in recorded}  # with what has joined since
        for note in seen["notes"]:
            view.note(note)
        if study is not None:
            study.set_facts({"found_space": seen})
        recorded = seen
    space = spec.search_space(described_space(recorded))
    specs.check_space(spec, space)
    return space


def is_found(spec: specs.SweepSpec, study: Study, given: Given) -> bool:
    """Say whether the record holds the space of this very builder.

    Args:
        spec: checked.
        study: the record.
        given: where the builder is.
    """
    recorded = study.facts.get(FOUND)
    return recorded is not None and recorded["source"] == _source(spec, given)


def space_lines(parameters: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return a found space for people, one line per hyperparameter: its values, and when it is active.

    Args:
        parameters: name -> table, as `SearchSpace.describe` has them.
    """
    width = max(map(len, parameters), default=0)
    return [f"  {name:<{width}}  {_values(table)}{_when(table)}" for name, table in parameters.items()]


def _values(table: Mapping[str, Any]) -> str:
    if "value" in table:
        return f"{table['value']!r}"
    if "choices" in table:
        return " | ".join(map(repr, table["choices"]))
    step = f" in steps of {table['step']:g}" if table.get("step") not in (None, 1) else ""
    return f"{table['low']:g} to {table['high']:g}{' (log)' if table['log'] else ''}{step}"


def _when(table: Mapping[str, Any]) -> str:
    conditions = [
        f"{name} >= {wanted['at_least']:g}" if isinstance(wanted, Mapping) else f"{name} = {' or '.join(map(repr, wanted))}"
        for name, wanted in table.get("when", {}).items()
    ]
    when = f", where {' and '.join(conditions)}" if conditions else ""
    return f"{when}, if the builder asks for it" if table.get("optional") else when


def _source(spec: specs.SweepSpec, given: Given) -> str:
    return hashlib.sha256(json.dumps(given.files(spec.functions), sort_keys=True).encode()).hexdigest()


def _find(spec: specs.SweepSpec, given: Given, interrupted: threading.Event) -> dict[str, Any]:
    try:
        return find_space(spec.builder, search_path=given.search_path, code=given.code, seed=spec.seed, cancelled=interrupted.is_set)
    except ProcessDied as died:
        if interrupted.is_set():
            raise SweepError("interrupted while the builder's space was being sought; run the same command again to go on") from died
        raise SweepError(f"{spec.builder}: ended its process while its space was being sought ({died})\n{died.details}".rstrip()) from died


def _refuse_other(spec: specs.SweepSpec, recorded: Mapping[str, Any], seen: Mapping[str, Any]) -> None:
    before, now = recorded["parameters"], seen["parameters"]
    whole = recorded["complete"] and seen["complete"]
    joined = recorded.get("joined", ())
    names = [name for name in (dict.fromkeys([*before, *now]) if whole else before) if name not in joined and (whole or name in now)]
    changes: Sequence[str] = [line for name in names for line in specs.differences(before.get(name), now.get(name), name)]
    if changes:
        raise SpecError(f"space.builder: {spec.builder} has another space than when this sweep began ({'; '.join(changes[:5])}); give the new one another name")
