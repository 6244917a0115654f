"""From a table that a spec names to its rows: read, interpreted, and without the rows that `missing` leaves out.

Owns the order of these steps, which is the same for the rows to train on, a test file and the rows to predict.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tuner.data import hashes
from tuner.data.arrays.inputs import Inputs
from tuner.data.arrays.structure import Structure
from tuner.data.features import Features
from tuner.data.section import DatasetSection
from tuner.data.tables import columns, plain_columns
from tuner.data.tables.dialect import Dialect
from tuner.data.tables.interpret import Interpretation, Rules, interpret
from tuner.data.tables.problems import Problems
from tuner.data.tables.readings import kind_of
from tuner.data.tables.table import Table
from tuner.data.tables.words import is_number
from tuner.errors import DatasetError

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Rows:
    """The rows of a table that count.

    Attributes:
        x: feature columns, normalised; see `columns.normalise`.
        y: (n,) labels or targets of any type, (n, k) targets, or a dict of them by name.
        rows: (n,) int64: their row numbers in the table, before rows with missing values were dropped.
    """

    x: "pa.Table"
    y: Structure
    rows: np.ndarray


@dataclass(frozen=True)
class TableData:
    """What a table gives.

    Attributes:
        pool: its rows.
        test: those of the test file; None without one.
        content_hash: sha256 of all values.
        interpretation: what its columns are.
        dialect: how it is written, where it is text; None otherwise.
    """

    pool: Rows
    test: Rows | None
    content_hash: str
    interpretation: Interpretation
    dialect: Dialect | None


def dialect_of(section: DatasetSection) -> Dialect:
    """Return what a spec says about how a CSV file is written."""
    header = section.header if isinstance(section.header, bool) else None
    names = section.header if isinstance(section.header, tuple) else ()
    return Dialect(section.separator, header, names, _marks(section))


def rules_of(section: DatasetSection, table: Table) -> Rules:
    """Return what a spec says about a table's columns.

    Args:
        section: `[dataset]`.
        table: the one that it names.
    """
    return Rules(
        columns=section.columns,
        decimal=section.decimal,
        thousands=section.thousands,
        marks=_marks(section),
        is_text=table.format == "csv",
        comma=table.dialect.separator == ",",
        named=frozenset(section.features or ()) | frozenset(section.columns),
        index=table.index,
        unnamed=table.unnamed,
        max_categories=section.max_categories,
    )


def table_of(section: DatasetSection) -> tuple[Table, tuple[str, ...]]:
    """Return the table that a spec names, not read yet, and the columns to predict from.

    Raises:
        DatasetError: there is none, or it lacks a column.
    """
    import pyarrow as pa

    # What the spec takes for words or dates must not have been read as numbers before.
    as_words = {name: pa.string() for name, asked in section.columns.items() if asked == "category" or "%" in asked}
    signs = section.decimal == "," or section.thousands is not None
    table = Table(str(section.path), format=section.format, dialect=dialect_of(section), types=as_words, as_words=signs)
    problems = Problems()
    asked_for = {"target": section.targets, "features": section.features or (), "exclude": section.exclude, "columns": tuple(section.columns)}
    asked_for |= section.set_aside
    for key, names in asked_for.items():
        for name in names:
            with problems.gathered():
                table.check(name, f"dataset.{key}")
    problems.check()
    left = {*section.targets, *section.exclude, *(name for names in section.set_aside.values() for name in names)}
    features = section.features or tuple(name for name in table.columns if name not in left)
    if not features:
        raise DatasetError(f"dataset.features: {table.path} has no column beside the target and the excluded ones; expected at least one to predict from")
    return table, features


def read_table(section: DatasetSection) -> TableData:
    """Read the table that a spec names, and its test file.

    Args:
        section: `[dataset]`.

    Raises:
        DatasetError: it is missing or damaged, or its columns cannot be used; the faults of several columns are in one message.
    """
    table, features = table_of(section)
    raw = pool = table.read((*features, *section.targets))
    problems = Problems()
    rules = rules_of(section, table)
    interpretation = interpret(pool, features, section.targets, rules=rules, holes=_holes_in(table, pool), problems=problems)
    pool, interpretation = _with_points(table, pool, interpretation, rules)
    if not interpretation.features and not problems.messages:
        left = "; ".join(f"{each.name}: {each.why}" for each in interpretation.left_out)
        raise DatasetError(f"dataset.features: no column is left to predict from ({left})")
    rows = _rows_of(pool, section, interpretation, problems)
    content_hash = hashes.of_table(raw)
    dialect = table.dialect if table.format == "csv" else None
    if dialect is not None and not dialect.header and not dialect.names:
        dialect = replace(dialect, names=table.columns)
    if section.test_path is None:
        return TableData(rows, None, content_hash, interpretation, dialect)
    # A CSV file has no types of its own: a test file without decimals, or without words, must be read as the other was.
    test, test_hash = read_test(section, interpretation, types={field.name: field.type for field in pool.schema}, dialect=dialect)
    return TableData(rows, test, hashes.of_parts((content_hash, test_hash)), interpretation, dialect)


def read_test(
    section: DatasetSection, interpretation: Interpretation, types: "Mapping[str, pa.DataType] | None" = None, dialect: Dialect | None = None
) -> tuple[Rows, str]:
    """Read the table at `test_path`, and return its rows and the hash of its content.

    Args:
        section: `[dataset]`.
        interpretation: of the rows to train on.
        types: column -> type for a CSV file.
        dialect: how the table to train on is written, which need not be how this one is.

    Raises:
        DatasetError: it is missing or damaged, or its columns are of other kinds.
    """
    asked = dialect_of(section)
    if dialect is not None and not dialect.header:
        asked = replace(asked, header=False, names=dialect.names)
    table = Table(str(section.test_path), format=section.format, dialect=asked, types=types)
    wanted = (*interpretation.features, *(each.name for each in interpretation.left_out), *section.targets)
    wanted = tuple(name for name in (types or wanted) if name in wanted)  # in the order in which they are hashed for the other file
    for name in (*interpretation.features, *section.targets):
        table.check(name, "dataset.test_path")
    test = table.read([name for name in wanted if name in table.columns])
    problems = Problems()
    return _rows_of(test, section, interpretation, problems), hashes.of_table(test)


def read_rows_to_predict(
    path: str | Path, features: Features | Inputs, dialect: Dialect, *, target: tuple[str, ...] = (), format: str | None = None
) -> "pa.Table":
    """Read the columns of the features from a table without labels.

    Args:
        path: of the table; further columns are ignored.
        features: fitted when the network was trained.
        dialect: how the table that it was trained on is written.
        target: the columns that were predicted, which a file without a header may lack.
        format: of the table; none: the ending decides.

    Raises:
        DatasetError: it is missing or damaged, or lacks a column.
    """
    return table_to_predict(path, features, dialect, target=target, format=format).read([column.name for column in features.columns])


def table_to_predict(path: str | Path, features: Features | Inputs, dialect: Dialect, *, target: tuple[str, ...] = (), format: str | None = None) -> Table:
    """Return a table that has the columns of the features, not read yet; see `read_rows_to_predict`.

    Args:
        path: of the table; further columns are ignored.
        features: fitted when the network was trained.
        dialect: how the table that it was trained on is written.
        target: the columns that were predicted, which a file without a header may lack.
        format: of the table; none: as its ending says.

    Raises:
        DatasetError: it is missing or damaged, or lacks a column.
    """
    try:
        table = Table(str(path), format=format, dialect=dialect, as_words=True)
    except DatasetError:
        rest = tuple(name for name in dialect.names if name not in target)
        if rest == dialect.names:
            raise
        # A file without a header, and without the columns that are to be predicted.
        table = Table(str(path), format=format, dialect=replace(dialect, names=rest), as_words=True)
    if dialect.header and not any(column.name in table.columns for column in features.columns):
        # Rows to predict may come from another program, which separates columns otherwise.
        table = Table(str(path), format=format, dialect=replace(dialect, separator=","), as_words=True)
    problems = Problems()
    for column in features.columns:
        with problems.gathered():
            table.check(column.name, "data")
    problems.check()
    return table


def _marks(section: DatasetSection) -> tuple[str, ...] | None:
    return None if section.missing_values is None else tuple(str(mark) for mark in section.missing_values)


def _holes_in(table: Table, pool: "pa.Table") -> Any:
    """Return what gives the words at the places of a column that were read as missing."""

    def holes(name: str) -> Counter[str]:
        words = table.read_words([name]).column(0)
        return Counter(words.filter(pool.column(name).is_null()).to_pylist())

    return holes


def _with_points(table: Table, pool: "pa.Table", interpretation: Interpretation, rules: Rules) -> "tuple[pa.Table, Interpretation]":
    """Where other columns have decimal commas, read points anew: 1.234 is a number of thousands there, if all of a column's are like that."""
    import pyarrow as pa

    readings = {**interpretation.features, **interpretation.targets}
    if rules.conventions or not any(reading.decimal == "," for reading in readings.values()):
        return pool, interpretation
    decimals = [name for name in readings if pa.types.is_floating(pool.schema.field(name).type)]
    notes = dict(interpretation.notes)
    for name in decimals:
        words = table.read_words([name]).column(0)
        pointed = [word for word in words.unique().to_pylist() if "." in word]
        if not pointed or not all(is_number(word, ",", ".") for word in pointed):
            continue
        readings[name] = replace(readings[name], decimal=",", thousands=".", marks=rules.marks_among_numbers)
        notes[name] = ("'.' between thousands, as other columns have decimal commas", 'dataset.decimal = "."')
        pool = pool.set_column(pool.schema.get_field_index(name), name, words)
    return pool, replace(
        interpretation,
        features={name: readings[name] for name in interpretation.features},
        targets={name: readings[name] for name in interpretation.targets},
        notes=notes,
    )


def are_apart(section: DatasetSection, targets: "pa.Table") -> bool:
    """Say whether several targets are learnt each by itself: by the user's word, or because not all of them are numbers.

    Args:
        section: `[dataset]`.
        targets: as they are read.
    """
    mixed = any(kind_of(field.type) != "number" for field in targets.schema)
    return len(targets.column_names) > 1 and (section.task == "custom" or (section.task is None and mixed))


def _rows_of(table: "pa.Table", section: DatasetSection, interpretation: Interpretation, problems: Problems) -> Rows:
    """Return the rows of a table that `missing` leaves.

    Raises:
        DatasetError: all that has been gathered, and what is wrong here.
    """
    x = y = table.select([])
    labels: Structure = np.zeros(0)
    rows = np.arange(table.num_rows, dtype=np.int64)
    with problems.gathered():
        x = columns.normalise(table, interpretation.features)
    with problems.gathered():
        columns.check_values(x)
    with problems.gathered():
        if section.missing == "error":
            columns.check_no_holes(x, section.missing, interpretation.notes)
    with problems.gathered():
        y = columns.read_targets(table, interpretation.targets)
        apart = are_apart(section, y)
        if not apart:
            columns.check_targets(y)
        if section.missing == "drop" and not problems.messages:
            rows = rows[columns.whole_rows(x, y)]
            x, y = x.take(rows), y.take(rows)
        labels = plain_columns.target_arrays(y) if apart else columns.targets(y, y.column_names) if y.column_names else labels
    problems.check()
    return Rows(x, labels, rows)
