"""Where a sweep's files are kept besides its folder: a bucket, or a folder that all nodes share.

Owns the words of such a place, and how files get there and back: whole or not at all. Credentials and endpoints are those of the environment, on each
machine its own; none is ever part of a place. Must not know what the files are.
"""

import os
import secrets
from pathlib import Path
from typing import Any
from urllib.parse import quote

from cluster.errors import ClusterError, one_line
from cluster.targets import on_every_node

SCHEMES = ("s3", "gs")
EXPECTED = "expected s3://bucket/path, gs://bucket/path, or the absolute path of a folder that all nodes share"


def check(place: str) -> None:
    """Refuse what is no place for files. Looks nowhere.

    Raises:
        ValueError: it is none, or holds what belongs to the environment.
    """
    if "://" not in place:
        if not place.startswith("/"):
            raise ValueError(f"got {place!r}; {EXPECTED}")
        return
    scheme, _, rest = place.partition("://")
    if scheme not in SCHEMES:
        hint = "; a database for the study is named by `database`" if "sql" in scheme else ""
        raise ValueError(f"got a place of the kind {scheme}://; {EXPECTED}{hint}")
    if "@" in rest or "?" in rest:
        raise ValueError("got credentials or options in a URL, which the sweep's records would show; expected them in AWS_* variables or the cloud's files")
    if not rest.strip("/"):
        raise ValueError(f"got {place!r}; {EXPECTED}")


def is_bucket(place: str) -> bool:
    """Say whether a place is a bucket, and no folder."""
    return "://" in place


class Storage:
    """A place for files, by their names below it.

    Every method raises OSError where the place is out of reach or refuses.

    Args:
        place: as `check` takes it.
    """

    def __init__(self, place: str) -> None:
        self.place = place.rstrip("/")
        # Blanks and letters beyond ASCII are written so in an address; and one request for a small file instead of three.
        uri = quote(self.place, safe=":/%")
        self._uri = f"{uri}?allow_delayed_open=true" if place.startswith("s3://") else uri
        self._system: Any = None
        self._root = ""

    def put(self, name: str, content: bytes) -> None:
        """Write a file; whoever reads it meanwhile gets the one before, whole.

        Args:
            name: of the file in the place.
            content: all of it.
        """
        if not is_bucket(self.place):
            path = Path(self.place) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            aside = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
            try:
                aside.write_bytes(content)
                aside.replace(path)
            finally:
                aside.unlink(missing_ok=True)
            return
        system, path_there = self._there(name)
        with system.open_output_stream(path_there) as stream:  # a bucket shows an object once it is whole
            stream.write(content)

    def get(self, name: str) -> bytes | None:
        """Return a file; None where there is none."""
        system, path = self._there(name)
        try:
            with system.open_input_stream(path) as stream:
                return stream.read()
        except FileNotFoundError:
            return None

    def sizes(self, folder: str = "") -> dict[str, int]:
        """Return the bytes of each file below a folder of the place, by its name there; empty where there is none."""
        from pyarrow import fs

        system, path = self._there(folder)
        listing = system.get_file_info(fs.FileSelector(path, recursive=True, allow_not_found=True))
        return {info.path.removeprefix(path).lstrip("/"): info.size for info in listing if info.type == fs.FileType.File}

    def remove(self, name: str) -> None:
        """Remove a file; nothing happens where there is none."""
        system, path = self._there(name)
        try:
            system.delete_file(path)
        except FileNotFoundError:
            return

    def upload(self, folder: Path, name: str, *, last: str) -> None:
        """Make a folder of the place hold the files of a folder here.

        Args:
            folder: here.
            name: there.
            last: the file that names the others. It is written after them, and before those that it named earlier go.
        """
        here = sorted((path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")), key=lambda path: path.name == last)
        for path in here:
            self.put(f"{name}/{path.name}", path.read_bytes())
        for old in set(self.sizes(name)) - {path.name for path in here}:
            self.remove(f"{name}/{old}")

    def download(self, name: str, folder: Path) -> None:
        """Copy the files of a folder of the place to one here, which is made where there are any.

        Args:
            name: of the folder in the place.
            folder: of this machine.
        """
        for file in self.sizes(name):
            content = self.get(f"{name}/{file}")
            if content is not None:
                folder.mkdir(parents=True, exist_ok=True)
                (folder / file).write_bytes(content)

    def _there(self, name: str) -> tuple[Any, str]:
        import pyarrow as pa
        from pyarrow import fs

        if self._system is None:
            try:
                self._system, self._root = fs.FileSystem.from_uri(self._uri) if is_bucket(self.place) else (fs.LocalFileSystem(), self.place)
            except pa.ArrowException as error:  # what pyarrow was built without
                raise OSError(one_line(error)) from error
        return self._system, f"{self._root}/{name}".rstrip("/")


class States:
    """The states of trials in a bucket, one folder per number; see shelf.py."""

    def __init__(self, place: str) -> None:
        self._storage = Storage(place)

    def sizes(self) -> dict[int, int]:
        """Return the bytes of each trial's state."""
        sizes: dict[int, int] = {}
        for name, size in self._storage.sizes().items():
            number, _, file = name.partition("/")
            if number.isdigit() and file:
                sizes[int(number)] = sizes.get(int(number), 0) + size
        return sizes

    def remove(self, number: int) -> None:
        """Remove the state of a trial: first the file that names the others."""
        for file in sorted(self._storage.sizes(str(number)), key=lambda name: not name.endswith(".json")):
            self._storage.remove(f"{number}/{file}")


def check_nodes(place: str, *, required: bool) -> list[str]:
    """Ask every node of the connected cluster whether it reaches a place and finds there what the driver wrote.

    Args:
        place: a bucket's URL, or a folder.
        required: whether a sweep cannot go on without it.

    Returns:
        What is wrong, one line per node that cannot write there, or finds its own folder instead of the driver's.

    Raises:
        ClusterError: something is wrong, and the place is required.
    """
    import ray

    storage, sign = Storage(place), f".tuner-{secrets.token_hex(8)}"
    try:
        storage.put(sign, b"")
        names = {node["NodeID"]: node["NodeManagerHostname"] for node in ray.nodes()}
        answers = on_every_node(_refused, place, sign, timeout_s=60.0)
        storage.remove(sign)
    except OSError as error:
        raise ClusterError(f"{place}: cannot be written to by the driver ({one_line(error)})") from error
    said = {node: one_line(answer) if isinstance(answer, Exception) else answer for node, answer in answers.items()}
    wrong = [f"{place}: node {names.get(node, node[:6])} {why}" for node, why in said.items() if why]
    if wrong and required:
        raise ClusterError(f"storage: {wrong[0]}; expected a bucket or a folder that every node may write to, with credentials in each node's environment")
    return wrong


def _refused(place: str, sign: str) -> str | None:
    """Return what hinders this node; None where nothing does."""
    storage, own = Storage(place), f"{sign}-{os.urandom(4).hex()}"
    try:
        if sign not in storage.sizes():
            return "does not find there what the driver wrote: it has a folder of its own by that name, or none"
        storage.put(own, b"")
        storage.remove(own)
    except OSError as error:
        return f"cannot write there ({one_line(error)})"
    return None
