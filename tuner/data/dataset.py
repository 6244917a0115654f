"""The data of a sweep: a pool that the search may see, and a sealed test split that it may not.

Owns how what a source gives becomes numbers, splits and facts. Which sources there are, how tables are read and rows are drawn stands in the files beside it.
Must not know networks, trials or Ray, and must not import TensorFlow.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from tuner.data import features as features_room
from tuner.data import hashes, sources
from tuner.data.arrays import usual_scaling
from tuner.data.arrays.each_input import decide_each, of_plain
from tuner.data.arrays.inputs import Inputs
from tuner.data.arrays.structure import Structure, leaves, paths
from tuner.data.dataset_facts import facts_of
from tuner.data.decisions import Decision
from tuner.data.examples import Examples, Raw, joined, rows_of
from tuner.data.features import Features
from tuner.data.own.piped import piped
from tuner.data.pool import Pool
from tuner.data.scaling import Scaling, apply
from tuner.data.search_data import Dataset
from tuner.data.section import DatasetSection
from tuner.data.sources import SOURCES, read_for_prediction
from tuner.data.splits.division import Division, Rows, class_notes, divide
from tuner.data.splits.drawing import Fold
from tuner.data.splits.sealed_test import SealedTest
from tuner.data.tables.from_tables import read_test, table_of
from tuner.data.tables.interpret import Interpretation, of_columns
from tuner.data.tables.plain_columns import columns_of
from tuner.data.tables.stream import TEST, VALIDATION
from tuner.data.tables.survey import survey
from tuner.data.targets import tasks
from tuner.data.targets.single import Targets
from tuner.errors import DatasetError

__all__ = ["SOURCES", "Dataset", "DatasetSection", "Features", "Fold", "Scaling", "SealedTest", "apply", "assemble", "load", "read_for_prediction"]


SPLIT = {
    "time": "by {column}: train before validation before test, {gap} rows left out between",
    "group": "by {column}: no group on two sides",
    "column": "as {column} says",
}


def load(section: DatasetSection, seed: int, search_path: tuple[str, ...] = ()) -> tuple[Dataset, SealedTest]:
    """Read, split and encode the data of a sweep.

    Args:
        section: `[dataset]`.
        seed: of the splits, unless the section has its own.
        search_path: folders where the module of a data function is looked for.

    Returns:
        What a search may see, and the test split.

    Raises:
        DatasetError: one line that says what is wrong with the data; what a function of the user's own raised has its traceback below that line.
    """
    try:
        if section.stream:
            return _streamed(section, seed)
        return assemble(sources.of_function(section, search_path) if section.is_function else SOURCES[section.source](section), section, seed)
    except MemoryError as error:
        held = section.source == "table" and not section.stream
        mend = "dataset.stream = true reads Parquet, Feather and Arrow files part by part" if held else "it needs a larger one"
        raise DatasetError(f"{section.path or section.source}: does not fit into this machine's memory; {mend}") from error
    except DatasetError as error:
        files = section.source if section.is_function else " and ".join(path for path in (section.path, section.test_path) if path)
        if not files or files in str(error) or str(section.path) in str(error) or (section.test_path or files) in str(error):
            raise
        raise DatasetError(f"{files}: {error}") from error


def assemble(raw: Raw, section: DatasetSection, seed: int) -> tuple[Dataset, SealedTest]:
    """Split and encode what a source gave; see `load`.

    Args:
        raw: what it gave.
        section: `[dataset]`.
        seed: of the splits, unless the section has its own.
    """
    seed = seed if section.split_seed is None else section.split_seed
    if raw.pipelines:
        return piped(raw, section, seed)
    given = raw.pool if raw.validation is None else joined(raw.pool, raw.validation)
    asked = raw.task or section.task
    given = replace(given, y=_plain(given.y, asked))
    apart = raw.columns is not None and isinstance(given.y, dict)
    targets = tasks.several(given.y) if apart else tasks.fit(given.y, asked, names=raw.class_names, one_hot=section.one_hot)
    y = targets.encode(given.y, "labels")
    divided = divide(_rows(raw, given, section, targets, y), section, seed)

    taken = rows_of(given, divided.pool)
    features = _features(taken.x, section, raw.columns)
    x = features.encode(taken.x)

    def encoded(examples: Examples, where: str) -> Pool:
        return Pool(features.encode(examples.x), targets.encode(_plain(examples.y, asked), where), examples.w)

    if raw.ask_for_test is not None:
        ask = raw.ask_for_test
        sealed, test_rows = SealedTest(lambda: encoded(ask(), "test labels")), np.zeros(0, dtype=np.int64)
    elif raw.test is not None:
        sealed, test_rows = SealedTest(encoded(raw.test, "test labels")), raw.test.rows
    else:
        held = rows_of(given, divided.test)
        sealed, test_rows = SealedTest(encoded(held, "test labels")), held.rows
    name = ", ".join(section.targets) or "y"
    decisions = [tasks.decision(targets, given.y, name, asked=asked)]
    scale, largest, methods, notes = _scalings(x, features, section, raw)
    dataset = Dataset(
        section.source,
        targets.task,
        x,
        targets.encode(taken.y, "labels"),
        divided.folds,
        targets.classes,
        features,
        {},
        scale,
        largest,
        taken.rows,
        test_rows,
        w=taken.w,
        methods=methods,
        heads={name: part.classes for name, part in targets.parts.items() if part.classes} if isinstance(targets, tasks.Several) else {},
    )
    decisions += [*raw.notes, *notes, *_split_decisions(raw, given, section, targets, y, divided)]
    facts = facts_of(dataset, raw.content_hash, section, seed)
    facts |= {"test_given": raw.test_given, "validation_given": raw.validation is not None, "decisions": [each.to_json() for each in decisions]}
    if sealed.rows is None:
        del facts["test_rows"]  # nobody knows before it is opened
    if raw.dialect is not None:
        facts["dialect"] = raw.dialect.to_json()
    return replace(dataset, facts=facts), sealed


def _plain(y: Structure, task: str | None) -> Structure:
    """Return targets of one column as one number or word a row, but where the builder alone knows what they are."""
    return y[:, 0] if isinstance(y, np.ndarray) and y.ndim == 2 and y.shape[1] == 1 and task != "custom" else y


def _rows(raw: Raw, given: Examples, section: DatasetSection, targets: tasks.AnyTargets, y: Structure) -> Rows:
    return Rows(
        len(given),
        tasks.strata_of(targets, y),
        targets.classes,
        numbers=isinstance(targets, Targets) and targets.are_numbers,
        by=given.by,
        name=section.aside or "",
        validation=0 if raw.validation is None else len(raw.validation),
        test_given=raw.test_given,
    )


def _split_decisions(raw: Raw, given: Examples, section: DatasetSection, targets: tasks.AnyTargets, y: Structure, divided: Division) -> list[Decision]:
    """Return what was decided about the division, where that is not what everybody expects."""
    notes = [Decision("splits", "rows", note, "as the split has it") for note in class_notes(_rows(raw, given, section, targets, y), divided)]
    if section.mode != "random":
        notes.append(Decision("splits", "rows", SPLIT[section.mode].format(column=section.aside or "their order", gap=section.gap)))
    if given.w is not None:
        notes.append(Decision("w", "weights", "multiply each row's loss"))
    return notes


def _scalings(
    x: Structure, features: Features | Inputs, section: DatasetSection, raw: Raw
) -> tuple[str, float, tuple[tuple[str | None, float], ...], list[Decision]]:
    """Return the method and largest value of a single input, those of each leaf of a structure, and what is notes of them."""
    if raw.columns is not None and isinstance(features, Features):
        return section.method, 255.0, (), of_columns(features.columns, section.method, raw.columns)
    if isinstance(features, Features):
        asked = section.scaling if isinstance(section.scaling, str) else section.scaling.get("x", section.scaling.get("", "auto"))
        if isinstance(section.scaling, dict) and (unknown := set(section.scaling) - {"x", ""}):
            raise DatasetError(f"dataset.scaling: got {min(unknown)!r}; there is one input, x; expected a word for it")
        scale, largest, decision = usual_scaling.decide(x, asked, raw.largest)
        return scale, largest, (), [decision]
    if isinstance(features, Inputs) and features.columns:
        methods, notes = of_plain(features, section.scaling)
        return "none", 255.0, methods, [*notes, *(raw.columns.left_out if raw.columns else ())]
    methods, notes = decide_each(dict(zip(paths(x), leaves(x), strict=True)), section.scaling)
    return "none", 255.0, methods, notes


def _features(rows: Any, section: DatasetSection, columns: Interpretation | None) -> Features | Inputs:
    if columns is None:
        single = isinstance(rows, np.ndarray) and rows.dtype in (np.uint8, np.float32)
        return features_room.of_array(rows, section.missing) if single else Inputs.of(rows, section.missing)
    if not section.encode:
        return Inputs.of_table(rows, columns_of(columns), section.missing, section.columns)
    options = {"missing": section.missing, "indicators": section.missing_indicators, "max_categories": section.max_categories}
    return features_room.of_table(rows, columns, **options)  # type: ignore[arg-type]


def _streamed(section: DatasetSection, seed: int) -> tuple[Dataset, SealedTest]:
    """As `load`, of a table that is not to be in memory."""
    seed = seed if section.split_seed is None else section.split_seed
    table, features = table_of(section)
    if table.format not in ("parquet", "feather", "arrow"):
        raise DatasetError(f"{table.path}: is {table.format}; expected Parquet, Feather or Arrow for stream = true, which can be read in parts")
    first_pass = survey(section, table, features, seed)
    x, y, rows, content_hash = first_pass.x[TEST], first_pass.y[TEST], first_pass.rows[TEST], first_pass.content_hash
    if section.test_path is not None:
        test, test_hash = read_test(section, first_pass.columns)
        x, y, rows = first_pass.features.encode(test.x), first_pass.targets.encode(test.y, "test labels"), test.rows
        content_hash = hashes.of_parts((content_hash, test_hash))
    fold = Fold(first_pass.train, np.arange(len(first_pass.y[VALIDATION])))
    pool = first_pass.x[VALIDATION], first_pass.y[VALIDATION]
    dataset = Dataset(
        section.source,
        first_pass.targets.task,
        *pool,
        (fold,),
        first_pass.targets.classes,
        first_pass.features,
        {},
        first_pass.method,
        255.0,
        first_pass.rows[VALIDATION],
        rows,
        first_pass,
    )
    facts = facts_of(dataset, content_hash, section, seed)
    if facts["task"] == "classification":
        facts["classes"] = dict(first_pass.counts)
    facts |= {"streamed": True, "pool_rows": len(first_pass.whole), "rows": len(first_pass.whole) + len(rows), "shuffle_buffer": section.shuffle_buffer}
    facts["decisions"] = [each.to_json() for each in (first_pass.answer, *of_columns(first_pass.features.columns, first_pass.method, first_pass.columns))]
    return replace(dataset, facts=facts), SealedTest(Pool(x, y))
