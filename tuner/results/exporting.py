"""The saved model in other formats: written, loaded again, and compared with `model.keras` on rows made up from its card.

Keras is imported inside the functions. Inputs have names there that every format takes, input_0, input_1, ...; the card says which is which.
"""

import importlib.util
import os
import shutil
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tuner.data.scaling import from_json
from tuner.data.tables.columns import Column
from tuner.errors import SweepError
from tuner.results.card import read_card, rewrite
from tuner.results.loading import load_model

FOLDER, ROWS = "exported", 64


@dataclass(frozen=True)
class Format:
    """A format that a model can be exported to.

    Attributes:
        file: its name in the folder of exports.
        keras: what Keras calls the format; empty for its own.
        needs: packages that must be there; `extra` brings them.
        load: path -> a function of the inputs, `(n, ...)` each, that returns the outputs.
    """

    file: str
    keras: str
    load: Callable[[Path], Callable[[Sequence[np.ndarray]], list[np.ndarray]]]
    needs: tuple[str, ...] = ()
    extra: str = ""


def export(folder: Path, form: str, *, search_path: Sequence[str] = ()) -> dict[str, Any]:
    """Write the saved model in another format beside it, and into its card how far the two are apart.

    Args:
        folder: of a sweep that has ended.
        form: one of FORMATS.
        search_path: folders in which the module of a builder is looked for.

    Returns:
        As the card has it: `file`, in the folder; `difference`, the largest between the outputs of the two; `rows` that were compared; `inputs`: their
        names there and in `model.keras`.

    Raises:
        SweepError: there is no model, a package is missing, or the format cannot hold it.
    """
    chosen = FORMATS[form]
    missing = [name for name in chosen.needs if importlib.util.find_spec(name) is None]
    if missing:
        raise SweepError(f"{form}: needs {' and '.join(missing)}; pip install 'keras-sweep-tuner[{chosen.extra}]'")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    card = read_card(folder)
    loaded = load_model(folder, search_path=search_path)
    given, model = _inputs_of(loaded, folder), _named_plainly(loaded, folder)
    rows = made_up_rows(card, given)
    path = folder / FOLDER / chosen.file
    path.parent.mkdir(exist_ok=True)
    aside = path.with_name(f"part-{path.name}")
    _remove(aside)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Keras and TensorFlow, about each other
            if chosen.keras:
                model.export(str(aside), format=chosen.keras, verbose=False)
            else:
                shutil.copyfile(folder / card["model"], aside)
            again = chosen.load(aside)(rows)
            before = _outputs(model(_tensors(rows), training=False))
    except Exception as error:  # each converter and each runtime raises its own
        _remove(aside)
        line = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise SweepError(
            f"{form}: cannot hold this model ({type(error).__name__}: {line.strip()[:300]}); expected one that it can, or another format"
        ) from error
    difference = max(float(np.max(np.abs(one.astype(np.float64) - other))) for one, other in zip(before, again, strict=True))
    _remove(path)
    os.replace(aside, path)
    said = {
        "file": f"{FOLDER}/{chosen.file}",
        "difference": difference,
        "rows": ROWS,
        "inputs": {f"input_{number}": each.name for number, each in enumerate(given)},
    }
    rewrite(folder, {**card, "exports": {**card.get("exports", {}), form: said}})
    return said


def made_up_rows(card: Mapping[str, Any], inputs: Sequence[Any]) -> list[np.ndarray]:
    """Return rows that a model takes, like those that it was trained on as far as its card tells: every word, and numbers around their centers.

    Args:
        card: of the model.
        inputs: of the model, with shapes and dtypes.

    Returns:
        For each input `(64, ...)` of its dtype; words as objects.
    """
    random = np.random.default_rng(0)
    columns = {column["name"]: column for column in card["features"].get("columns", ())}
    entries = {entry["name"]: entry for entry in card.get("inputs") or ()}
    scaling = next((each for each in from_json(card["scaling"]) if each is not None), None)
    places = _places(card["features"])
    rows = []
    for given in inputs:
        entry = entries.get(given.name, {})
        shape = (ROWS, *(length or 1 for length in given.shape[1:]))
        name = entry.get("column") or entry.get("path")
        column = columns.get(name, {})
        if given.dtype == "string":
            words = [*column.get("categories", ()), *((column.get("reading") or {}).get("words") or ()), "", "never seen"]
            rows.append(np.array(words, dtype=object)[np.arange(int(np.prod(shape))) % len(words)].reshape(shape))
        elif column.get("kind") == "date":
            days = column.get("base", 0) + random.integers(0, 700, shape)
            digits = (column.get("reading") or {}).get("format") == "%Y%m%d"
            dates = days.astype("datetime64[D]")
            text = np.char.replace(np.datetime_as_string(dates), "-", "").astype(np.int64) if digits else dates.astype("datetime64[us]").astype(np.int64)
            rows.append(text)
        elif column.get("kind") == "category":
            rows.append(np.array([int(word) for word in column["categories"]], given.dtype)[np.arange(ROWS) % len(column["categories"])].reshape(shape))
        elif "0 to 255" in entry.get("says", "") or given.dtype.startswith(("int", "uint", "bool")):
            rows.append(random.integers(0, 256 if "255" in entry.get("says", "") else 2, shape).astype(given.dtype))
        elif scaling is not None and (name in places or (len(inputs) == 1 and scaling.center.shape in ((), shape[-1:]))):
            center, factor = (each[places[name]] if name in places else each for each in (scaling.center, scaling.factor))
            rows.append((center + random.normal(size=shape) / factor).astype(given.dtype))
        else:
            rows.append(random.normal(size=shape).astype(given.dtype))
    return rows


def _places(features: Mapping[str, Any]) -> dict[str, int]:
    """Return where each column of a table stands among the numbers that are scaled; nothing where each is an input of the network."""
    places, at = {}, 0
    for column in () if "bones" in features else features.get("columns", ()):
        places[column["name"]] = at
        at += len(Column.from_json(column).outputs)
    return places


def _inputs_of(model: Any, folder: Path) -> list[Any]:
    """Return the inputs of a graph of layers one by one."""
    import keras

    return keras.tree.flatten(_structure_of(model, folder))


def _structure_of(model: Any, folder: Path) -> Any:
    structure = getattr(model, "_inputs_struct", None)
    if structure is None:
        structure = getattr(getattr(model, "_functional", None), "_inputs_struct", None)
    if structure is None:
        raise SweepError(f"{folder}: its model is a class of its maker's, which does not say what goes in; expected a graph of layers to export")
    return structure


def _named_plainly(model: Any, folder: Path) -> Any:
    """Return the model with inputs in a list, whose names every format takes: those of columns may have blanks and letters that some refuse."""
    import keras

    plain = [keras.Input(each.shape[1:], dtype=each.dtype, name=f"input_{number}") for number, each in enumerate(_inputs_of(model, folder))]
    return keras.Model(plain, model(keras.tree.pack_sequence_as(_structure_of(model, folder), plain)))


def _tensors(rows: Sequence[np.ndarray]) -> list[Any]:
    import tensorflow as tf

    return [tf.constant(each) for each in rows]


def _outputs(outputs: Any) -> list[np.ndarray]:
    import keras

    return [np.asarray(each) for each in keras.tree.flatten(outputs)]


def _of_saved_model(path: Path) -> Callable[[Sequence[np.ndarray]], list[np.ndarray]]:
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))
    return lambda rows: _outputs(loaded.serve(_tensors(rows)))


def _of_litert(path: Path) -> Callable[[Sequence[np.ndarray]], list[np.ndarray]]:
    import tensorflow as tf

    runner = tf.lite.Interpreter(str(path)).get_signature_runner()

    def run(rows: Sequence[np.ndarray]) -> list[np.ndarray]:
        answers = runner(**{f"input_{number}": each for number, each in enumerate(rows)})
        return [answers[name] for name in sorted(answers, key=lambda name: int(name.rpartition("_")[2]))]

    return run


def _of_onnx(path: Path) -> Callable[[Sequence[np.ndarray]], list[np.ndarray]]:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda rows: session.run(None, {each.name: row for each, row in zip(session.get_inputs(), rows, strict=True)})


def _of_keras(path: Path) -> Callable[[Sequence[np.ndarray]], list[np.ndarray]]:
    import keras

    model = _named_plainly(keras.saving.load_model(path, compile=False, safe_mode=True), path)
    return lambda rows: _outputs(model(_tensors(rows), training=False))


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


FORMATS: dict[str, Format] = {
    "saved_model": Format("saved_model", "tf_saved_model", _of_saved_model),
    "litert": Format("model.tflite", "litert", _of_litert),
    "onnx": Format("model.onnx", "onnx", _of_onnx, ("tf2onnx", "onnx", "onnxruntime"), "onnx"),
    "keras": Format("model.keras", "", _of_keras),
}
