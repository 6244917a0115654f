"""`tuner predict`: the saved model of a sweep, applied to new data.

The network is rebuilt from the model card and given the weights of model.keras, in a process of its own; no code in either file is run, but a builder of the
user's own is: the copy of it that the sweep's folder keeps. Owns how
predictions are written.
"""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from cluster import stale_sessions as leftovers
from search_spaces.code import IN_MEMORY
from search_spaces.errors import nearest
from tuner.data.dataset import Features, read_for_prediction
from tuner.data.dialect import dialect_in
from tuner.data.inputs import inputs_from_json
from tuner.data.pool import Pool
from tuner.data.scaling import from_json
from tuner.data.splits import Fold
from tuner.errors import SweepError
from tuner.results.card import CARD, no_card, read_card
from tuner.study import builder_copy
from tuner.training.process import Limits, ProcessDied, TrainingProcess
from tuner.training.saved_model import BUILDER
from tuner.training.shared_data import store
from tuner.training.trainer import TrainingConfig

WRITERS = {".csv": pa.csv.write_csv, ".parquet": pa.parquet.write_table}


def predict(folder: Path, source: Path, target: Path | None, *, search_path: tuple[str, ...] = ()) -> pa.Table:
    """Predict the rows of a data file, and write one row of predictions for each.

    Args:
        folder: of a sweep that has ended.
        source: a table, or an `.npz` with `x`, in the shape of the sweep's own data; a target column is not needed.
        target: `.csv` or `.parquet`; None: CSV to standard output.
        search_path: folders in which the sweep's own builder is looked for.

    Returns:
        What was written: for classes, `predicted` and one `probability of <class>` each; for targets, `predicted` or `predicted_<n>`.

    Raises:
        SweepError: there is no model, or the target's ending is unknown.
        DatasetError: the data are not what the model was trained on.
    """
    if target is not None and target.suffix not in WRITERS:
        raise SweepError(f"{target}: cannot write {target.suffix or 'a file without ending'}; {nearest(target.suffix, WRITERS)}")
    if target is not None and not target.parent.is_dir():
        raise SweepError(f"{target}: there is no folder {target.parent}; expected one that exists")
    card = read_card(folder)
    # First what the winner was built by: the module of that name may be another by now.
    search_path = (*builder_copy.kept(card, folder), *search_path)
    try:
        features, told = Features.from_json(card["features"]), dict(card["dataset"])
        config, scaling = TrainingConfig.from_json({**card["recipe"], "search_path": search_path}), from_json(card["scaling"])
        model, classes, dialect = folder / card["model"], card["classes"], dialect_in(told)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise no_card(folder / CARD) from error
    x = read_for_prediction(str(source), features, dialect=dialect, target=tuple(told.get("target") or ()), told=_tell)
    table = _table(_outputs(model, config, scaling, x), classes)
    if target is None:
        pa.csv.write_csv(table, sys.stdout.buffer)
    else:
        WRITERS[target.suffix](table, str(target))
    return table


def predict_rows(folder: Path, x: Any, *, probabilities: bool = False, code: bytes = b"", search_path: Sequence[str] = ()) -> np.ndarray:
    """Predict rows in memory.

    Args:
        folder: of a sweep that has ended.
        x: `(rows, ...)`, as the sweep's own inputs before any scaling.
        probabilities: of each class, instead of the likeliest.
        code: the builder itself, packed, where it is in no module.
        search_path: folders in which its module is looked for.

    Returns:
        `(rows,)` class names, strings or int64 where all of them are whole numbers; `(rows, classes)` probabilities, float32; or `(rows,)` or
        `(rows, targets)` targets, float32.

    Raises:
        SweepError: there is no model.
        DatasetError: the rows are not like those that it was trained on.
    """
    card = read_card(folder)
    features, classes = inputs_from_json(card["features"]), list(card["classes"])
    if not isinstance(features, Features):
        raise SweepError(f"{folder}: its network has several inputs, or words, which predict does not take; expected one array of numbers, or use model()")
    if features.columns:
        raise SweepError(f"{folder}: its network was trained on a table; expected `tuner predict {folder} TABLE`, which knows its columns")
    places = (*builder_copy.kept(card, folder), *search_path)
    config, scaling = TrainingConfig.from_json({**card["recipe"], "search_path": places}), from_json(card["scaling"])
    rows = np.asarray(x)
    rows = features.encode(rows if rows.dtype == np.uint8 else rows.astype(np.float32))
    outputs = _outputs(folder / card["model"], config, scaling, rows, code=code)
    if not classes:
        return outputs[:, 0] if outputs.ndim == 2 and outputs.shape[1] == 1 else outputs
    if probabilities:
        return outputs
    names = np.array(classes)[outputs.argmax(axis=1)]
    return names.astype(np.int64) if all(name.lstrip("-").isdecimal() for name in classes) else names


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _outputs(model: Path, config: TrainingConfig, scaling: Any, x: np.ndarray, *, code: bytes = b"") -> np.ndarray:
    if config.builder.startswith(f"{IN_MEMORY}:") and not code:
        config = config.of({"path": str(model.resolve())}, config.seed)
        config = replace(config, builder=BUILDER)
    with leftovers.folder() as scratch:
        labels = np.zeros(len(x), np.int32 if config.task == "classification" else np.float32)
        pool = store(scratch, Pool(x, labels))
        try:
            with TrainingProcess(config, pool, folds=(Fold(None, np.arange(len(x)), scaling),), limits=Limits(), code=code) as process:
                process.load_weights(model)
                return process.predict(x)
        except (ProcessDied, OSError, ValueError) as error:
            raise SweepError(f"{model}: cannot be used ({error}); expected the model that Tuner wrote beside its card") from error


def _table(predictions: np.ndarray, classes: list[str]) -> pa.Table:
    if classes:
        columns = {"predicted": pa.array([classes[index] for index in predictions.argmax(axis=1)])}
        return pa.table(columns | {f"probability of {name}": predictions[:, index] for index, name in enumerate(classes)})
    values = predictions.reshape(len(predictions), -1)
    if values.shape[1] == 1:
        return pa.table({"predicted": values[:, 0]})
    return pa.table({f"predicted_{index}": values[:, index] for index in range(values.shape[1])})
