"""The leaderboard: every trial of a sweep, ranked by its best epoch, in one Parquet file.

Owns the file `leaderboard.parquet`. Reports are views of it and are never read back. Must not know how trials were run, nor what any hyperparameter
means; reading a leaderboard needs pyarrow and nothing else, neither Ray nor TensorFlow nor Optuna.

The file has one row per trial: the ranked ones first, in order of rank, then the others in order of their numbers.

    column          type          unit     meaning
    rank            int32                  1 is the best; null: not ranked, because it failed or has no score
    number          int32                  the trial's number, from 0 in the order of creation
    state           string                 complete, pruned, failed, waiting or running
    score           double                 the objective at its best epoch
    best_epoch      int32         epoch    the earliest epoch with the best objective, from 1
    epochs          int32         epoch    how many epochs were trained
    seconds         double        s        time that the trial was at work
    parameters      int64                  trainable parameters of the network
    seed            int64                  the seed of the trial's own random draws
    pareto          bool                   no other ranked trial is as good in both objectives and better in one; null: there is one objective
    baseline        string                 the name of the hand-tuned network that it is; null: it was proposed
    source          string                 how it was proposed: random, model, ...
    gain            double                 score beyond the best baseline's; positive is better whatever the mode
    started_at      double        s        since the start of the sweep
    worker          string                 where it ran: host/slot
    audited         int32         epoch    early stopping would have ended it here; it was trained on to check that rule
    cause.kind      string                 why it ended otherwise than at its last epoch, in one word
    cause.message   string                 the same in one line
    cause.details   string                 a traceback, or nothing
    config.<name>   by its values          a hyperparameter; null: it was not active
    curve.<metric>  list<double>           one value per epoch, from epoch 1; null: not a finite number

The metadata of the Arrow schema holds `tuner.leaderboard` (the version of this format) and `tuner.facts` (JSON): what is known of the sweep as a
whole, its objective above all; and `tuner.check`, a checksum of them, of the columns' names and of the number of rows. `tuner/report/facts_schema.py` lists
every fact that a report reads; all of them may be missing.
"""

import io
import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from tuner.errors import NothingToRank, SweepError
from tuner.results.ranking import CAUSE, STATES, TrialRecord, rank_trials, record_of
from tuner.study.objective import Objective
from tuner.study.sweep_facts import SweepFacts
from tuner.study.writing import write_whole

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

__all__ = ["COLUMNS", "FILE", "STATES", "Leaderboard", "TrialRecord", "rank_trials", "record_of"]

FILE = "leaderboard.parquet"
VERSION = 1
# Without these a file is no leaderboard; all others may be missing, as in a file that an older Tuner of the same format wrote.
_NEEDED = ("rank", "number", "state", "score", "best_epoch", "epochs")
# Column -> type, unit and meaning: the table in the docstring above, word for word (a test compares them).
COLUMNS: dict[str, tuple[pa.DataType, str, str]] = {
    "rank": (pa.int32(), "", "1 is the best; null: not ranked, because it failed or has no score"),
    "number": (pa.int32(), "", "the trial's number, from 0 in the order of creation"),
    "state": (pa.string(), "", "complete, pruned, failed, waiting or running"),
    "score": (pa.float64(), "", "the objective at its best epoch"),
    "best_epoch": (pa.int32(), "epoch", "the earliest epoch with the best objective, from 1"),
    "epochs": (pa.int32(), "epoch", "how many epochs were trained"),
    "seconds": (pa.float64(), "s", "time that the trial was at work"),
    "parameters": (pa.int64(), "", "trainable parameters of the network"),
    "seed": (pa.int64(), "", "the seed of the trial's own random draws"),
    "pareto": (pa.bool_(), "", "no other ranked trial is as good in both objectives and better in one; null: there is one objective"),
    "baseline": (pa.string(), "", "the name of the hand-tuned network that it is; null: it was proposed"),
    "source": (pa.string(), "", "how it was proposed: random, model, ..."),
    "gain": (pa.float64(), "", "score beyond the best baseline's; positive is better whatever the mode"),
    "started_at": (pa.float64(), "s", "since the start of the sweep"),
    "worker": (pa.string(), "", "where it ran: host/slot"),
    "audited": (pa.int32(), "epoch", "early stopping would have ended it here; it was trained on to check that rule"),
    "cause.kind": (pa.string(), "", "why it ended otherwise than at its last epoch, in one word"),
    "cause.message": (pa.string(), "", "the same in one line"),
    "cause.details": (pa.string(), "", "a traceback, or nothing"),
}


@dataclass(frozen=True)
class Leaderboard:
    """The ranked trials of a sweep and the facts of the sweep as a whole.

    Attributes:
        records: the ranked ones first, by rank; then the others by number.
        facts: JSON; every key is optional (see `tuner/report/facts_schema.py`).

    Raises:
        ValueError: the records are not in that order, or two have the same number.
    """

    records: tuple[TrialRecord, ...]
    facts: SweepFacts = field(default_factory=SweepFacts)

    def __post_init__(self) -> None:
        object.__setattr__(self, "records", tuple(self.records))
        ranks = [record.rank for record in self.records if record.rank is not None]
        if ranks != list(range(1, len(ranks) + 1)) or any(record.rank is not None for record in self.records[len(ranks) :]):
            raise ValueError("leaderboard: the ranks are not 1, 2, 3, ... from the first record on; expected the records as rank_trials() returns them")
        if len({record.number for record in self.records}) < len(self.records):
            raise ValueError("leaderboard: two trials have the same number")

    @classmethod
    def of(cls, trials: "Iterable[FrozenTrial]", objective: Objective, facts: SweepFacts) -> "Leaderboard":
        """Return the leaderboard of a study's trials.

        Args:
            trials: of the study.
            objective: what they are ranked by; it is added to the facts.
            facts: of the sweep as a whole.
        """
        records = rank_trials([record_of(trial, objective) for trial in trials], objective, also=_second(facts))
        return cls(records, {**facts, "objective": {"metric": objective.metric, "mode": objective.mode}})

    @cached_property
    def objective(self) -> Objective:
        """What was optimised. Facts without an objective read as a `score` of which more is better."""
        stated = self.facts.get("objective")
        return Objective("score", "max") if not stated else Objective(stated["metric"], stated["mode"])

    @cached_property
    def ranked(self) -> tuple[TrialRecord, ...]:
        """The trials with a rank, best first."""
        return tuple(record for record in self.records if record.rank is not None)

    @property
    def second(self) -> str | None:
        """The second objective, a fact of the trials that is to be small; None where there is one objective."""
        return _second(self.facts)

    @cached_property
    def front(self) -> tuple[TrialRecord, ...]:
        """The Pareto front, best score first; empty where there is one objective."""
        return tuple(record for record in self.records if record.pareto)

    @property
    def best(self) -> TrialRecord:
        """The trial of rank 1.

        Raises:
            NothingToRank: no trial has a rank.
        """
        if not self.ranked:
            causes = sorted({record.cause["kind"] for record in self.records if record.cause})
            why = f" (their causes: {', '.join(causes)})" if causes else ""
            raise NothingToRank(f"nothing to rank: none of {len(self.records)} trials has a score{why}; expected at least one trained epoch")
        return self.records[0]

    @property
    def winner(self) -> TrialRecord:
        """The trial that is retrained: the one that was chosen on fresh seeds, or the best where none was.

        Raises:
            SweepError: no trial has a rank.
        """
        chosen = [entry["trial"] for entry in self.facts.get("confirmed") or () if entry.get("chosen")]
        return self.find(chosen[0]) if chosen else self.best

    @property
    def best_baseline(self) -> TrialRecord | None:
        """The best of the ranked baselines, or None where the sweep had none."""
        return next((record for record in self.ranked if record.baseline), None)

    @cached_property
    def metrics(self) -> tuple[str, ...]:
        """Every metric that has a learning curve, in the order in which they first occur."""
        return tuple(dict.fromkeys(metric for record in self.records for metric in record.curves))

    @cached_property
    def hyperparameters(self) -> tuple[str, ...]:
        """Every hyperparameter of any trial: first those of the space in its order, then those that only occur in trials."""
        used = dict.fromkeys(name for record in sorted(self.records, key=lambda record: record.number) for name in record.configuration)
        space = [name for name in self.facts.get("space") or {} if name in used]
        return (*space, *(name for name in used if name not in space))

    @cached_property
    def varying(self) -> tuple[str, ...]:
        """The hyperparameters that differ between trials; not being active is a difference."""
        configurations = [record.configuration for record in self.records if record.configuration]
        return tuple(name for name in self.hyperparameters if len({repr(configuration.get(name)) for configuration in configurations}) > 1)

    def find(self, number: int) -> TrialRecord:
        """Return a trial by its number.

        Raises:
            SweepError: there is none.
        """
        for record in self.records:
            if record.number == number:
                return record
        raise SweepError(f"trial {number}: not in this leaderboard; expected one of its {len(self.records)} trials")

    def table(self) -> pa.Table:
        """Return it as an Arrow table, as the module's docstring describes."""
        columns = dict(_columns(self.records, self.hyperparameters, self.metrics))
        facts = json.dumps(self.facts, allow_nan=False)
        metadata = {"tuner.leaderboard": str(VERSION), "tuner.facts": facts, "tuner.check": _check(facts.encode(), columns, len(self.records))}
        schema = pa.schema([column for column, _ in columns.values()], metadata=metadata)
        return pa.Table.from_arrays([pa.array(values, type=column.type) for column, values in columns.values()], schema=schema)

    def write(self, path: str | Path) -> Path:
        """Write the file, whole or not at all, and return its path.

        Args:
            path: the file, or the sweep's folder.

        Raises:
            SweepError: it cannot be written.
        """
        content, target = io.BytesIO(), _file(path)
        pq.write_table(self.table(), content, compression="zstd", write_page_checksum=True)
        write_whole(target, content.getvalue())
        return target

    @classmethod
    def read(cls, path: str | Path) -> "Leaderboard":
        """Read a leaderboard.

        Args:
            path: the file, or the sweep's folder.

        Raises:
            SweepError: there is none, or the file is not one.
        """
        source = _file(path)
        try:
            file = pq.ParquetFile(source, page_checksum_verification=True)
            table = file.read()
        except FileNotFoundError as error:
            raise SweepError(f"{path}: no leaderboard there; expected the folder of a sweep that has ended, or its {FILE}") from error
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise SweepError(f"{source}: cannot be read as Parquet; expected a {FILE} that Tuner wrote") from error
        metadata = table.schema.metadata or {}
        version = metadata.get(b"tuner.leaderboard")
        if version is None or not set(_NEEDED) <= _names(table):
            raise SweepError(f"{source}: a Parquet file, but not a leaderboard; expected a {FILE} that Tuner wrote")
        if version != str(VERSION).encode():
            wrote = version.decode(errors="replace")
            raise SweepError(f"{source}: a leaderboard of format {wrote}; expected format {VERSION}: read it with the Tuner that wrote it")
        try:
            facts = metadata[b"tuner.facts"]
            check = _check(facts, table.column_names, table.num_rows)
            if file.metadata.num_rows != table.num_rows or metadata.get(b"tuner.check", check.encode()) != check.encode():
                raise ValueError("its checksum differs")
            return cls(tuple(_records(table)), json.loads(facts))
        except (ValueError, KeyError, TypeError, pa.ArrowException) as error:
            raise SweepError(f"{source}: a damaged leaderboard ({error}); expected a {FILE} as Tuner wrote it") from error


def _second(facts: SweepFacts) -> str | None:
    return ((facts.get("spec") or {}).get("search") or {}).get("also_minimize")


def _names(table: pa.Table) -> set[str]:
    try:
        return set(table.column_names)
    except UnicodeDecodeError:
        return set()


def _check(facts: bytes, columns: Iterable[str], rows: int) -> str:
    """Return a checksum of what no page of the file holds; the pages have their own."""
    return f"{zlib.crc32(repr((rows, list(columns))).encode(), zlib.crc32(facts)):08x}"


def _file(path: str | Path) -> Path:
    return Path(path) / FILE if Path(path).is_dir() else Path(path)


def _columns(records: Sequence[TrialRecord], hyperparameters: Sequence[str], metrics: Sequence[str]) -> Iterator[tuple[str, tuple[pa.Field, list]]]:
    for name, (kind, unit, meaning) in COLUMNS.items():
        if name.startswith("cause."):
            values = [record.cause[name.removeprefix("cause.")] if record.cause else None for record in records]
        else:
            values = [getattr(record, name) for record in records]
        yield name, (pa.field(name, kind, metadata={"unit": unit, "meaning": meaning}), values)
    for name in hyperparameters:
        values = [record.configuration.get(name) for record in records]
        kind, as_json = _kind(values)
        if as_json:
            values = [None if value is None else json.dumps(value) for value in values]
        metadata = {"unit": "", "meaning": "a hyperparameter; null: it was not active", **({"encoding": "json"} if as_json else {})}
        yield f"config.{name}", (pa.field(f"config.{name}", kind, metadata=metadata), values)
    for metric in metrics:
        metadata = {"unit": "", "meaning": "one value per epoch, from epoch 1; null: not a finite number"}
        column = pa.field(f"curve.{metric}", pa.list_(pa.float64()), metadata=metadata)
        yield column.name, (column, [record.curves.get(metric) for record in records])


def _kind(values: Iterable[Any]) -> tuple[pa.DataType, bool]:
    """Return the narrowest type that holds all values, and whether they must be written as JSON because no type of Arrow's does."""
    kinds = {type(value) for value in values if value is not None}
    for allowed, kind in (({bool}, pa.bool_()), ({int}, pa.int64()), ({int, float}, pa.float64()), ({str}, pa.string())):
        if kinds <= allowed:
            return kind, False
    return pa.string(), True


def _records(table: pa.Table) -> Iterator[TrialRecord]:
    fields = {column.name: column for column in table.schema}
    encoded = {name for name, column in fields.items() if (column.metadata or {}).get(b"encoding") == b"json"}
    for row in table.to_pylist():
        cause = {part: row.get(f"cause.{part}") or "" for part in CAUSE} if row.get("cause.kind") is not None else None
        yield TrialRecord(
            **{name: row[name] for name in COLUMNS if not name.startswith("cause.") and name in row},
            cause=cause,
            configuration={
                name.removeprefix("config."): json.loads(value) if name in encoded else value
                for name, value in row.items()
                if name.startswith("config.") and value is not None
            },
            curves={name.removeprefix("curve."): tuple(value) for name, value in row.items() if name.startswith("curve.") and value is not None},
        )
