"""What a run that was killed left on this machine, and its removal by the next run.

Owns the folders of our own Rays and of predictions: each is locked by the process that made it for as long as that lives, so that the next run knows
the dead ones without guessing. What still runs out of such a folder is ended with it. Must not know what ran there.
"""

import fcntl
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

OWNER = "owner.lock"
PREFIX = "tuner-ray-"  # short on purpose: Unix sockets live below, and their paths end at 107 characters
# So long a folder may be without its lock: between two lines of `folder`.
YOUNG_S = 60.0
# So long daemons that are killed may go on writing.
ENDING_S = 2.0
# Where Ray's own folder lies in one of ours.
RAY = "r"
_ours: list[str] = []


@contextmanager
def folder() -> Iterator[str]:
    """Make a folder for a Ray of our own, or for data, and remove it in the end; those of dead runs are removed first."""
    remove_dead()
    made = tempfile.mkdtemp(prefix=PREFIX)
    lock = os.open(f"{made}/.new", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        os.write(lock, str(os.getpid()).encode())
        os.rename(f"{made}/.new", f"{made}/{OWNER}")  # seen only when it is held
        _ours.append(made)
        yield made
    finally:
        if made in _ours:
            _ours.remove(made)
        _remove(Path(made))
        os.close(lock)


def end() -> None:
    """End what runs out of the folders of this process, and remove them: for an end at once, which leaves no context in order."""
    for made in _ours:
        _end_processes(Path(made))
        shutil.rmtree(made, ignore_errors=True)


def _remove(made: Path) -> None:
    """Remove a folder of this process, and what still writes there: the daemons of a Ray that failed to start have nobody else to end them."""
    _end_processes(made)
    shutil.rmtree(made, ignore_errors=True)
    until = time.monotonic() + ENDING_S
    while made.exists() and time.monotonic() < until:  # one that is killed may still be about to write
        time.sleep(0.05)
        _end_processes(made)
        shutil.rmtree(made, ignore_errors=True)


def others() -> list[int]:
    """Return the processes of this machine, of any user, that hold a folder of their own Ray now, and are not this one: as far as can be seen."""
    found = []
    for made in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError, ValueError):
            if str(made) not in _ours and (made / RAY).exists() and not _is_dead(made / OWNER):
                found.append(int((made / OWNER).read_text(encoding="ascii")))
    return sorted(found)


def remove_dead() -> None:
    """Remove the folders of this user's runs that were killed, and end what still runs out of them."""
    for made in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError):
            if made.stat().st_uid == os.getuid() and _is_dead(made / OWNER):
                _end_processes(made)
                shutil.rmtree(made, ignore_errors=True)


def _is_dead(owner: Path) -> bool:
    if not owner.exists():
        # Made a moment ago, or what is left of one that could not be removed whole.
        return time.time() - owner.parent.stat().st_mtime > YOUNG_S
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
