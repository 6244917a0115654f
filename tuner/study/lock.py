"""One driver per sweep: whoever comes second learns where the first one runs.

Owns the file `driver.lock` in a sweep's folder (it is there while a sweep runs, and after a kill until the next run), and the heartbeat in a study
that lives in a database. A driver that died holds neither: the kernel lets go of its file, and its heart stops. Must not know what a sweep does.
"""

import errno
import fcntl
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tuner.errors import SweepError
from tuner.study.record import Study
from tuner.study.writing import patiently

LOCK = "driver.lock"
BEAT_EVERY_S = 10.0
DEAD_AFTER_S = 60.0
# Two drivers that start at the same moment both write, and look again after this time: the later writer has it.
SETTLE_S = 1.0


class Lock:
    """The lock of a sweep's folder while it is held.

    Attributes:
        before: what the last driver noted, where it did not end in order; empty otherwise.
    """

    def __init__(self, path: Path, file: int, before: dict[str, Any]) -> None:
        self._path = path
        self._file = file
        self.before = before
        # What the run before had noted stands until this one notes otherwise: killed before it has cleaned up, it leaves that to the next.
        self._noted: dict[str, Any] = {**before, **identity(), "since": round(time.time(), 3)}
        self.note()

    def note(self, **facts: Any) -> None:
        """Write down what the next run must know if this one is killed; JSON."""
        self._noted |= facts
        patiently(self._write, self._path)

    def _write(self) -> None:
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, json.dumps(self._noted).encode() + b"\n", 0)


@contextmanager
def exclusive_driver(folder: str | Path) -> Iterator[Lock]:
    """Be the only driver of the sweep in a folder, which is made where there is none.

    Raises:
        SweepError: another driver is at work there, or the folder cannot be written.
    """
    path = Path(folder) / LOCK
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        file = _taken(path)
    except OSError as error:
        if path.is_symlink():
            raise SweepError(f"{path}: is a link to {os.readlink(path)}; expected a file of this sweep's own: remove the link") from error
        raise SweepError(f"{path}: cannot be locked ({error.strerror or error}); expected a folder with write permission that knows file locks") from error
    try:
        yield Lock(path, file, _read(file))
    finally:
        # Removed while it is still held: a driver that waits for this very file looks again.
        path.unlink(missing_ok=True)
        os.close(file)


@contextmanager
def beating(study: Study, lost: Callable[[], object], *, every_s: float = BEAT_EVERY_S, dead_after_s: float = DEAD_AFTER_S) -> Iterator[None]:
    """Be the only driver of a study in a database, which machines without a common folder may share.

    Args:
        study: the record.
        lost: called once, from another thread, if another driver has taken the sweep over: this one had been silent for too long.
        every_s: seconds between two beats.
        dead_after_s: a driver that has been silent for so long counts as dead; clocks must agree to within it.

    Raises:
        SweepError: another driver is at work.
    """
    token = secrets.token_hex(8)
    holder = study.facts.get("driver") or {}
    if holder and time.time() - float(holder["beat"]) < dead_after_s and not ended_here(holder):
        raise busy(holder)
    _beat(study, token)
    time.sleep(min(SETTLE_S, every_s))
    _refuse_if_taken(study, token)
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(every_s):
            # A database that is away for a moment is no reason to stop: the next beat tries again.
            with suppress(Exception):
                holder = study.facts["driver"]
                if holder is None:
                    continue
                if holder["token"] != token:
                    lost()
                    return
                _beat(study, token)

    heart = threading.Thread(target=beat, name="heartbeat", daemon=True)
    heart.start()
    try:
        yield
    finally:
        ended.set()
        heart.join()
        if (study.facts.get("driver") or {}).get("token") == token:
            study.set_facts({"driver": None})


def _taken(path: Path) -> int:
    """Return the descriptor that holds the lock."""
    while True:
        # Not through a link: what it leads to is nobody's lock, and would be overwritten.
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.exists() and path.stat().st_ino == os.fstat(file).st_ino:
                return file
        except OSError as error:
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                holder = _read(file)
                os.close(file)
                raise busy(holder, path.parent) from None
            os.close(file)
            raise
        os.close(file)


def _read(file: int) -> dict[str, Any]:
    try:
        holder = json.loads(os.pread(file, 1 << 16, 0))
    except ValueError:
        return {}
    return holder if isinstance(holder, dict) else {}


def holder_of(folder: str | Path) -> dict[str, Any]:
    """Return who drives the sweep in a folder at this moment (`host`, `pid`); empty where nobody does.

    Args:
        folder: of the sweep.
    """
    try:
        file = os.open(Path(folder) / LOCK, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return {}
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return _read(file) or {"host": "", "pid": 0}
    else:
        return {}
    finally:
        os.close(file)


def busy(holder: Mapping[str, Any], folder: Path | str | None = None) -> SweepError:
    """Return the error that tells a second driver of the first one.

    Args:
        holder: what the first one said of itself.
        folder: of the sweep; None: it is in a database.
    """
    who = f"process {holder['pid']} on {holder['host']}" if {"pid", "host"} <= set(holder) else "another process"
    return SweepError(f"{folder or 'the study'}: {who} is running this sweep; expected one driver at a time: wait for it, or stop it first")


def identity() -> dict[str, Any]:
    """Return who this driver is: its host and process."""
    return {"host": socket.gethostname(), "pid": os.getpid()}


def _beat(study: Study, token: str) -> None:
    study.set_facts({"driver": {**identity(), "token": token, "beat": time.time()}})


def _refuse_if_taken(study: Study, token: str) -> None:
    holder = study.facts["driver"]
    if holder is not None and holder["token"] != token:
        raise busy(holder)


def ended_here(holder: Mapping[str, Any]) -> bool:
    """Say whether the holder was a process of this machine that is gone."""
    if holder["host"] != socket.gethostname():
        return False
    try:
        os.kill(int(holder["pid"]), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
