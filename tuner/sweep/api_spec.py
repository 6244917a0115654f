"""From the keywords of `tuner.run` to a spec: every key of sweep.toml by its own name, as long as that is the name of one key only.

Must not know where code and data come from.
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from search_spaces.errors import nearest
from tuner.errors import SpecError
from tuner.spec.sweep_spec import SweepSpec


def values_of(spec: str | Path | Mapping[str, Any] | None, keywords: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a spec, as a file would hold them.

    Args:
        spec: a TOML file, or what one would hold; None: nothing.
        keywords: further keys, which come before those of `spec`: a section's name with a dictionary, a key's own name (`trials`, `max_epochs`) where
            only one section has it, or `section__key` where several have.

    Raises:
        SpecError: a keyword is no key, or one of several.
    """
    values = _read(spec)
    for keyword, value in keywords.items():
        if value is None:
            continue
        section, key = _place(keyword)
        if section is None and isinstance(value, Mapping):
            values[key] = {**values.get(key, {}), **value}
        elif section is None:
            values[key] = value
        else:
            values[section] = {**values.get(section, {}), key: value}
    return values


def _read(spec: str | Path | Mapping[str, Any] | None) -> dict[str, Any]:
    if spec is None:
        return {}
    if isinstance(spec, Mapping):
        return {key: dict(value) if isinstance(value, Mapping) else value for key, value in spec.items()}
    try:
        return tomllib.loads(Path(spec).read_bytes().decode())
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"spec: {spec} cannot be read ({error}); expected a TOML file in UTF-8, or a dictionary") from error
    except tomllib.TOMLDecodeError as error:
        raise SpecError(f"{spec}: not TOML: {error}") from error


def _place(keyword: str) -> tuple[str | None, str]:
    """Return the section and the key that a keyword means; no section for one of the top level."""
    if keyword in SweepSpec.model_fields:
        return None, keyword
    section, _, key = keyword.partition("__")
    sections = _sections()
    if key and section in sections:
        if key not in sections[section].model_fields and section != "space":
            raise SpecError(f"{keyword}: {section} has no key {key!r}; {nearest(key, sections[section].model_fields)}")
        return section, key
    having = [name for name, model in sections.items() if keyword in model.model_fields and name != "space"]
    if len(having) == 1:
        return having[0], keyword
    if having:
        raise SpecError(f"{keyword}: a key of {' and of '.join(having)}; expected {' or '.join(f'{name}__{keyword}' for name in having)}")
    every = [*SweepSpec.model_fields, *(name for name, model in sections.items() if name != "space" for name in model.model_fields)]
    raise SpecError(f"{keyword}: unknown keyword; {nearest(keyword, every, listed=SweepSpec.model_fields)}")


def _sections() -> dict[str, type[BaseModel]]:
    sections: dict[str, type[BaseModel]] = {}
    for name, field in SweepSpec.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            sections[name] = field.annotation
    return sections
