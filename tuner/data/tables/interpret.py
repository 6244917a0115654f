"""What each column of a table is: a number, a boolean, a date, a category, or nothing to learn from.

Owns the rules, and what the spec says instead. They look at values, never at the target, and what they decide holds for every row that comes later.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from tuner.data.decisions import CODES, LEFT_OUT, SCALED, Decision, key_for, quoted
from tuner.data.tables import dates
from tuner.data.tables import words as text
from tuner.data.tables.dialect import MISSING_WORDS
from tuner.data.tables.problems import Problems
from tuner.data.tables.readings import Reading, is_text, kind_of
from tuner.errors import DatasetError

if TYPE_CHECKING:
    import pyarrow as pa

    from tuner.data.tables.columns import Column

# Names that a row's number or name goes by; a column of that name whose values all differ says nothing about later rows.
INDEX_NAME = re.compile(r"|unnamed:? *\d*|column \d+|index|id|row[_ ]?(id|number|names?|num|nr)?|rownames|level_\d+|__index_level_\d+__", re.IGNORECASE)
# Words of which more than half are there once say nothing about later rows either, if there are more than a few.
FEW_WORDS, MOSTLY_DISTINCT = 20, 0.5
MOST_CODES = 12
# What the words at the missing places of a column are, by how often; read anew from the file.
Holes = Callable[[str], Counter[str]]


@dataclass(frozen=True)
class Rules:
    """What the spec says about columns, and what the file is.

    Attributes:
        columns: column -> what it is, by the user's word.
        decimal: the sign before decimals; None: the column's values decide.
        thousands: the sign between thousands; None: the column's values decide.
        marks: words that stand for a missing value; None: the usual ones, in a text file.
        is_text: whether the file is text, whose columns have no types of their own.
        comma: whether the comma separates the columns, so that one within a number stands between thousands.
        named: columns that the spec names, which no rule leaves out.
        index: columns that the file itself calls its index.
        unnamed: columns without a name.
        max_categories: a category with more words than this is refused.
        partial: whether only the first rows are looked at, which do not show how many values there are.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    decimal: str | None = None
    thousands: str | None = None
    marks: tuple[str, ...] | None = None
    is_text: bool = False
    comma: bool = True
    named: frozenset[str] = frozenset()
    index: frozenset[str] = frozenset()
    unnamed: frozenset[str] = frozenset()
    max_categories: int = 1000
    partial: bool = False

    def marks_for(self, usual: tuple[str, ...]) -> tuple[str, ...]:
        """The words that are missing values in a column, of which `usual` are so by default."""
        return self.marks if self.marks is not None else usual if self.is_text else ()

    @property
    def marks_among_numbers(self) -> tuple[str, ...]:
        """The words that are missing values among numbers and dates of a text file: the usual ones too, which cannot be anything else there."""
        return (*text.NUMBER_MARKS, *MISSING_WORDS, *(self.marks or ())) if self.is_text else self.marks or ()

    @property
    def conventions(self) -> list[tuple[str, str]]:
        """The ways to write a number that the spec leaves open; empty for all."""
        if self.decimal is None and self.thousands is None:
            return []
        decimal = self.decimal or ("," if self.thousands == "." else ".")
        groups = [self.thousands] if self.thousands else ["", "." if decimal == "," else ",", " "]
        return [(decimal, group) for group in groups]


@dataclass(frozen=True)
class Interpretation:
    """What the columns of a table are.

    Attributes:
        features: column -> how it is read; those to learn from, in their order.
        targets: the same of the columns to predict.
        unscaled: features that are not to be scaled, by the user's word.
        left_out: what was decided about columns that are not learnt from.
        notes: column -> what was seen, and the key that decides otherwise.
    """

    features: dict[str, Reading]
    targets: dict[str, Reading]
    unscaled: frozenset[str] = frozenset()
    left_out: tuple[Decision, ...] = ()
    notes: Mapping[str, tuple[str, str]] = field(default_factory=dict)


class _Left(Exception):  # no error: a column that is left out
    def __init__(self, kind: str, why: str, key: str = "") -> None:
        self.decision = (kind, why, key)


def interpret(table: "pa.Table", features: Iterable[str], targets: Iterable[str], *, rules: Rules, holes: Holes, problems: Problems) -> Interpretation:
    """Decide what each column is.

    Args:
        table: all rows, or the first ones of a table that is streamed.
        features: the columns to learn from.
        targets: the columns to predict.
        rules: what the spec says.
        holes: gives the words at a text column's missing places.
        problems: takes in what is wrong with a column.
    """
    readings: dict[str, Reading] = {}
    notes: dict[str, tuple[str, str]] = {}
    left: list[Decision] = []
    points = any(_has_decimals(column) for column in table.columns)
    for name in features:
        with problems.gathered():
            try:
                readings[name] = _feature(name, table.column(name), rules, notes=notes, points=points)
            except _Left as out:
                kind, why, key = out.decision
                left.append(Decision(name, kind, LEFT_OUT, why, key))
                continue
            if readings[name].kind == "category" and rules.is_text and table.column(name).null_count:
                _note_holes(name, holes(name), notes)
    answers = {}
    for name in targets:
        with problems.gathered():
            answers[name] = _target(name, table.column(name), rules, points=points, holes=holes)
    unscaled = frozenset(name for name, asked in rules.columns.items() if asked == "unscaled" and name in readings)
    return Interpretation(readings, answers, unscaled, tuple(left), notes)


def _feature(name: str, values: "pa.ChunkedArray", rules: Rules, *, notes: dict[str, tuple[str, str]], points: bool) -> Reading:
    import pyarrow as pa

    asked = rules.columns.get(name)
    free = name not in rules.named and asked is None
    kind = kind_of(values.type)
    if pa.types.is_null(values.type) or (values.null_count == len(values) and not rules.partial):
        if free:
            raise _Left("empty", "holds no value")
        raise DatasetError(f"column {name!r}: holds no value at all; exclude = [{name!r}] leaves it out")
    if kind is None:
        mend = "is the file in UTF-8?" if pa.types.is_binary(values.type) else f"convert it, or exclude = [{name!r}]"
        raise DatasetError(f"column {name!r}: got values of type {values.type}; expected numbers, booleans, dates or strings; {mend}")
    if free:
        _check_index(name, values, rules)
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    if is_text(values.type):
        return _text(name, values, rules, notes=notes, points=points)
    marks = rules.marks_for(())
    if asked is not None and "%" not in asked and asked != "unscaled" and asked != kind and not (kind == "number" and asked in ("category", "boolean")):
        raise DatasetError(f"dataset.columns: {name} = {quoted(asked)}, but its values are of type {values.type}")
    if asked is None and pa.types.is_integer(values.type) and dates.are_digits(values.drop_null().unique().to_numpy()):
        notes[name] = ("written as 20260131", key_for(name, "number"))
        return Reading("date", format=dates.DIGITS, marks=marks)
    if kind == "number" and asked is None and not rules.partial:
        _note_codes(name, values, notes)
    if asked == "category" and kind == "number" and not pa.types.is_integer(values.type):
        raise DatasetError(f"dataset.columns: {name} = {quoted(asked)}, but it holds decimals ({values.type}); expected whole numbers or words")
    return Reading(str(kind) if asked in (None, "unscaled") or "%" in asked else asked, marks=marks)


def _text(name: str, values: "pa.ChunkedArray", rules: Rules, *, notes: dict[str, tuple[str, str]], points: bool) -> Reading:
    """Decide what a column of strings is."""
    asked = rules.columns.get(name)
    among_numbers, among_words = rules.marks_among_numbers, rules.marks_for(text.WORD_MARKS)
    every = sorted(word for word in values.unique().to_pylist() if word is not None)
    if asked is not None and "%" in asked:
        return Reading("date", format=asked, marks=among_numbers)
    distinct = [word for word in every if word not in among_words]
    if asked == "category":
        _check_count(name, distinct, rules)
        return Reading("category", marks=among_words)
    plain = [word for word in every if word not in among_numbers]
    if not plain and not rules.partial:
        if asked is None and name not in rules.named:
            raise _Left("empty", f"holds no value but {', '.join(map(repr, every[:3]))}")
        raise DatasetError(f"column {name!r}: holds no value at all; exclude = [{name!r}] leaves it out")
    # In a file with types, a string is a word unless the spec says otherwise: it may be a code.
    tried = (asked,) if asked is not None else ("number", "boolean", "date") if rules.is_text else ()
    for kind in tried:
        reading = _as(kind, name, plain, rules, points=points)
        if reading is not None:
            marks = among_numbers
            _note_reading(name, reading, every, marks, notes)
            return Reading(**{**vars(reading), "marks": marks})
    if asked is not None:
        odd = next((word for word in plain if not text.is_number(word)), plain[0])
        raise DatasetError(f"dataset.columns: {name} = {quoted(asked)}, but it holds {odd!r}, which cannot be read as one")
    if rules.partial:
        return Reading("category", marks=among_words)
    text.check_slips(name, distinct)
    count = len(values) - values.null_count
    if name not in rules.named and len(distinct) > max(FEW_WORDS, MOSTLY_DISTINCT * count):
        raise _Left("category", f"{len(distinct)} distinct words in {count} rows", key_for(name, "category"))
    _check_count(name, distinct, rules)
    if not rules.is_text and len(distinct) > FEW_WORDS and all(text.is_number(word) for word in distinct):
        notes[name] = (f"{len(distinct)} words that are all numbers", key_for(name, "number"))
    return Reading("category", marks=among_words)


def _as(kind: str, name: str, words: list[str], rules: Rules, *, points: bool) -> Reading | None:
    """Return how these words are read as a kind; None where they are not of it."""
    if kind in ("number", "unscaled"):
        affix = text.affix_of(words)
        bare = text.bare(words, affix)
        conventions = text.conventions_of(bare, rules.conventions)
        if not conventions:
            return None
        decimal, thousands = _convention(name, bare, conventions, rules, points=points)
        return Reading("number", decimal, thousands, affix)
    if kind == "boolean":
        pair = text.boolean_of(words)
        return Reading("boolean", words=pair) if pair else None
    form = text.date_of(name, words)
    return None if form is None else Reading("date", format=form)


def _convention(name: str, words: list[str], conventions: list[tuple[str, str]], rules: Rules, *, points: bool) -> tuple[str, str]:
    """Return the convention that holds; `12,000` alone may be twelve thousand or twelve."""
    if len(conventions) == 1 or rules.conventions or (".", ",") not in conventions or (",", ".") not in conventions:
        return conventions[0]
    if rules.comma or points:  # a comma that separates columns, or a point before decimals elsewhere: no comma is before decimals
        return ".", ","
    word = next(word for word in words if "," in word)
    raise DatasetError(f'column {name!r}: {word!r} may be a thousand times as much as it may be; say dataset.decimal = "," or dataset.thousands = ","')


def _target(name: str, values: "pa.ChunkedArray", rules: Rules, *, points: bool, holes: Holes) -> Reading:
    """Decide what a column to predict is: numbers, booleans, or the names of classes."""
    import pyarrow as pa

    kind = kind_of(values.type)
    if kind is None or kind == "date" or pa.types.is_duration(values.type):
        mend = "; a date is no class and no number: predict the time between two dates in days, say" if kind == "date" else ""
        raise DatasetError(f"target {name!r}: got values of type {values.type}; expected numbers, booleans or strings{mend}")
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    if not is_text(values.type):
        return Reading(kind, marks=rules.marks_for(()))
    every = sorted(word for word in values.unique().to_pylist() if word is not None)
    among_numbers, among_words = rules.marks_among_numbers, rules.marks_for(text.WORD_MARKS)
    plain = [word for word in every if word not in among_numbers]
    reading = _as("number", name, plain, rules, points=points) if rules.is_text else None
    if reading is not None:
        return Reading(**{**vars(reading), "marks": among_numbers})
    if rules.is_text:
        text.check_slips(name, plain)
        _check_class_names(name, values, every, rules=rules, holes=holes)
    return Reading("category", marks=among_words)


def _check_class_names(name: str, values: "pa.ChunkedArray", every: list[str], *, rules: Rules, holes: Holes) -> None:
    """Check that no class is taken for a missing value: a word such as NA among the names of classes may be one."""
    counts = holes(name) if values.null_count else Counter()
    counts.update({mark: _count(values, mark) for mark in text.marks_among(every, rules.marks_for(text.WORD_MARKS))})
    candidates = [(word, count) for word, count in counts.items() if word]
    if candidates and rules.marks is None:
        word, count = max(candidates, key=lambda each: each[1])
        # The list of the spec takes the place of the usual one.
        others, all_ = (", ".join(quoted(mark) for mark, _ in candidates if mark not in left) for left in ((word,), ()))
        raise DatasetError(
            f"target {name!r}: {word!r}, in {count} of {len(values)} rows, may be a class or a missing value; missing_values = [{others}] "
            f'makes it a class, missing_values = [{all_}] with missing = "drop" leaves such rows out'
        )


def _count(values: "pa.ChunkedArray", word: str) -> int:
    import pyarrow.compute as pc

    return int(pc.sum(pc.equal(values, word)).as_py() or 0)


def _check_index(name: str, values: "pa.ChunkedArray", rules: Rules) -> None:
    """Leave out a column that only numbers or names the rows."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if name in rules.index:
        raise _Left("index", "the file's metadata call it an index", key_for(name, _kind_word(values)))
    if not (INDEX_NAME.fullmatch(name) or name in rules.unnamed):
        return
    value_type = values.type.value_type if pa.types.is_dictionary(values.type) else values.type
    counts = pa.types.is_integer(value_type) or is_text(value_type)
    if counts and not values.null_count and pc.count_distinct(values).as_py() == len(values):
        called = "has no name" if name in rules.unnamed else f"is called {name!r}"
        raise _Left("index", f"it {called} and holds another value in each row, as a row's number or name does", key_for(name, _kind_word(values)))


def _kind_word(values: "pa.ChunkedArray") -> str:
    return str(kind_of(values.type) or "category")


def _has_decimals(values: "pa.ChunkedArray") -> bool:
    import pyarrow as pa

    return bool(pa.types.is_floating(values.type))


def _check_count(name: str, distinct: list[str], rules: Rules) -> None:
    if len(distinct) > rules.max_categories:
        mend = f"exclude = [{name!r}], or raise dataset.max_categories"
        fault = f"{len(distinct)} distinct words, each of which becomes a feature"
        raise DatasetError(f"column {name!r}: {fault}; expected at most {rules.max_categories}; {mend}")


def _note_codes(name: str, values: "pa.ChunkedArray", notes: dict[str, tuple[str, str]]) -> None:
    """Whole numbers with few values may be codes for something else."""
    import pyarrow as pa

    if not pa.types.is_integer(values.type):
        return
    codes = values.drop_null().unique().to_numpy()
    if 2 < len(codes) <= MOST_CODES and np.ptp(codes) <= 100:
        notes[name] = (f"{CODES}, {codes.min()} to {codes.max()}", key_for(name, "category"))


def _note_reading(name: str, reading: Reading, every: list[str], marks: tuple[str, ...], notes: dict[str, tuple[str, str]]) -> None:
    seen = []
    if reading.kind == "number":
        if reading.decimal == ",":
            seen.append("written with a decimal comma")
        if reading.thousands and any(reading.thousands in word for word in every):
            seen.append(f"{reading.thousands!r} between thousands")
        if reading.affix:
            seen.append(f"{reading.affix} left out")
    if reading.kind == "boolean":
        seen.append(f"{reading.words[1]} is 1")
    if reading.kind == "date":
        seen.append(f"written as {reading.format or 'ISO 8601'}")
    if missing_words := text.marks_among(every, marks):
        seen.append(f"{', '.join(map(repr, missing_words))} read as missing")
    if seen:
        notes[name] = (", ".join(seen), key_for(name, "category"))


def _note_holes(name: str, counts: Counter[str], notes: dict[str, tuple[str, str]]) -> None:
    shown = [f"{word!r} in {count} rows" for word, count in counts.most_common(3) if word]
    if shown:
        notes[name] = (f"{' and '.join(shown)} read as missing", "missing_values = [] keeps it as a word")


def of_columns(columns: "Iterable[Column]", method: str, interpretation: Interpretation) -> list[Decision]:
    """Return what was decided about each column of a table, and why.

    Args:
        columns: as they were fitted.
        method: of scaling.
        interpretation: what the columns are.
    """
    decisions = []
    for column in columns:
        why, key = interpretation.notes.get(column.name, ("", ""))
        if column.kind == "category":
            count = len(column.categories)
            treatment = f"a feature for each of {count} words" if count > 1 else "the same word wherever there is one"
        elif column.kind == "date":
            treatment = " and ".join(dates.SHOWN[part] for part in column.parts)
            key = key or f"exclude = [{quoted(column.name)}]"
            why = why or "dates"
        else:
            treatment = "0 and 1" if column.kind == "boolean" else SCALED["none" if column.unscaled else method]
        decisions.append(Decision(column.name, column.kind, treatment, why, key))
    return [*decisions, *interpretation.left_out]
