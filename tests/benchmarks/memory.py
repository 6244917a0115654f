"""What a table costs in memory, streamed and held: `python -m tests.benchmarks.memory [--megabytes 150 600] [--limit 400]`.

Writes Parquet tables of two sizes (64 columns of random float32, which do not compress, and a class). For each, a fresh process reads it as a driver does,
and one trial trains an epoch on it in a process of its own: once streamed, under a memory limit that the larger table does not fit into, and once held in
memory, without a limit. Last, the larger table is held under the limit too. Then several trials train at once on one table in memory: what each of them has
for itself, beside the rows, which lie in files that all of them map.

Peaks are of resident memory as the kernel counts it (VmHWM), beyond the peak of the same work on a table of 1 MB: without Python and the libraries. Pages of
files that processes map together count in each of them.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tuner.data import dataset as data
from tuner.errors import DatasetError
from tuner.training.child import limit_memory
from tuner.training.config import TrainingConfig
from tuner.training.process import Limits, ProcessDied, TrainingProcess
from tuner.training.shared_data import store
from tuner.training.starting import cool

MB = 10**6
COLUMNS, GROUP_ROWS, TRIALS = 64, 65_536, 4
ROOT = Path(__file__).parent.parent.parent
RECIPE = TrainingConfig("tests.benchmarks.networks:dense", {"widths": [32], "batch_size": 512}, "classification", 2, 1, 0, search_path=(str(ROOT),))


def write(path: Path, megabytes: int) -> int:
    """Write a table of so many megabytes of values, and return its rows."""
    draw = np.random.default_rng(0)
    names = [f"x{number}" for number in range(COLUMNS)]
    schema = pa.schema([*((name, pa.float32()) for name in names), ("kind", pa.int8())])
    left = rows = megabytes * MB // (4 * COLUMNS)
    with pq.ParquetWriter(path, schema, compression="none", use_dictionary=False, write_statistics=False) as file:
        while left:
            x = draw.standard_normal((COLUMNS, min(left, GROUP_ROWS)), dtype=np.float32)
            file.write_table(pa.table([*x, (x[:8].sum(axis=0) > 0).astype(np.int8)], schema=schema), row_group_size=GROUP_ROWS)
            left -= x.shape[1]
    return rows


def kilobytes(pid: int | str, name: str, file: str = "status") -> int:
    lines = Path(f"/proc/{pid}/{file}").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def one(path: str, tiny: str, stream: bool, limit: int | None, trials: int) -> dict[str, Any]:
    """Read a table and train one epoch of each trial on it, in this process and its children; return the peaks beyond a tiny table's, in megabytes."""
    _, least, _ = trained(tiny, stream, Limits(), 1)
    before = kilobytes("self", "VmHWM")
    if limit is not None:
        limit_memory(limit * MB)
    try:
        begun = time.perf_counter()
        found, peaks, own = trained(path, stream, Limits(memory_bytes=None if limit is None else limit * MB), trials)
        found |= {"driver": (kilobytes("self", "VmHWM") - before) / 1e3, "trial": (max(peaks) - least[0]) / 1e3, "own": own}
        return found | {"seconds": time.perf_counter() - begun}
    except (DatasetError, ProcessDied, MemoryError) as error:
        return {"refused": str(error).replace(path, "the table")}
    finally:
        cool()


def trained(path: str, stream: bool, limits: Limits, trials: int) -> tuple[dict[str, Any], list[int], list[float]]:
    """Return what the last trial reports, the peak of each (KB), and the memory that each has for itself alone (MB)."""
    begun = time.perf_counter()
    dataset, _ = data.load(data.DatasetSection(source="table", path=path, target="kind", stream=stream), 0)
    found: dict[str, Any] = {"read_s": time.perf_counter() - begun}
    fold = dataset.folds[0]
    parts = [replace(fold, scaling=dataset.scalings(fold.train))]
    with tempfile.TemporaryDirectory() as folder, ExitStack() as running:
        shared = store(folder, dataset.pool)
        processes = [running.enter_context(TrainingProcess(RECIPE, shared, folds=parts, limits=limits)) for _ in range(trials)]
        for process in processes:
            report = process.run_epoch()
        peaks = [kilobytes(process.pid, "VmHWM") for process in processes]
        own = [sum(kilobytes(process.pid, name, "smaps_rollup") for name in ("Private_Clean", "Private_Dirty")) / 1e3 for process in processes]
    return found | {"rows": len(fold.train), "epoch_s": report["seconds"], "accuracy": report["val_accuracy"]}, peaks, own


def apart(path: Path, tiny: Path, *, stream: bool, limit: int | None = None, trials: int = 1) -> dict[str, Any]:
    """Call `one` in a fresh process."""
    words = [sys.executable, "-m", "tests.benchmarks.memory", "--one", json.dumps([str(path), str(tiny), stream, limit, trials])]
    ended = subprocess.run(words, capture_output=True, text=True, cwd=ROOT, env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"})
    if ended.returncode:
        return {"refused": f"exit code {ended.returncode}: {ended.stderr.strip().splitlines()[-1] if ended.stderr.strip() else 'no word'}"}
    return json.loads(ended.stdout.splitlines()[-1])


def line(name: str, size: int, found: dict[str, Any]) -> str:
    if "refused" in found:
        return f"{name:44} {found['refused']}"
    driver, trial = found["driver"], found["trial"]
    return (
        f"{name:44} {driver:8.0f} {driver / size:7.2f}x {trial:8.0f} {trial / size:7.2f}x {found['read_s']:9.1f} {found['epoch_s']:9.1f} "
        f"{found['rows'] / found['epoch_s'] / 1e3:9.0f} {found['accuracy']:9.4f}"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=int, nargs=2, default=[150, 600], help="the sizes of the two tables")
    parser.add_argument("--limit", type=int, default=400, help="MB that driver and trial may each allocate for the data")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(one(*json.loads(arguments.one))))
        return
    limit = arguments.limit
    heads = ("driver MB", "of table", "trial MB", "of table", "reading s", "epoch s", "k rows/s", "accuracy")
    print(f"{'peak memory beyond that of 1 MB':44} {heads[0]:>8} {heads[1]:>8} {heads[2]:>8} {heads[3]:>8} " + " ".join(f"{head:>9}" for head in heads[4:]))
    found: dict[tuple[int, bool], dict[str, Any]] = {}
    with tempfile.TemporaryDirectory(prefix="tuner-memory-") as folder:
        tiny = Path(folder) / "tiny.parquet"
        write(tiny, 1)
        for size in arguments.megabytes:
            path = Path(folder) / f"{size}.parquet"
            write(path, size)
            found[size, True] = apart(path, tiny, stream=True, limit=limit)
            print(line(f"{size} MB streamed, limit {limit} MB", size, found[size, True]), flush=True)
            found[size, False] = apart(path, tiny, stream=False)
            print(line(f"{size} MB in memory, no limit", size, found[size, False]), flush=True)
        print(line(f"{size} MB in memory, limit {limit} MB", size, apart(path, tiny, stream=False, limit=limit)), flush=True)
        small, large = arguments.megabytes
        for name, stream in (("streamed", True), ("in memory", False)):
            few, many = found[small, stream], found[large, stream]
            if "refused" not in few | many:
                ratios = [many[where] / few[where] for where in ("driver", "trial")]
                print(f"{name}: {large / small:.1f} times the rows take {ratios[0]:.2f} times the memory in the driver, {ratios[1]:.2f} times in a trial")
        several = apart(Path(folder) / f"{small}.parquet", tiny, stream=False, trials=TRIALS)
        if "own" in several:
            own = float(np.median(several["own"]))
            print(f"{TRIALS} trials at once on {small} MB in memory: {own:.0f} MB each of its own ({own / small:.2f}x of the table); rows lie on the node once")


if __name__ == "__main__":
    main()
