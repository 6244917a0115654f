"""Values of a spec that the command line replaces: `--set key=value`."""

import tomllib
from typing import Any

from tuner.errors import SpecError


def override(values: dict[str, Any], asked: str) -> None:
    """Replace one value.

    Args:
        values: as a file holds them; changed.
        asked: `key=value`, with dots in the key (`search.trials=50`) and a TOML value; a value that is no TOML is a string.

    Raises:
        SpecError: it is no `key=value`, or a part of the key is a value.
    """
    key, separator, text = asked.partition("=")
    parts = key.strip().split(".")
    if not separator or not all(parts):
        raise SpecError(f"--set {asked}: expected key=value, such as --set search.trials=50")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    target = values
    for part in parts[:-1]:
        target = target.setdefault(part, {})
        if not isinstance(target, dict):
            raise SpecError(f"--set {asked}: {part} is a value, not a section")
    target[parts[-1]] = value
