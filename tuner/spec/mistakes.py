"""What pydantic says of a file, in one line that a user can act upon: the key, what arrived, what was expected, the nearest valid word.

Must not know which file it is: a model and its errors in, a line out.
"""

import json
import types
import typing
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from search_spaces.errors import nearest

# What pydantic's error types mean in the words of a spec.
_EXPECTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "string_type": "a string",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
}


def first_mistake(error: ValidationError, model: type[BaseModel]) -> str:
    """Put the first mistake into one line; mistakes of one key (the branches of a union) count as one.

    Args:
        error: of pydantic.
        model: what it checked against.
    """
    by_key: dict[tuple[str | int, ...], list] = {}
    for mistake in error.errors():
        by_key.setdefault(_real_path(model, mistake["loc"]), []).append(mistake)
    # An unknown key comes first: it is most often the misspelt one that another mistake then misses.
    path = next((path for path, mistakes in by_key.items() if mistakes[0]["type"] == "extra_forbidden"), next(iter(by_key)))
    more = f" (and {len(by_key) - 1} more)" if len(by_key) > 1 else ""
    explained = _explain(model, path, by_key[path])
    # A check between the keys of a section names the key itself: `dataset` and `path: missing` become `dataset.path: missing`.
    between = ".".join(map(str, path)) and explained.partition(":")[0] in getattr(_at(model, path), "model_fields", {})
    return f"{'.'.join(map(str, path)) or 'spec'}{'.' if between else ': '}{explained}{more}"


def _explain(model: type[BaseModel], path: tuple[str | int, ...], mistakes: list) -> str:
    first = mistakes[0]
    if first["type"] == "extra_forbidden":
        fields = list(_fields(model, path[:-1]))
        near = nearest(str(path[-1]), fields).replace("'", "")
        return f"unknown key; {near}"
    if first["type"] == "missing":
        return f"missing; expected {_describe(model, path)}"
    expected, words = [], []
    for mistake in mistakes:
        kind, context = mistake["type"], mistake.get("ctx", {})
        if kind == "value_error":
            return str(context["error"])
        if kind == "literal_error":
            choices = context["expected"].replace(" or ", ", ").split(", ")
            words += [choice.strip("'") for choice in choices]
            expected.append(context["expected"])
        elif kind in _EXPECTED:
            expected.append(_EXPECTED[kind])
        else:  # a bound: pydantic's own words, such as "Input should be greater than 0"
            expected.append(mistake["msg"].removeprefix("Input should be ").removeprefix("String should ").lower())
    near = ""
    if words and isinstance(first["input"], str):
        suggestion = nearest(first["input"], words)
        near = f"; {suggestion}" if suggestion.startswith("did you mean") else ""
    return f"got {shown(first['input'])}; expected {' or '.join(dict.fromkeys(expected))}{near}"


def shown(value: Any) -> str:
    """Return a value as JSON, cut where it is long."""
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= 80 else text[:77] + "..."


def _fields(model: type[BaseModel], path: Sequence[str | int]) -> dict[str, Any]:
    """Return the fields of the section at this path."""
    return _at(model, path).model_fields


def _at(model: Any, path: Sequence[str | int]) -> Any:
    """Return the section at this path, or the type of the key there."""
    for part in path:
        fields = getattr(model, "model_fields", {})
        if part not in fields:
            return None
        model = _section(fields[part].annotation)
    return model


def _section(annotation: Any) -> Any:
    """Return the section behind an annotation such as `Section | None`, or the annotation itself."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        for branch in typing.get_args(annotation):
            if isinstance(branch, type) and issubclass(branch, BaseModel):
                return branch
    return annotation


def _real_path(model: Any, location: tuple[str | int, ...]) -> tuple[str | int, ...]:
    """Cut what pydantic adds to a key for the branches of a union, such as `float` or `literal['auto']`."""
    for position, part in enumerate(location):
        fields = getattr(model, "model_fields", None)
        if fields is None or part not in fields:
            # Below a plain value only list positions and table keys remain; a branch of a union is neither.
            unknown_key = fields is not None
            return location[: position + 1] if unknown_key or isinstance(part, int) else location[:position]
        model = _section(fields[part].annotation)
    return location


def _describe(model: type[BaseModel], path: tuple[str | int, ...]) -> str:
    field = _fields(model, path[:-1]).get(str(path[-1]))
    return (field.description or "a value").rstrip(".").lower() if field else "a value"
