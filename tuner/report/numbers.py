"""How values are written for people: one way in every format, so that the same number reads the same everywhere.

CSV and JSON, which programs read, hold numbers in full instead.
"""

import math
from typing import Any

from cluster.wording import MISSING, duration

__all__ = ["MISSING", "count", "duration", "number", "percent", "scatter", "seconds", "setting", "signed"]


def number(value: float | None) -> str:
    """Return a number for people: whole numbers with commas, others with four significant digits, but at least four decimals up to 1000."""
    if value is None or not math.isfinite(value):
        return MISSING
    if isinstance(value, int) or (value == round(value) and 10 <= abs(value) < 1e15):
        return f"{int(value):,}"
    if value == 0 or 1e-3 <= abs(value) < 1000:
        return f"{value:.4f}"
    return f"{value:,.1f}" if 1000 <= abs(value) < 1e7 else f"{value:.3e}"


def scatter(value: float | None) -> str:
    """Return a standard deviation: as a number, or where that would be a power of ten, with the decimals of what it belongs to."""
    return f"{value:.4f}" if value is not None and 5e-5 <= abs(value) < 1e-3 else number(value)


def signed(value: float | None) -> str:
    """Return a difference with its sign: four decimals, or two digits where these would all be zero."""
    if value is None or value == 0 or abs(value) >= 1 or not math.isfinite(value):
        return number(value) if value is None or value <= 0 else f"+{number(value)}"
    return f"{value:+.4f}" if abs(value) >= 1e-4 else f"{value:+.1e}"


def seconds(value: float | None) -> str:
    """Return seconds as a plain number with one decimal, for columns."""
    return MISSING if value is None else f"{value:,.1f}"


def percent(value: float | None) -> str:
    """Return a share (0 to 1) as whole percent."""
    return MISSING if value is None else f"{100 * value:.0f} %"


def setting(value: Any) -> str:
    """Return a hyperparameter's value; an inactive one (None) as a dash."""
    if value is None:
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def count(amount: int, noun: str) -> str:
    """Return `1 trial`, `2 trials`, `1,200 trials`.

    Args:
        amount: how many.
        noun: of one of them.
    """
    return f"{amount:,} {noun if amount == 1 else noun + 's'}"
