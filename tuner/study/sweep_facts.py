"""What is recorded of a sweep as a whole: each fact's name and type, stated once for whoever writes or reads one.

A record holds them as JSON, and an older one may lack any of them. Nobody changes what was read: a fact is written anew, as a whole (`Study.set_facts`). What
the parts of a report's facts mean stands in `report/facts_schema.py`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from typing_extensions import ReadOnly, TypedDict


class ObjectiveFact(TypedDict):
    """What is optimised: a key of the epoch reports, and `max` or `min`."""

    metric: ReadOnly[str]
    mode: ReadOnly[str]


class Stage(TypedDict, total=False):
    """What a stage of the journey took, all parts of it together; seconds."""

    name: ReadOnly[str]
    seconds: ReadOnly[float]
    epochs: ReadOnly[int]
    cpu_seconds: ReadOnly[float]
    gpu_seconds: ReadOnly[float]


class Opening(TypedDict):
    """An opening of the test split: when, ISO 8601, and why."""

    at: ReadOnly[str]
    reason: ReadOnly[str]


class Extension(TypedDict):
    """An extension of the budgets: when, ISO 8601, and `key: before -> after`."""

    at: ReadOnly[str]
    changes: ReadOnly[Sequence[str]]


class Held(TypedDict):
    """What all trials at a time hold."""

    cpus: ReadOnly[float]
    gpus: ReadOnly[float]


class WarmStart(TypedDict):
    """Earlier sweeps that the sampler knew from the start, and how many of their trials."""

    sweeps: ReadOnly[Sequence[str]]
    trials: ReadOnly[int]


class SweepFacts(TypedDict, total=False):
    """The facts of a sweep; each is there once it has been written down."""

    # What it began with.
    name: ReadOnly[str]
    seed: ReadOnly[int]
    started_at: ReadOnly[str]
    tuner: ReadOnly[str]
    versions: ReadOnly[Mapping[str, str]]
    platform: ReadOnly[str]
    objective: ReadOnly[ObjectiveFact]
    space: ReadOnly[Mapping[str, Mapping[str, Any]]]
    found_space: ReadOnly[Mapping[str, Any] | None]
    builder: ReadOnly[str]
    builder_sources: ReadOnly[Mapping[str, Any]]
    scheduler: ReadOnly[Mapping[str, Any]]
    begun_in: ReadOnly[Mapping[str, Any]]
    in_memory: ReadOnly[Sequence[str]]
    spec: ReadOnly[Mapping[str, Any]]
    dataset: ReadOnly[Mapping[str, Any]]
    # Where it runs, and who runs it.
    driver: ReadOnly[Mapping[str, Any] | None]
    hardware: ReadOnly[str]
    held: ReadOnly[Held]
    # How it went.
    stages: ReadOnly[Sequence[Stage]]
    seconds: ReadOnly[float]
    search_seconds: ReadOnly[float]
    search_ended: ReadOnly[str | None]
    forecast: ReadOnly[Mapping[str, Any]]
    warm_start: ReadOnly[WarmStart]
    baselines: ReadOnly[Sequence[str]]
    audit: ReadOnly[Mapping[str, Any] | None]
    ways: ReadOnly[Mapping[str, int]]
    python_warnings: ReadOnly[Mapping[str, int]]
    spec_as_begun: ReadOnly[Mapping[str, Any]]
    extensions: ReadOnly[Sequence[Extension]]
    # What came of it.
    confirm_runs: ReadOnly[Sequence[Sequence[Any]]]
    confirmed: ReadOnly[Sequence[Mapping[str, Any]] | None]
    test_openings: ReadOnly[Sequence[Opening]]
    final: ReadOnly[Mapping[str, Any]]
    earlier_finals: ReadOnly[Sequence[Mapping[str, Any]]]
