"""Data functions of the user's own: what they may return, what is told where they return something else, and when they are asked for the test split."""

import json
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tuner.data.dataset import DatasetSection, assemble, load
from tuner.data.own import returned
from tuner.data.own.functions import Call, call
from tuner.data.own.pipelines import Pipeline
from tuner.data.sources import of_memory
from tuner.errors import DatasetError

BEGINNING = """
import numpy as np
x, y = np.random.default_rng(0).normal(size=(60, 4)), np.arange(60) % 3
"""


@pytest.fixture
def module(tmp_path: Path, request: pytest.FixtureRequest) -> Callable[[str], tuple[str, tuple[str, ...]]]:
    """Writes a module and returns the name of its function `load`, and where it is found."""
    name = f"given_{abs(hash(request.node.nodeid))}"

    def write(text: str) -> tuple[str, tuple[str, ...]]:
        (tmp_path / f"{name}.py").write_text(BEGINNING + textwrap.dedent(text))
        return f"{name}:load", (str(tmp_path),)

    return write


Module = Callable[[str], tuple[str, tuple[str, ...]]]


def loaded(module: Module, text: str, **section: Any) -> Any:
    source, search_path = module(text)
    return load(DatasetSection(source=source, **section), 0, search_path)


# ---- what may be returned


def test_arrays_of_a_function_are_split_like_those_of_an_archive(module: Module, tmp_path: Path) -> None:
    dataset, test = loaded(module, "def load(): return x, y")
    np.savez(tmp_path / "same.npz", x=np.random.default_rng(0).normal(size=(60, 4)), y=np.arange(60) % 3)
    same, _ = load(DatasetSection(source="npz", path=str(tmp_path / "same.npz")), 0)
    assert (dataset.task, dataset.classes, test.rows) == ("classification", ("0", "1", "2"), 12)
    assert np.array_equal(dataset.x, same.x)
    assert np.array_equal(dataset.y, same.y)
    assert dataset.facts["split_hash"] == same.facts["split_hash"]


def test_structure_of_inputs_keeps_names_types_and_words(module: Module) -> None:
    dataset, test = loaded(
        module,
        """
        def load():
            inputs = {"image": np.full((60, 8, 8), 200, np.uint8), "age": x[:, :1], "ids": np.arange(60).reshape(60, 1), "words": ["a", "béc"] * 30}
            return {"x": inputs, "y": y, "w": np.linspace(0, 1, 60)}
        """,
    )
    assert {path: (leaf.dtype.str[1:], leaf.shape[1:]) for path, leaf in dataset.x.items()} == {
        "image": ("u1", (8, 8)),
        "age": ("f4", (1,)),
        "ids": ("i8", (1,)),
        "words": ("S4", ()),
    }
    assert set(dataset.x["words"].tolist()) == {b"a", "béc".encode()}
    assert [each["scaling"] for each in dataset.facts["inputs"]] == ["unit", "standard", None, None]
    rows = dataset.folds[0].train
    image, age, ids, words = dataset.scalings(rows)
    assert (float(image.factor), ids, words) == (pytest.approx(1 / 255), None, None)
    assert float(age.center[0]) == pytest.approx(dataset.x["age"][rows].mean(), abs=1e-6)
    assert np.array_equal(dataset.pool.w, np.linspace(0, 1, 60, dtype=np.float32)[dataset.rows])
    opened = test.open(lambda reason: None, "a test")
    assert np.array_equal(opened.x["ids"][:, 0], dataset.test_rows)
    assert np.array_equal(opened.w, np.linspace(0, 1, 60, dtype=np.float32)[dataset.test_rows])


@pytest.mark.parametrize(
    ("targets", "task", "outputs"),
    [
        ("None", "custom", 0),
        ("np.zeros((60, 8, 8, 1), np.uint8)", "custom", 1),
        ("{'a': y, 'b': x}", "custom", {"a": 1, "b": 4}),
        ("np.eye(3)[y]", "classification", 3),
        ("(x > 0).astype(int)", "multilabel", 4),
        ("x", "regression", 4),
        ("['no', 'yes', 'no'] * 20", "classification", 2),
    ],
)
def test_task_follows_from_the_targets_and_is_told(module: Module, targets: str, task: str, outputs: Any) -> None:
    dataset, _ = loaded(module, f"def load(): return x, {targets}")
    assert (dataset.task, dataset.outputs) == (task, outputs)
    assert [each for each in dataset.facts["decisions"] if each["target"]]


def test_one_hot_classes_become_numbers_unless_they_are_to_stay(module: Module) -> None:
    text = "def load(): return x, np.eye(3)[y]"
    numbers, _ = loaded(module, text, classes=["a", "b", "c"])
    kept, test = loaded(module, text, one_hot=True)
    assert (numbers.y.dtype, numbers.y.shape, numbers.classes) == (np.int32, (48,), ("a", "b", "c"))
    assert (kept.y.dtype, kept.y.shape, kept.task) == (np.float32, (48, 3), "classification")
    assert np.array_equal(kept.y.argmax(axis=1), numbers.y)
    assert kept.facts["classes"] == {"0": 16, "1": 16, "2": 16}
    assert test.open(lambda reason: None, "a test").y.shape == (12, 3)


def test_two_pairs_are_train_and_test_as_kerass_own_loaders_return_them(module: Module) -> None:
    dataset, test = loaded(module, "def load(): return (x[:50], y[:50]), (x[50:], y[50:])")
    assert (len(dataset.whole), test.rows, dataset.facts["test_given"]) == (50, 10, True)


def test_validation_split_that_the_data_bring_is_kept_as_it_is(module: Module) -> None:
    dataset, test = loaded(module, "def load(): return {'train': (x[:40], y[:40]), 'validation': (x[40:50], y[40:50]), 'test': (x[50:], y[50:])}")
    (fold,) = dataset.folds
    assert (list(fold.train), list(fold.validation), test.rows) == (list(range(40)), list(range(40, 50)), 10)
    assert dataset.indices()["validation"].tolist() == list(range(10))


def test_arguments_reach_the_function_and_changed_arrays_change_the_hash(module: Module) -> None:
    text = "def load(rows, scale=1.0): return x[:rows] * scale, y[:rows]"
    dataset, _ = loaded(module, text, arguments={"rows": 30})
    again, _ = loaded(module, text, arguments={"rows": 30})
    other, _ = loaded(module, text, arguments={"rows": 30, "scale": 2.0})
    assert len(dataset.whole) == 24
    assert dataset.facts["content_hash"] == again.facts["content_hash"] != other.facts["content_hash"]


# ---- the seal


def test_test_split_is_asked_for_once_its_opening_is_recorded_and_not_before(module: Module, tmp_path: Path) -> None:
    counter = tmp_path / "asked"
    text = f"""
        def load(split):
            with open({str(counter)!r}, "a") as file:
                file.write(split + "\\n")
            part = {{"train": slice(0, 40), "validation": slice(40, 50), "test": slice(50, 60)}}[split]
            return x[part], y[part]
    """
    dataset, test = loaded(module, text)
    assert counter.read_text().split() == ["train", "validation"]
    assert test.rows is None
    assert "test_rows" not in dataset.facts
    assert dataset.facts["test_given"]

    def record(reason: str) -> None:
        assert "test" not in counter.read_text().split()

    assert len(test.open(record, "a test")) == 10
    assert counter.read_text().split() == ["train", "validation", "test"]

    def fail(reason: str) -> None:
        raise OSError("the record cannot be written")

    with pytest.raises(OSError, match="cannot be written"):
        test.open(fail, "a test")
    assert counter.read_text().split() == ["train", "validation", "test"]


# ---- the driver


def test_function_runs_in_a_process_of_its_own(module: Module, tmp_path: Path) -> None:
    dataset, _ = loaded(module, "import os\ndef load(): return np.full((60, 1), os.getpid(), np.float64), y")
    import os
    import sys

    assert int(dataset.x[0, 0]) != os.getpid()
    assert not [name for name in sys.modules if name.startswith("given_")]


# ---- what can be wrong


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("None", "returned nothing .None.; expected arrays as"),
        ("3", r"returned int \(3\); expected arrays"),
        ("sorted", "returned 'sorted', which is to be called first"),
        ("x, y, y, y", "returned a tuple of 4 things"),
        ("{'X': x, 'y': y}", "returned a dict of X, y; expected"),
        ("{'train': (x, y), 'tets': (x, y)}", "returned the splits train, tets"),
        ("(x[:30], y[:30]), (x[30:], y[30:])", "may be splits, or inputs and targets; return"),
        ("(x, y[:50])", "x has 60, y has 50; expected as many rows in each"),
        ("(x[:0], y[:0])", "gave arrays without rows"),
        ("(np.array([object()] * 60), y)", r"row 0 holds a Python object \(object\)"),
        ("(np.array([[1], [1, 2]] * 30, dtype=object), y)", "rows of different lengths are no array: pad them"),
        ("([[1], [1, 2]] * 30, y)", "holds lists of different lengths"),
        ("(x, y, -np.ones(60))", r"w: row 0 holds -1\.0; expected weights of 0 or more"),
        ("(x, y, 0 * y)", "every weight is 0"),
        ("(np.where(x > 2, np.inf, x), y)", "holds inf; expected finite numbers"),
        ("({'a': np.array([b'ab' + bytes(1)] * 60, dtype=object)}, y)", "end in a zero byte"),
        ("('x', y)", "x: got <U1 without an axis of rows"),
        ("(x.astype('datetime64[s]'), y)", "got values of type datetime64"),
        ("({}, y)", "x holds no array"),
    ],
)
def test_wrong_return_is_told_in_one_line_that_names_the_function(text: str, message: str) -> None:
    given: dict[str, Any] = {}
    exec(f"{BEGINNING}\ngiven = {text}", given)
    with pytest.raises(DatasetError, match=message) as caught:
        returned.by_split(given["given"], "mine:load")
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("mine:load")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def load(): return {'x': x, 'y': y, 'who': y}", "there is an array 'who' that nothing uses"),
        ("def load(split, a): return x, y", r"needs 'a'; expected it in dataset\.arguments"),
        ("def lod(): return x, y", "has no 'load'; did you mean 'lod'"),
        ("import os\ndef load(): os._exit(3)", "its process ended with exit code 3"),
        ("import os, signal\ndef load(): os.kill(os.getpid(), signal.SIGSEGV)", "its process ended by signal 11"),
        ("def load(split): return ('x', y) if split == 'train' else None", r"load \(train\): x: got <U1 without an axis of rows"),
    ],
)
def test_function_that_gives_no_data_is_told_in_one_line(module: Module, text: str, message: str) -> None:
    with pytest.raises(DatasetError, match=message) as caught:
        loaded(module, text)
    assert "\n" not in str(caught.value)
    assert ":load" in str(caught.value)


def test_unknown_argument_is_told_with_the_nearest_one(module: Module) -> None:
    with pytest.raises(DatasetError, match=r"has no parameter 'row', which dataset.arguments has; did you mean 'rows'"):
        loaded(module, "def load(rows=3): return x, y", arguments={"row": 5})


def test_exception_of_the_functions_own_keeps_its_file_and_line(module: Module) -> None:
    with pytest.raises(DatasetError, match=r":load: failed with KeyError: 'nothing'") as caught:
        loaded(module, "def load():\n    return {}['nothing']")
    assert "given_" in str(caught.value)
    assert "return {}['nothing']" in str(caught.value)
    assert "calling.py" not in str(caught.value)


def test_function_that_is_not_there_is_told_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"dataset\.source: nowhere:load: there is no module 'nowhere'"):
        call(Call("nowhere:load", {}, (str(tmp_path),)))


# ---- arrays that a program holds


def test_arrays_in_memory_are_what_a_function_would_return_and_are_copied() -> None:
    x, y = np.random.default_rng(0).normal(size=(60, 4)), np.arange(60) % 3
    section = DatasetSection(source="npz", path="in memory")
    dataset, _ = assemble(of_memory({"train": {"x": {"a": x}, "y": y}, "test": {"x": {"a": x}, "y": y}}, section), section, 0)
    before = dataset.x["a"].copy()
    x[:] = 0
    assert np.array_equal(dataset.x["a"], before)
    assert before.any()
    with pytest.raises(DatasetError, match=r"data: is a pipeline, which cannot leave its process"):
        of_memory(iter([(x, y)]), section)


# ---- pipelines

PIPELINES = """
        import tensorflow as tf

        def load(split, batch=8):
            rows = {"train": slice(0, 40), "validation": slice(40, 50), "test": slice(50, 60)}[split]
            data = tf.data.Dataset.from_tensor_slices(({"a": x[rows], "name": ["n"] * len(y[rows])}, y[rows]))
            return data.batch(batch)
"""
GENERATED = """
        def load(split, batch=8):
            rows = {"train": slice(0, 40), "validation": slice(40, 50), "test": slice(50, 60)}[split]
            with open(%r, "a") as file:
                file.write(split + "\\n")
            for start in range(rows.start, rows.stop, batch):
                yield x[start : min(start + batch, rows.stop)], y[start : min(start + batch, rows.stop)]
"""


def test_pipeline_is_described_by_its_first_batch_and_gives_the_same_in_another_process(module: Module) -> None:
    dataset, test = loaded(module, PIPELINES, task="classification", classes=["a", "b", "c"])
    (fold,) = dataset.folds
    assert (dataset.task, dataset.outputs, fold.train.form, fold.train.steps, len(fold.train)) == ("classification", 3, "dataset", 5, 40)
    assert [(each["path"], each["dtype"], each["shape"]) for each in dataset.inputs] == [("a", "float32", [4]), ("name", "string", [])]
    assert dataset.scalings(None) == (None, None)
    assert (len(dataset.whole), dataset.whole.steps) == (56, 7)
    assert dataset.facts["pipeline"] == {"form": "dataset", "steps": 7}
    assert "test_rows" not in dataset.facts
    opened = test.open(lambda reason: None, "a test")
    assert len(opened) == 10
    assert opened.x["name"].tolist() == [b"n"] * 10
    assert np.array_equal(opened.y, np.arange(50, 60) % 3)


def test_pipeline_is_a_value(module: Module) -> None:
    dataset, _ = loaded(module, "def load(): return {split: iter([(x, y)]) for split in ('train', 'validation', 'test')}")
    pipeline = dataset.whole
    assert Pipeline.from_json(json.loads(json.dumps(pipeline.to_json()))) == pipeline


def test_generator_is_called_anew_for_each_epoch(module: Module, tmp_path: Path) -> None:
    asked = tmp_path / "asked"
    dataset, _ = loaded(module, GENERATED % str(asked))
    (fold,) = dataset.folds
    assert (fold.train.form, fold.train.steps, len(fold.train)) == ("iterator", 5, 40)
    asked.unlink()
    opened = fold.train.open()
    first, second = list(opened.epoch()), list(opened.epoch())
    assert [len(x) for x, _ in first] == [8] * 5
    assert all(np.array_equal(one[0], other[0]) for one, other in zip(first, second, strict=True))
    assert asked.read_text().split() == ["train", "train"]


def test_both_splits_are_mixed_batch_by_batch_for_the_final_training(module: Module, tmp_path: Path) -> None:
    dataset, _ = loaded(module, GENERATED % str(tmp_path / "asked"))
    opened = dataset.whole.open()
    epochs = [np.concatenate([batch[1] for batch in opened.epoch()]) for _ in range(2)]
    assert [len(labels) for labels in epochs] == [50, 50]
    assert all(np.array_equal(np.bincount(labels), np.bincount(np.arange(50) % 3)) for labels in epochs)


def test_endless_pipeline_goes_on_where_the_last_epoch_stopped(module: Module) -> None:
    text = """
        def load(split):
            number = 0
            while True:
                yield np.full((4, 1), number), np.full(4, number)
                number += 1
    """
    dataset, _ = loaded(module, text, steps_per_epoch=3, validation_steps=2)
    opened = dataset.folds[0].train.open()
    assert [[int(x[0, 0]) for x, _ in opened.epoch()] for _ in range(2)] == [[0, 1, 2], [3, 4, 5]]
    assert (len(dataset.folds[0].train), len(dataset.folds[0].validation)) == (12, 8)


def test_source_text_arguments_and_version_decide_whether_a_pipeline_is_the_same(module: Module, tmp_path: Path) -> None:
    text = GENERATED % str(tmp_path / "asked")
    hashes = [loaded(module, text, **keys)[0].facts["content_hash"] for keys in ({}, {}, {"arguments": {"batch": 5}}, {"version": "2"})]
    hashes.append(loaded(module, text + "        # another\n")[0].facts["content_hash"])
    assert hashes[0] == hashes[1]
    assert len(set(hashes)) == 4


@pytest.mark.parametrize(
    ("text", "section", "message"),
    [
        ("def load(): return iter([(x, y)])", {}, "gave a pipeline without validation rows"),
        ("def load(split): return iter([(x, y)])", {"folds": 3}, "dataset.folds: got 3, but .* gives pipelines"),
        ("def load(split): return iter([(x, y)])", {"task": "classification"}, "dataset.classes: missing; a pipeline does not show"),
        ("def load(split): return iter([(x, y, y, y)])", {}, "gave a batch of 4 things"),
        ("def load(split): return iter([(x, y[:3])])", {}, r"\(train\): x has 60, y has 3"),
        ("def load(split): return iter([])", {}, r"\(train\): gave no batch"),
        ("def load(split): return iter([(x, y)]) if split == 'train' else (x, y)", {}, "gave train as iterator, validation as arrays"),
        ("def load(): return {'train': iter([(x, y)]), 'validation': iter([(x, y)])}", {}, "gives no test split"),
    ],
)
def test_wrong_pipeline_is_told_in_one_line(module: Module, text: str, section: dict[str, Any], message: str) -> None:
    with pytest.raises(DatasetError, match=message) as caught:
        loaded(module, text, **section)
    assert "\n" not in str(caught.value)


def test_generator_that_ends_early_is_told(module: Module) -> None:
    dataset, _ = loaded(module, "import itertools\ncalls = itertools.count()\ndef load(split): return iter([(x, y)] * (1 if next(calls) else 2))")
    opened = dataset.folds[0].train.open()
    list(opened.epoch())
    with pytest.raises(DatasetError, match=r"\(train\): ended before its 2 batches; expected as many in every epoch"):
        list(opened.epoch())
