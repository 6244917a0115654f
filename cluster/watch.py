"""Looks after the head of the cluster that a driver is connected to, and ends the driver where it has gone.

Ray 2.60 itself waits for a minute without a word, prints a line of its own in C++, and ends the process with exit code 1. Owns how long a head may be silent,
and the exit code. Knows nothing of what runs there.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from cluster import tokens

GONE = 4
LOOK_EVERY_S = 3.0
# Ray gives up after 60 s, and after 20 s of a Ray of our own, which does not come back.
SILENT_S, OWN_SILENT_S = 40.0, 12.0
# A machine may be too busy to answer in time; one that is gone refuses.
BUSY = "DEADLINE_EXCEEDED"


@contextmanager
def watched(address: str, lost: Callable[[str], object], *, own: bool = False) -> Iterator[None]:
    """End this process with exit code 4 where the cluster's head does not answer any more.

    Args:
        address: `host:port` of the head.
        lost: told what has happened, in a line, before the process ends; from another thread.
        own: it is a Ray of our own on this machine.
    """
    if os.environ.get("RAY_USE_TLS", "0") not in ("", "0"):  # our plain question would not be understood
        yield
        return
    ended = threading.Event()
    thread = threading.Thread(target=_look, args=(address, lost, own, ended), name="watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _look(address: str, lost: Callable[[str], object], own: bool, ended: threading.Event) -> None:
    limit_s, heard_at = OWN_SILENT_S if own else SILENT_S, time.monotonic()
    while not ended.wait(LOOK_EVERY_S):
        answer = tokens.asked(address)
        if answer == "OK" or (own and answer == BUSY):
            heard_at = time.monotonic()
        elif time.monotonic() - heard_at > limit_s and not ended.is_set():
            where = "Tuner's own Ray on this machine" if own else f"the cluster at {address}"
            again = "run the same command again to go on" if own else "run the same command again once it is back, and it goes on"
            try:
                lost(f"{where} is gone: no answer for {time.monotonic() - heard_at:.0f} s ({answer}); {again}")
            finally:
                os._exit(GONE)
