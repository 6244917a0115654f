"""Tables from files: CSV, Parquet, Arrow and Feather, one file or a folder of them, local or in a bucket.

Owns reading and the types of CSV columns. Must not know which column is a feature.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from tuner.data.files import is_url, locate, one_line
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
    ".parquet": "parquet",
    ".pq": "parquet",
    ".feather": "feather",
    ".arrow": "arrow",
    ".ipc": "arrow",
}


class Table:
    """A table that has been found and whose columns are known, but not read yet.

    Args:
        path: a file, a folder or a URL.
        format: `csv`, `parquet`, `feather` or `arrow`; none: told by the ending.
        separator: of the columns of a CSV file.
        types: column -> type for a CSV file, which has none; a column without an entry gets the one that its values show.

    Attributes:
        columns: their names.
        files: of the table, in order, in `system`.
        format: as given or told.

    Raises:
        DatasetError: nothing is there, or it is no table.
    """

    def __init__(self, path: str, *, format: str | None = None, separator: str = ",", types: Mapping[str, "pa.DataType"] | None = None) -> None:
        system, inner, is_folder = locate(path)
        self.path = path
        self._separator = separator
        self._types = dict(types or {})
        self.system = system
        self._base = inner if is_folder else None
        self.files, self.format = _files(path, system, inner, is_folder, format)
        with reading(path):
            self._dataset = self._open(None)
            self.columns: tuple[str, ...] = tuple(self._dataset.schema.names)
        twice = [name for name, count in Counter(self.columns).items() if count > 1]
        if twice:
            raise DatasetError(f"{path}: the column {twice[0]!r} is there twice; expected each name once")
        if self.format == "csv" and self._types:
            known = [field.with_type(self._types[field.name]) if field.name in self._types else field for field in self._dataset.schema]
            with reading(path):
                self._dataset = self._open(_schema(known))

    def check(self, name: str, key: str) -> None:
        """Check that a column is there.

        Raises:
            DatasetError: it is not; names the nearest one.
        """
        if name not in self.columns:
            hint = f"; is the separator {self._separator!r} right?" if self.format == "csv" and len(self.columns) == 1 else ""
            raise DatasetError(f"{key}: no column {name!r} in {self.path}; {unknown_column(name, list(self.columns))}{hint}")

    def read(self, columns: Sequence[str]) -> "pa.Table":
        """Read some columns of all rows, in the order of the files' names and of the rows in them.

        Raises:
            DatasetError: the file is damaged, or a value is not of its column's type.
        """
        import pyarrow as pa

        with reading(self.path):
            try:
                table = self._dataset.to_table(columns=list(columns))
            except pa.ArrowInvalid as error:
                # The types of a CSV file's columns are told from its first megabyte; a later row may hold a decimal or a word.
                if self.format != "csv" or self._types or "conversion error" not in str(error):
                    raise
                table = _typed(self._open(_schema([pa.field(name, pa.string()) for name in self.columns])).to_table(columns=list(columns)))
            table.validate(full=True)
            if self.format == "parquet" and table.num_rows != (stated := self._dataset.count_rows()):
                # Where a row group's first page is no page any more, pyarrow reads an empty group.
                raise DatasetError(f"{self.path}: gave {table.num_rows} of {stated} rows; is it damaged?")
        if not table.num_rows:
            raise DatasetError(f"{self.path}: the table has no rows")
        return table

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

    def _open(self, schema: "pa.Schema | None") -> "arrow_dataset.Dataset":
        import pyarrow.dataset as arrow_dataset

        return arrow_dataset.dataset(
            self.files,
            schema=schema,
            format=_file_format(self.format, self._separator),
            filesystem=self.system,
            # Folders named like year=2026 are columns; the path above the table says nothing about it.
            partitioning="hive" if self._base else None,
            partition_base_dir=self._base,
        )


def _files(path: str, system: "FileSystem", inner: str, is_folder: bool, format: str | None) -> tuple[list[str], str]:
    """Return the files of a table, sorted by name, and their one format."""
    from pyarrow import fs

    if not is_folder:
        told = format or _format_of(inner)
        if told is None:
            raise DatasetError(f"{path}: no known ending; expected one of {', '.join(ENDINGS)}, or dataset.format")
        return [inner], told
    with reading(path):
        found = system.get_file_info(fs.FileSelector(inner, recursive=True))
    files = sorted(info.path for info in found if info.type == fs.FileType.File and not PurePosixPath(info.path).name.startswith((".", "_")))
    formats = {file: format or _format_of(file) for file in files}
    kinds = sorted({kind for kind in formats.values() if kind is not None})
    if len(kinds) != 1:
        held = " and ".join(kinds) or "no table"
        raise DatasetError(f"{path}: the folder holds {held}; expected files of one format ({', '.join(ENDINGS)}), or dataset.format")
    return [file for file in files if formats[file]], kinds[0]


def _format_of(path: str) -> str | None:
    return next((kind for ending, kind in ENDINGS.items() if path.lower().endswith(ending)), None)


def _file_format(kind: str, separator: str) -> Any:
    import pyarrow.csv as csv
    import pyarrow.dataset as arrow_dataset

    if kind == "parquet":
        # Writers that add checksums to their pages want them looked at.
        return arrow_dataset.ParquetFileFormat(default_fragment_scan_options=arrow_dataset.ParquetFragmentScanOptions(page_checksum_verification=True))
    if kind in ("feather", "arrow"):
        return arrow_dataset.IpcFileFormat()
    return arrow_dataset.CsvFileFormat(
        parse_options=csv.ParseOptions(delimiter=separator, newlines_in_values=True),
        convert_options=csv.ConvertOptions(strings_can_be_null=True, quoted_strings_can_be_null=False),
    )


def _schema(fields: "Sequence[pa.Field]") -> "pa.Schema":
    import pyarrow as pa

    return pa.schema(fields)


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
            reason = one_line(error, frame=_FRAME).rstrip(".")
            raise DatasetError(f"{self._path}: cannot be read ({reason}); is it damaged, or of another format?") from error
