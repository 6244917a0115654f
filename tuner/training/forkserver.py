"""One process per node that has TensorFlow loaded and forks a fresh child of itself for every trial, in milliseconds.

Shared by all workers of one user on a node, so that TensorFlow is imported once. It starts with the first client and ends soon after the last one.
It never touches a device and has one thread: both are what makes forking safe. Must not know what its children do: `tuner.training.child.serve` does.

A connection to its socket is one child's life: the client sends a request with file descriptors, and hears the child's pid and, in the end, its exit
status. When the client goes away, by whatever end, its child is killed; when the server goes away, the kernel kills all children.
"""

import contextlib
import ctypes
import fcntl
import gc
import importlib
import importlib.util
import json
import os
import selectors
import signal
import socket
import stat
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

LINGER_S = 5.0
START_S = 120.0
# Of every process that trains. Whoever has set another backend has heard of it by now, or sits at another machine.
QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "GRPC_VERBOSITY": "ERROR", "ABSL_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow"}
_PR_SET_PDEATHSIG = 1
_LARGEST_MESSAGE = 1 << 20


class ServerLost(RuntimeError):
    """The server could not be started, or went away."""


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[Path]:
    """Be alone in the folder, making it where there is none: servers are looked for, started and ended one at a time.

    Raises:
        ServerLost: others can use the folder.
    """
    while True:
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
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
            with locked(self._path.parent) as folder:
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
            from tuner.training import child

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
    from tuner.training import child

    del keras, tf, network, child
    if importlib.util.find_spec("keras_tuner") is not None:
        # 0.07 s of every trial whose builder takes hp. One that cannot be imported is told by such a builder, and is nothing to any other.
        with warnings.catch_warnings(), contextlib.suppress(Exception):
            warnings.simplefilter("ignore")
            importlib.import_module("keras_tuner")
    gc.collect()
    gc.freeze()


def become_child(requests: int, log: int, parent: int) -> None:
    """Serve one trial in a process that was started afresh, until its parent ends.

    Args:
        requests: file descriptor of the connection to whoever asks.
        log: file descriptor of the file that output goes to.
        parent: process id: without it, this one ends.
    """
    _die_with_parent()
    if os.getppid() != parent:
        return
    from tuner.training import child

    child.serve(requests, log)


def _die_with_parent() -> None:
    """Let the kernel kill this process when its parent ends (Linux; elsewhere it ends when it next looks for a request)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
