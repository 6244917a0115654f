"""One process per node that has TensorFlow loaded and forks a fresh child of itself for every trial, in milliseconds.

Shared by all workers of one user on a node, so that TensorFlow is imported once. It starts with the first client and ends soon after the last one.
It never touches a device and has one thread: both are what makes forking safe. Must not know what its children do: `tuner.child.serve` does.

A connection to its socket is one child's life: the client sends a request with file descriptors, and is told the child's pid and, in the end, its exit
status. When the client goes away, by whatever end, its child is killed; when the server goes away, the kernel kills all children.
"""

import contextlib
import ctypes
import fcntl
import gc
import hashlib
import json
import os
import select
import selectors
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

LINGER_S = 5.0
START_S = 120.0
QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "GRPC_VERBOSITY": "ERROR", "ABSL_MIN_LOG_LEVEL": "3"}
_PR_SET_PDEATHSIG = 1
_LARGEST_MESSAGE = 1 << 20


class ServerLost(RuntimeError):
    """The server could not be started, or went away."""


class Client:
    """A connection to the node's server, which it starts where there is none.

    Args:
        settings: variables of the environment that TensorFlow reads when it is loaded; each set of them has a server of its own.
    """

    def __init__(self, settings: Mapping[str, str]) -> None:
        self._settings = {**QUIET, **settings}
        self._socket = _connected(self._settings)
        self.pid = 0
        self._status: int | None = None

    def fork(self, files: tuple[int, ...]) -> int:
        """Fork the one child of this connection and return its pid.

        Args:
            files: file descriptors that the child gets, for `tuner.child.serve`.

        Raises:
            ServerLost: the server went away, or cannot import TensorFlow.
        """
        request = {"environment": {**os.environ, **self._settings}, "folder": os.getcwd(), "path": sys.path}
        self._send(request, files)
        answer = self._receive(START_S)
        if answer is None or "pid" not in answer:
            raise ServerLost(f"the forkserver cannot fork: {(answer or {}).get('error', 'it does not answer')}")
        self.pid = int(answer["pid"])
        return self.pid

    def hold(self) -> None:
        """Wait until the server is ready, and keep it alive while this connection is open."""
        self._send({}, ())
        answer = self._receive(START_S)
        if answer is None or "error" in answer:
            raise ServerLost(f"the forkserver cannot start: {(answer or {}).get('error', 'it does not answer')}")

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
            except ServerLost:
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
            raise ServerLost(f"the forkserver went away ({error})") from error

    def _receive(self, timeout_s: float) -> dict[str, Any] | None:
        self._socket.settimeout(timeout_s)
        try:
            content = b""
            while not content.endswith(b"\n"):
                part = self._socket.recv(1 << 16)
                if not part:
                    raise ServerLost("the forkserver went away")
                content += part
        except TimeoutError:
            return None
        except OSError as error:
            raise ServerLost(f"the forkserver went away ({error})") from error
        return json.loads(content)


def _connected(settings: Mapping[str, str]) -> socket.socket:
    deadline = time.monotonic() + START_S
    with _locked(_folder()) as folder:
        path = folder / f"{_key(settings)}.socket"
        server: subprocess.Popen | None = None
        while True:
            found = socket.socket(socket.AF_UNIX)
            if _reaches(found, path):
                return found
            found.close()
            if server is None:
                _sweep(folder)
                # Its parent ends at once: a server that were a child of a Ray worker would be killed with it.
                code = "import sys; sys.path[:] = sys.argv[2:]; from tuner import forkserver; forkserver.detach(sys.argv[1])"
                nowhere: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
                server = subprocess.Popen([sys.executable, "-c", code, str(path), *sys.path], env={**os.environ, **settings}, start_new_session=True, **nowhere)
                server.wait()
            if time.monotonic() > deadline:
                raise ServerLost(f"the forkserver did not start within {START_S:.0f} s")
            time.sleep(0.005)


def _reaches(found: socket.socket, path: Path) -> bool:
    try:
        found.connect(str(path))
    except (FileNotFoundError, ConnectionRefusedError):
        return False
    except BaseException:
        found.close()
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


def _key(settings: Mapping[str, str]) -> str:
    """Name the server of this interpreter, this very code and these settings."""
    here = Path(__file__).resolve().parent
    files = [*here.glob("*.py"), *(here.parent / "search_spaces").glob("*.py")]
    code = [f"{file.name}{file.stat().st_mtime_ns}" for file in sorted(files)]
    known = [sys.executable, str(here), *code, *map(str, sorted(settings.items())), os.environ.get("TF_ENABLE_ONEDNN_OPTS", "")]
    return hashlib.sha256("\n".join(known).encode()).hexdigest()[:12]


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[Path]:
    """Be alone in the folder, making it where there is none: servers are found, started and ended one at a time."""
    while True:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
            raise ServerLost(f"{folder}: is not a folder of this user alone; remove it")
        lock = _lock(folder)
        if lock is not None:
            try:
                yield folder
                return
            finally:
                os.close(lock)


def _lock(folder: Path) -> int | None:
    """Return the descriptor that holds the lock of a folder; None where a server that ended meanwhile took the folder with it."""
    lock = None
    try:
        lock = os.open(folder, os.O_RDONLY)
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.lstat().st_ino == os.fstat(lock).st_ino:
            return lock
    except FileNotFoundError:
        pass
    if lock is not None:
        os.close(lock)
    return None


# ---- the server's own process


def detach(path: str) -> None:
    """Begin to listen, go on in a process without a parent, and serve there."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(128)
    if os.fork():
        os._exit(0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _Server(listener, Path(path)).run()


class _Server:
    def __init__(self, listener: socket.socket, path: Path) -> None:
        self._listener = listener
        self._path = path
        self._selector = selectors.DefaultSelector()
        self._children: dict[int, socket.socket] = {}  # pid -> the connection that owns it; a child that is still alive
        self._error = ""

    def run(self) -> None:
        try:
            _preload()
        except BaseException as error:
            self._error = f"{type(error).__name__}: {error}"
        waker, wakes = socket.socketpair()
        for one in (waker, wakes, self._listener):
            one.setblocking(False)
        signal.set_wakeup_fd(wakes.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        self._selector.register(waker, selectors.EVENT_READ, self._reap)
        while True:
            idle_since = time.monotonic()
            while time.monotonic() - idle_since < LINGER_S:
                for key, _ in self._selector.select(1.0):
                    key.data(key.fileobj)
                if self._children or len(self._selector.get_map()) > 2:
                    idle_since = time.monotonic()
            # Clients connect under the same lock: none can come between the last look and the end.
            with _locked(self._path.parent) as folder:
                if not self._selector.select(0):
                    self._path.unlink(missing_ok=True)
                    with contextlib.suppress(OSError):
                        folder.rmdir()
                    return

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            connection, _ = listener.accept()
            connection.setblocking(True)
            connection.settimeout(10.0)
            self._selector.register(connection, selectors.EVENT_READ, self._request)

    def _request(self, connection: socket.socket) -> None:
        pid = next((pid for pid, owner in self._children.items() if owner is connection), None)
        try:
            content, files, _, _ = socket.recv_fds(connection, _LARGEST_MESSAGE, 8)
            while content and not content.endswith(b"\n"):
                content += connection.recv(_LARGEST_MESSAGE)
        except OSError:
            content, files = b"", []
        if pid is not None:
            # Whatever the owner of a child says now, or its silence, is a wish for the child's death.
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if not content:
            self._selector.unregister(connection)
            connection.close()
        elif pid is None:
            self._answer(connection, json.loads(content), files)
        for file in files:
            os.close(file)

    def _answer(self, connection: socket.socket, request: dict[str, Any], files: list[int]) -> None:
        if self._error:
            _tell(connection, {"error": self._error})
        elif not request:
            _tell(connection, {"ready": True})
        else:
            try:
                pid = os.fork()
            except OSError as error:
                _tell(connection, {"error": str(error)})
                return
            if pid == 0:
                self._become_child(request, files)
            self._children[pid] = connection
            _tell(connection, {"pid": pid})

    def _become_child(self, request: dict[str, Any], files: list[int]) -> None:
        try:
            _die_with_parent()
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for key in list(self._selector.get_map().values()):
                key.fileobj.close()  # type: ignore[union-attr]
            self._selector.close()
            os.environ.clear()
            os.environ.update(request["environment"])
            with contextlib.suppress(OSError):
                os.chdir(request["folder"])
            sys.path[:] = request["path"]
            from tuner import child

            child.serve(*files)
        finally:
            os._exit(1)

    def _reap(self, waker: socket.socket) -> None:
        waker.recv(4096)
        while self._children:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            connection = self._children.pop(pid, None)
            if connection is not None:
                _tell(connection, {"status": os.waitstatus_to_exitcode(status)})


def _tell(connection: socket.socket, message: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):
        connection.sendall(json.dumps(message).encode() + b"\n")


def _preload() -> None:
    """Import all that a trial needs. Nothing here may list or initialise a device, nor start a thread."""
    import keras
    import tensorflow as tf

    from search_spaces import network
    from tuner import child

    del keras, tf, network, child
    gc.collect()
    gc.freeze()


def become_child(requests: int, log: int, parent: int) -> None:
    """Serve one trial in a process that was started afresh, until its parent ends."""
    _die_with_parent()
    if os.getppid() != parent:
        return
    from tuner import child

    child.serve(requests, log)


def _die_with_parent() -> None:
    """Let the kernel kill this process when its parent ends (Linux; elsewhere it ends when it next looks for a request)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
