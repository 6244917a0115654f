"""Dates and times as numbers that one can learn from.

Owns the forms in which dates are written, and the parts that a date becomes: days since the first one, and where it stands in its year, week and day, each as
a point on a circle, so that December lies beside January and 23:59 beside 0:00. Days and base give the date back. Must not know files.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa

# Day or month first where the same words may be both: the second of a pair is the other one.
_EITHER = tuple((f"%d{mark}%m{mark}{year}", f"%m{mark}%d{mark}{year}") for year in ("%Y", "%y") for mark in "/-")
_CLEAR = ("%Y/%m/%d", "%d.%m.%Y", "%d.%m.%y", "%b %d %Y", "%d %b %Y", "%d-%b-%Y", "%d-%b-%y", "%b %d, %Y", "%B %d, %Y", "%B %d %Y", "%d %B %Y", "%b-%d-%Y")
# Months and quarters, which stand for their first day; and days without a sign between their parts.
MONTH, QUARTER, DIGITS = "%Y-%m", "%Y-Q", "%Y%m%d"
_FIRST_MONTHS = (("1", "01"), ("2", "04"), ("3", "07"), ("4", "10"))
_TIMES = ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p")
PARTS = ("days", "year", "week", "day")
SHOWN = {"days": "days since the first", "year": "place in the year", "week": "day of the week", "day": "time of day"}
# A strptime without a century reads the year 5 where 2005 is meant.
_EARLIEST, _LATEST = 1000, 2999
_DAY_US = 86_400_000_000
_TRIED_WORDS = 50


def parse(words: "pa.Array | pa.ChunkedArray", format: str) -> "pa.Array | pa.ChunkedArray":
    """Return words as timestamps in microseconds, null where a word is no date of this form.

    Args:
        words: strings, null where missing.
        format: as `strptime` has it, or MONTH or QUARTER; empty: ISO 8601, of which a zone is counted in (the result is UTC).
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if format in (MONTH, QUARTER):
        for quarter, month in _FIRST_MONTHS if format == QUARTER else ():
            words = pc.replace_substring_regex(words, f"^([0-9]{{4}})[- ]?Q{quarter}$", rf"\1-{month}")
        words = pc.replace_substring_regex(words, "^([0-9]{4})[-/]([0-9]{2})$", r"\1-\2-01")
        format = "%Y-%m-%d"
    if format:
        parsed = pc.strptime(words, format=format, unit="us", error_is_null=True)
        year = pc.year(parsed)
        return pc.if_else(pc.and_(pc.greater_equal(year, _EARLIEST), pc.less_equal(year, _LATEST)), parsed, pa.scalar(None, pa.timestamp("us")))
    for kind in (pa.timestamp("us"), pa.timestamp("us", "UTC")):
        try:
            return words.cast(kind).cast(pa.timestamp("us"))
        except pa.ArrowInvalid:
            continue
    distinct = {word: _one(word) for word in words.unique().to_pylist() if word is not None}
    return pa.chunked_array([pa.array([distinct.get(word) for word in words.to_pylist()], pa.timestamp("us"))])


def _one(word: str) -> object:
    import pyarrow as pa

    for kind in (pa.timestamp("us"), pa.timestamp("us", "UTC")):
        try:
            return pa.array([word]).cast(kind).cast(pa.timestamp("us"))[0].as_py()
        except pa.ArrowInvalid:
            continue
    return None


def formats_of(words: Sequence[str]) -> list[str]:
    """Return the forms in which all these words are dates: none, one, or two where day and month cannot be told apart.

    Args:
        words: distinct ones, none missing.
    """
    if not words or not all(any(letter.isdigit() for letter in word) for word in words[:_TRIED_WORDS]):
        return []
    if _is("", words):
        return [""]
    for format in (MONTH, QUARTER):
        if _is(format, words):
            return [format]
    for time in _TIMES:
        for format in _CLEAR:
            if _is(format + time, words):
                return [format + time]
        for pair in _EITHER:
            fitting = [format + time for format in pair if _is(format + time, words)]
            if fitting:
                return fitting
    return []


def are_digits(numbers: np.ndarray) -> bool:
    """Say whether whole numbers are days written as 20260131; (k,) int64, distinct, a few at least."""
    if len(numbers) < 3 or numbers.min() < 1900_01_01 or numbers.max() > 2100_12_31:
        return False
    return _is(DIGITS, [str(number) for number in numbers.tolist()])


def _is(format: str, words: Sequence[str]) -> bool:
    import pyarrow as pa

    return all(not parse(pa.array(part, pa.string()), format).null_count for part in (words[:_TRIED_WORDS], words))


class Calendar:
    """What a column of dates shows, gathered part by part: from when to when, and what varies in it."""

    def __init__(self) -> None:
        self._days: set[int] = set()
        self._places: set[int] = set()
        self._weekdays: set[int] = set()
        self._monthdays: set[int] = set()
        self._times: set[int] = set()
        self.first, self.last = np.inf, -np.inf

    def add(self, when: np.ndarray) -> None:
        """Take in (n,) int64 microseconds since 1970 as datetime64, NaT where missing."""
        when = when[~np.isnat(when)]
        if not len(when):
            return
        days = when.astype("datetime64[D]")
        numbers = days.astype(np.int64)
        self.first, self.last = min(self.first, int(numbers.min())), max(self.last, int(numbers.max()))
        self._weekdays.update(np.unique(numbers % 7).tolist())
        self._monthdays.update(np.unique((days - days.astype("datetime64[M]")).astype(np.int64)).tolist())
        self._places.update(np.unique((days - days.astype("datetime64[Y]")).astype(np.int64)).tolist())
        if len(self._times) < 2:
            self._times.update(np.unique(when.astype(np.int64) % _DAY_US)[:2].tolist())

    @property
    def base(self) -> int:
        """The first day, counted from 1970-01-01."""
        return int(self.first) if np.isfinite(self.first) else 0

    @property
    def parts(self) -> tuple[str, ...]:
        """Those of PARTS that say something: a place in the year needs two months, a weekday needs dates that are not all of one day of the month."""
        span = self.last - self.first
        says = {
            "days": span > 0,
            "year": span > 60 and len(self._places) > 2,
            "week": len(self._weekdays) > 1 and len(self._monthdays) > 1 and len(self._places) > 12,
            "day": len(self._times) > 1,
        }
        return tuple(part for part in PARTS if says[part]) or ("days",)


def outputs(name: str, parts: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the columns that a column of dates becomes.

    Args:
        name: of the column of dates.
        parts: of PARTS.
    """
    return tuple(output for part in parts for output in ([f"{name} (days)"] if part == "days" else [f"{name} ({part}, {wave})" for wave in ("sin", "cos")]))


def encode(when: np.ndarray, base: int, parts: Sequence[str]) -> np.ndarray:
    """Return dates as numbers.

    Args:
        when: (n,) int64 microseconds since 1970 as datetime64, NaT where missing.
        base: the day that is 0, counted from 1970-01-01.
        parts: of PARTS.

    Returns:
        (n, outputs) float64. A missing date is NaN days, and the middle of every circle.
    """
    missing = np.isnat(when)
    safe = np.where(missing, np.datetime64(0, "us"), when)
    exact = safe.astype(np.int64) / _DAY_US
    outputs = []
    for part in parts:
        if part == "days":
            outputs.append(np.where(missing, np.nan, exact - base))
            continue
        if part == "year":
            year = safe.astype("datetime64[Y]")
            begins, ends = (each.astype("datetime64[D]").astype(np.int64) for each in (year, year + 1))
            share = (exact - begins) / (ends - begins)
        else:
            share = exact % 1.0 if part == "day" else (exact + 3) % 7 / 7  # 1970-01-01 was a Thursday, the fourth day
        outputs += [np.where(missing, 0.0, wave(2 * np.pi * share)) for wave in (np.sin, np.cos)]
    return np.stack(outputs, axis=1) if outputs else np.zeros((len(when), 0))
