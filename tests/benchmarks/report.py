"""What the report of a large sweep takes: seconds, memory and size of `tuner report`, beside those of another checkout.

    python -m tests.benchmarks.report --beside ../older-checkout

A made-up sweep is written to a leaderboard once; each side then reads it in processes of its own, in turns, so that whatever else the machine does meets
both alike. The middle of the rounds is told, of seconds the processor's: those of the clock hang on who else runs.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from tests.sweeps_made_up import sweep

FORMS = ("html", "json", "md")


# Runs the command, and tells what its process took: Linux's own word for memory, since the other one also counts what a parent had before the start.
WATCHED = """
import runpy, sys, time
try:
    runpy.run_module("tuner", run_name="__main__")
except SystemExit as ended:
    if ended.code:
        raise
memory = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM:"))
print(time.process_time(), memory / 1000)
"""


def once(checkout: Path, folder: Path, form: str) -> dict[str, float]:
    """Write one report in a process of its own, and return `seconds` of the processor, `MB` of memory at most, and `kB` of the report.

    Args:
        checkout: whose code writes it.
        folder: holds leaderboard.parquet.
        form: of the report.
    """
    target = folder / f"report.{form}"
    command = [sys.executable, "-c", WATCHED, "report", str(folder), "--format", form, "--output", str(target)]
    ended = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(checkout)}, cwd=folder, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise RuntimeError(f"{checkout}: `tuner report --format {form}` ended with {ended.returncode}: {ended.stderr[-2000:]}")
    seconds, memory = map(float, ended.stdout.split())
    return {"seconds": seconds, "MB": memory, "kB": target.stat().st_size / 1000}


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--beside", type=Path, help="another checkout")
    arguments = parser.parse_args()
    sides = {"this": Path.cwd(), **({"beside": arguments.beside.resolve()} if arguments.beside else {})}
    print(f"{'':<6}" + "".join(f"{side + ' ' + what:>18}" for what in ("seconds", "MB", "kB") for side in (*sides, *(["ratio"] if arguments.beside else []))))
    with tempfile.TemporaryDirectory(prefix="benchmark-") as place:
        folder = Path(place)
        sweep(arguments.trials).write(folder)
        for form in FORMS:
            rounds = [{side: once(checkout, folder, form) for side, checkout in sides.items()} for _ in range(arguments.rounds)]
            cells = []
            for what in ("seconds", "MB", "kB"):
                middle = {side: median(each[side][what] for each in rounds) for side in sides}
                cells += [f"{value:,.2f}" if what == "seconds" else f"{value:,.0f}" for value in middle.values()]
                cells += [f"{middle['this'] / middle['beside']:.2f}"] if arguments.beside else []
            print(f"{form:<6}" + "".join(f"{cell:>18}" for cell in cells), flush=True)


if __name__ == "__main__":
    main()
