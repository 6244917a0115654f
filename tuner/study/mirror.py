"""A sweep's folder, kept in its storage as well: the journal every few seconds, results as they come. Another machine can go on from there.

Owns what is copied and when, that the copy of the journal always ends with a whole record, which of two journals is the newer one, and that one driver at
a time writes there. A storage that refuses is spoken of and tried again; the sweep goes on meanwhile. Must not know what a record means.
"""

import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cluster.errors import one_line
from tuner.errors import SweepError
from tuner.study.backends import JOURNAL
from tuner.study.builder_copy import FOLDER
from tuner.study.lock import busy, ended_here, identity
from tuner.study.storage import Storage, check
from tuner.study.writing import write_whole

RESULTS = ("leaderboard.parquet", "report.html", "report.md", "model.keras", "model.json", "MODEL_CARD.md", "split.npz")
CHECKPOINTS = "checkpoints"
DRIVER = "driver.json"
EVERY_S = 5.0
# A journal that takes long to copy is copied less often: so many times as long as the copy took.
TIMES_A_COPY, LONGEST_PAUSE_S = 10.0, 20.0
# A driver that has written no sign of life for so long is taken as gone.
DEAD_AFTER_S = 6 * EVERY_S


@contextmanager
def mirrored(folder: Path, place: str, *, tell: Callable[[str], object], interrupted: threading.Event) -> Iterator["Mirror"]:
    """Bring a sweep's folder up to date from its storage, and keep the storage up to date until the end.

    Args:
        folder: of the sweep, locked by this driver.
        place: where the storage keeps it.
        tell: is called with what people should know, from any thread.
        interrupted: set where another driver has taken over.

    Raises:
        SweepError: the storage is out of reach, another driver is at work, or folder and storage hold two different sweeps.
    """
    mirror = Mirror(folder, Storage(place), tell=tell, interrupted=interrupted)
    try:
        mirror.take()
        for line in fetch(mirror.storage, folder):
            tell(line)
    except OSError as error:
        raise SweepError(f"storage: {place} cannot be used ({one_line(error)}); expected a place that this machine may read and write") from error
    keeper = threading.Thread(target=mirror.keep, name="mirror", daemon=True)
    keeper.start()
    try:
        yield mirror
    finally:
        mirror.end()
        keeper.join()
    if mirror.lost:
        raise SweepError(mirror.lost)


def fetch(storage: Storage, folder: Path) -> list[str]:
    """Bring a folder up to date from a storage, where that knows more than the folder.

    Args:
        storage: where the sweep is kept.
        folder: of the sweep here.

    Returns:
        What was done, one line each.

    Raises:
        SweepError: their journals are of two different sweeps.
        OSError: the storage is out of reach.
    """
    theirs, ours = storage.get(JOURNAL) or b"", _whole_records(folder / JOURNAL)
    if not theirs or ours.startswith(theirs):
        return []
    if not theirs.startswith(ours):
        raise SweepError(
            f"storage: {storage.place} and {folder} hold journals of two different sweeps; expected one and the same: give the new one another name or "
            "storage, or remove the one that is not wanted"
        )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / JOURNAL).with_suffix(".end").unlink(missing_ok=True)  # of the shorter journal
    sources = [f"{FOLDER}/{name}" for name in storage.sizes(FOLDER)]
    for name in (*RESULTS, *sources, JOURNAL):  # the journal last: killed in between, all of it is fetched again
        content = theirs if name == JOURNAL else storage.get(name)
        if content is not None:
            if not (folder / name).resolve().is_relative_to(folder.resolve()):
                raise SweepError(f"storage: {storage.place} holds {name!r}, which leads out of a sweep's folder")
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            write_whole(folder / name, content)
    return [f"the sweep goes on from {storage.place}, which knows {'more of it' if ours else 'it'}"]


def brought_here(place: str) -> Path:
    """Return the folder below the working folder that a kept sweep goes on in, up to date with the storage.

    Args:
        place: where a storage keeps the sweep.

    Raises:
        SweepError: no sweep is kept there, or it is out of reach.
    """
    try:
        check(place)
        storage, folder = Storage(place), Path("sweeps") / place.rstrip("/").rpartition("/")[2]
        if storage.get(JOURNAL) is None:
            raise SweepError(f"{place}: no sweep is kept there ({JOURNAL} is missing); expected the spec's storage and the sweep's name, s3://bucket/path/NAME")
        fetch(storage, folder)
    except (OSError, ValueError) as error:
        raise SweepError(f"{place}: out of reach ({one_line(error)}); expected where a storage keeps a sweep, such as s3://bucket/path/NAME") from error
    return folder


class Mirror:
    """What of a folder is in the storage.

    Args:
        folder, storage, tell, interrupted: see `mirrored`.

    Attributes:
        lost: who has taken over, in one line; empty as long as nobody has.
    """

    def __init__(self, folder: Path, storage: Storage, *, tell: Callable[[str], object], interrupted: threading.Event) -> None:
        self.storage = storage
        self._folder = folder
        self._tell = tell
        self._interrupted = interrupted
        self._token = secrets.token_hex(8)
        self._beats = 0
        self._seen: dict[str, tuple[int, int]] = {}
        self._ended = threading.Event()
        self._refused = False
        self._pause_s = EVERY_S
        self.lost = ""

    def take(self) -> None:
        """Become the one driver of this storage.

        Raises:
            SweepError: another one is at work, or the user asked to stop.
            OSError: the storage is out of reach.
        """
        driver, until = self._driver(), time.monotonic() + DEAD_AFTER_S
        if driver and not ended_here(driver) and {**driver, **identity()} != driver:
            self._tell(f"storage: {self.storage.place} was last used by {_who(driver)}; waiting {DEAD_AFTER_S:g} s for a sign of life")
            while time.monotonic() < until:
                if self._interrupted.wait(DEAD_AFTER_S / 30):
                    raise SweepError("interrupted; run the same command again to go on")
                now = self._driver()
                if now != driver and now:
                    raise busy(now, self.storage.place)
                if not now:
                    break
        self._beat()

    def keep(self) -> None:
        """Copy what changes, until `end`. The last copy is made after it."""
        while not self._ended.wait(self._pause_s):
            self._copy()
        self._copy()
        if not self.lost and not self._refused:
            with suppress(OSError):
                self.storage.remove(DRIVER)

    def end(self) -> None:
        """Let `keep` come to its end."""
        self._ended.set()

    def _copy(self) -> None:
        if self.lost:
            return
        began = time.monotonic()
        try:
            driver = self._driver()
            if driver and driver["token"] != self._token:
                self.lost = f"storage: {_who(driver)} has taken the sweep in {self.storage.place} over; this driver stops"
                self._interrupted.set()
                return
            self._beat()
            sources = [str(path.relative_to(self._folder)) for path in sorted((self._folder / FOLDER).rglob("*.py"))]
            for name in (JOURNAL, *RESULTS, *sources):
                self._copy_file(name)
        except OSError as error:
            if not self._refused:
                self._tell(f"storage: {self.storage.place} cannot be written to ({one_line(error)}); tried again, and the sweep goes on in {self._folder}")
            self._refused = True
        else:
            if self._refused:
                self._tell(f"storage: {self.storage.place} is up to date again")
            self._refused = False
        self._pause_s = min(LONGEST_PAUSE_S, max(EVERY_S, TIMES_A_COPY * (time.monotonic() - began)))

    def _copy_file(self, name: str) -> None:
        path = self._folder / name
        try:
            state = path.stat()
        except FileNotFoundError:
            return
        mark = (state.st_size, state.st_mtime_ns)
        if self._seen.get(name) == mark:
            return
        self.storage.put(name, _whole_records(path) if name == JOURNAL else path.read_bytes())
        self._seen[name] = mark

    def _driver(self) -> dict:
        try:
            driver = json.loads(self.storage.get(DRIVER) or b"{}")
        except ValueError:
            return {}
        return driver if isinstance(driver, dict) and {"host", "pid", "token"} <= set(driver) else {}

    def _beat(self) -> None:
        self._beats += 1
        self.storage.put(DRIVER, json.dumps({**identity(), "token": self._token, "beat": self._beats}).encode())


def _whole_records(path: Path) -> bytes:
    """Return a journal without the record that is being written."""
    content = path.read_bytes() if path.exists() else b""
    return content[: content.rfind(b"\n") + 1]


def _who(driver: dict) -> str:
    return f"process {driver['pid']} on {driver['host']}"
