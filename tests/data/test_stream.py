"""Tables that are streamed: the same rows, splits, scaling and hash as in memory, in bounded memory, and the same training."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from tests.sweep.test_journey import sweep
from tuner.data import scaling
from tuner.data.dataset import Dataset, DatasetSection, SealedTest, load
from tuner.data.pool import Pool
from tuner.data.tables import stream as stream_room
from tuner.data.tables.stream import TEST, TRAIN, VALIDATION, Draw, Stream
from tuner.errors import DatasetError, SpecError
from tuner.training.config import TrainingConfig
from tuner.training.epoch import Epoch
from tuner.training.inputs import tensors_of
from tuner.training.shared_data import store
from tuner.training.trainer import Training

ROWS = 6000


def flowers() -> pa.Table:
    """A table sorted by what is to be predicted, with holes."""
    draw = np.random.default_rng(1)
    kind = np.arange(ROWS) * 3 // ROWS
    return pa.table(
        {
            "number": np.arange(ROWS),
            "length": pa.array([None if row % 17 == 0 else float(value) for row, value in enumerate(1e3 + draw.normal(size=ROWS) + 3 * kind)]),
            "wild": draw.integers(2, size=ROWS).astype(bool),
            "place": [("field", "wood", "shore", None)[index] for index in draw.integers(4, size=ROWS)],
            "kind": [("iris", "rose", "lily")[index] for index in kind],
        }
    )


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tables")
    table = flowers()
    pq.write_table(table, folder / "flowers.parquet", row_group_size=700)
    pa.feather.write_feather(table, folder / "flowers.feather", chunksize=900)
    pa.csv.write_csv(table, folder / "flowers.csv")
    (folder / "parts").mkdir()
    for number in range(3):
        pq.write_table(table.slice(2000 * number, 2000), folder / "parts" / f"{number}.parquet", row_group_size=500)
    return folder


def opened(path: Path, **more: Any) -> tuple[Dataset, SealedTest]:
    options: dict[str, Any] = {"target": "kind", "exclude": ("number",), "missing": "mean", "stream": True, "shuffle_buffer": 1000}
    return load(DatasetSection(source="table", path=str(path), **{**options, **more}), 3)


def rows_of(stream: Stream, seed: int = 0, size: int = 256) -> tuple[np.ndarray, np.ndarray]:
    chunks = list(stream.chunks(np.random.default_rng(seed), size))
    assert [len(x) for x, _ in chunks[:-1]] == [size] * (len(chunks) - 1)
    return np.concatenate([x for x, _ in chunks]), np.concatenate([y for _, y in chunks])


def in_order(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    rows = np.column_stack([np.nan_to_num(x, nan=-1.0), y])
    return rows[np.lexsort(rows.T)]


@pytest.mark.parametrize("name", ["flowers.parquet", "flowers.feather", "parts"])
def test_stream_gives_each_row_of_its_split_once_as_it_is_in_memory(tables: Path, name: str) -> None:
    dataset, test = opened(tables / name)
    whole, _ = load(DatasetSection(source="table", path=str(tables / name), target="kind", exclude=("number",), missing="mean"), 3)
    assert (dataset.features, dataset.classes) == (whole.features, whole.classes)
    assert dataset.facts["content_hash"] == whole.facts["content_hash"]
    table, kinds = flowers(), {word: number for number, word in enumerate(whole.classes)}
    x, y = whole.features.encode(table), np.array([kinds[word] for word in table["kind"].to_pylist()])
    held = np.concatenate([dataset.rows, dataset.test_rows])
    train = np.setdiff1d(np.arange(ROWS), held)
    assert len(held) == len(set(held)) and len(dataset.folds[0].train) == len(train)
    np.testing.assert_array_equal(in_order(*rows_of(dataset.folds[0].train)), in_order(x[train], y[train]))
    pool = np.setdiff1d(np.arange(ROWS), dataset.test_rows)
    np.testing.assert_array_equal(in_order(*rows_of(dataset.whole)), in_order(x[pool], y[pool]))
    np.testing.assert_array_equal(dataset.x, x[dataset.rows])
    rows = test.open(lambda reason: None, "a test")
    given, labels = rows.x, rows.y
    np.testing.assert_array_equal(given, x[dataset.test_rows])
    np.testing.assert_array_equal(labels, y[dataset.test_rows])
    assert sum(dataset.facts["classes"].values()) == len(pool) == dataset.facts["pool_rows"]


@pytest.mark.parametrize("target", ["boolean", "few", "many", "decimals", "words"])
@pytest.mark.parametrize("ending", ["parquet", "feather"])
def test_every_kind_of_column_and_target_is_what_it_is_in_memory(target: str, ending: str, tmp_path: Path) -> None:
    draw, rows = np.random.default_rng(0), 1000
    a = draw.normal(size=rows)
    words = pa.array([("p", "q", "r")[index] for index in draw.integers(3, size=rows)])
    features = {"a": a, "half": a.astype(np.float16), "small": pa.array(draw.integers(5, size=rows), pa.int8()), "wild": a > 1}
    features |= {"coded": words.dictionary_encode(), "large": words.cast(pa.large_string()), "exact": pa.array(["1.5", "2"] * 500).cast(pa.decimal128(10, 2))}
    ys = {"boolean": a > 0, "few": np.arange(rows) % 3, "many": np.arange(rows), "decimals": a, "words": words.dictionary_encode()}
    table, path = pa.table({**features, "y": ys[target]}), tmp_path / f"t.{ending}"
    if ending == "parquet":
        pq.write_table(table, path, row_group_size=300)
    else:
        pa.feather.write_feather(table, path, chunksize=300)
    streamed, whole = (load(DatasetSection(source="table", path=str(path), target="y", stream=stream), 0)[0] for stream in (True, False))
    for name in ("task", "classes", "features", "outputs", "input_shape"):
        assert getattr(streamed, name) == getattr(whole, name)
    assert streamed.facts["content_hash"] == whole.facts["content_hash"]
    x, y = rows_of(streamed.whole)
    assert (x.dtype, y.dtype, y.shape[1:]) == (whole.x.dtype, whole.y.dtype, whole.y.shape[1:])


@pytest.mark.parametrize("missing", ["mean", "zero", "drop"])
@pytest.mark.parametrize("method", ["standard", "minmax", "unit", "none"])
def test_scaling_of_one_pass_is_that_of_all_rows_in_memory(tables: Path, method: str, missing: str) -> None:
    dataset, _ = opened(tables / "flowers.parquet", scaling=method, missing=missing)
    table = flowers()
    x = np.full((ROWS, *dataset.input_shape), np.nan, np.float32)
    whole = np.array([None not in row for row in zip(table["length"].to_pylist(), table["place"].to_pylist(), strict=True)])
    kept = np.flatnonzero(whole) if missing == "drop" else np.arange(ROWS)
    x[kept] = dataset.features.encode(table.take(kept))
    numbers = ~dataset.features.plain
    for rows, own in ((dataset.folds[0].train, np.setdiff1d(kept, [*dataset.rows, *dataset.test_rows])), (None, np.setdiff1d(kept, dataset.test_rows))):
        found, expected = dataset.scaling(rows), scaling.fit(method, x, rows=own, fill=missing, plain=dataset.features.plain)
        for name in ("center", "factor"):
            np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-5)
        np.testing.assert_allclose(found.fill[numbers], expected.fill[numbers], rtol=1e-5)


def test_order_follows_from_the_seed_and_is_another_in_each_epoch_and_well_mixed(tables: Path) -> None:
    stream = opened(tables / "flowers.parquet")[0].folds[0].train
    again = Stream.from_json(stream.to_json())
    (x, y), (same, _), (other, _) = rows_of(stream, 5), rows_of(again, 5), rows_of(stream, 6)
    np.testing.assert_array_equal(x, same)
    assert not np.array_equal(x, other)
    # The table is sorted by kind: in its own order, batches would hold one kind each.
    kinds_per_batch = [len(set(y[start : start + 64])) for start in range(0, len(y) - 64, 64)]
    assert np.mean(kinds_per_batch) > 1.8
    assert len(rows_of(stream.first(100))[0]) == 100


def test_split_of_a_row_follows_from_its_number_and_the_seed_alone() -> None:
    draw, rows = Draw(seed=7, validation=0.1, test=0.2), np.arange(200_000)
    splits = draw.splits(rows)
    np.testing.assert_array_equal(splits[5000:5100], draw.splits(rows[5000:5100]))
    for split, share in ((TRAIN, 0.7), (VALIDATION, 0.1), (TEST, 0.2)):
        assert np.mean(splits == split) == pytest.approx(share, abs=0.005)
    assert abs(np.corrcoef(splits[:-1] == TEST, splits[1:] == TEST)[0, 1]) < 0.01
    assert np.mean(splits == Draw(8, 0.1, 0.2).splits(rows)) < 0.7


def test_few_rows_are_kept_apart_unless_more_are_asked_for(tables: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tuner.data.tables.survey.MOST_KEPT", 300)
    dataset, test = opened(tables / "flowers.parquet")
    assert 200 < len(dataset.x) < 400 and 200 < test.rows < 400
    assert 450 < len(opened(tables / "flowers.parquet", validation=0.1)[0].x) < 750
    # A binomial draw: five standard deviations are 144 rows.
    assert 856 < opened(tables / "flowers.parquet", test=1000)[1].rows < 1144


def test_test_split_of_its_own_file_is_kept_as_it_is(tables: Path) -> None:
    dataset, test = opened(tables / "parts" / "0.parquet", test_path=str(tables / "parts" / "0.parquet"), exclude=("number", "place"), target="wild")
    assert test.rows == 2000 and dataset.facts["test_given"] and len(dataset.whole) == 2000


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"missing": "error"}, r"column 'length': the value of row 0 is missing; expected none"),
        ({"target": "nothing"}, r"dataset\.target: no column 'nothing'"),
        ({"target": "length"}, r"target 'length': the value of row 0 is missing; expected one in every row"),
        ({"validation": 5999}, r"dataset\.validation: with the test split it takes"),
        ({"max_categories": 2}, r"column 'place': more than 2 distinct words"),
        ({"target": "length", "task": "classification", "missing": "drop"}, r"holds no whole number; expected classes"),
    ],
)
def test_what_cannot_be_streamed_is_told_in_one_line_with_the_file(tables: Path, more: dict[str, Any], message: str) -> None:
    with pytest.raises(DatasetError, match=message) as caught:
        opened(tables / "flowers.parquet", **more)
    assert "flowers.parquet" in str(caught.value) and "\n" not in str(caught.value)


def test_csv_is_not_streamed(tables: Path) -> None:
    with pytest.raises(DatasetError, match=r"flowers\.csv: is csv; expected Parquet, Feather or Arrow"):
        opened(tables / "flowers.csv")


@pytest.mark.parametrize("more", [{"folds": 3}, {"max_rows": 10}, {"missing": "median"}])
def test_what_needs_all_rows_in_memory_is_refused(tables: Path, more: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="stream = true"):
        opened(tables / "flowers.parquet", **more)


def test_table_that_changes_under_a_sweep_is_named(tables: Path, tmp_path: Path) -> None:
    path = tmp_path / "flowers.parquet"
    pq.write_table(flowers(), path, row_group_size=700)
    stream = opened(path)[0].folds[0].train
    pq.write_table(flowers().slice(0, 4000), path, row_group_size=700)
    with pytest.raises(DatasetError, match=r"flowers\.parquet.*has the table changed since the sweep began\?"):
        rows_of(stream)
    pq.write_table(flowers().slice(0, 4000), path, row_group_size=400)
    with pytest.raises(DatasetError, match=r"flowers\.parquet.*has the table changed since the sweep began\?"):
        rows_of(stream)


def test_storage_that_refuses_for_a_moment_costs_no_row_and_one_that_stays_away_is_named(tables: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = opened(tables / "flowers.parquet")[0].folds[0].train
    x, y = rows_of(stream, 5)
    pauses: list[float] = []
    monkeypatch.setattr("tuner.data.tables.stream.time", SimpleNamespace(sleep=pauses.append))
    reading, parts = stream_room.read, []

    def torn(path: str, *others: Any) -> Any:
        for table in reading(path, *others):
            parts.append(table)
            if len(parts) % 20 == 19:
                with stream_room.reading(path):
                    raise ConnectionResetError("the bucket is away")
            yield table

    monkeypatch.setattr("tuner.data.tables.stream.BATCH_ROWS", 100)
    expected = in_order(x, y)
    monkeypatch.setattr("tuner.data.tables.stream.read", torn)
    np.testing.assert_array_equal(in_order(*rows_of(stream, 5)), expected)
    assert len(pauses) >= 2
    monkeypatch.setattr("tuner.data.tables.stream.read", reading)
    pauses.clear()
    gone = tuple(replace(piece, file=str(tables / "gone.parquet")) for piece in stream.pieces)
    with pytest.raises(DatasetError, match=r"flowers\.parquet: cannot be read \(.*gone\.parquet"):
        rows_of(replace(stream, pieces=gone))
    assert tuple(pauses) == stream_room.PAUSES_S


def model(own: bool) -> Any:
    class Own(keras.Sequential):
        def train_step(self, data: Any) -> Any:
            return super().train_step(data)

    keras.utils.set_random_seed(0)
    built = (Own if own else keras.Sequential)([keras.Input((6,)), keras.layers.Dense(4, activation="relu"), keras.layers.Dense(3, activation="softmax")])
    built.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return built


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("weights", [None, np.array([1, 5, 0.5], np.float32)], ids=["alike", "by class"])
def test_epoch_over_chunks_is_the_epoch_over_the_same_rows_in_memory(tables: Path, own: bool, weights: np.ndarray | None) -> None:
    dataset, _ = opened(tables / "flowers.parquet")
    stream, scale = dataset.folds[0].train, dataset.scaling(1)
    x, y = rows_of(stream)
    streamed, held = Epoch(model(own), 32, (scale,)), Epoch(model(own), 32, (scale,))
    found = streamed.train_chunks(stream.chunks(np.random.default_rng(0), 256), len(stream), weights)
    assert streamed.reason == ("the model has its own train_step(), and its rows are streamed" if own else "")
    expected = held.train(tensors_of(Pool(x, y, None if weights is None else weights[y])), np.arange(len(x)))
    assert found == pytest.approx(expected, rel=1e-5)
    for one, other in zip(streamed.model.weights, held.model.weights, strict=True):
        np.testing.assert_allclose(one.numpy(), other.numpy(), atol=1e-5 if own else 1e-6)


def test_training_over_a_stream_that_is_interrupted_ends_as_one_that_is_not(tables: Path, tmp_path: Path) -> None:
    dataset, _ = opened(tables / "flowers.parquet")
    config = TrainingConfig("tests.builders:network", {"optimizer": "Adam", "batch_size": 64, "dropped": 0.1}, "classification", 3, epochs=3, seed=5)
    folds = [replace(dataset.folds[0], scaling=dataset.scalings(1))]

    def begun() -> Training:
        return Training(config, Pool(np.array(dataset.x), np.array(dataset.y)), folds)

    straight, first, second = begun(), begun(), begun()
    reports = [straight.run_epoch() for _ in range(3)]
    first.run_epoch()
    first.save(tmp_path / "state")
    second.restore(tmp_path / "state")
    for report in reports[1:]:
        assert {**second.run_epoch(), "seconds": 0} == {**report, "seconds": 0}


def test_sweep_over_a_streamed_table_ends_with_a_tested_model(tables: Path, tmp_path: Path, ray_address: str) -> None:
    data = {"source": "table", "path": str(tables / "flowers.parquet"), "target": "kind", "exclude": ["number"], "missing": "mean"}
    board = sweep(tmp_path / "sweep", ray_address, dataset={**data, "stream": True, "shuffle_buffer": 2000}, search={"sampler": "random", "trials": 2})
    assert board.facts["final"]["mean"]["test_accuracy"] > 0.8
    assert board.facts["dataset"]["streamed"] and board.best.score > 0.8
    with pytest.raises(SpecError, match=r"another spec \(dataset\.stream: true -> false; "):
        sweep(tmp_path / "sweep", ray_address, dataset={**data, "stream": False, "shuffle_buffer": 65_536}, search={"sampler": "random", "trials": 2})


def test_images_stay_bytes_in_what_the_trials_share(tmp_path: Path) -> None:
    shared = store(tmp_path, Pool(np.zeros((10, 4, 4), np.uint8), np.zeros(10, np.int32)))
    assert np.load(shared.folder / "0.npy", mmap_mode="r").dtype == np.uint8
