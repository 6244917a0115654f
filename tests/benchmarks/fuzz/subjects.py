"""What is damaged: the files of a small sweep, how Tuner reads each, and what is right. Must not know how they are damaged."""

import csv
import io
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet as pq

from tests.sweeps_made_up import sweep as made_up
from tuner.data import dataset as data
from tuner.errors import EXPECTED
from tuner.results.leaderboard import FILE, Leaderboard
from tuner.spec import sweep_spec as specs
from tuner.study import backends as opening
from tuner.study import record as study
from tuner.study.objective import Objective
from tuner.training import checkpoint

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
        return opening.open_study(folder, "damaged", objective, optuna.samplers.RandomSampler(seed=0))

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
    return {name: Subject(folder / name, told, lambda _, read: read == whole, command) for name in (opening.JOURNAL, "journal.end")}


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
