"""What a run that was killed left on this machine, and its removal by the next run.

Owns the folders of our own Rays and of predictions: each is locked by the process that made it for as long as that lives, so that the next run knows
the dead ones without guessing. What still runs out of such a folder is ended with it. Must not know what ran there.
"""

import fcntl
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

OWNER = "owner.lock"
PREFIX = "tuner-ray-"  # short on purpose: Unix sockets live below, and their paths end at 107 characters
_ours: list[str] = []


@contextmanager
def folder() -> Iterator[str]:
    """Make a folder for a Ray of our own, or for data, and remove it in the end; those of dead runs are removed first."""
    remove_dead()
    made = tempfile.mkdtemp(prefix=PREFIX)
    lock = os.open(f"{made}/.new", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        os.rename(f"{made}/.new", f"{made}/{OWNER}")  # seen only when it is held
        _ours.append(made)
        yield made
    finally:
        if made in _ours:
            _ours.remove(made)
        shutil.rmtree(made, ignore_errors=True)
        os.close(lock)


def end() -> None:
    """End what runs out of the folders of this process, and remove them: for an end at once, which leaves no context in order."""
    for made in _ours:
        _end_processes(Path(made))
        shutil.rmtree(made, ignore_errors=True)


def remove_dead() -> None:
    """Remove the folders of this user's runs that were killed, and end what still runs out of them."""
    for made in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError):
            if made.stat().st_uid == os.getuid() and _is_dead(made / OWNER):
                _end_processes(made)
                shutil.rmtree(made, ignore_errors=True)


def _is_dead(owner: Path) -> bool:
    if not owner.exists():
        return False
    lock = os.open(owner, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(lock)
    return True


def _end_processes(made: Path) -> None:
    """Kill the processes that have a file of the folder open (Linux): daemons of a Ray that lost its driver.

    Ray 2.60 ends most of its processes with the driver, but the agents of a node live on without parent; their command lines say nothing.
    """
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if int(entry.name) != os.getpid() and entry.stat().st_uid == os.getuid() and _has_open(entry, f"{made}/"):
                os.kill(int(entry.name), signal.SIGKILL)


def _has_open(process: Path, folder: str) -> bool:
    for file in (process / "fd").iterdir():
        with suppress(OSError):
            if os.readlink(file).startswith(folder):
                return True
    return False
