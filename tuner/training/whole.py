"""The model that leaves the house: a network with all that stands between it and rows as they are in their source.

Owns `model.keras`. Filling, scaling, lookups and what makes probabilities of outputs are Keras's own layers and operations around the network, which stays one
layer among them; what goes in, what comes out and the names of classes stand in the file's metadata, which the standard library reads
(`json.load(zipfile.ZipFile("model.keras").open("metadata.json"))["tuner"]`). Keras is imported inside the functions, which run in a trial's process.
"""

import json
import os
import re
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cluster.errors import one_line
from search_spaces.answers import Meaning, answers_of, in_graph
from tuner.data import scaling as scalings
from tuner.data.arrays.inputs import Inputs, inputs_from_json
from tuner.data.arrays.structure import Structure, rebuild
from tuner.data.features import Features
from tuner.data.scaling import Scaling
from tuner.data.values import FILLED
from tuner.training.column_layers import described, entry_of, plain

ENTRY, OURS = "metadata.json", "tuner"
# Modules whose classes a fresh Python with Keras has.
_KERAS = re.compile(r"(keras|builtins|numpy)(\.|$)")


def around(network: Any, features: Features | Inputs, scaling: Sequence[Scaling | None], meaning: Meaning) -> tuple[Any, dict[str, Any]]:
    """Return a network that takes rows as they are in their source and gives what `tuner predict` writes, and its metadata.

    Args:
        network: takes rows that are filled and scaled.
        features: how the columns or arrays of the source become rows of numbers.
        scaling: of each input of the network; None: it is left as it is.
        meaning: what its outputs are.

    Returns:
        The model, which is the network itself where nothing stands around it; and as JSON `inputs`, `outputs` and all that makes the same model again.
    """
    import keras

    bones: Any
    if isinstance(features, Features) and features.columns:
        entries = [entry_of(column, _safe(column.name), number, missing=features.missing) for number, column in enumerate(features.columns)]
        given = [entry.given for entry in entries]
        bones = {each.name: number for number, each in enumerate(given)}
        encoded = [keras.ops.concatenate([entry.encoded for entry in entries], axis=-1) if len(entries) > 1 else entries[0].encoded]
        says = [described(entry.given, entry.says) | {"column": column.name} for entry, column in zip(entries, features.columns, strict=True)]
        inner: Any = 0
    else:
        given, encoded, says = _arrays(features)
        bones = inner = features.bones if isinstance(features, Inputs) else 0
    bytes_ = {number for number, leaf in enumerate(features.leaves) if leaf.dtype == "uint8"} if isinstance(features, Inputs) else set()
    ready = [
        keras.ops.cast(x, "uint8") if each is None and number in bytes_ else _prepared(x, each, features.missing in FILLED)
        for number, (x, each) in enumerate(zip(encoded, scaling, strict=True))
    ]
    alike = all(one is other for one, other in zip(given, ready, strict=False)) and len(given) == len(ready)
    outputs = network(rebuild(inner, ready)) if not alike or meaning.kind != "values" else None
    answers = outputs if outputs is None or isinstance(outputs, dict | list | tuple) else in_graph(outputs, meaning)
    metadata = {
        "whole": True,
        "inputs": says,
        "structure": bones,
        "meaning": {"kind": meaning.kind, "by": meaning.by},
        "features": features.to_json(),
        "scaling": scalings.to_json(scaling),
    }
    if alike and answers is outputs:
        return network, metadata | {"network": None}
    return keras.Model(rebuild(bones, given), answers), metadata | {"network": network.name}


def made_of(network: Any, features: Mapping[str, Any], scaling: Sequence[Scaling | None], *, meaning: Meaning, rows: Structure) -> tuple[Any, dict[str, Any]]:
    """Return `around` of a network; where it cannot be a layer of a model, the network by itself, and the reason in the metadata.

    Args:
        network: takes rows that are filled and scaled.
        features: see `tuner.data.arrays.inputs.inputs_from_json`.
        scaling: of each input.
        meaning: what its only output is taken for.
        rows: some rows as the network takes them, `(n, ...)` each: its answers to them show whether they are probabilities.
    """
    try:
        outputs = network(rows, training=False)
        if not isinstance(outputs, dict | list | tuple):
            meaning = answers_of(np.asarray(outputs), meaning)[1]
        return around(network, inputs_from_json(features), scaling, meaning)
    except Exception as error:  # whatever Keras, or a class of the user's own, says of being called with symbols: a finished sweep is not lost over it
        why = re.sub(r"\x1b\[[0-9;]*m", "", f"{type(error).__name__}: {one_line(error)}")  # without Keras's bold letters
        return network, {"whole": False, "why": why, "meaning": {"kind": meaning.kind, "by": meaning.by}}


def _arrays(features: Features | Inputs) -> tuple[list[Any], list[Any], list[dict[str, Any]]]:
    """Return inputs, what becomes of each before scaling, and what each takes."""
    import keras

    if isinstance(features, Features):
        # Bytes come in as floats, so that fractions, which some readers of images give, are not cut off.
        given = keras.Input(features.shape, dtype="float32", name="x")
        says = "whole numbers from 0 to 255" if features.dtype == "uint8" else f"numbers{_hole(features.missing)}"
        return [given], [given], [described(given, says)]
    inputs, encoded, says_each = [], [], []
    columns = {column.name: column for column in features.columns}
    for number, leaf in enumerate(features.leaves):
        name = _safe(leaf.path) or "x"
        column = columns.get(leaf.path)
        if column is not None and column.kind != "category":
            given, value, says = plain(column, name, number)
            value = keras.ops.cast(value, leaf.dtype) if leaf.dtype != "float32" else value
        else:
            dtype = "float32" if leaf.dtype == "uint8" else leaf.dtype
            given = value = keras.Input(leaf.shape, dtype=dtype, name=name)
            says = {"string": "words", "uint8": "whole numbers from 0 to 255", "bool": "true or false"}.get(leaf.dtype, "numbers")
            says = "whole numbers" if leaf.dtype.startswith(("int", "uint")) and leaf.dtype != "uint8" else says
        inputs.append(given)
        encoded.append(value)
        says_each.append(described(given, says + (_hole(features.missing) if leaf.dtype == "float32" else "")) | {"path": leaf.path})
    return inputs, encoded, says_each


def _hole(missing: str) -> str:
    return "; a missing one is NaN" if missing in FILLED else ""


def _prepared(x: Any, scaling: Scaling | None, filled: bool) -> Any:
    """Return an input as the network was trained on it: as `tuner.training.inputs.scaled`, operation by operation, so that not even rounding differs."""
    import keras
    from keras import ops

    if scaling is None:
        return x
    if x.dtype != "float32":
        x = ops.cast(x, "float32")
    if filled:
        x = ops.where(ops.isnan(x), scaling.fill, x)
    if np.any(scaling.center):
        x = keras.layers.Rescaling(1.0, (-scaling.center).tolist(), dtype="float32")(x)
    if np.any(scaling.factor != 1):
        x = keras.layers.Rescaling(scaling.factor.tolist(), dtype="float32")(x)
    return x


def _safe(name: str) -> str:
    return name.replace("/", "_")


def describe(path: Path, metadata: Mapping[str, Any]) -> None:
    """Write into a Keras file what it is.

    Args:
        path: of the file, which is whole before and after.
        metadata: what it says; `needs` is added: the classes in it that are not Keras's own.
    """
    other = path.with_name(f".{os.getpid()}-{path.name}.part")
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(other, "w") as anew:
        needs = needed(json.loads(archive.read("config.json")))
        for entry in archive.infolist():
            content = archive.read(entry)
            if entry.filename == ENTRY:
                content = json.dumps({**json.loads(content), OURS: {**metadata, "needs": needs}}, allow_nan=False).encode()
            anew.writestr(entry, content)
    os.replace(other, path)


def needed(config: Any) -> list[str]:
    """Return the classes and functions in a saved model's config that are not Keras's own: whoever loads it has to import and register them."""
    named: set[str] = set()

    def look(part: Any) -> None:
        if isinstance(part, dict):
            module, registered = part.get("module"), part.get("registered_name") or ""
            if "class_name" in part and ((module and not _KERAS.match(module)) or (not module and ">" in registered)):
                function = part["class_name"] == "function" and isinstance(part.get("config"), str)
                named.add(part["config"] if function else registered or part["class_name"])
            for value in part.values():
                look(value)
        elif isinstance(part, list):
            for value in part:
                look(value)

    look(config)
    return sorted(named)


def metadata_of(path: str | Path) -> dict[str, Any]:
    """Return what a `.keras` file says of itself; empty for one of another hand or of an older Tuner, and for a file of weights alone.

    Raises:
        ValueError: it is no such file, or damaged.
    """
    if Path(path).suffix != ".keras":
        return {}
    try:
        with zipfile.ZipFile(path) as archive:
            return json.loads(archive.read(ENTRY)).get(OURS, {})
    except (zipfile.BadZipFile, KeyError) as error:
        raise ValueError(f"{path}: is no Keras file, or damaged") from error


def with_weights(network: Any, path: str | Path) -> Any:
    """Give a network the weights that lie in a file, by itself or as a layer of a whole model, and return the model that the file holds.

    Args:
        network: built by whoever built the one in the file.
        path: of a `.keras` file that Tuner wrote, now or in an earlier version.

    Raises:
        ValueError: it is damaged, or of another network.
    """
    metadata, model = metadata_of(path), network
    if metadata.get("network"):
        model, _ = around(network, inputs_from_json(metadata["features"]), scalings.from_json(metadata["scaling"]), Meaning(**metadata["meaning"]))
    model.load_weights(path)
    return model


def network_in(model: Any, path: str | Path) -> Any:
    """Return the network in a model that was loaded from a file.

    Args:
        model: as Keras loaded it.
        path: of the file.
    """
    name = metadata_of(path).get("network")
    return model.get_layer(name) if name else model


def outputs_of(meaning: Mapping[str, str], classes: Sequence[str]) -> dict[str, Any]:
    """Return what a model's outputs are, as JSON for people.

    Args:
        meaning: `kind` and `by`, as in the metadata.
        classes: the names of classes or labels; empty: there are none.
    """
    kind = meaning["kind"]
    says: dict[str, Any] = {"kind": kind}
    if classes and kind != "values":
        says["columns"] = list(classes)
    if kind == "independent" or (kind == "probabilities" and len(classes) == 2):
        says["threshold"] = 0.5
    return says
