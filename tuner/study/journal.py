"""The journal of a study: Optuna's file format, with a checksum on each line and patience with storage that refuses.

Owns the file: a line is one record as JSON, and ends with `"crc"`, the CRC-32 of all bytes of the file before it. A record that was changed, cut out or
doubled thus shows when the journal is opened, instead of becoming a sweep with other trials. Lines of other writers (optuna-dashboard's
notes) have none, and are covered by the next line that has. A last line without its end is what a crash leaves: it is cut before the next is written.
A file that was cut between two lines looks like an earlier one; the note `journal.end` beside it says how long it was. Must not know what a record means.
"""

import json
import os
import re
import zlib
from collections import deque
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from optuna.storages.journal import JournalFileBackend
from optuna.storages.journal._file import get_lock_file

from tuner.errors import SweepError
from tuner.study.writing import PAUSES_S, patiently

_CRC = re.compile(rb',"crc":"([0-9a-f]{8})"}\r?\n\Z')
# Where the last append began and ended, and a checksum of that.
_MARK = "{:016d} {:016d} {:08x}\n"


class JournalDamaged(ValueError):
    """A line of the journal is not what was written."""


class SweepJournal(JournalFileBackend):
    """A journal in a file. One process writes to it at a time, as the sweep's lock sees to; any number may read.

    Args:
        path: the file; it is made where there is none.

    Raises:
        JournalDamaged: on reading, a line is not what was written.
        OSError: it cannot be read.
        SweepError: it, or the note beside it, is a link.
    """

    def __init__(self, path: str | Path) -> None:
        for file in (Path(path), Path(path).with_suffix(".end")):
            if file.is_symlink():  # what it leads to is not this sweep's to write
                raise SweepError(f"{file}: is a link to {os.readlink(file)}; expected a file of this sweep's own: put it in place of the link")
        super().__init__(str(path))
        self._path = Path(path)
        self._mark = self._path.with_suffix(".end")
        self._sum, self._end, self._lines = 0, 0, 0  # of all lines that have been read or written
        self._given = 0  # records that were handed over
        self._ahead: deque[dict[str, Any]] = deque()  # records that have not been, in their order
        self._together = 0
        self._held: list[bytes] = []  # records to be written, as JSON
        self._pauses: tuple[float, ...] = PAUSES_S
        self._least = self._marked()  # noted before anything is read: a driver that is at work goes on writing

    def read_logs(self, log_number_from: int) -> Generator[dict[str, Any], None, None]:
        """Yield the records from this number on; a last line without its end is left out."""
        if log_number_from != self._given:
            self._sum, self._end, self._lines, self._given = 0, 0, 0, 0
            self._ahead = deque([*self._read(), *map(json.loads, self._held)])
        elif not self._held:
            self._ahead += self._read()
        while self._ahead:
            self._given += 1
            record = self._ahead.popleft()
            if self._given > log_number_from:
                yield record

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Write records, all of them or none; within `together`, at its end.

        Raises:
            SweepError: the storage refuses for too long.
        """
        texts = [json.dumps(log, separators=(",", ":")).encode() for log in logs]
        self._held += texts
        if not self._together:
            try:
                self._write()
            except SweepError:
                del self._held[-len(texts) :]
                raise
        self._ahead += map(json.loads, texts)

    @contextmanager
    def together(self) -> Iterator[None]:
        """Write the records of a context at its end, all at once: one wait for the disk instead of one each. Nothing may follow from them before that.

        Raises:
            SweepError: the storage refuses for too long; the next write takes these records with it.
        """
        self._together += 1
        try:
            yield
        finally:
            self._together -= 1
            if self._held and not self._together:
                self._write()

    def _write(self) -> None:
        try:
            patiently(self._locked_append, self._path, self._pauses)
        except SweepError:
            self._pauses = ()  # whoever writes now is tidying up, and need not wait as long again
            raise

    def _read(self) -> list[dict[str, Any]]:
        """Return the records that others have written since."""
        records: list[dict[str, Any]] = []
        try:
            if os.stat(self._path).st_size == self._end:
                return records
        except FileNotFoundError as error:
            raise self._gone() from error
        with self._path.open("rb") as file:
            file.seek(self._end)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                records.append(self._checked(line))
                self._sum = zlib.crc32(line, self._sum)
                self._end += len(line)
                self._lines += 1
        return records

    def check_end(self) -> None:
        """Check, once all of it has been read, that no more than the last append is missing.

        Raises:
            JournalDamaged: it is.
        """
        if self._end < self._least:
            lost = f"its records end at byte {self._end}, but at least {self._least} bytes had been written"
            raise JournalDamaged(f"{self._path}: is cut short ({lost}); delete {self._mark} to go on with what is left of it")

    def mend(self) -> None:
        """Cut off what a driver that was killed left half done; only for a process that knows it is alone, and has read all of it."""
        Path(self._lock._lock_file).unlink(missing_ok=True)  # type: ignore[attr-defined]
        with self._path.open("rb+") as file:
            file.seek(self._end)
            end = self._end + file.read().rfind(b"\n") + 1
            if end < file.seek(0, os.SEEK_END):
                file.truncate(end)

    def _gone(self) -> SweepError:
        return SweepError(f"{self._path}: is gone, and the sweep's record with it: somebody has removed or renamed it, or its disk, while the sweep ran")

    def _locked_append(self) -> None:
        if not self._path.exists():
            raise self._gone()  # the lock would wait for its folder for ever
        with get_lock_file(self._lock):
            self._append()

    def _append(self) -> None:
        self._ahead += self._read()  # of others; what follows the last whole line is of a write that failed
        begin, total, written = self._end, self._sum, b""
        for text in self._held:
            total = zlib.crc32(text[:-1], total)
            end = f',"crc":"{total:08x}"}}\n'.encode()
            total = zlib.crc32(end, total)
            written += text[:-1] + end
        with self._path.open("rb+") as file:
            file.seek(begin)
            file.truncate()
            try:
                file.write(written)
                file.flush()
                os.fsync(file.fileno())
            except OSError:
                os.truncate(self._path, begin)
                raise
        self._sum, self._end, self._lines = total, begin + len(written), self._lines + len(self._held)
        self._held = []
        with suppress(OSError):  # the records are safe; without this note they are only less guarded
            self._note(begin, self._end)

    def _note(self, begin: int, end: int) -> None:
        file = os.open(self._mark, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o644)
        try:
            os.pwrite(file, _MARK.format(begin, end, zlib.crc32(f"{begin} {end}".encode())).encode(), 0)
        finally:
            os.close(file)

    def _marked(self) -> int:
        """Return how long the file was before the last append; 0 where nothing says."""
        try:
            text = self._mark.read_text(encoding="ascii")
            begin, end, _ = text.split()
            is_ours = text == _MARK.format(int(begin), int(end), zlib.crc32(f"{int(begin)} {int(end)}".encode()))
        except (OSError, ValueError):
            return 0
        return int(begin) if is_ours else 0

    def _checked(self, line: bytes) -> dict[str, Any]:
        place = f"{self._path}: line {self._lines + 1} is damaged"
        mark = _CRC.search(line)
        if mark and f"{zlib.crc32(line[: mark.start()], self._sum):08x}".encode() != mark[1]:
            raise JournalDamaged(f"{place}, or a line before it is (the checksum differs)")
        try:
            record = json.loads(line)
        except ValueError as error:
            raise JournalDamaged(f"{place} ({error})") from error
        if not isinstance(record, dict):
            raise JournalDamaged(f"{place} (no record)")
        return record
