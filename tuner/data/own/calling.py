"""The process that calls a user's own data function: the driver never imports TensorFlow, and what the function imports may.

`functions.py` starts it and sends a request; arrays come back as files, all else as JSON. Must not keep anything: it ends with its answer.
"""

import inspect
import json
import math
import os
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from search_spaces import network
from search_spaces.code import take_code
from search_spaces.errors import SearchSpaceError, nearest
from tuner.data import hashes
from tuner.data.arrays.structure import Structure, leaves, map_leaves, skeleton, take
from tuner.data.own import returned
from tuner.data.own.returned import Arrays, Batches
from tuner.errors import DatasetError

# Rows of a pipeline's first batch that are kept: they show the shapes.
FIRST_ROWS = 32
# A pipeline that does not say how many batches it has is gone through once; one that has not ended by then is taken to be endless.
MOST_COUNTED = 200_000


def main() -> None:
    """Do what the request on standard input says, and write the answer into its folder."""
    request = json.loads(sys.stdin.readline())
    # Standard input stays open as long as the driver lives.
    threading.Thread(target=_end_with_the_driver, daemon=True).start()
    folder = Path(request["folder"])
    try:
        answer = _answer(request, folder)
    except (DatasetError, SearchSpaceError) as error:
        answer = {"mistake": str(error)}
    except BaseException as error:
        trace = traceback.TracebackException.from_exception(error)
        here = {str(Path(__file__).resolve()), str(Path(network.__file__).resolve()), str(Path(returned.__file__).resolve())}
        trace.stack = traceback.StackSummary.from_list([frame for frame in trace.stack if frame.filename not in here])
        answer = {"failed": f"{type(error).__name__}: {str(error).strip() or 'without a message'}".splitlines()[0], "details": "".join(trace.format())}
    (folder / "answer.json").write_text(json.dumps(answer), encoding="utf-8")
    sys.stdout.flush()
    os._exit(0)  # what the user's module has started must not keep it alive


def _end_with_the_driver() -> None:
    sys.stdin.read()
    os._exit(1)


def _answer(request: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    name, arguments = request["function"], request["arguments"]
    sys.path[:0] = [place for place in request["search_path"] if place not in sys.path]
    take_code(request)
    before = set(sys.modules)
    function = network.resolved(name)
    asks = _check_arguments(function, name, arguments)
    files = _Files(folder)
    parts: dict[str, Any] = {}
    if asks:
        for split in request["splits"]:
            given = function(split=split, **arguments)
            if given is None and split == "validation":
                continue
            parts[split] = returned.one(given, f"{name} ({split})")
    else:
        parts = returned.by_split(function(**arguments), name)
    _check_alike(parts, name)
    described = {}
    for split, part in parts.items():
        if isinstance(part, Arrays):
            described[split] = files.arrays(part)
        elif request["whole"] and split in request["splits"]:
            described[split] = files.arrays(_gathered(part, f"{name} ({split})", request["steps"].get(split)))
        elif not request["whole"] and (split != "test" or not asks):
            described[split] = _described(part, f"{name} ({split})", request["steps"].get(split), files)
    return {"asks": asks, "splits": described, "sources": _sources(before, function)}


def _check_arguments(function: Any, name: str, arguments: Mapping[str, Any]) -> bool:
    """Check that the arguments fit, and say whether the function asks for the split."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return False
    parameters = signature.parameters
    asks = "split" in parameters
    takes_any = any(each.kind is each.VAR_KEYWORD for each in parameters.values())
    own = [each.name for each in parameters.values() if each.name != "split" and each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)]
    for argument in arguments:
        if argument == "split":
            raise DatasetError(f"{name}: dataset.arguments has 'split', which Tuner itself gives it; leave it out")
        if argument not in own and not takes_any:
            hint = nearest(argument, own) if own else "it takes none"
            raise DatasetError(f"{name}: has no parameter {argument!r}, which dataset.arguments has; {hint}")
    missing = [each for each in own if parameters[each].default is inspect.Parameter.empty and each not in arguments]
    if missing:
        raise DatasetError(f"{name}: needs {', '.join(map(repr, missing))}; expected {'it' if len(missing) == 1 else 'them'} in dataset.arguments")
    return asks


def _check_alike(parts: Mapping[str, Any], name: str) -> None:
    forms = {split: part.form if isinstance(part, Batches) else "arrays" for split, part in parts.items()}
    if len(set(forms.values())) > 1:
        raise DatasetError(f"{name}: gave {', '.join(f'{split} as {form}' for split, form in forms.items())}; expected one kind for all splits")
    if "train" in forms and forms["train"] != "arrays" and "validation" not in forms:
        raise DatasetError(f'{name}: gave a pipeline without validation rows; expected {{"train": ..., "validation": ...}}, or a parameter `split`')


class _Files:
    """Writes arrays into a folder, numbered."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0

    def arrays(self, part: Arrays) -> dict[str, Any]:
        """Write them, and return what the driver finds them by."""
        structure = (part.x, part.y, part.w, dict(part.aside))
        numbers = []
        for leaf in leaves(structure):
            np.save(self._folder / f"{self._count}.npy", np.ascontiguousarray(leaf), allow_pickle=False)
            numbers.append(self._count)
            self._count += 1
        return {"bones": skeleton(structure), "files": numbers}


def _described(part: Batches, name: str, steps: int | None, files: _Files) -> dict[str, Any]:
    """Return a pipeline's form, its batches and rows in an epoch, and its first batch."""
    first, count, rows, endless = None, 0, 0, False
    length = _length(part)
    source: Iterator[Any] = _batches(part, length)
    for count, given in enumerate(source, start=1):
        batch = returned.batch(given, name)
        first = first or batch
        rows += len(leaves(batch.x)[0])
        if length is not None or steps is not None:
            break
        if count > MOST_COUNTED:
            raise DatasetError(
                f"{name}: gave {count} batches without an end; expected dataset.steps_per_epoch and dataset.validation_steps to say what an epoch is"
            )
    if first is None:
        raise DatasetError(f"{name}: gave no batch; expected at least one")
    if length == math.inf and steps is None:
        raise DatasetError(f"{name}: never ends; expected dataset.steps_per_epoch and dataset.validation_steps to say what an epoch is")
    if steps is not None:
        count, rows, endless = steps, rows * steps, True
    elif length is not None:
        count, rows = int(length), rows * int(length)
    shown = take((first.x, first.y, first.w), slice(FIRST_ROWS))
    return {"form": part.form, "steps": count, "rows": rows, "endless": endless, "first": files.arrays(Arrays(*shown))}


def _length(part: Batches) -> float | None:
    """Return how many batches a pipeline says it has, infinity where it never ends; None where it does not say."""
    if part.form == "dataset":
        count = int(part.source.cardinality())
        return math.inf if count == -1 else None if count < 0 else count
    if part.form == "sequence":
        return math.inf if part.source.num_batches is None else int(part.source.num_batches)
    return None


def _batches(part: Batches, length: float | None) -> Iterator[Any]:
    if part.form == "sequence":
        return (part.source[index] for index in (range(int(length)) if length not in (None, math.inf) else iter(int, 1)))
    return iter(part.source)


def _gathered(part: Batches, name: str, steps: int | None) -> Arrays:
    """Return all rows of a pipeline."""
    held: list[Structure] = []
    length = _length(part)
    if length == math.inf and steps is None:
        raise DatasetError(f"{name}: never ends; expected dataset.validation_steps to say how many batches it has")
    for given in _batches(part, length):
        batch = returned.batch(given, name)
        held.append((batch.x, batch.y, batch.w))
        if skeleton(held[-1]) != skeleton(held[0]) or [leaf.shape[1:] for leaf in leaves(held[-1])] != [leaf.shape[1:] for leaf in leaves(held[0])]:
            raise DatasetError(f"{name}: batch {len(held)} has other shapes than the first; expected test batches of one shape: pad all of them to one length")
        if len(held) == steps:
            break
    if not held:
        raise DatasetError(f"{name}: gave no batch; expected at least one")
    columns = [leaves(each) for each in held]
    numbers = iter(range(len(columns[0])))
    joined = map_leaves(lambda leaf: np.concatenate([column[number] for column in columns]) if (number := next(numbers)) >= 0 else leaf, held[0])
    return Arrays(*joined)


def _sources(before: set[str], function: Any) -> str:
    """Return the hash of the text of all modules that the function's own has brought in from the folder it lies in."""
    module = sys.modules.get(getattr(function, "__module__", "") or "")
    place = getattr(module, "__file__", None)
    if module is None or place is None:
        return ""
    root = Path(place).resolve().parents[module.__name__.count(".")]
    installed = bool({"site-packages", "dist-packages"} & set(root.parts))
    texts = {}
    for name in sorted(set(sys.modules) - before | {module.__name__}):
        path = getattr(sys.modules.get(name), "__file__", None)
        if path and path.endswith(".py") and (name == module.__name__ if installed else Path(path).resolve().is_relative_to(root)):
            texts[name] = Path(path).read_bytes()
    return hashes.of_texts(texts)


if __name__ == "__main__":
    main()
