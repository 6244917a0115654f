"""`tuner predict`: the saved model of a sweep, applied to new data.

The network is rebuilt from the model card and given the weights of model.keras, in a process of its own; no code in either file is run, but a builder of the
user's own is: the copy of it that the sweep's folder keeps. Owns which columns predictions have.
"""

import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from cluster import stale_sessions as leftovers
from search_spaces.code import IN_MEMORY
from tuner.data.arrays.inputs import Inputs, inputs_from_json
from tuner.data.arrays.structure import Structure, leaves, paths, rebuild, row_count, skeleton
from tuner.data.dataset import Features, read_for_prediction
from tuner.data.own.returned import arrays_in
from tuner.data.pool import Pool
from tuner.data.scaling import from_json
from tuner.data.splits.drawing import Fold
from tuner.data.tables.dialect import dialect_in
from tuner.data.to_predict import parts_of, readable, usual_rows
from tuner.errors import DatasetError, SweepError
from tuner.results.card import CARD, no_card, read_card
from tuner.results.prediction_file import Predicted, Progress, Writer, check, spooled
from tuner.study import builder_copy
from tuner.training.config import TrainingConfig
from tuner.training.process import Limits, ProcessDied, TrainingProcess
from tuner.training.saved_model import BUILDER
from tuner.training.shared_data import store


def predict(folder: Path, source: Path, target: Path | None, *, search_path: tuple[str, ...] = (), batch_size: int | None = None) -> pa.Table:
    """Predict the rows of a data file, and write one row of predictions for each; return them too, for which they must fit into memory.

    Args:
        folder: of a sweep that has ended.
        source: see `predict_file`.
        target: see `predict_file`.
        search_path: folders in which the sweep's own builder is looked for.
        batch_size: rows that are read and predicted at a time.

    Returns:
        What was written, see `table_of`.

    Raises:
        SweepError: there is no model, or the target's ending is unknown.
        DatasetError: the data are not what the model was trained on.
    """
    kept: list[pa.Table] = []
    predict_file(folder, source, target, search_path=search_path, batch_size=batch_size, also=kept.append)
    return pa.concat_tables(kept)


def predict_file(
    folder: Path,
    source: Path,
    target: Path | None,
    *,
    search_path: tuple[str, ...] = (),
    batch_size: int | None = None,
    also: Callable[[pa.Table], None] | None = None,
) -> Predicted:
    """Predict the rows of a data file of any size, part by part, and write one row of predictions for each.

    A row that cannot be read is reported, and has no predictions; where no row of the first part can be read, nothing is written.

    Args:
        folder: of a sweep that has ended.
        source: a table, an `.npz` with `x`, or images, in the shape of the sweep's own data; a target column is not needed. `-`: standard input.
        target: `.csv`, `.parquet`, `.feather`, `.arrow`, or `.npz` for the answers as arrays of their own shape; None or `-`: CSV to standard output.
        search_path: folders in which the sweep's own builder is looked for.
        batch_size: rows that are read and predicted at a time; None: as many as take some megabytes.
        also: is given each table that is written.

    Returns:
        How many rows there are, and how many of them could not be predicted.

    Raises:
        SweepError: there is no model, or the target's ending is unknown.
        DatasetError: the data are not what the model was trained on.
    """
    check(target)
    card = read_card(folder)
    # First what the winner was built by: the module of that name may be another by now.
    search_path = (*builder_copy.kept(card, folder), *search_path)
    try:
        features, facts = inputs_from_json(card["features"]), dict(card["dataset"])
        config, scaling = TrainingConfig.from_json({**card["recipe"], "search_path": search_path}), from_json(card["scaling"])
        model, classes, dialect = folder / card["model"], card["classes"], dialect_in(facts)
        asked: dict[str, Any] = {"dialect": dialect, "target": tuple(facts.get("target") or ())}
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise no_card(folder / CARD) from error
    progress = Progress(_tell)
    with leftovers.folder() as scratch, ExitStack() as stack:
        path = spooled(source, Path(scratch))
        out, network = Writer(target), None
        for part in parts_of(str(path), features, batch_size or usual_rows(features), **asked):
            fine, pieces, problems = readable(part, some=network is None)
            if pieces:
                progress.unknown(part.unknown())
                x = _joined(pieces)
                if network is None:
                    network = stack.enter_context(_network(model, config, scaling, x, scratch))
                    stack.enter_context(out)
                with _usable(model):
                    answers = network.predict(x)
                out.answered(table_of(answers, network.kind, classes), _named(answers), fine, part.rows)
            else:
                out.unanswered(part.rows)
            if also is not None and out.last is not None:
                also(out.last)
            progress.add(part.rows, problems)
    if network is None:
        raise DatasetError(f"{source}: holds no rows; expected some to predict")
    return progress.ended()


def predict_rows(folder: Path, x: Any, *, probabilities: bool = False, code: bytes = b"", search_path: Sequence[str] = ()) -> Structure:
    """Predict rows in memory, or those of a file.

    Args:
        folder: of a sweep that has ended.
        x: `(rows, ...)`, or a structure of arrays, as the sweep's own inputs before any scaling; for a network that was trained on a table a data frame, an
            Arrow table or a dictionary of columns (further columns are ignored); or the path of a file, as `predict` reads it.
        probabilities: of each class, instead of the likeliest.
        code: the builder itself, packed, where it is in no module.
        search_path: folders in which its module is looked for.

    Returns:
        `(rows,)` class names, strings or int64 where all of them are whole numbers; `(rows, labels)` 0 or 1, int64; `(rows, classes)` probabilities, float32;
        `(rows,)` or `(rows, targets)` targets, float32; or of several outputs a structure of what the network gives, float32.

    Raises:
        SweepError: there is no model.
        DatasetError: the rows are not like those that it was trained on.
    """
    card = read_card(folder)
    features, classes = inputs_from_json(card["features"]), list(card["classes"])
    places = (*builder_copy.kept(card, folder), *search_path)
    config, scaling = TrainingConfig.from_json({**card["recipe"], "search_path": places}), from_json(card["scaling"])
    outputs, kind = _answers(folder / card["model"], config, scaling, _rows(x, features, card["dataset"]), code=code)
    if not isinstance(outputs, np.ndarray):
        return outputs
    if not classes or kind == "values":
        return outputs[:, 0] if outputs.ndim == 2 and outputs.shape[1] == 1 else outputs
    if probabilities:
        if kind == "scores":
            raise SweepError(f"{folder}: its network gives numbers that are no probabilities; expected a softmax or sigmoid layer, or a loss with from_logits")
        return outputs
    if kind == "independent":
        return (outputs >= 0.5).astype(np.int64)
    names = np.array(classes)[outputs.argmax(axis=1)]
    return names.astype(np.int64) if all(name.lstrip("-").isdecimal() for name in classes) else names


def _rows(x: Any, features: Features | Inputs, dataset: Mapping[str, Any]) -> Structure:
    """Return rows as a network's inputs are stored, not yet scaled."""
    asked: dict[str, Any] = {"target": tuple(dataset.get("target") or ()), "warn": _tell}
    if isinstance(x, str | Path):
        return read_for_prediction(str(x), features, dialect=dialect_in(dict(dataset)), **asked)
    if features.columns:
        with leftovers.folder() as scratch:
            # By way of a file, so that columns in memory are read by the very rules of those that it was trained on.
            pa.parquet.write_table(_table(x), f"{scratch}/rows.parquet")
            return read_for_prediction(f"{scratch}/rows.parquet", features, **asked)
    if isinstance(features, Features):
        array = np.asarray(x)
        return features.encode(array if array.dtype == np.uint8 else array.astype(np.float32))
    return features.encode(arrays_in(x, "x"))


def _table(x: Any) -> pa.Table:
    try:
        if isinstance(x, Mapping):
            return pa.table({name: pa.array(_column(values), from_pandas=True) for name, values in x.items()})
        return x if isinstance(x, pa.Table) else pa.Table.from_pandas(x, preserve_index=False)
    except (AttributeError, TypeError, pa.ArrowInvalid) as error:
        raise DatasetError(f"x: got {type(x).__name__} ({error}); expected a data frame, an Arrow table or a dictionary of the table's columns") from error


def _column(values: Any) -> np.ndarray:
    column = np.ravel(values)
    return np.char.decode(column, "utf-8") if column.dtype.kind == "S" else column


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def table_of(answers: Structure, kind: str, classes: Sequence[str]) -> pa.Table:
    """Return predictions as a table with one row for each example.

    Args:
        answers: (n, ...) float32 of the network; of several outputs a structure.
        kind: what they are, see `search_spaces.answers.Meaning`.
        classes: the names of classes or labels; empty: there are none.

    Returns:
        For classes `predicted` and `probability of <class>` (`score of <class>` where the numbers are no probabilities); for labels `<label>`, whether it is
        more likely than not, and `probability of <label>`; for numbers `predicted` or `predicted_<n>`; of several outputs, or with more axes, a column for
        each number, named by its output and its place.
    """
    if isinstance(answers, np.ndarray) and answers.ndim == 2 and answers.shape[1] == len(classes) and kind != "values":
        columns = {f"{'score' if kind == 'scores' else 'probability'} of {name}": answers[:, index] for index, name in enumerate(classes)}
        if kind == "independent":
            return pa.table({name: pa.array(answers[:, index] >= 0.5) for index, name in enumerate(classes)} | columns)
        return pa.table({"predicted": pa.array([classes[index] for index in answers.argmax(axis=1)])} | columns)
    table: dict[str, np.ndarray] = {}
    for name, array in _named(answers):
        for place in np.ndindex(*array.shape[1:]):
            single = math.prod(array.shape[1:]) == 1
            table["_".join([name, *(() if single else map(str, place))])] = array[(slice(None), *place)]
    return pa.table(table)


def _named(answers: Structure) -> list[tuple[str, np.ndarray]]:
    """Return each output with its name: `predicted` for the only one."""
    if isinstance(answers, np.ndarray):
        return [("predicted", answers)]
    return [(f"predicted_{path.replace('/', '_')}", array) for path, array in zip(paths(answers), leaves(answers), strict=True)]


def _answers(model: Path, config: TrainingConfig, scaling: Any, x: Structure, *, code: bytes = b"") -> tuple[Structure, str]:
    with leftovers.folder() as scratch, _network(model, config, scaling, x, scratch, code) as network, _usable(model):
        return network.predict(x), network.kind


@contextmanager
def _network(model: Path, config: TrainingConfig, scaling: Any, x: Structure, scratch: str, code: bytes = b"") -> Iterator[TrainingProcess]:
    """Give a process with the saved network, whatever goes wrong in it or with it reported as what is wrong with the model's file."""
    if config.builder.startswith(f"{IN_MEMORY}:") and not code:
        config = config.of({"path": str(model.resolve())}, config.seed)
        config = replace(config, builder=BUILDER)
    with _usable(model):
        pool = store(scratch, Pool(x))
        process = TrainingProcess(config, pool, folds=(Fold(None, np.arange(row_count(x)), scaling),), limits=Limits(), code=code)
    with process:
        with _usable(model):
            process.load_weights(model)
        yield process


@contextmanager
def _usable(model: Path) -> Iterator[None]:
    try:
        yield
    except (ProcessDied, OSError, ValueError) as error:
        raise SweepError(f"{model}: cannot be used ({error}); expected the model that Tuner wrote beside its card") from error


def _joined(pieces: Sequence[Structure]) -> Structure:
    """Return the rows of all pieces, one after the other."""
    if len(pieces) == 1:
        return pieces[0]
    return rebuild(skeleton(pieces[0]), [np.concatenate(parts) for parts in zip(*map(leaves, pieces), strict=True)])
