"""Every key of sweep.toml as a page for people, made from the schema: KEYS.md is what `tuner schema --markdown` prints, word for word."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from search_spaces import ranges
from search_spaces.space import SearchSpace
from search_spaces.spaces import SPACES
from tuner.spec import sweep_spec as specs

_BEGINNING = """# The keys of sweep.toml

This page is made from the schema: `tuner schema --markdown` prints it, `tuner schema` prints the schema itself, for editors. "-" is a key that is not set; what
then holds, its meaning says. `--set section.key=value` replaces any of them for one run.
"""
_SPACES = """
## Hyperparameters of the built-in spaces

Each of these is a further key of `[space]`: a table `{ low = 1, high = 3, log = true, step = 1 }` is a range, a list a choice, a bare value fixed.
It exists only where its condition holds; a name that stands here several times has a range of its own under each, and what the spec says of it holds for all.
"""
_NAMES = {"integer": "whole number", "number": "number", "string": "text", "boolean": "true or false", "object": "table"}


def markdown() -> str:
    """Return the page."""
    schema = specs.schema()
    lines = [_BEGINNING, "## At the top of the file", "", *_table(schema, schema["$defs"])]
    for title, section in _sections(schema, schema["$defs"]):
        lines += ["", f"## `{title}`", "", _sentence(section["description"].partition("`: ")[2]), "", *_table(section, schema["$defs"])]
    lines += [_SPACES]
    spaces = {f"`{name}`": _hyperparameters(space) for name, space in SPACES.items()}
    common = [row for row in next(iter(spaces.values())) if all(row in rows for rows in spaces.values())]
    for title, rows in {**spaces, "In every built-in space": common}.items():
        own = [row for row in rows if rows is common or row not in common]
        lines += [f"### {title}", "", *_rows(("hyperparameter", "searched", "may be narrowed within", "tried first", "exists where", "meaning"), own), ""]
    return "\n".join(lines).rstrip() + "\n"


def _sections(schema: Mapping[str, Any], named: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the sections in a section, and those in them, as their headings stand in a file."""
    for key, value in schema["properties"].items():
        path = f"{above}{key}"
        if (section := _section(value, named)) is not None:
            yield f"[{path}]", section
            yield from _sections(section, named, f"{path}.")
        elif (section := _section(value.get("items", {}), named)) is not None:
            yield f"[[{path}]]", section


def _section(value: Mapping[str, Any], named: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the section that a key is; None where it is a value."""
    for branch in (value, *value.get("anyOf", ())):
        if "$ref" in branch:
            section = named[branch["$ref"].rpartition("/")[2]]
            return section if section["description"].startswith("`[") else None
    return None


def _table(section: Mapping[str, Any], named: Mapping[str, Any]) -> list[str]:
    rows = []
    for key, value in section["properties"].items():
        if _section(value, named) is None:
            needed = key in section.get("required", ())
            rows.append((f"`{key}`", _kind(value, named), "needed" if needed else _default(value), _sentence(value.get("description", ""))))
    return _rows(("key", "value", "default", "meaning"), rows)


def _kind(value: Mapping[str, Any], named: Mapping[str, Any]) -> str:
    """Say in words what a value may be."""
    if "anyOf" in value:
        return " or ".join(dict.fromkeys(_kind(branch, named) for branch in value["anyOf"] if branch.get("type") != "null"))
    if "$ref" in value:
        return _kind(named[value["$ref"].rpartition("/")[2]], named)
    if "const" in value or "enum" in value:
        return ", ".join(f'`"{word}"`' for word in value.get("enum", [value.get("const")]))
    if value.get("type") == "array":
        return "list of " + ("tables" if "$ref" in value.get("items", {}) else _kind(value.get("items", {}), named))
    bounds = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    said = [f"{sign} {value[bound]:,}" for bound, sign in bounds.items() if bound in value]
    return " ".join([_NAMES.get(value.get("type", ""), "any value"), *([", ".join(said)] if said else [])])


def _default(value: Mapping[str, Any]) -> str:
    default = value.get("default")
    if default is None:
        return "empty" if value.get("type") in ("array", "object") else "-"
    return f"`{specs.shown(default)}`"


def _hyperparameters(space: SearchSpace) -> list[tuple[str, ...]]:
    """Return a row for each; what is alike but for a number in its name, such as those of each layer, is one row."""
    rows: dict[tuple[str, ...], list[str]] = {}
    for name, parameter in space.parameters.items():
        key, number = space.key_of(name), re.search(r"_(\d+)$", name)
        default = "-" if parameter.default is None else f"`{specs.shown(parameter.default)}`"
        when = " and ".join(f"`{condition}`" for condition in parameter.when).replace("'", '"') or "always"
        searched, widest = _values(ranges.described(parameter.distribution)), _values(ranges.described(parameter.widest))
        meaning = _sentence(parameter.help)
        if number and parameter.help.endswith(number[1]):  # `key_3`, which exists from the third layer on
            key = key.removesuffix(number[1]) + "n"
            when, meaning = (re.sub(rf"\b{number[1]}(?=[`.])", "n", text) for text in (when, meaning))
        row = (searched, "the same" if widest == searched else widest, default, when, meaning)
        rows.setdefault((key, *row), []).append(number[1] if number else "")
    return [(f"`{key}`" + (f", n from {numbers[0]} to {numbers[-1]}" if len(numbers) > 1 else ""), *row) for (key, *row), numbers in rows.items()]


def _values(described: Mapping[str, Any]) -> str:
    if "choices" in described:
        return ", ".join(f"`{specs.shown(choice)}`" for choice in described["choices"])
    if "low" not in described:
        return f"`{specs.shown(described['value'])}`"
    step = f", step {described['step']:g}" if described.get("step", 1) != 1 else ""
    return f"{described['low']:g} to {described['high']:g}{', log' if described['log'] else ''}{step}"


def _rows(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    return [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in (head, ("---",) * len(head), *rows)]


def _sentence(text: str) -> str:
    """Return the text as a sentence; what begins with a value of the key ("npz, table: ...") keeps that as it is written."""
    first = text if re.match(r"[\w, ]+:", text) else text[:1].upper() + text[1:]
    return first + ("" if first.endswith((".", "...")) or not first else ".")
