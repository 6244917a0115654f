"""Damaged files: what a sweep reads, with random bytes changed, cut and doubled, gives an error that names the file, in one line, or the right result.

    python -m tests.benchmarks.fuzz --rounds 3500

Each round damages one file of a small sweep and reads it as Tuner does, every tenth round through the command line. A traceback, a hang, an error of
several lines or without the file's name, and a result that is not the right one (above all a sweep of fewer trials, a table of fewer rows) are violations.

"Right" is what the whole file gives, where checksums cover it. In CSV and TOML other bytes are another valid file: there it is what an independent reader finds
in the damaged bytes. In Parquet and Arrow files that were written without checksums no reader can see a changed value: there it is the number of rows.
"""

import argparse
import contextlib
import faulthandler
import io
import random
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

from tests.benchmarks.fuzz.subjects import Subject, subjects
from tuner.cli import main as command_line
from tuner.data import dataset as data
from tuner.spec import sweep_spec as specs
from tuner.study import backends as opening
from tuner.study.objective import Objective

HANG_S = 60
MEMORY_BYTES = 12 * 2**30  # of address space: a damaged length must not take the machine's memory


def damaged(whole: bytes, draw: random.Random) -> tuple[str, bytes]:
    """Return one damage's name and the bytes that it leaves."""
    at = draw.randrange(len(whole))
    length = min(len(whole) - at, draw.choice((1, 2, 8, draw.randrange(1, 60), draw.randrange(1, len(whole) + 1))))
    piece = whole[at : at + length]
    kinds: dict[str, Callable[[], bytes]] = {
        "bit": lambda: whole[:at] + bytes([whole[at] ^ (1 << draw.randrange(8))]) + whole[at + 1 :],
        "byte": lambda: whole[:at] + bytes([draw.randrange(256)]) + whole[at + 1 :],
        "bytes": lambda: whole[:at] + draw.randbytes(min(length, 60)) + whole[at + min(length, 60) :],
        "zeros": lambda: whole[:at] + bytes(length) + whole[at + length :],
        "cut out": lambda: whole[:at] + whole[at + length :],
        "cut short": lambda: whole[:at],
        "cut line": lambda: whole[: whole.rfind(b"\n", 0, at) + 1],
        "beheaded": lambda: whole[at:],
        "doubled": lambda: whole[: at + length] + whole[at:],
        "doubled whole": lambda: whole + whole,
        "inserted": lambda: whole[:at] + draw.randbytes(draw.randrange(1, 20)) + whole[at:],
        "moved": lambda: (rest := whole[:at] + whole[at + length :])[: (to := draw.randrange(len(rest) + 1))] + piece + rest[to:],
        "a control character": lambda: whole[:at] + draw.choice((b"\x00", b"\x1b[2J", b"\r", b"\xe2\x80\xa8", b"\xc2\x85", b"\xff\xfe", b"\x0c")) + whole[at:],
    }
    kind = draw.choice(tuple(kinds))
    return kind, kinds[kind]()


def violation(subject: Subject, bytes_: bytes) -> tuple[str, str | None]:
    """Read the damaged file; return the outcome, `error` or `right`, and what is wrong with it, if anything."""
    try:
        read = subject.read()
    except subject.errors as error:
        return "error", wrong_message(str(error), subject.path)
    except Exception as error:
        return "error", f"a traceback: {type(error).__name__}: {str(error)[:200]}"
    return "right", None if subject.right(bytes_, read) else "a result that is not the right one"


def wrong_message(text: str, path: Path) -> str | None:
    if {"\n", "\r"} & set(text):
        return f"not one line: {text[:300]!r}"
    return None if path.name in text else f"does not name the file: {text[:300]!r}"


def violation_of_command(subject: Subject) -> tuple[str, str | None]:
    """As `violation`, through the command line; a sweep that could begin is opened and not run."""

    def opened(spec: specs.SweepSpec, **_: Any) -> None:
        if subject.path.suffix == ".csv":
            data.load(spec.dataset, spec.seed)
        opening.open_study(spec.sweep_folder, spec.name, Objective("val_accuracy", "max"))

    out, err = io.StringIO(), io.StringIO()
    try:
        with (
            mock.patch.dict(sys.modules, {"tuner.sweep.journey": SimpleNamespace(run_sweep=opened)}),
            mock.patch.object(sys, "argv", ["tuner", *subject.command]),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            command_line.main()
    except SystemExit as end:
        if end.code in (0, None):
            return "right", None
        text = err.getvalue().removesuffix("\n")
        if end.code != 2 or not text.isprintable():
            return "error", f"exit code {end.code}: {text[:300]!r}"
        return "error", wrong_message(text, subject.path)
    except BaseException as error:
        return "error", f"a traceback: {type(error).__name__}: {str(error)[:200]}"
    return "right", None


# ---- rounds


def fuzz(folder: Path, rounds: int, seed: int) -> tuple[Counter[tuple[str, str]], list[str]]:
    """Damage files and read them.

    Returns:
        How often each (file, outcome) came, and the violations, one line each.
    """
    known = subjects(folder)
    folder = folder.resolve()
    kept = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    counts: Counter[tuple[str, str]] = Counter()
    found = []
    names = list(known)
    for number in range(rounds):
        draw = random.Random(f"{seed} {number}")
        name = names[number % len(names)]
        subject = known[name]
        for path in (path for path in folder.rglob("*") if path.is_file() and path not in kept):
            path.unlink()
        for path, content in kept.items():
            path.write_bytes(content)
        kind, bytes_ = damaged(kept[subject.path], draw)
        subject.path.write_bytes(bytes_)
        by_command = bool(subject.command) and draw.random() < 0.1
        faulthandler.dump_traceback_later(HANG_S, exit=True, file=sys.__stderr__)
        outcome, wrong = violation_of_command(subject) if by_command else violation(subject, bytes_)
        faulthandler.cancel_dump_traceback_later()
        counts[name, outcome] += 1
        if wrong:
            found.append(f"round {number}, {name}, {kind}{', command line' if by_command else ''}: {wrong}")
    return counts, found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3500)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="tuner-fuzz-") as folder:
        counts, found = fuzz(Path(folder), arguments.rounds, arguments.seed)
    print(f"{'file':24} {'error':>7} {'right':>7}")
    for name in dict.fromkeys(name for name, _ in counts):
        print(f"{name:24} {counts[name, 'error']:7} {counts[name, 'right']:7}")
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{arguments.rounds} damaged files in {time.monotonic() - began:.0f} s, {memory:.2f} GiB at most; violations: {len(found)}")
    print(*found, sep="\n", end="\n" if found else "")
    raise SystemExit(1 if found else 0)


if __name__ == "__main__":
    main()
