"""The journal of a study: Optuna's file format, with a checksum on each line and patience with storage that refuses.

Owns the file: a line is one record as JSON, and ends with `"crc"`, the CRC-32 of all bytes of the file before it. A record that was changed, cut out or
doubled is thus found when the journal is opened, instead of becoming a sweep with other trials. Lines of other writers (optuna-dashboard's
notes) have none, and are covered by the next line that has. A last line without its end is what a crash leaves: it is cut before the next is written.
Must not know what a record means.
"""

import json
import os
import re
import time
import zlib
from collections.abc import Generator
from pathlib import Path
from typing import Any

from optuna.storages.journal import JournalFileBackend
from optuna.storages.journal._file import get_lock_file

from tuner.errors import SweepError

_CRC = re.compile(rb',"crc":"([0-9a-f]{8})"}\r?\n\Z')
# Storage that refuses is asked again after these pauses (seconds): two minutes in all. Nothing goes on meanwhile, for nothing may happen unrecorded.
PAUSES_S = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0)


class JournalDamaged(ValueError):
    """A line of the journal is not what was written."""


class SweepJournal(JournalFileBackend):
    """A journal in a file. One process writes to it at a time, as the sweep's lock sees to; any number may read.

    Args:
        path: the file; it is made where there is none.

    Raises:
        JournalDamaged: on reading, a line is not what was written.
        OSError: it cannot be read.
    """

    def __init__(self, path: str | Path) -> None:
        super().__init__(str(path))
        self._path = Path(path)
        self._sum, self._end, self._lines = 0, 0, 0  # of all lines that have been read
        self._pauses: tuple[float, ...] = PAUSES_S

    def read_logs(self, log_number_from: int) -> Generator[dict[str, Any], None, None]:
        """Yield the records from this number on; a last line without its end is left out."""
        if log_number_from < self._lines:
            self._sum, self._end, self._lines = 0, 0, 0
        with self._path.open("rb") as file:
            file.seek(self._end)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                record = self._checked(line)
                self._sum = zlib.crc32(line, self._sum)
                self._end += len(line)
                self._lines += 1
                if self._lines > log_number_from:
                    yield record

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Write records, all of them or none.

        Raises:
            SweepError: the storage refuses for too long.
        """
        for pause in (*self._pauses, None):
            try:
                with get_lock_file(self._lock):
                    self._append(logs)
                return
            except OSError as error:
                if pause is None:
                    self._pauses = ()  # whoever writes now is tidying up, and need not wait as long again
                    raise SweepError(f"{self._path}: cannot be written ({error.strerror or error}); mend the storage, and run it again") from error
                time.sleep(pause)

    def mend(self) -> None:
        """Cut off what a driver that was killed left half done; only for a process that knows it is alone."""
        Path(self._lock._lock_file).unlink(missing_ok=True)  # type: ignore[attr-defined]
        with self._path.open("rb+") as file:
            file.seek(self._end)
            end = self._end + file.read().rfind(b"\n") + 1
            if end < file.seek(0, os.SEEK_END):
                file.truncate(end)

    def _append(self, logs: list[dict[str, Any]]) -> None:
        with self._path.open("rb+") as file:
            file.seek(self._end)
            rest = file.read()  # not read as records yet, but summed now; what follows the last whole line is of a write that failed
            rest = rest[: rest.rfind(b"\n") + 1]
            begin = self._end + len(rest)
            file.seek(begin)
            file.truncate()
            total, written = zlib.crc32(rest, self._sum), b""
            for log in logs:
                text = json.dumps(log, separators=(",", ":")).encode()[:-1]
                total = zlib.crc32(text, total)
                line = text + f',"crc":"{total:08x}"}}\n'.encode()
                total = zlib.crc32(line[len(text) :], total)
                written += line
            try:
                file.write(written)
                file.flush()
                os.fsync(file.fileno())
            except OSError:
                os.truncate(self._path, begin)
                raise

    def _checked(self, line: bytes) -> dict[str, Any]:
        place = f"{self._path}: line {self._lines + 1} is damaged"
        found = _CRC.search(line)
        if found and f"{zlib.crc32(line[: found.start()], self._sum):08x}".encode() != found[1]:
            raise JournalDamaged(f"{place}, or a line before it is (the checksum differs)")
        try:
            record = json.loads(line)
        except ValueError as error:
            raise JournalDamaged(f"{place} ({error})") from error
        if not isinstance(record, dict):
            raise JournalDamaged(f"{place} (no record)")
        return record
