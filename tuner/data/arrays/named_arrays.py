"""Arrays by name, as an archive holds them: `x`, `y`, `w`, `x_train`, `x/left/0`, and what rows are divided by.

Owns which names mean what.
"""

import re
from collections.abc import Mapping

import numpy as np

from search_spaces.errors import nearest
from tuner.data.arrays.inputs import weights
from tuner.data.arrays.structure import nested, row_count
from tuner.data.own.returned import Arrays
from tuner.errors import DatasetError

SUFFIXES = {"": "train", "_train": "train", "_validation": "validation", "_val": "validation", "_valid": "validation", "_test": "test"}
EXPECTED = "x_train and y_train (and the same for validation and test), or x and y; x/<name> for several inputs, w for row weights"
_NAME = re.compile(r"(?P<root>[^/]+?)(?P<suffix>_train|_validation|_val|_valid|_test)?(/(?P<path>.+))?")


def by_split(arrays: Mapping[str, np.ndarray], where: str, *, aside: str | None = None) -> dict[str, Arrays]:
    """Return arrays by split: train, and validation and test where they are there.

    Args:
        arrays: name -> array, (n, ...) of any dtype.
        where: the file, for messages.
        aside: the array that rows are divided by; None: none is.

    Raises:
        DatasetError: a name means nothing, or a split lacks its inputs.
    """
    splits: dict[str, dict[str, dict[str, np.ndarray]]] = {}
    suffixes: dict[str, str] = {}
    for name, array in arrays.items():
        match = _NAME.fullmatch(name)
        root, suffix, path = (match["root"], match["suffix"] or "", match["path"] or "") if match else (name, "", "")
        if root not in ("x", "y", "w") and not (path == "" and (root == aside or name == aside)):
            roots = ["x", "y", "w", *([aside] if aside else [])]
            hint = f"; {near}" if (near := nearest(root, roots)).startswith("did you mean") else ""
            used = f'; dataset.split = "{"column" if root == "split" else root}" uses it' if root in ("group", "time", "split") else ""
            raise DatasetError(f"{where}: got the arrays {', '.join(sorted(arrays))}; expected {EXPECTED}{hint}{used}")
        split = SUFFIXES[suffix]
        if suffixes.setdefault(split, suffix) != suffix:
            raise DatasetError(
                f"{where}: {name!r} is of the same split as the arrays ending in {suffixes[split] or 'nothing'!r}; expected one ending for each split"
            )
        splits.setdefault(split, {}).setdefault(root, {})[path] = array
    if "train" not in splits or any("x" not in parts for parts in splits.values()):
        raise DatasetError(f"{where}: got the arrays {', '.join(sorted(arrays)) or 'none'}; expected {EXPECTED}")
    return {split: _arrays(parts, suffixes[split], where) for split, parts in splits.items()}


def _arrays(parts: dict[str, dict[str, np.ndarray]], suffix: str, where: str) -> Arrays:
    made = {}
    for root, leaves in parts.items():
        try:
            made[root] = nested(leaves)
        except ValueError as error:
            raise DatasetError(f"{where}: {root}{suffix}: {error}") from error
    x, y, w = (made.pop(root, None) for root in ("x", "y", "w"))
    if isinstance(x, np.ndarray) and isinstance(y, np.ndarray) and (x.ndim == 0 or y.ndim == 0 or len(x) != len(y)):
        raise DatasetError(f"{where}: x{suffix} has shape {x.shape}, y{suffix} {y.shape}; expected as many labels as examples")
    try:
        row_count({f"x{suffix}": x, f"y{suffix}": y, f"w{suffix}": w, **made})
    except ValueError as error:
        raise DatasetError(f"{where}: {error}") from error
    return Arrays(x, y, None if w is None else weights(w, f"{where}: w{suffix}"), made)
