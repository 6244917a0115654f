"""Files written whole or not at all, with patience: storage that refuses is asked again for two minutes, and then the sweep ends with one line.

Must not know what is written.
"""

import os
import secrets
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tuner.errors import SweepError

# Storage that refuses is asked again after these pauses (seconds): two minutes in all.
PAUSES_S = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0)


def patiently(write: Callable[[], object], place: str | Path, pauses_s: Sequence[float] = PAUSES_S) -> None:
    """Call a function that writes, again where the storage refuses.

    Args:
        write: may be called several times.
        place: what it writes, for the message.
        pauses_s: how long to wait before each further attempt.

    Raises:
        SweepError: it refuses for too long.
    """
    for pause in (*pauses_s, None):
        try:
            write()
        except BrokenPipeError:  # no storage: whoever read what is printed has gone
            raise
        except OSError as error:
            if pause is None:
                raise cannot_write(place, error) from error
            time.sleep(pause)
        else:
            return


def write_whole(path: Path, content: str | bytes, *, private: bool = False) -> None:
    """Put a file in the place of what was there, in one step; a private one is for this user's eyes only.

    Args:
        path: of the file.
        content: all of it; text becomes UTF-8.
        private: only this user may read it.

    Raises:
        SweepError: the storage refuses for too long; what was there is still whole.
    """
    patiently(lambda: _write(path, content.encode() if isinstance(content, str) else content, 0o600 if private else 0o666), path)


def cannot_write(place: str | Path, error: OSError) -> SweepError:
    """Return what tells people that storage refuses.

    Args:
        place: what could not be written.
        error: what the system said.
    """
    return SweepError(f"{place}: cannot be written ({error.strerror or error}); make room or mend the storage, then run the same command again to go on")


def _write(path: Path, content: bytes, mode: int) -> None:
    # A name that nobody can guess and put a link at, and never through one.
    aside = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}")
    try:
        with open(aside, "wb", opener=lambda name, flags: os.open(name, flags | os.O_EXCL | os.O_NOFOLLOW, mode)) as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
