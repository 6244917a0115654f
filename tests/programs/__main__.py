"""Runs every program and prints what Tuner and plain Keras score, as the table in README.md: `python -m tests.programs [NAME ...]`."""

import argparse
import contextlib
import io
import os
import tempfile
import time
from pathlib import Path

from tests.programs import plain, rig
from tests.programs.kinds import KINDS


def main() -> None:
    """Run programs one after another, each in this process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="of programs; none: all of them")
    names = parser.parse_args().names or list(KINDS)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    print("| program | what it shows | score | Tuner | plain Keras | seconds |\n|---|---|---|---:|---:|---:|")
    for name in names:
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
            board = rig.run(name, Path(folder) / "s")
            seconds = time.monotonic() - began
            ours, theirs = plain.compare(name, board, Path(folder) / "s")
        kind = KINDS[name]
        print(f"| [{name}]({name}.py) | {kind.what} | {kind.score} | {ours:.4f} | {theirs:.4f} | {seconds:.0f} |", flush=True)


if __name__ == "__main__":
    main()
