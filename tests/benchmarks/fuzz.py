"""Damaged files: what a sweep reads, with random bytes changed, cut and doubled, gives an error that names the file, in one line, or the right result.

    python -m tests.benchmarks.fuzz --rounds 3500

Each round damages one file of a small sweep and reads it as Tuner does, every tenth round through the command line. A traceback, a hang, an error of
several lines or without the file's name, and a result that is not the right one (above all a sweep of fewer trials, a table of fewer rows) are violations.

"Right" is what the whole file gives, where checksums cover it. In CSV and TOML other bytes are another valid file: there it is what an independent reader finds
in the damaged bytes. In Parquet and Arrow files that were written without checksums no reader can see a changed value: there it is the number of rows.
"""

import argparse
import contextlib
import csv
import faulthandler
import io
import random
import resource
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import optuna
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet as pq

from tests.sweeps_made_up import sweep as made_up
from tuner import checkpoint, data, study
from tuner import cli as command_line
from tuner import spec as specs
from tuner.errors import EXPECTED
from tuner.leaderboard import FILE, Leaderboard
from tuner.objective import Objective

HANG_S = 60
MEMORY_BYTES = 12 * 2**30  # of address space: a damaged length must not take the machine's memory
SPEC = """# A sweep of a table.
name = "damaged"
seed = 7
folder = "{folder}"

[dataset]
source = "table"
path = "{folder}/table.csv"
target = "kind"
exclude = ["number"]
missing = "mean"
test = 0.2

[space]
name = "mlp"
depth = {{ low = 1, high = 3 }}
width = {{ low = 16, high = 64, log = true }}
activation = ["relu", "gelu"]

[search]
sampler = "forecast"
trials = 50

[scheduler]
name = "asha"
grace_period = 2

[training]
max_epochs = 10
"""


@dataclass(frozen=True)
class Subject:
    """A file that is damaged.

    Attributes:
        path: the file.
        read: what Tuner makes of it.
        right: of the damaged bytes and of what was read: whether that is right.
        command: words of the command line that read it, if any do without training.
        errors: what `read` may raise.
    """

    path: Path
    read: Callable[[], Any]
    right: Callable[[bytes, Any], bool]
    command: tuple[str, ...] = ()
    errors: tuple[type[Exception], ...] = EXPECTED


@dataclass
class Variable:
    """Stands in for a variable of a network."""

    path: str
    value: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        return self.value.shape

    @property
    def dtype(self) -> np.dtype:
        return self.value.dtype

    def numpy(self) -> np.ndarray:
        return self.value

    def assign(self, value: np.ndarray) -> None:
        self.value = value


# ---- what is damaged


def subjects(folder: Path) -> dict[str, Subject]:
    """Write the files of a small sweep, and return them by name."""
    folder = folder.resolve()
    table = flowers()
    pa.csv.write_csv(table, folder / "table.csv")
    pq.write_table(table, folder / "table.parquet", write_page_checksum=True, row_group_size=40)
    pq.write_table(table, folder / "plain.parquet", compression="none", row_group_size=40)
    pq.write_table(table, folder / "streamed.parquet", write_page_checksum=True, row_group_size=40)
    with pa.ipc.new_file(folder / "table.arrow", table.schema) as file:
        file.write_table(table, max_chunksize=40)
    pa.feather.write_feather(table, folder / "table.feather", compression="lz4")
    draw = np.random.default_rng(0)
    arrays = {"x": draw.normal(size=(120, 5)).astype(np.float32), "y": np.arange(120) % 3}
    np.savez(folder / "stored.npz", **arrays)
    np.savez_compressed(folder / "packed.npz", **arrays)
    (folder / "sweep.toml").write_text(SPEC.format(folder=folder))
    run = ("run", str(folder / "sweep.toml"))
    found = {
        "stored.npz": of_data(folder / "stored.npz", source="npz"),
        "packed.npz": of_data(folder / "packed.npz", source="npz"),
        "table.parquet": of_data(folder / "table.parquet", source="table"),
        **{name: of_table(folder / name, table.num_rows) for name in ("plain.parquet", "table.arrow", "table.feather")},
        "streamed.parquet": of_stream(folder / "streamed.parquet"),
        "table.csv": Subject(folder / "table.csv", partial(loaded, folder / "table.csv", source="table"), as_in_csv, run),
        "sweep.toml": Subject(folder / "sweep.toml", lambda: specs.load(folder / "sweep.toml"), as_in_toml, run),
    }
    return {**found, **of_record(folder), **of_results(folder)}


def flowers() -> pa.Table:
    draw = np.random.default_rng(1)
    rows = 120
    kind = np.arange(rows) % 3
    length = draw.normal(size=rows) + kind
    return pa.table(
        {
            "number": pa.array(np.arange(rows)),
            "length": pa.array([None if row % 17 == 0 else float(value) for row, value in enumerate(length)]),
            "wild": pa.array(draw.integers(2, size=rows).astype(bool)),
            "place": pa.array([("field", "wood", "shore", "hill")[index] for index in draw.integers(4, size=rows)]),
            "kind": pa.array([("iris", "rose", "lily")[index] for index in kind]),
        }
    )


def loaded(path: Path, **options: Any) -> data.Dataset:
    if options["source"] == "table":
        options |= {"target": "kind", "exclude": ("number",)}
    return data.load(data.DatasetSection(path=str(path), missing="mean", **options), 0)[0]


def of_data(path: Path, **options: Any) -> Subject:
    """A file whose values are under checksums; the names of a Parquet file's columns are not."""
    whole = loaded(path, **options)

    def right(_: bytes, read: data.Dataset) -> bool:
        return read.facts["rows"] == whole.facts["rows"] and np.array_equal(read.x, whole.x, equal_nan=True) and np.array_equal(read.y, whole.y)

    return Subject(path, partial(loaded, path, **options), right)


def of_table(path: Path, rows: int) -> Subject:
    return Subject(path, partial(loaded, path, source="table"), lambda _, read: read.facts["rows"] == rows)


def of_stream(path: Path) -> Subject:
    """A table that is read part by part, and then again as an epoch reads it."""

    def read() -> np.ndarray:
        stream = loaded(path, source="table", stream=True).whole
        return np.concatenate([np.column_stack(chunk) for chunk in stream.chunks(np.random.default_rng(0), 32)])

    whole = read()
    return Subject(path, read, lambda _, read: np.array_equal(read, whole, equal_nan=True))


def as_in_csv(damaged: bytes, read: data.Dataset) -> bool:
    """Compare the first feature, and the number of rows, with what Python's own reader finds."""
    head, *rows = [line for line in csv.reader(io.StringIO(damaged.decode("utf-8-sig", "surrogateescape"), newline="")) if line]
    name = read.features.columns[0].name
    column = [row[head.index(name)] for row in rows]
    if read.facts["rows"] != len(rows) or read.features.columns[0].kind != "number":
        return False
    try:
        theirs = np.array([float(column[row] or "nan") for row in read.rows], dtype=np.float32)
    except ValueError:
        return False
    return np.array_equal(read.x[:, 0], theirs, equal_nan=True)


def as_in_toml(damaged: bytes, read: specs.SweepSpec) -> bool:
    """Say whether every value of the file has arrived in the spec."""

    def within(part: Any, whole: Any) -> bool:
        if isinstance(part, dict):
            return isinstance(whole, dict) and all(key in whole and within(value, whole[key]) for key, value in part.items())
        return part == whole

    return within(tomllib.loads(damaged.decode()), specs.to_json(read))


def of_record(folder: Path) -> dict[str, Subject]:
    """The journal of a sweep, and the note of where it ends."""
    objective = Objective("val_accuracy", "max")

    def opened() -> study.Study:
        return study.open_study(folder, "damaged", objective, optuna.samplers.RandomSampler(seed=0))

    def told() -> list[Any]:
        record = opened()
        trials = [(trial.number, trial.state.name, trial.intermediate_values, trial.user_attrs, trial.params) for trial in record.trials()]
        return [record.facts, *trials]

    record = opened()
    spec = specs.load(folder / "sweep.toml")
    begun = {"folder": str(folder), "search_path": [str(folder)]}
    facts = {"objective": {"metric": "val_accuracy", "mode": "max"}, "spec": specs.to_json(spec), "begun_in": begun, "dataset": {"rows": 120}}
    for name, value in facts.items():
        record.set_fact(name, value)
    for number in range(5):
        record.ask().suggest_float("rate", 0, 1)
        for epoch in (1, 2, 3):
            record.report(number, epoch, {"val_accuracy": 0.2 * epoch + 0.01 * number, "loss": 1 / epoch})
        record.finish(number, "complete" if number else "failed", None if number else study.Cause("crash", "the process ended by signal 11"))
    whole = told()
    command = ("resume", str(folder))
    return {name: Subject(folder / name, told, lambda _, read: read == whole, command) for name in (study.JOURNAL, "journal.end")}


def of_results(folder: Path) -> dict[str, Subject]:
    """What a sweep leaves behind: its leaderboard, and the checkpoints of its trials."""
    board = made_up(30)
    board.write(folder / FILE)
    board = Leaderboard.read(folder)
    draw = np.random.default_rng(2)
    networks = [[Variable(f"layer/{index}", draw.normal(size=(4, 3)).astype(np.float32)) for index in range(3)]]
    kept = [variable.value for variable in networks[0]]
    checkpoint.write(folder / "checkpoint", 3, networks)
    (arrays,) = (folder / "checkpoint").glob("*.npz")

    def restored() -> tuple[int, list[np.ndarray]]:
        return checkpoint.read(folder / "checkpoint", networks), [variable.value for variable in networks[0]]

    def same(_: bytes, read: tuple[int, list[np.ndarray]]) -> bool:
        return all(np.array_equal(one, other) for one, other in zip(read[1], kept, strict=True))

    return {
        FILE: Subject(folder / FILE, lambda: Leaderboard.read(folder), lambda _, read: read == board, ("leaderboard", str(folder))),
        "a checkpoint's arrays": Subject(arrays, restored, same, (), (OSError, ValueError)),
        "a checkpoint's state": Subject(folder / "checkpoint" / checkpoint.STATE, restored, same, (), (OSError, ValueError)),
    }


# ---- how it is damaged


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
        study.open_study(spec.sweep_folder, spec.name, Objective("val_accuracy", "max"))

    out, err = io.StringIO(), io.StringIO()
    try:
        with (
            mock.patch.dict(sys.modules, {"tuner.sweep": SimpleNamespace(run_sweep=opened)}),
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
