"""How the process of a trial comes to life: forked from the node's server where that is safe, else started afresh.

Owns the connection to the server (forkserver.py), which is looked for or started here. Must not know what the process is asked to do.
"""

import atexit
import contextlib
import hashlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol

from tuner.training import forkserver, keras_settings

START_S = 120.0


class Child(Protocol):
    """A started process, however it was started."""

    @property
    def pid(self) -> int: ...
    def kill(self) -> None: ...
    def status(self, timeout_s: float) -> int | None: ...
    def fileno(self) -> int: ...
    def close(self) -> None: ...


def start(log: int, *, gpus: bool, way: str = "auto") -> tuple[Connection, Child]:
    """Start the process of one trial.

    Args:
        log: file descriptor of the file that its output goes to.
        gpus: whether it will use any.
        way: `fork`, `spawn`, or `auto`: fork where that is safe.

    Returns:
        The connection for requests, and the process.

    Raises:
        ServerLost: the node's server cannot be started, or went away.
        ValueError: another way.
    """
    if way not in ("auto", "fork", "spawn"):
        raise ValueError(f"start: got {way!r}; expected 'auto', 'fork' or 'spawn'")
    ours, theirs = socket.socketpair()
    try:
        child = _forked((theirs.fileno(), log)) if way == "fork" or (way == "auto" and is_forked(gpus)) else _Spawned((theirs.fileno(), log))
        return Connection(ours.detach()), child
    finally:
        theirs.close()
        ours.close()


def is_forked(gpus: bool) -> bool:
    """Say whether a trial's process is forked, unless one asks for something else: on Linux, without GPUs."""
    # CUDA does not outlive a fork. The server never touches it, but that has not been tried with every version: a fresh process is safe.
    return forks_here() and not gpus


def forks_here() -> bool:
    """Say whether this system lets a process with TensorFlow be forked: Linux."""
    return sys.platform == "linux"


def warm() -> None:
    """Let the node's server load TensorFlow now, and keep it alive as long as this process lives. Safe to call again.

    Raises:
        ServerLost: it cannot be started.
    """
    with _lock:
        if not forks_here() or (_holders and _holders[0].is_connected()):
            return
        while _holders:
            _holders.pop().close()
        client = Client()
        try:
            client.hold()
        except BaseException:
            client.close()
            raise
        _holders.append(client)


@contextlib.contextmanager
def ahead() -> Iterator[None]:
    """Let the server of this node begin to load TensorFlow while other things are done, and keep it until the end of the context."""
    with contextlib.ExitStack() as held:
        # Where it cannot start, the first trial says so.
        with contextlib.suppress(forkserver.ServerLost):
            if forks_here():
                client = Client()
                held.callback(client.close)
                client.ask_to_stay()
        yield


def cool() -> None:
    """Let go of the servers that `warm` keeps alive: they end soon after the last process that uses them."""
    with _lock:
        while _holders:
            _holders.pop().close()


def _forked(files: tuple[int, int]) -> Child:
    try:
        return _forked_once(files)
    except forkserver.ServerLost:
        # It may have been reached in the moment in which it ended: then the next attempt starts another.
        return _forked_once(files)


def _forked_once(files: tuple[int, int]) -> Child:
    warm()
    client = Client()
    try:
        client.fork(files)
    except BaseException:
        client.close()
        raise
    return client


class _Spawned:
    """A process that was started afresh."""

    def __init__(self, files: tuple[int, int]) -> None:
        # The child holds the other end of this pipe as long as it lives.
        self._alive, end = os.pipe()
        code = "import sys; sys.path[:] = sys.argv[4:]; from tuner.training import forkserver; forkserver.become_child(*map(int, sys.argv[1:4]))"
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-c", code, *map(str, (*files, os.getpid())), *sys.path],
                env={**os.environ, **forkserver.QUIET},
                pass_fds=(*files, end),
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=files[1],
                stderr=files[1],
            )
        finally:
            os.close(end)
        self.pid = self._process.pid

    def kill(self) -> None:
        self._process.kill()

    def status(self, timeout_s: float) -> int | None:
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None

    def fileno(self) -> int:
        return self._alive

    def close(self) -> None:
        os.close(self._alive)


class Client:
    """A connection to the node's server, which it starts where there is none."""

    def __init__(self) -> None:
        self._socket = _connected()
        self.pid = 0
        self._status: int | None = None

    def fork(self, files: tuple[int, ...]) -> int:
        """Fork the one child of this connection and return its pid.

        Args:
            files: file descriptors that the child gets, for `tuner.child.serve`.

        Raises:
            forkserver.ServerLost: the server went away, or cannot import TensorFlow.
        """
        request = {"environment": {**os.environ, **forkserver.QUIET}, "folder": os.getcwd(), "path": sys.path}
        self._send(request, files)
        answer = self._receive(START_S)
        if answer is None or "pid" not in answer:
            raise forkserver.ServerLost(f"the forkserver cannot fork: {(answer or {}).get('error', 'it does not answer')}")
        self.pid = int(answer["pid"])
        return self.pid

    def hold(self) -> None:
        """Wait until the server is ready, and keep it alive while this connection is open.

        Raises:
            ServerLost: it went away before it was ready.
        """
        self.ask_to_stay()
        answer = self._receive(START_S)
        if answer is None or "error" in answer:
            raise forkserver.ServerLost(f"the forkserver cannot start: {(answer or {}).get('error', 'it does not answer')}")

    def ask_to_stay(self) -> None:
        """Keep the server alive while this connection is open, without waiting until it is ready."""
        self._send({}, ())

    def is_connected(self) -> bool:
        """Say whether the server is still there; for a connection that holds it."""
        return not select.select([self._socket], [], [], 0)[0]

    def kill(self) -> None:
        """Ask for the child's death; `status` tells when it has come."""
        if self._status is not None:
            return
        with contextlib.suppress(OSError):
            self._socket.sendall(b"{}\n")

    def status(self, timeout_s: float) -> int | None:
        """Return the child's exit code, negative for a signal; None where the server does not say in time."""
        if self._status is None:
            try:
                answer = self._receive(timeout_s)
                self._status = None if answer is None else answer["status"]
            except forkserver.ServerLost:
                # The kernel kills the children of a server that is gone.
                self._status = -signal.SIGKILL
        return self._status

    def fileno(self) -> int:
        """Return the descriptor that becomes readable when the child has ended."""
        return self._socket.fileno()

    def close(self) -> None:
        """Let go; a child that still lives is killed."""
        self._socket.close()

    def _send(self, message: dict[str, Any], files: tuple[int, ...]) -> None:
        try:
            content = json.dumps(message).encode() + b"\n"
            sent = socket.send_fds(self._socket, [content], list(files))
            self._socket.sendall(content[sent:])
        except OSError as error:
            raise forkserver.ServerLost(f"the forkserver went away ({error})") from error

    def _receive(self, timeout_s: float) -> dict[str, Any] | None:
        self._socket.settimeout(timeout_s)
        try:
            content = b""
            while not content.endswith(b"\n"):
                part = self._socket.recv(1 << 16)
                if not part:
                    raise forkserver.ServerLost("the forkserver went away")
                content += part
        except TimeoutError:
            return None
        except OSError as error:
            raise forkserver.ServerLost(f"the forkserver went away ({error})") from error
        return json.loads(content)


def _connected() -> socket.socket:
    deadline = time.monotonic() + START_S
    with forkserver.locked(_folder()) as folder:
        path = folder / f"{_key()}.socket"
        server: subprocess.Popen | None = None
        while True:
            connection = socket.socket(socket.AF_UNIX)
            if _reaches(connection, path):
                return connection
            connection.close()
            if server is None:
                _sweep(folder)
                # Its parent ends at once: a server that were a child of a Ray worker would be killed with it.
                code = "import sys; sys.path[:] = sys.argv[2:]; from tuner.training import forkserver; forkserver.detach(sys.argv[1])"
                nowhere: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
                command = [sys.executable, "-c", code, str(path), *sys.path]
                server = subprocess.Popen(command, env={**os.environ, **forkserver.QUIET}, start_new_session=True, **nowhere)
                server.wait()
            if time.monotonic() > deadline:
                raise forkserver.ServerLost(f"the forkserver did not start within {START_S:.0f} s")
            time.sleep(0.005)


def _reaches(connection: socket.socket, path: Path) -> bool:
    try:
        connection.connect(str(path))
    except (FileNotFoundError, ConnectionRefusedError):
        return False
    except BaseException:
        connection.close()
        raise
    return True


def _sweep(folder: Path) -> None:
    """Remove the sockets that servers left behind when they were killed."""
    for path in folder.glob("*.socket"):
        with socket.socket(socket.AF_UNIX) as probe:
            if not _reaches(probe, path):
                path.unlink(missing_ok=True)


def _folder() -> Path:
    """Return the folder of this user's sockets; it is there only as long as a server is."""
    folder = Path(tempfile.gettempdir()) / f"tuner-{os.getuid()}"
    # The path of a socket is limited to about 104 bytes.
    return folder if len(str(folder)) < 80 else Path("/tmp") / folder.name


def _key() -> str:
    """Name the server of this interpreter, this very code, and all that TensorFlow and Keras read when they are imported."""
    here = Path(__file__).resolve().parents[2]
    files = sorted(file for package in ("tuner", "search_spaces") for file in (here / package).rglob("*.py"))
    code = [f"{file.relative_to(here)}{file.stat().st_mtime_ns}" for file in files]
    parts = [sys.executable, str(here), *code, keras_settings.fingerprint({**os.environ, **forkserver.QUIET})]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


_lock = threading.Lock()
_holders: list[Client] = []  # one at most
atexit.register(cool)
