"""Where a path leads: a local file or folder, or a bucket behind a URL.

Owns the file systems and what is said when nothing is there. Must not know what is in a file.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from search_spaces.errors import nearest
from tuner.errors import DatasetError

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

SHOWN_NAMES = 8
MAX_REASON = 300
GOOGLE_PATIENCE_S = 20


def is_url(path: str) -> bool:
    """Say whether a path names another file system, such as s3://bucket/data."""
    return "://" in path


def system_of(path: str) -> tuple["FileSystem", str]:
    """Return the file system of a path, and its path there.

    Raises:
        DatasetError: it is out of reach.
    """
    from pyarrow import fs

    if not is_url(path):
        return fs.LocalFileSystem(), str(Path(path).expanduser())
    with _reaching(path):
        return fs.FileSystem.from_uri(patient(path))


def patient(url: str) -> str:
    """Return a URL with the seconds after which a bucket that does not answer is given up; pyarrow's own are a quarter of an hour for Google's."""
    return f"{url}?retry_limit_seconds={GOOGLE_PATIENCE_S}" if url.startswith(("gs://", "gcs://")) and "?" not in url else url


def locate(path: str) -> tuple["FileSystem", str, bool]:
    """Return the file system of a path, its path there, and whether it is a folder.

    Raises:
        DatasetError: nothing is there, or it is out of reach.
    """
    from pyarrow import fs

    system, inner = system_of(path)
    with _reaching(path):
        info = system.get_file_info(inner)
    if info.type == fs.FileType.NotFound:
        where = "" if "://" in str(path) or Path(path).is_absolute() else f" below {Path.cwd()}, the working folder, where relative paths start"
        raise DatasetError(f"{path}: no such file or folder{where}; {_what_is_there(path)}")
    return system, inner, info.type == fs.FileType.Directory


@contextmanager
def _reaching(path: str) -> Iterator[None]:
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DatasetError(f"{path}: out of reach ({first_line(error)}); expected a path, or an s3:// or gs:// URL that this machine may read") from error


def first_line(error: BaseException, *, frame: re.Pattern[str] | None = None) -> str:
    """Return the first line of an error's message, without its frame and cut where it goes on and on, or its type where it has none.

    Args:
        error: as a library raised it.
        frame: what a library puts around its own words; it is left out.
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    line = lines[0] if lines else type(error).__name__
    line = frame.sub("", line) if frame else line
    return line if len(line) <= MAX_REASON else line[: MAX_REASON - 3] + "..."


def _what_is_there(path: str) -> str:
    """Return the tail of a message: the nearest name in the folder, or what the folder holds."""
    if is_url(path):
        return "check the bucket and the name"
    wanted = Path(path).expanduser()
    folder = wanted.parent
    if not folder.is_dir():
        return f"there is no folder {folder} either"
    try:
        names = sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        return f"its folder cannot be listed ({error.strerror})"
    suggestion = nearest(wanted.name, names) if names else ""
    if suggestion.startswith("did you mean"):
        return suggestion
    return f"{folder} holds {', '.join(names[:SHOWN_NAMES])}{', ...' if len(names) > SHOWN_NAMES else ''}" if names else f"{folder} is empty"
