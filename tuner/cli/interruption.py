"""What the signals of a terminal, a scheduler or `ray job stop` mean to a running sweep."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from cluster import stale_sessions as leftovers
from tuner.errors import EXPECTED
from tuner.monitor.printable import leave, say, several


class Interruption:
    """Which signal asked the sweep to stop, if any did."""

    def __init__(self) -> None:
        self.event = threading.Event()
        self.signal: int | None = None


@contextmanager
def signals() -> Iterator[Interruption]:
    """Turn the first SIGINT or SIGTERM into a request to stop cleanly; a second one ends the program at once, and Tuner's own Ray with it.

    SIGHUP, the end of a terminal or of a connection, means nothing: the search goes on without whoever watched it, and `tuner stop FOLDER` stops it.

    Raises:
        SystemExit: an expected error came after the signal: the exit code is the signal's.
    """
    interruption = Interruption()

    def ask(number: int, frame: object) -> None:
        if interruption.signal is not None:
            leftovers.end()
            os._exit(128 + number)
        interruption.signal = number
        interruption.event.set()
        say("stopping after the epochs that are being trained; once more to stop at once", sys.stderr)

    terminals = [stream for stream in (sys.stderr, sys.stdout) if stream.isatty()]  # asked now: one that has gone says that it is none

    def go_on(number: int, frame: object) -> None:
        for stream in terminals:  # which would refuse every line from now on
            leave(stream)

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # under nohup it means nothing already
        before[signal.SIGHUP] = signal.signal(signal.SIGHUP, go_on)
    try:
        yield interruption
    except EXPECTED as error:
        if interruption.signal is None:
            raise
        # Whatever could not be brought to its end: it is because of the signal.
        say(f"tuner: {several(error)}", sys.stderr)
        raise SystemExit(128 + interruption.signal) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
