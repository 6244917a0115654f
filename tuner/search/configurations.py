"""What tells two configurations apart."""

from collections.abc import Mapping
from typing import Any


def key_of(configuration: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return what tells two configurations apart: 1, 1.0 and True are three values."""
    return tuple(sorted((name, repr(value)) for name, value in configuration.items()))
