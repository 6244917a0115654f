"""How texts and times are written for people, the same in every command, log and report."""

import re

MISSING = "–"

_BREAKS = re.compile(r"[\x00-\x20\x7f-\x9f\u2028-\u202e\u2066-\u2069]+")


def one_line(said: str | BaseException, limit: int | None = 300) -> str:
    """Return a text in one line, without control characters: a line feed would forge a row, an escape code would draw over a terminal,
    and a mark of direction would turn what stands after it.

    Args:
        said: a text, or an exception: its message, or its class where it has none.
        limit: characters that it may have at most, an ellipsis included; None: as many as it has.
    """
    text = _BREAKS.sub(" ", str(said)).strip() or (type(said).__name__ if isinstance(said, BaseException) else "")
    return text if limit is None or len(text) <= limit else f"{text[: limit - 3]}..."


def duration(seconds: float | None) -> str:
    """Return seconds as people say them: `4.2 s`, `42 s`, `3 min 12 s`, `1 h 05 min`; a dash where they are not known."""
    if seconds is None:
        return MISSING
    if round(seconds, 1) < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600:,} h {whole % 3600 // 60:02d} min"
