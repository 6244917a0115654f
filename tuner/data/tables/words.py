"""What the words of a text column are: numbers written in one way or another, dates, yes and no, or categories.

Owns the ways that are tried, and their order. Must not know what else is in the table.
"""

import re
from collections.abc import Iterable, Sequence

from tuner.data.decisions import key_for
from tuner.data.tables import dates
from tuner.data.tables.readings import AFFIXES, SPACES, number_pattern
from tuner.errors import DatasetError

# What stands for a missing value among numbers and dates, and among words, besides what is read as missing anywhere.
NUMBER_MARKS = ("?", "-", "--", "---", ".", "..", "*", "None", "none", "NONE", "Null", "Nan", "NAN", "na", "Na", "n.a.", "N.A.", "<NA>", "NaT", "missing")
WORD_MARKS = ("?", "<NA>")
PAIRS = (("no", "yes"), ("n", "y"), ("false", "true"), ("f", "t"), ("off", "on"))
# Decimal sign and sign between thousands, in the order in which they are tried.
CONVENTIONS = ((".", ","), (",", "."), (".", " "), (",", " "), (".", "'"))
# A column of many words that are nearly all numbers is a column of numbers with a slip in it.
SLIP_MIN_WORDS, SLIP_SHARE = 20, 0.9


def is_number(word: str, decimal: str = ".", thousands: str = "") -> bool:
    """Say whether a word is a number in this convention.

    Args:
        word: without blanks around it.
        decimal: the sign before decimals.
        thousands: the sign between thousands; empty: none.
    """
    return re.fullmatch(number_pattern(decimal, thousands), word) is not None


def conventions_of(words: Sequence[str], asked: Sequence[tuple[str, str]] = ()) -> list[tuple[str, str]]:
    """Return the conventions in which all these words are numbers: decimal sign and sign between thousands.

    Args:
        words: distinct ones, none missing.
        asked: those that may be; none: all that there are.

    Returns:
        The plain one alone where it does; else all that do, of which the first two differ in the value of every word.
    """
    if not words:
        return []
    if not asked and all(is_number(word) for word in words):
        return [(".", "")]
    return [each for each in asked or CONVENTIONS if all(is_number(word, *each) for word in words)]


def affix_of(words: Iterable[str]) -> str:
    """Return the sign that every word begins or ends with, such as `%`; empty for none."""
    words = list(words)
    return next((sign for sign in AFFIXES if words and all(word.startswith(sign) or word.endswith(sign) for word in words)), "")


def bare(words: Iterable[str], affix: str) -> list[str]:
    """Return words without that sign.

    Args:
        words: of a column.
        affix: as `affix_of` gives it; empty: none.
    """
    return [word.strip(affix + SPACES) for word in words] if affix else list(words)


def boolean_of(words: Sequence[str]) -> tuple[str, ...]:
    """Return the pair that these words are, such as no and yes; empty where they are none."""
    lower = {word.lower() for word in words}
    return next((pair for pair in PAIRS if lower == set(pair)), ())


def date_of(name: str, words: Sequence[str]) -> str | None:
    """Return the form of dates that all these words have; none where they are no dates.

    Args:
        name: of the column, for messages.
        words: distinct ones, none missing.

    Raises:
        DatasetError: day and month cannot be told apart.
    """
    formats = dates.formats_of(words)
    if len(formats) > 1 and any(dates.formats_of([word])[1:] and _differ(word, formats) for word in words):
        shown = " or ".join(key_for(name, format) for format in formats)
        raise DatasetError(f"column {name!r}: dates like {words[0]!r} have the day or the month first; say which: {shown}")
    return formats[0] if formats else None


def _differ(word: str, formats: Sequence[str]) -> bool:
    import pyarrow as pa

    return len({str(dates.parse(pa.array([word]), format)) for format in formats}) > 1


def check_slips(name: str, words: Sequence[str]) -> None:
    """Check that a column's distinct words are not numbers with a slip among them.

    Args:
        name: of the column, for messages.
        words: distinct ones, none missing.

    Raises:
        DatasetError: names the word.
    """
    slips = [word for word in words if not is_number(word.strip())]
    if len(words) > SLIP_MIN_WORDS and 0 < len(slips) <= (1 - SLIP_SHARE) * len(words):
        fault = f"nearly all its values are numbers, but {slips[0]!r} is none" + (f" (nor {', '.join(map(repr, slips[1:4]))})" if slips[1:] else "")
        codes = key_for(name, "category")
        mend = f"missing_values = {_listed(slips)} takes such words as missing, {codes} all as codes; or mend these fields, or exclude = [{name!r}]"
        raise DatasetError(f"column {name!r}: {fault}; {mend}")


def _listed(words: Sequence[str]) -> str:
    return "[" + ", ".join(f'"{word}"' for word in words[:4]) + (", ..." if words[4:] else "") + "]"


def marks_among(words: Sequence[str], marks: Sequence[str]) -> tuple[str, ...]:
    """Return those of the marks that are among these words.

    Args:
        words: of a column.
        marks: words that may stand for a missing value.
    """
    return tuple(mark for mark in marks if mark in set(words))
