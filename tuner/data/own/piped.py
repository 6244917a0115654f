"""Data that are pipelines of the user's own: batches that are made while a network trains on them.

Owns which keys of `[dataset]` mean nothing for them, and what can be said of data that nobody holds. Must not know who trains on them.
"""

from dataclasses import replace

import numpy as np

from tuner.data.arrays.inputs import Inputs
from tuner.data.arrays.structure import leaves
from tuner.data.dataset_facts import facts_of
from tuner.data.decisions import Decision
from tuner.data.examples import Raw
from tuner.data.pool import Pool
from tuner.data.search_data import Dataset
from tuner.data.section import DatasetSection
from tuner.data.splits.drawing import Fold
from tuner.data.splits.sealed_test import SealedTest
from tuner.data.targets import tasks
from tuner.errors import DatasetError

# What needs rows in memory.
_OF_ROWS = ("folds", "max_rows", "validation", "test", "split", "time", "group", "split_column", "one_hot", "missing", "scaling")


def piped(raw: Raw, section: DatasetSection, seed: int) -> tuple[Dataset, SealedTest]:
    """Return the data of pipelines; see `dataset.load`.

    Args:
        raw: of a function: its pipelines, and the first rows of each.
        section: `[dataset]`.
        seed: of the sweep.

    Raises:
        ValueError: there are no pipelines.
        DatasetError: a key is set that means nothing for pipelines, or the task needs what they do not tell.
    """
    if raw.pipelines is None:
        raise ValueError("piped: got no pipelines")
    for key in _OF_ROWS:
        if getattr(section, key) != type(section).model_fields[key].default:
            raise DatasetError(
                f"dataset.{key}: got {getattr(section, key)}, but {section.source} gives pipelines, whose rows are not in memory; leave the key out"
            )
    shown = raw.pool
    task = section.task or "custom"
    if task != "custom":
        if not isinstance(shown.y, np.ndarray):
            raise DatasetError(
                f'{section.source}: gives {len(leaves(shown.y)) or "no"} targets; the task {task!r} has one array of them; expected task = "custom"'
            )
        if task in ("classification", "multilabel") and not raw.class_names:
            raise DatasetError(f"dataset.classes: missing; a pipeline does not show which {'classes' if task == 'classification' else 'labels'} there are")
    targets = tasks.fit(shown.y, "custom", names=raw.class_names)
    train = raw.pipelines["train"]
    validation = raw.pipelines["validation"]
    if raw.ask_for_test is None:
        raise DatasetError(f'{section.source}: gives no test split; expected {{"train": ..., "validation": ..., "test": ...}}, or a parameter `split`')
    ask = raw.ask_for_test

    def opened() -> Pool:
        rows = ask()
        return Pool(rows.x, rows.y, rows.w)

    none = np.zeros(0, dtype=np.int64)
    dataset = Dataset(
        section.source,
        task,
        shown.x,
        targets.encode(shown.y, "targets"),
        (Fold(train, validation),),
        raw.class_names,
        Inputs.of(shown.x, section.missing),
        {},
        test_rows=none,
        w=shown.w,
        methods=((None, 1.0),) * len(leaves(shown.x)),
        pipeline=train.and_(validation),
    )
    size = f"{train.steps} batches, about {len(train)} rows, and {validation.steps} of {len(validation)} to validate on"
    note = Decision("x, y", "batches", f"as {section.source} gives them, {size}")
    facts = facts_of(dataset, raw.content_hash, section, seed) | {"test_given": True, "validation_given": True, "decisions": [note.to_json()]}
    del facts["test_rows"]
    return replace(dataset, facts=facts), SealedTest(opened)
