"""Structures of arrays, as Keras has them: an array, or a tuple, list or dict of structures.

A structure's leaves have an order, and each a path: the empty one for a bare array, `age` in a dict, `0` in a list, `left/0` deeper down.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

# An array, None, or a tuple, list or dict of structures.
Structure = Any


def leaves(structure: Structure) -> list[Any]:
    """Return the leaves in order; None is no leaf, but nothing."""
    return [leaf for _, leaf in _walk(structure, ())]


def paths(structure: Structure) -> list[str]:
    """Return the path of each leaf, in the order of `leaves`."""
    return ["/".join(path) for path, _ in _walk(structure, ())]


def map_leaves(function: Callable[[Any], Any], structure: Structure) -> Structure:
    """Return the structure with each leaf replaced by what the function makes of it.

    Args:
        function: takes a leaf.
        structure: of any leaves.
    """
    return rebuild(skeleton(structure), [function(leaf) for leaf in leaves(structure)])


def take(structure: Structure, rows: np.ndarray | slice) -> Structure:
    """Return these rows of every leaf.

    Args:
        structure: of arrays, (n, ...) each.
        rows: (k,) int64 positions, or a slice.
    """
    return map_leaves(lambda leaf: leaf[rows], structure)


def row_count(structure: Structure) -> int:
    """Return how many rows each leaf has; 0 without leaves.

    Raises:
        ValueError: the leaves differ in length, or one has no axis of rows.
    """
    lengths = {path: len(leaf) if np.ndim(leaf) else None for path, leaf in zip(paths(structure), leaves(structure), strict=True)}
    if len(set(lengths.values())) > 1 or None in lengths.values():
        said = ", ".join(f"{path or 'the array'} has {'no axis' if length is None else length}" for path, length in lengths.items())
        raise ValueError(f"{said}; expected as many rows in each")
    return next(iter(lengths.values()), 0) or 0


def skeleton(structure: Structure) -> Any:
    """Return the structure as JSON without its leaves: each is the number of its place in `leaves`; lists and tuples begin with their kind."""
    return _bones(structure, iter(range(len(leaves(structure)))))


def rebuild(bones: Any, parts: Sequence[Any]) -> Structure:
    """Return the structure that a skeleton describes, with these leaves.

    Args:
        bones: as `skeleton` gives it.
        parts: the leaves, in the order of `leaves`.
    """
    if bones is None:
        return None
    if isinstance(bones, dict):
        return {name: rebuild(part, parts) for name, part in bones.items()}
    if isinstance(bones, list):
        kind, *rest = bones
        made = [rebuild(part, parts) for part in rest]
        return tuple(made) if kind == "tuple" else made
    return parts[bones]


def nested(parts: Mapping[str, Any]) -> Structure:
    """Return the structure whose leaves have these paths: dicts by names, lists by the numbers 0, 1, ...; the empty path alone is a bare leaf.

    Raises:
        ValueError: a path is also the beginning of another, or numbers are missing.
    """
    if set(parts) == {""}:
        return parts[""]
    groups: dict[str, dict[str, Any]] = {}
    for path, leaf in parts.items():
        name, _, rest = path.partition("/")
        groups.setdefault(name, {})[rest] = leaf
    for name, below in groups.items():
        if "" in groups or ("" in below and len(below) > 1):
            raise ValueError(f"{name or next(iter(groups))!r} is an array and a group of arrays")
    made = {name: nested(below) for name, below in groups.items()}
    if not all(name.isdecimal() for name in made):
        return made
    numbers = sorted(map(int, made))
    if numbers != list(range(len(made))):
        raise ValueError(f"a list has the numbers {', '.join(map(str, numbers))}; expected 0 to {len(made) - 1}")
    return [made[str(number)] for number in numbers]


def described(structure: Structure) -> list[dict[str, Any]]:
    """Return `path`, `shape` (of one row) and `dtype` (`string` for words) of each leaf as JSON, in their order."""
    return [
        {"path": path, "shape": list(leaf.shape[1:]), "dtype": "string" if leaf.dtype.kind in "SU" else str(leaf.dtype)}
        for path, leaf in zip(paths(structure), leaves(structure), strict=True)
    ]


def _bones(structure: Structure, numbers: Iterator[int]) -> Any:
    if structure is None:
        return None
    if isinstance(structure, dict):
        return {name: _bones(part, numbers) for name, part in structure.items()}
    if isinstance(structure, tuple | list):
        return ["tuple" if isinstance(structure, tuple) else "list", *(_bones(part, numbers) for part in structure)]
    return next(numbers)


def _walk(structure: Structure, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    if structure is None:
        return
    parts: Iterable[tuple[Any, Any]]
    if isinstance(structure, dict):
        parts = structure.items()
    elif isinstance(structure, tuple | list):
        parts = enumerate(structure)
    else:
        yield path, structure
        return
    for name, part in parts:
        yield from _walk(part, (*path, str(name)))
