"""How each of several inputs is scaled where the spec leaves it open.

Owns what is left as it is: whole numbers, booleans and words. The rules for bytes and measured numbers are those of a single array.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from search_spaces.errors import nearest
from tuner.data.arrays.inputs import Inputs
from tuner.data.arrays.usual_scaling import KEY, decide
from tuner.data.decisions import SCALED, Decision
from tuner.data.values import FILLED
from tuner.errors import DatasetError


def decide_each(inputs: Mapping[str, np.ndarray], asked: str | Mapping[str, str]) -> tuple[tuple[tuple[str | None, float], ...], list[Decision]]:
    """Decide how each of several inputs is scaled: bytes and measured numbers as a single one; whole numbers, booleans and words are left as they are.

    Args:
        inputs: path -> (n, ...) of any type.
        asked: `dataset.scaling`: a word for all that are scaled, or path -> word.

    Returns:
        The method (None: left as it is) and largest value of each, and what is said of it.

    Raises:
        DatasetError: `asked` names an input that is not there, or words.
    """
    if isinstance(asked, Mapping):
        for path in asked:
            if path not in inputs:
                raise DatasetError(f"dataset.scaling: there is no input {path!r}; {nearest(path, list(inputs))}")
    methods: list[tuple[str | None, float]] = []
    decisions = []
    for path, x in inputs.items():
        word = asked if isinstance(asked, str) else asked.get(path, "auto")
        name = path or "x"
        if x.dtype in (np.uint8, np.float32):
            method, largest, decision = decide(x, word, None, name)
            methods.append((method, largest))
            decisions.append(replace(decision, key=decision.key.replace(KEY.partition(" ")[0], f'dataset.scaling."{path}"') if path else decision.key))
        elif isinstance(asked, Mapping) and path in asked and word not in ("auto", "none"):
            if x.dtype.kind == "S":
                raise DatasetError(f"dataset.scaling: {name!r} holds words; expected numbers to scale")
            methods.append((word, 255.0))
            decisions.append(Decision(name, "numbers", SCALED[word]))
        else:
            kind = {"S": "words", "b": "booleans"}.get(x.dtype.kind, "whole numbers")
            methods.append((None, 255.0))
            decisions.append(Decision(name, kind, SCALED["none"]))
    return tuple(methods), decisions


def of_plain(inputs: Inputs, asked: str | Mapping[str, str]) -> tuple[tuple[tuple[str | None, float], ...], list[Decision]]:
    """Decide how columns that are not encoded are scaled: not at all, unless the spec says so; missing numbers are filled all the same.

    Args:
        inputs: of a table.
        asked: `dataset.scaling`: a word for all numbers, or column -> word.

    Returns:
        As `decide_each`.

    Raises:
        DatasetError: `asked` names a column that is not there, or words.
    """
    kinds = {leaf.path: leaf.dtype for leaf in inputs.leaves}
    if isinstance(asked, Mapping):
        for path in asked:
            if path not in kinds:
                raise DatasetError(f"dataset.scaling: there is no column {path!r}; {nearest(path, list(kinds))}")
            if kinds[path] == "string":
                raise DatasetError(f"dataset.scaling: column {path!r} holds words; expected numbers to scale")
    methods: list[tuple[str | None, float]] = []
    decisions = []
    for path, kind in kinds.items():
        word = asked.get(path, "auto") if isinstance(asked, Mapping) else asked if kind == "float32" else "auto"
        method = word if word != "auto" else "none" if kind == "float32" and inputs.missing in FILLED else None
        methods.append((method, 255.0))
        name = {"string": "words", "int64": "whole numbers"}.get(kind, "numbers")
        decisions.append(Decision(path, name, SCALED[method or "none"], "", "" if kind != "int64" else f'dataset.columns.{path} = "number"'))
    return tuple(methods), decisions
