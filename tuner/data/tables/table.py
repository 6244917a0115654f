"""Tables from files: CSV, Parquet, Arrow and Feather, one file or a folder of them, local or in a bucket.

Owns reading. Must not know which column is a feature, nor what a word means.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from tuner.data.files import first_line, is_url, locate
from tuner.data.tables.dialect import Dialect, find_out
from tuner.data.tables.readings import is_text
from tuner.data.values import unknown_column
from tuner.errors import DatasetError

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.dataset as arrow_dataset
    from pyarrow.fs import FileSystem

ENDINGS = {
    ".csv": "csv",
    ".csv.gz": "csv",
    ".csv.bz2": "csv",
    ".tsv": "csv",
    ".tsv.gz": "csv",
    ".tab": "csv",
    ".txt": "csv",
    ".txt.gz": "csv",
    ".data": "csv",
    ".data.gz": "csv",
    ".dat": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".feather": "feather",
    ".arrow": "arrow",
    ".ipc": "arrow",
}


class Table:
    """A table whose files and columns are listed, but not read yet.

    Args:
        path: a file, a folder or a URL.
        format: `csv`, `parquet`, `feather` or `arrow`; none: the ending decides.
        dialect: how a CSV file is written, as far as the spec says; its first lines show the rest.
        types: column -> type for a CSV file, which has none; a column without an entry gets the one that its values show.
        as_words: every column of a CSV file is strings, whatever its values show.

    Attributes:
        columns: their names.
        files: of the table, in order, in `system`.
        format: as given, or by the ending.
        dialect: of a CSV file, as given or detected.
        index: columns that pandas wrote as the index of its rows.
        unnamed: columns that the file gives no name.

    Raises:
        DatasetError: nothing is there, or it is no table.
    """

    def __init__(
        self, path: str, *, format: str | None = None, dialect: Dialect | None = None, types: Mapping[str, "pa.DataType"] | None = None, as_words: bool = False
    ) -> None:
        system, inner, is_folder = locate(path)
        self.path = path
        self._types, self._as_words = dict(types or {}), as_words
        self.system = system
        self._base = inner if is_folder else None
        self.files, self.format = _files(path, system, inner, is_folder, format)
        self.dialect, self._own_names = dialect or Dialect(), None
        names: tuple[str, ...] | None = None
        if self.format == "csv":
            with reading(path):
                self.dialect, names, self._own_names = find_out(self.dialect, system, self.files[0], path)
        with reading(path):
            self._dataset = self._open(None)
            own = tuple(self._dataset.schema.names)
        if names and len(names) > len(own):  # quotes after a blank, which are none to pyarrow
            names = None
        # Columns that folders are named by come after those of the files.
        self.columns: tuple[str, ...] = (*names, *own[len(names) :]) if names else own
        self._own = dict(zip(self.columns, own, strict=True))
        twice = [name for name, count in Counter(self.columns).items() if count > 1]
        if twice:
            raise DatasetError(f"{path}: the column {twice[0]!r} is there twice; expected each name once")
        self.index, self.unnamed = _index(self._dataset.schema), frozenset(name for name, own_name in self._own.items() if not own_name.strip())
        if self._own_names:
            self.unnamed |= frozenset(name for name in self.columns if self.dialect.header and name.startswith("column "))
        if self.format == "csv" and (self._types or as_words):
            with reading(path):
                self._dataset = self._open(self._typed())

    def check(self, name: str, key: str) -> None:
        """Check that a column is there.

        Args:
            name: of the column.
            key: where it is asked for, for the message.

        Raises:
            DatasetError: it is not; names the nearest one.
        """
        if name not in self.columns:
            suggestion, hint = unknown_column(name, list(self.columns)), ""
            if self.format == "csv" and len(self.columns) == 1:
                hint = f"; is the separator {self.dialect.separator!r} right?"
            elif self.format == "csv" and self.dialect.header and not suggestion.startswith("did you mean"):
                hint = "; has it a header? header = false says that it has none"
            raise DatasetError(f"{key}: no column {name!r} in {self.path}; {suggestion}{hint}")

    def read(self, columns: Sequence[str]) -> "pa.Table":
        """Read some columns of all rows, in the order of the files' names and of the rows in them. Words of a CSV file have no blanks around them.

        Args:
            columns: their names.

        Raises:
            DatasetError: the file is damaged, or a value is not of its column's type.
        """
        import pyarrow as pa

        own = [self._own[name] for name in columns]
        with reading(self.path):
            try:
                table = self._dataset.to_table(columns=own)
            except pa.ArrowInvalid as error:
                # The types of a CSV file's columns are guessed from its first megabyte; a later row may hold a decimal or a word.
                if self.format != "csv" or self._as_words or "conversion error" not in str(error):
                    raise
                table = self._open(self._words()).to_table(columns=own)
                # Where the types were given, whoever gave them knows what to make of a word.
                table = table if self._types else _typed(_stripped(table, self.dialect.null_values))
            table.validate(full=True)
            if self.format == "parquet" and table.num_rows != (stated := self._dataset.count_rows()):
                # Where a row group's first page is no page any more, pyarrow reads an empty group.
                raise DatasetError(f"{self.path}: gave {table.num_rows} of {stated} rows; is it damaged?")
            if self.format == "csv":
                table = _stripped(table, self.dialect.null_values)
        if not table.num_rows:
            raise DatasetError(f"{self.path}: the table has no rows")
        return table.rename_columns(list(columns))

    def batches(self, columns: Sequence[str], rows: int) -> "Iterator[pa.Table]":
        """Yield what `read` returns in parts of so many rows at most, of which one is in memory.

        Args:
            columns: their names.
            rows: of a part.

        Raises:
            DatasetError: the file is damaged, or a value is not of its column's type.
        """
        import pyarrow as pa

        own, total = [self._own[name] for name in columns], 0
        with reading(self.path):
            # Little is read ahead: the network takes longer than the disk.
            for batch in self._dataset.to_batches(columns=own, batch_size=rows, batch_readahead=2, fragment_readahead=1):
                if not batch.num_rows:
                    continue
                table = pa.Table.from_batches([batch])
                table.validate(full=True)
                total += table.num_rows
                yield (_stripped(table, self.dialect.null_values) if self.format == "csv" else table).rename_columns(list(columns))
            if self.format == "parquet" and total != (stated := self._dataset.count_rows()):
                raise DatasetError(f"{self.path}: gave {total} of {stated} rows; is it damaged?")
        if not total:
            raise DatasetError(f"{self.path}: the table has no rows")

    def read_words(self, columns: Sequence[str]) -> "pa.Table":
        """Read some columns of a CSV file as the words that stand there; none is missing.

        Args:
            columns: their names.

        Raises:
            DatasetError: the file is damaged.
        """
        with reading(self.path):
            table = _stripped(self._open(self._words(), nothing_missing=True).to_table(columns=[self._own[name] for name in columns]), [])
        return table.rename_columns(list(columns))

    def count(self) -> int:
        """Return the number of rows, as the files state it.

        Raises:
            DatasetError: the files are damaged, or there are none.
        """
        with reading(self.path):
            rows = self._dataset.count_rows()
        if not rows:
            raise DatasetError(f"{self.path}: the table has no rows")
        return rows

    @property
    def absolute(self) -> str:
        """The path as every process may use it, wherever it works."""
        return self.path if is_url(self.path) else str(Path(self.path).expanduser().resolve())

    def _typed(self) -> "pa.Schema":
        import pyarrow as pa

        if self._as_words:
            return self._words()
        given = {self._own[name]: kind for name, kind in self._types.items() if name in self._own}
        return pa.schema([field.with_type(given.get(field.name, field.type)) for field in self._dataset.schema])

    def _words(self) -> "pa.Schema":
        import pyarrow as pa

        return pa.schema([pa.field(name, pa.string()) for name in self._dataset.schema.names])

    def _open(self, schema: "pa.Schema | None", *, nothing_missing: bool = False) -> "arrow_dataset.Dataset":
        import pyarrow.dataset as arrow_dataset

        return arrow_dataset.dataset(
            self.files,
            schema=schema,
            format=_file_format(self.format, self.dialect, self._own_names, nothing_missing),
            filesystem=self.system,
            # Folders named like year=2026 are columns; the path above the table says nothing about it.
            partitioning="hive" if self._base else None,
            partition_base_dir=self._base,
        )


def _index(schema: "pa.Schema") -> frozenset[str]:
    """Return the columns that pandas' metadata call the index of its rows."""
    try:
        metadata = json.loads((schema.metadata or {}).get(b"pandas", b"{}"))
        return frozenset(name for name in metadata.get("index_columns", ()) if isinstance(name, str))
    except (ValueError, AttributeError):  # another writer's word for something else
        return frozenset()


def _files(path: str, system: "FileSystem", inner: str, is_folder: bool, format: str | None) -> tuple[list[str], str]:
    """Return the files of a table, sorted by name, and their one format."""
    from pyarrow import fs

    if not is_folder:
        kind = format or _format_of(inner)
        if kind is None:
            raise DatasetError(f"{path}: no known ending; expected one of {', '.join(ENDINGS)}, or dataset.format")
        return [inner], kind
    with reading(path):
        entries = system.get_file_info(fs.FileSelector(inner, recursive=True))
    files = sorted(info.path for info in entries if info.type == fs.FileType.File and not PurePosixPath(info.path).name.startswith((".", "_")))
    formats = {file: format or _format_of(file) for file in files}
    kinds = sorted({kind for kind in formats.values() if kind is not None})
    if len(kinds) != 1:
        held = " and ".join(kinds) or "no table"
        raise DatasetError(f"{path}: the folder holds {held}; expected files of one format ({', '.join(ENDINGS)}), or dataset.format")
    return [file for file in files if formats[file]], kinds[0]


def _format_of(path: str) -> str | None:
    return next((kind for ending, kind in ENDINGS.items() if path.lower().endswith(ending)), None)


def _file_format(kind: str, dialect: Dialect, names: tuple[str, ...] | None, nothing_missing: bool) -> Any:
    import pyarrow.csv as csv
    import pyarrow.dataset as arrow_dataset

    if kind == "parquet":
        # Writers that add checksums to their pages want them looked at.
        return arrow_dataset.ParquetFileFormat(default_fragment_scan_options=arrow_dataset.ParquetFragmentScanOptions(page_checksum_verification=True))
    if kind in ("feather", "arrow"):
        return arrow_dataset.IpcFileFormat()
    # Names of our own: where the file has none, or none that differ.
    named = csv.ReadOptions(column_names=list(names), skip_rows_after_names=int(bool(dialect.header))) if names else csv.ReadOptions()
    return arrow_dataset.CsvFileFormat(
        parse_options=csv.ParseOptions(delimiter=dialect.separator, newlines_in_values=True),
        convert_options=csv.ConvertOptions(null_values=dialect.null_values, strings_can_be_null=not nothing_missing, quoted_strings_can_be_null=False),
        read_options=named,
    )


def _stripped(table: "pa.Table", null_values: Sequence[str]) -> "pa.Table":
    """Return the table with words that have no blanks around them; the empty one is missing, and so is what only a blank kept from being read as missing."""
    import pyarrow as pa
    import pyarrow.compute as pc

    cleaned = []
    for column in table.columns:
        if is_text(column.type):
            stripped = pc.utf8_trim_whitespace(column)
            missing = pc.and_(pc.not_equal(stripped, column), pc.is_in(stripped, value_set=pa.array(null_values, column.type)))
            if null_values:
                missing = pc.or_(missing, pc.equal(stripped, ""))
            column = pc.if_else(missing, pa.scalar(None, column.type), stripped)
        cleaned.append(column)
    return pa.table(cleaned, names=table.column_names)


def _typed(table: "pa.Table") -> "pa.Table":
    """Give each column of words the first type that all its values have."""
    import pyarrow as pa

    columns = []
    for column in table.columns:
        for kind in (pa.int64(), pa.float64(), pa.bool_(), pa.timestamp("ns"), pa.string()):
            try:
                columns.append(column.cast(kind))
                break
            except pa.ArrowInvalid:
                continue
    return pa.table(columns, names=table.column_names)


# What pyarrow says around the reason.
_FRAME = re.compile(r"^Error creating dataset\. .*?: Could not open \w+ input source '.*?': (Invalid: )?")


class reading:
    """Turns what pyarrow raises while it reads into one line about the file."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        import pyarrow as pa

        if isinstance(error, pa.ArrowException | OSError | UnicodeDecodeError) and not isinstance(error, MemoryError):
            reason = first_line(error, frame=_FRAME).rstrip(".")
            raise DatasetError(f"{self._path}: cannot be read ({reason}); is it damaged, or of another format?") from error
