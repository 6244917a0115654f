"""Feeds one tracker: `python -m tuner.monitor.trackers NAME` reads the sweep and then what happens, one JSON value a line, until its input ends."""

import importlib
import json
import os
import sys
from collections.abc import Iterable

from tuner.monitor.trackers.named import TRACKERS
from tuner.monitor.trackers.tracker import Sweep, Tracker


def feed(tracker: Tracker, lines: Iterable[str]) -> None:
    """Tell a tracker what the lines say.

    Args:
        tracker: takes them in.
        lines: JSON: the name of a method of `Tracker`, then what it takes.
    """
    for line in lines:
        what, *arguments = json.loads(line)
        getattr(tracker, what)(*arguments)
    tracker.close()


def main(name: str) -> int:
    """Feed the tracker of this name; what goes wrong is said in one line, the last one."""
    try:
        sweep = Sweep(**json.loads(sys.stdin.readline()))
        feed(importlib.import_module(TRACKERS[name]).open_tracker(sweep), sys.stdin)
    except Exception as error:  # whatever a foreign package raises
        said = str(error).strip().splitlines()
        print(f"{type(error).__name__}: {said[0] if said else 'no reason given'}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    code = main(sys.argv[1])
    sys.stderr.flush()
    os._exit(code)  # a package's own threads, which wait for a server that is away, would keep it
