"""What a record says of the data: JSON values, written once when a sweep begins."""

import importlib.metadata
from typing import Any

import numpy as np

from tuner.data import hashes
from tuner.data.search_data import Dataset
from tuner.data.section import DatasetSection
from tuner.data.targets import baseline


def facts_of(dataset: Dataset, content_hash: str, section: DatasetSection, seed: int) -> dict[str, Any]:
    """Return the facts of the data themselves; whoever read them adds what they decided.

    Args:
        dataset: as divided and encoded.
        content_hash: of what was read.
        section: `[dataset]`.
        seed: of the splits.
    """
    pool_rows = len(dataset.whole)
    facts: dict[str, Any] = {
        "source": section.source,
        "path": section.path,
        "test_path": section.test_path,
        "content_hash": content_hash,
        "split_hash": hashes.of_rows(dataset.indices()),
        "seed": seed,
        "task": dataset.task,
        "rows": pool_rows + len(dataset.test_rows),
        "pool_rows": pool_rows,
        "train_rows": [len(fold.train) for fold in dataset.folds],
        "validation_rows": [0 if fold.validation is None else len(fold.validation) for fold in dataset.folds],
        "test_rows": len(dataset.test_rows),
        "test_given": section.test_path is not None,
        "max_rows": section.max_rows,
        "input_shape": list(dataset.input_shape),
        "dtype": str(dataset.x.dtype) if isinstance(dataset.x, np.ndarray) else "",
        "inputs": dataset.inputs,
        "targets": dataset.targets,
        "outputs": dataset.outputs,
        "scaling": _scaling(dataset),
        "weighted": dataset.w is not None,
        "split": {"by": section.mode, "column": section.aside, "gap": section.gap},
        "missing": section.missing,
        "target": list(section.targets),
        # The splitters' and the readers' versions: another one may draw or read differently.
        "versions": {name: importlib.metadata.version(name) for name in ("numpy", "scikit-learn", "pyarrow")},
    }
    if dataset.pipeline is not None:
        facts["pipeline"] = {"form": dataset.pipeline.form, "steps": dataset.pipeline.steps}
    elif (labels := dataset.labels) is not None:
        facts["classes"] = dict(zip(dataset.classes, np.bincount(labels, minlength=len(dataset.classes)).tolist(), strict=True))
    elif dataset.task == "multilabel":
        facts["classes"] = dict(zip(dataset.classes, dataset.y.sum(axis=0).astype(int).tolist(), strict=True))
    facts["baseline"] = _baseline(dataset)
    return facts


def _baseline(dataset: Dataset) -> dict[str, Any] | None:
    """Return what doing nothing scores on the validation rows; of a stream, whose training rows are not in memory, by the validation rows' own targets."""
    per_fold: list[dict[str, Any]] = []
    if dataset.pipeline is not None or dataset.task == "custom":
        return None
    targets = dataset.y if dataset.labels is None else dataset.labels
    for fold in dataset.folds:
        if fold.validation is None:
            continue
        learned, y = targets[fold.train if isinstance(fold.train, np.ndarray) else fold.validation], targets[fold.validation]
        if dataset.task == "multilabel":
            per_fold.append(baseline.of_labels(learned.mean(axis=0, dtype=np.float64), y))
        elif dataset.task == "classification":
            per_fold.append(baseline.of_classes(np.bincount(learned, minlength=len(dataset.classes)), y, dataset.classes))
        elif dataset.task == "regression":
            per_fold.append(baseline.of_targets(learned.reshape(len(learned), -1).mean(axis=0, dtype=np.float64), y, dataset.units[1]))
    return baseline.of_folds(per_fold) if per_fold else None


def _scaling(dataset: Dataset) -> str:
    if not dataset.methods:
        return dataset.scale
    return ", ".join(f"{each['path'] + ': ' if each['path'] else ''}{each['scaling'] or 'left as it is'}" for each in dataset.inputs)
