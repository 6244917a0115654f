"""The trials that a search begins with: the user's own points, hand-tuned networks, the space's default configuration."""

from collections.abc import Mapping, Sequence
from typing import Any

from search_spaces import ranges
from search_spaces.errors import SearchSpaceError, nearest
from search_spaces.notebooks import BASELINES
from search_spaces.parameter import is_active
from search_spaces.space import SearchSpace
from tuner.errors import SpecError
from tuner.search.configurations import key_of
from tuner.search.samplers.named import SAMPLERS, SearchSection
from tuner.study.record import Study


def enqueue_first(study: Study, space: SearchSpace, section: SearchSection) -> None:
    """Let the user's points be the first trials of a new study, then the named baselines, and then, for a sampler that learns, the default configuration.

    What a point leaves out is drawn. Baselines of another builder than the space's are left out. One that lies outside the (narrowed) space is trained all
    the same; samplers do not learn from it. The default configuration is left out where an earlier sweep has run it.

    Args:
        study: has no trials yet; else nothing happens.
        space: what is searched.
        section: holds the points, and names baselines and sampler.

    Raises:
        SpecError: a point is none of the space.
    """
    if study.trials():
        return
    for point in points_of(space, section.enqueue):
        whole = {"configuration": space.check(point)} if space.contains(point) else {}
        study.enqueue(_parameters(space, point), {**whole, "source": "enqueued"})
    wanted = list(BASELINES) if section.baselines is True else section.baselines or []
    for name in wanted:
        baseline = BASELINES[name]
        if baseline.space == space.name:
            configuration = dict(baseline.configuration)
            parameters = space.parameters_of(configuration) if space.contains(configuration) else {}
            study.enqueue(parameters, {"configuration": configuration, "baseline": name})
    default = space.default() if SAMPLERS[section.sampler].learns else None
    if default is not None and all(key_of(default) != key_of(trial.user_attrs.get("configuration", {})) for trial in (*study.trials(), *study.earlier)):
        study.enqueue(space.parameters_of(default), {"configuration": default, "source": "default"})


def points_of(space: SearchSpace, enqueue: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the user's points with the values that are fixed in the space.

    Args:
        space: what is searched.
        enqueue: configurations, or parts of them.

    Raises:
        SpecError: a hyperparameter is unknown, has a value that is not allowed, or does not exist beside the others of its point; or a point is there twice.
    """
    points: list[dict[str, Any]] = []
    for place, given in enumerate(enqueue):
        try:
            point = _checked(space, given)
        except SearchSpaceError as error:
            raise SpecError(f"search.enqueue[{place}].{error}") from error
        if point in points:
            raise SpecError(f"search.enqueue[{place}]: the same as search.enqueue[{points.index(point)}]; remove one of them")
        points.append(point)
    return points


def _checked(space: SearchSpace, given: Mapping[str, Any]) -> dict[str, Any]:
    point: dict[str, Any] = {}
    keys: dict[str, str] = {}
    for name, parameter in space.parameters.items():
        key = space.key_of(name)
        keys[key] = " or ".join(filter(None, (keys.get(key), " and ".join(map(str, parameter.when)))))
        if not is_active(parameter, point):
            continue
        if key in given:
            point[key] = ranges.checked(key, given[key], parameter.distribution)
        elif ranges.is_fixed(parameter.distribution):
            point[key] = ranges.only_value(parameter.distribution)
    for key in given:
        if key not in keys:
            raise SearchSpaceError(f"{key}: unknown hyperparameter; {nearest(str(key), keys)}")
        if key not in point:
            raise SearchSpaceError(f"{key}: needs {keys[key]}, which this point does not say; add that, or remove {key}")
    return point


def _parameters(space: SearchSpace, point: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a point that Optuna is asked for, under the parameters' names."""
    return {
        name: point[space.key_of(name)]
        for name, parameter in space.parameters.items()
        if space.key_of(name) in point and not ranges.is_fixed(parameter.distribution) and is_active(parameter, point)
    }
