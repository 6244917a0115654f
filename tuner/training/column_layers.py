"""The columns of a table, from their own values to the numbers that a network was trained on, in Keras's own layers and operations.

The counterpart of `tuner.data.tables.columns.encode`, for a model that leaves the house: what Keras cannot read by itself (dates and numbers as
text) goes in as numbers, and `Column` by `Column` it is said which. Keras is imported inside the functions, which run in a trial's process.
"""

import re
from dataclasses import dataclass
from typing import Any

from tuner.data.tables import dates
from tuner.data.tables.columns import Column
from tuner.data.tables.readings import number_pattern
from tuner.data.values import FILLED

NOT_A_TIME = -(2**63)  # what numpy makes of NaT as a whole number
_DAY_US = 86_400_000_000
_EXACT = 2**53  # whole numbers that a float64 holds exactly


@dataclass(frozen=True)
class Entry:
    """Where a column goes in.

    Attributes:
        given: the `keras.Input`.
        encoded: (rows, features) float32: what becomes of it, neither filled nor scaled.
        says: what it takes, for people: a sentence.
    """

    given: Any
    encoded: Any
    says: str


def entry_of(column: Column, name: str, number: int, *, missing: str) -> Entry:
    """Return the layers of a column that is encoded.

    Args:
        column: as it was fitted.
        name: of its input: Keras takes no slash.
        number: its place, for the names of layers.
        missing: `dataset.missing`.
    """
    from keras import ops

    if column.kind == "category":
        return _category(column, name, number)
    if column.kind == "date":
        return _date(column, name)
    given, value, says = plain(column, name, number)
    if missing in FILLED:
        says += "; a missing one is NaN" if given.dtype != "string" else "; a missing one is empty"
    return Entry(given, ops.concatenate([value, ops.cast(ops.isnan(value), "float32")], axis=-1) if column.missing else value, says)


def plain(column: Column, name: str, number: int) -> tuple[Any, Any, str]:
    """Return the input of a number or a boolean, its value (rows, 1) float32 with NaN where it is missing, and what it takes.

    Args:
        column: as it was fitted.
        name: of its input.
        number: its place, for the names of layers.
    """
    import keras
    from keras import ops

    reading = column.read_as
    if column.kind == "boolean" and reading.words:
        given = keras.Input((1,), dtype="string", name=name)
        lower = keras.layers.TextVectorization(
            standardize="lower", split=None, output_mode="int", vocabulary=list(reading.words), name=f"column_{number}_words"
        )
        index = ops.cast(ops.reshape(lower(given), (-1, 1)), "float32")  # 0 is the empty word, 1 any other than the two
        return given, ops.where(index < 2, float("nan"), index - 2), f"{reading.words[0]} or {reading.words[1]}, in letters of any size"
    given = keras.Input((1,), dtype="float32", name=name)
    value = given
    for mark in reading.marks:
        if re.fullmatch(number_pattern(".", ""), mark) and abs(float(mark)) < float("inf"):
            value = ops.where(ops.equal(value, float(mark)), float("nan"), value)
    if column.kind == "boolean":
        return given, value, "true or false, or 1 and 0"
    signs = "".join(sign for sign in (reading.thousands, "," if reading.decimal != "." else "", reading.affix) if sign)
    return given, value, "a number" + (f", without the signs it is written with in the file ({signs!r}) and with a decimal point" if signs else "")


def _category(column: Column, name: str, number: int) -> Entry:
    import keras
    from keras import ops

    words, count = list(column.categories), len(column.categories)
    if all(re.fullmatch(r"0|-?[1-9][0-9]*", word) and abs(int(word)) < _EXACT for word in words):
        given = keras.Input((1,), dtype="float64", name=name)
        hole = ops.isnan(given)
        for mark in column.read_as.marks:
            if re.fullmatch(r"-?[0-9]+", mark):
                hole = ops.logical_or(hole, ops.equal(given, float(mark)))
        codes = ops.cast(ops.where(hole, float(min(map(int, words)) - 1), given), "int64")
        lookup = keras.layers.IntegerLookup(vocabulary=[int(word) for word in words], num_oov_indices=1, mask_token=None, name=f"column_{number}_codes")
        index, missing, says = lookup(codes), ops.cast(hole, "float32"), "a whole number that is a name; NaN where it is missing"
    else:
        given = keras.Input((1,), dtype="string", name=name)
        empty = [word for word in dict.fromkeys(("", *column.read_as.marks)) if word not in words]
        odd = next(token for token in ("[UNK]", *(f"[UNK {extra}]" for extra in range(count + 2))) if token not in words)
        lookup = keras.layers.StringLookup(vocabulary=[*words, *empty], num_oov_indices=1, mask_token=None, oov_token=odd, name=f"column_{number}_words")
        index = lookup(given)
        missing, says = ops.cast(ops.greater(index, count), "float32"), "a word, without blanks around it; the empty one where it is missing"
    # The numbers of words begin at 1: 0 is a word that no row to train on had, and all zeros.
    columns = ops.one_hot(ops.reshape(index, (-1,)) - 1, count, dtype="float32")
    return Entry(given, ops.concatenate([columns, missing], axis=-1) if column.missing else columns, says)


def _date(column: Column, name: str) -> Entry:
    """Return the layers of a column of dates; see `tuner.data.tables.dates.encode`, whose arithmetic this is, in float64 as there."""
    import keras
    import numpy as np
    from keras import ops

    given = keras.Input((1,), dtype="int64", name=name)
    if column.read_as.format == dates.DIGITS:
        hole = ops.less_equal(given, 0)
        digits = ops.where(hole, 1970_01_01, given)
        day = _day_of(digits // 10000, digits // 100 % 100, digits % 100)
        exact = ops.cast(day, "float64")
        says = "a date as a whole number such as 20260131; 0 where it is missing"
    else:
        hole = ops.equal(given, NOT_A_TIME)
        when = ops.where(hole, 0, given)
        day, exact = when // _DAY_US, ops.cast(when, "float64") / float(_DAY_US)
        says = 'microseconds since 1970 in UTC, as numpy.asarray(dates, "datetime64[us]").astype("int64") has them, NaT included'
    parts = []
    for part in column.parts:
        if part == "days":
            parts.append(ops.where(hole, float("nan"), exact - float(column.base)))
            continue
        if part == "year":
            year = _year_of(day)
            begins = _day_of(year, 1, 1)
            share = (exact - ops.cast(begins, "float64")) / ops.cast(_day_of(year + 1, 1, 1) - begins, "float64")
        else:
            share = exact % 1.0 if part == "day" else (exact + 3.0) % 7.0 / 7.0
        parts += [ops.where(hole, 0.0, wave(2 * np.pi * share)) for wave in (ops.sin, ops.cos)]
    if column.missing:
        parts.append(ops.cast(hole, "float64"))
    return Entry(given, ops.concatenate([ops.cast(part, "float32") for part in parts], axis=-1) if len(parts) > 1 else ops.cast(parts[0], "float32"), says)


def _day_of(year: Any, month: Any, day: Any) -> Any:
    """Return days since 1970-01-01 of a day in the Gregorian calendar, whose years are counted from March on here, so that leap days come last.

    Source: H. Hinnant, chrono-compatible low-level date algorithms, days_from_civil.
    """
    early = (14 - month) // 12  # 1 in January and February
    year, month = year - early, month + 12 * early - 3
    return 365 * year + year // 4 - year // 100 + year // 400 + (153 * month + 2) // 5 + day - 1 - 719468


def _year_of(day: Any) -> Any:
    """Return the year of days since 1970-01-01.

    Source: as `_day_of`, civil_from_days.
    """
    shifted = day + 719468
    era = shifted // 146097
    rest = shifted - era * 146097
    of_era = (rest - rest // 1460 + rest // 36524 - rest // 146096) // 365
    since_march = rest - (365 * of_era + of_era // 4 - of_era // 100)
    return of_era + 400 * era + (since_march + 59) // 365  # from the first of January on, the 306th day


def described(given: Any, says: str) -> dict[str, Any]:
    """Return an input as JSON.

    Args:
        given: a `keras.Input`.
        says: what it takes.
    """
    return {"name": given.name, "shape": list(given.shape[1:]), "dtype": str(given.dtype), "says": says}
