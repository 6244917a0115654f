"""What Ray 2.60 does at its start that a sweep cannot have, and how it is kept from it: handlers of signals, and processes that nobody needs.

Owns every replacement of Ray's own parts at that moment; there are no options for them. Another version of Ray is tried out here first
(tests/test_targets.py). Must not know what Ray is started for.
"""

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

# So long Ray 2.60 itself waits for a node that it has started.
KNOWN_S = 30.0


def hear_again() -> None:
    """Put Python's handler of SIGTERM back where C++ has put its own."""
    mine = signal.getsignal(signal.SIGTERM)
    if mine is not None and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, mine)


@contextmanager
def signals_kept() -> Iterator[None]:
    """Let signals mean what they meant before Ray starts.

    Ray 2.60 replaces the handler of SIGTERM by one that ends this process with an exit code that says nothing, in Python before its daemons start and in
    C++ when it connects to them: the first is kept from it, the second undone at once. `timeout` and others send SIGTERM to the whole group of this
    process, which would kill the Ray under a sweep that is asked to stop: its daemons get process groups of their own. Elsewhere than on Linux they
    need their group to end with this process.
    """
    import ray._raylet
    from ray._private import services, utils

    raylet: Any = ray._raylet
    core_worker, start = raylet.CoreWorker, services.ConsolePopen

    def connected(*arguments: Any, **named: Any) -> Any:
        worker = core_worker(*arguments, **named)
        hear_again()
        return worker

    own_groups = {"ConsolePopen": partial(start, process_group=0)} if sys.platform == "linux" else {}
    with _replaced(services, **own_groups), _replaced(utils, set_sigterm_handler=lambda handler: None), _replaced(raylet, CoreWorker=connected):
        yield


@contextmanager
def few_processes() -> Iterator[None]:
    """Start Ray without what a sweep alone on it has no use for.

    Ray 2.60 has no option for that: also without the dashboard it starts the dashboard's process, which then only counts usage, the autoscaler's
    monitor, and what copies the workers' output to this process. Each is a Python of its own, and together they are half of Ray's start and most of
    its end. The node's agent stays, as it is where Ray is installed without its dashboard.
    """
    from ray._private import services, utils
    from ray._private.node import Node

    def nothing(*arguments: Any, **named: Any) -> None:
        return None

    without = ImportError("the dashboard is of no use here")
    with (
        _replaced(services, start_api_server=lambda *arguments, **named: (None, None)),
        _replaced(utils, get_dashboard_dependency_error=lambda: without),
        _replaced(Node, start_monitor=nothing, start_log_monitor=nothing),
    ):
        yield


@contextmanager
def on_loopback() -> Iterator[None]:
    """Let Ray listen on 127.0.0.1 alone.

    Ray 2.60 has no option for that: it turns `_node_ip_address="127.0.0.1"` into the machine's address, and then listens on all of them. Where it is told
    that there are no clusters here, as on macOS, it takes loopback.
    """
    from ray._private import ray_constants

    with _replaced(ray_constants, ENABLE_RAY_CLUSTER=False):
        yield


@contextmanager
def without_working_folder() -> Iterator[None]:
    """Keep the folder that this process works in from the Python path of Ray's workers.

    Ray 2.60 puts it before all others: a file there that is called as a package of ours, or of Ray's, would be imported in its place.
    """
    from ray.job_config import JobConfig

    with _replaced(JobConfig, _runtime_env_has_working_dir=lambda self: True):
        yield


class _GivenUp(BaseException):
    """What was done meanwhile failed. Not an Exception, which Ray might take for a failure of its own."""


@contextmanager
def meanwhile(work: Callable[[], object]) -> Iterator[None]:
    """Do something while the daemons of a Ray that is started come up, and go on as soon as they have. Where it fails, they end at once.

    Raises:
        Exception: what the work raised.
    """
    from ray._private.node import Node

    start = Node.start_ray_processes

    def started(node: Any) -> None:
        start(node)
        try:
            work()
            _wait_for(node)
        except BaseException as error:
            node.kill_all_processes(check_alive=False)
            raise _GivenUp from error

    try:
        with _replaced(Node, start_ray_processes=started):
            yield
    except _GivenUp as end:
        assert end.__cause__ is not None
        raise end.__cause__ from None


def _wait_for(node: Any) -> None:
    """Wait until a node that was started is known to its head: Ray 2.60 itself looks once a second only. Where it takes too long, Ray will say so."""
    until = time.monotonic() + KNOWN_S
    while time.monotonic() < until:
        if any(known.hex() == node._node_id for known in node.get_gcs_client().get_all_node_info()):
            return
        time.sleep(0.01)


@contextmanager
def _replaced(owner: Any, **others: Any) -> Iterator[None]:
    """Put others in place of attributes, until the end of the context."""
    before = {name: getattr(owner, name) for name in others}
    try:
        for name, other in others.items():
            setattr(owner, name, other)
        yield
    finally:
        for name, one in before.items():
            setattr(owner, name, one)
