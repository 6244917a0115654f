"""Tells trackers what a sweep does, from the driver: reads the study now and then, and writes what is new to one process per tracker.

The driver never waits for a tracker while trials run: lines go through a thread and an unbounded queue. A tracker that fails is reported once and dropped.
Must not know any tracker.
"""

import hashlib
import json
import queue
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from optuna.trial import FrozenTrial

from tuner.monitor import background
from tuner.monitor.console import View
from tuner.monitor.trackers.tracker import Sweep
from tuner.study.record import STATES, Study

LOOK_EVERY_S = 1.0
# How long the end of a sweep waits for trackers that are behind.
FINISH_S = 60.0
SAY_AFTER_S = 3.0
ENDED = ("complete", "pruned", "failed")


@contextmanager
def following(names: Sequence[str], study: Study, *, folder: Path, began: float, view: View) -> Iterator["Following"]:
    """Let trackers follow a sweep within the context; at its end they get what is left.

    Args:
        names: rows of `TRACKERS`.
        study: the sweep's.
        folder: of the sweep.
        began: when the sweep began, in seconds since 1970.
        view: shows which tracker is dropped.
    """
    followed = Following(names, study, folder=folder, began=began, view=view)
    try:
        yield followed
    finally:
        followed.close()


class Following:
    """The trackers of one sweep; see `following`.

    Args:
        names, study, folder, began, view: see `following`.
    """

    def __init__(self, names: Sequence[str], study: Study, *, folder: Path, began: float, view: View) -> None:
        self._study = study
        self._began = began
        self._view = view
        self._sent_epochs: dict[int, int] = {}  # trial -> its last epoch that was handed on
        self._ended: set[int] = set()
        self._final: Any = None
        self._looked_at = -LOOK_EVERY_S
        key = hashlib.sha256(f"{study.facts['name']} {study.facts['started_at']}".encode()).hexdigest()[:12]
        sweep = Sweep(key, study.facts["name"], str(folder.resolve()), study.objective.metric, study.objective.mode, study.facts.get("space", {}))
        self._feeds = [_Feed(name, sweep) for name in names]

    def look(self, *, now: bool = False) -> None:
        """Tell the trackers what is new; quick, and called often: it looks about once a second, or `now`."""
        if not self._feeds or (not now and time.monotonic() - self._looked_at < LOOK_EVERY_S):
            return
        self._looked_at = time.monotonic()
        for feed in [feed for feed in self._feeds if feed.is_over()]:
            self._drop(feed, feed.reason())
        for trial in self._study.trials():
            if trial.number not in self._ended and "configuration" in trial.user_attrs:
                self._tell(trial)
        final = self._study.facts.get("final")
        if final is not None and final != self._final:
            self._final = final
            spread = {f"{name}_spread": value for name, value in final["spread"].items() if value is not None}
            self._say("final", final["trial"], final["epochs"], final["configuration"], {**final["mean"], **spread}, time.time())

    def close(self) -> None:
        """Give the trackers what is left, and some time for it."""
        if not self._feeds:
            return
        with suppress(Exception):  # the record cannot be read any more: there are graver news than what trackers lack
            self.look(now=True)
            facts = self._study.facts
            if facts.get("search_ended") and not facts["spec"]["evaluation"]["enabled"]:  # nothing follows the search
                self._say("over")
        for feed in self._feeds:
            feed.end()
        until, said = time.monotonic() + FINISH_S, time.monotonic() + SAY_AFTER_S
        while (behind := [feed for feed in self._feeds if not feed.is_over()]) and time.monotonic() < until:
            time.sleep(0.05)
            if time.monotonic() > said:
                said = until
                self._view.note(f"waiting up to {FINISH_S:.0f} s for {', '.join(feed.name for feed in behind)} to take the rest")
        for feed in list(self._feeds):
            if feed in behind:
                self._drop(feed, f"it has not taken everything within {FINISH_S:.0f} s; it gets the rest when the sweep is run again")
            elif feed.failed():
                self._drop(feed, feed.reason())
            feed.close()

    def _tell(self, trial: FrozenTrial) -> None:
        facts, number = trial.user_attrs, trial.number
        at = self._began + facts["started_at"] if "started_at" in facts else time.time()
        if number not in self._sent_epochs:
            if not trial.intermediate_values and STATES[trial.state] == "waiting":
                return
            self._sent_epochs[number] = 0
            origin = {name: facts[name] for name in ("seed", "source", "baseline") if facts.get(name) is not None}
            self._say("trial", number, facts.get("baseline") or f"trial {number}", facts["configuration"], origin, at)
        for epoch in sorted(int(name[6:]) for name in facts if name.startswith("epoch_") and name[6:].isdecimal()):
            report = facts[f"epoch_{epoch}"]
            at += report.get("seconds") or 0.0
            if epoch > self._sent_epochs[number]:
                self._sent_epochs[number] = epoch
                self._say("epoch", number, epoch, {name: value for name, value in report.items() if value is not None}, at)
        if (state := STATES[trial.state]) in ENDED:
            self._ended.add(number)
            history = trial.intermediate_values
            best = self._study.objective.best_epoch(history) if history else None
            outcome = {"score": history[best] if best else None, "best_epoch": best, "epochs": self._sent_epochs[number], "parameters": facts.get("parameters")}
            outcome["cause"] = (facts.get("cause") or {}).get("message")
            self._say("end", number, state, {name: value for name, value in outcome.items() if value is not None}, at)

    def _say(self, what: str, *arguments: Any) -> None:
        line = json.dumps([what, *arguments])
        for feed in self._feeds:
            feed.put(line)

    def _drop(self, feed: "_Feed", reason: str) -> None:
        self._feeds.remove(feed)
        feed.close()
        self._view.note(f"tracker {feed.name}: {reason}; it is dropped, the sweep goes on without it")


class _Feed:
    """The process that feeds one tracker, and the thread that writes to it."""

    def __init__(self, name: str, sweep: Sweep) -> None:
        self.name = name
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._said: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  # closed by `close`; a pipe that nobody reads would fill up
        # In the sweep's folder, where some packages leave files of their own.
        streams = {"stdin": subprocess.PIPE, "stdout": subprocess.DEVNULL, "stderr": self._said}
        self._process = background.begin("tuner.monitor.trackers", name, cwd=sweep.folder, **streams)
        self.put(json.dumps(asdict(sweep)))
        self._thread = threading.Thread(target=self._write, name=f"tracker {name}", daemon=True)
        self._thread.start()

    def put(self, line: str) -> None:
        """Let a line be written, some time."""
        self._lines.put(line)

    def end(self) -> None:
        """Say that nothing more comes."""
        self._lines.put(None)

    def is_over(self) -> bool:
        """Say whether the process has ended."""
        return self._process.poll() is not None

    def failed(self) -> bool:
        """Say whether it ended by itself."""
        return self._process.poll() not in (0, None)

    def reason(self) -> str:
        """Return the last line that it wrote."""
        self._said.seek(0)
        lines = self._said.read().decode(errors="replace").strip().splitlines()
        return " ".join(lines[-1].split())[:300] if lines else f"its process ended with status {self._process.poll()}"

    def close(self) -> None:
        """End the process, whatever it has come to."""
        self.end()
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._thread.join()
        self._said.close()

    def _write(self) -> None:
        pipe = self._process.stdin
        if pipe is None:
            return
        with suppress(OSError):  # it has ended; `look` tells why
            while (line := self._lines.get()) is not None:
                pipe.write(line.encode() + b"\n")
                if self._lines.empty():
                    pipe.flush()
        with suppress(OSError):
            pipe.close()
