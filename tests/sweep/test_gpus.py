"""GPUs on machines without any: Ray's logical GPUs, and a made-up nvidia-smi. What trials are given is real; nothing computes on a GPU here."""

import json
import os
import stat
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from cluster.errors import ClusterError
from tests.heads import head
from tests.stand_in import StandIn
from tests.sweep.test_journey import Told, sweep
from tuner.results.leaderboard import Leaderboard
from tuner.training import trial as trials
from tuner.training.process import Limits
from tuner.training.trial import Trial, own_limits

CARD_MIB = 16_384


class Recording(StandIn):
    """In place of a trial's process: notes what it was allowed and when it ran, and learns nothing."""

    def __init__(self, folder: Path, number: int, epochs: int, limits: dict[str, Any]) -> None:
        self._file, self._number, self._epochs, self._limits, self._began = folder / f"{number}.json", number, epochs, limits, time.time()
        self.epoch = 0

    def run_epoch(self, timeout_s: float | None = None, **ignored: Any) -> dict[str, float]:
        # Nobody goes on before as many trials have begun as are to run at a time: overlaps then do not hang on how fast this machine is.
        folder = self._file.parent
        (folder / f"begun-{self._number}").touch()
        for _ in range(600):
            if len(list(folder.glob("begun-*"))) >= int((folder / "at_a_time").read_text()):
                break
            time.sleep(0.1)
        self.epoch += 1
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        self._file.write_text(json.dumps({"limits": self._limits, "began": self._began, "ended": time.time(), "visible": visible}))
        return {"val_accuracy": 0.5, "seconds": 0.2}

    def save(self, folder: Path) -> None:
        """A recording has no state."""

    def close(self) -> None:
        """Nor a process."""


class RecordingTrial(Trial):
    """A trial that is given its GPUs as any other, and trains nothing."""

    def _start(self) -> Any:
        folder = Path(self._context.checkpoints).parent / "recorded"
        self._process = Recording(folder, self._assignment.number, self._context.config.epochs, asdict(own_limits()))  # type: ignore[assignment]
        return self._process


@pytest.fixture(scope="module")
def two_gpus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A head with four CPUs, two logical GPUs of 16 GiB, and a label."""
    folder = tmp_path_factory.mktemp("bin")
    script = folder / "nvidia-smi"
    script.write_text(f"#!/bin/sh\necho {CARD_MIB}\n")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    path = {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
    with head("--num-cpus=4", "--num-gpus=2", '--labels="ray.io/accelerator-type=T4"', environment=path) as (address, _):
        yield address


def recorded(folder: Path, address: str, data: Path, monkeypatch: pytest.MonkeyPatch, *, at_a_time: int, **resources: Any) -> list[dict[str, Any]]:
    monkeypatch.setattr("tuner.sweep.journey.Trial", RecordingTrial)
    (folder / "recorded").mkdir(parents=True)
    (folder / "recorded" / "at_a_time").write_text(str(at_a_time))
    sweep(
        folder,
        address,
        view=Told(),
        dataset={"source": "npz", "path": str(data)},
        resources=resources,
        search={"sampler": "random", "trials": 4},
        scheduler={"name": "fifo"},
        evaluation={"enabled": False},
    )
    records = [json.loads(path.read_text()) for path in sorted((folder / "recorded").glob("*.json"))]
    assert len(records) == 4
    return records


GREEDY = """
import json, os
import keras
import tensorflow as tf


def build_model(configuration, problem):
    with open(os.path.join(os.path.dirname(__file__), "allowed")) as file:
        allowed = json.loads(file.read().splitlines()[-1])
    if configuration["wants_mib"] > allowed["gpu_memory_bytes"] / 2**20:
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor on device:GPU:0 by allocator GPU_0_bfc")
    return keras.Sequential([keras.Input(problem.input_shape), keras.layers.Dense(problem.outputs, activation="softmax")])
"""


class WithoutCards(Trial):
    """A trial whose process is told what it may take of its GPU, and computes on the CPU: there is no card here."""

    def _start(self) -> Any:
        def limits() -> Limits:
            found = own_limits()
            with (Path(self._context.config.search_path[0]) / "allowed").open("a") as file:
                file.write(json.dumps({**asdict(found), "number": self._assignment.number}) + "\n")
            return replace(found, gpus=())

        trials.own_limits = limits
        return super()._start()


def test_trial_that_needs_more_than_its_share_of_a_gpu_gets_a_larger_one_once(
    two_gpus: str, tmp_path: Path, blobs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tuner.sweep.journey.Trial", WithoutCards)
    monkeypatch.setattr("tuner.sweep.plan.too_large", lambda *_: [])
    monkeypatch.setattr("tuner.sweep.journey.try_first_batch", lambda *given, **named: None)  # the builder wants to know what its trial was given
    (tmp_path / "greedy.py").write_text(GREEDY)
    view = Told()
    board: Leaderboard = sweep(
        tmp_path / "s",
        two_gpus,
        view=view,
        dataset={"source": "npz", "path": str(blobs)},
        resources={"gpus": 0.25, "cpus": 1},
        space={"builder": "greedy:build_model", "wants_mib": [3000, 7000, 12000]},
        search={"sampler": "grid", "trials": 3, "max_concurrent": 1},
        scheduler={"name": "fifo"},
        training={"max_epochs": 2},
        evaluation={"enabled": False},
        search_path=(str(tmp_path),),
    )
    quarter, half = ((CARD_MIB // parts - 512) * 2**20 for parts in (4, 2))
    given: dict[int, list[int]] = {}
    for line in (tmp_path / "allowed").read_text().splitlines():
        given.setdefault(json.loads(line)["number"], []).append(json.loads(line)["gpu_memory_bytes"])
    by_wish = {record.configuration["wants_mib"]: record for record in board.records}
    assert {wish: given[record.number] for wish, record in by_wish.items()} == {3000: [quarter], 7000: [quarter, half], 12000: [quarter, half]}
    assert {wish: record.state for wish, record in by_wish.items()} == {3000: "complete", 7000: "complete", 12000: "failed"}
    assert by_wish[12000].cause is not None and by_wish[12000].cause["kind"] == "memory"
    assert sum("ResourceExhaustedError" in note and "tried again" in note for note in view.notes) == 2


def at_once(records: list[dict[str, Any]]) -> int:
    """Return the largest number of records whose times overlap."""
    return max(sum(other["began"] <= record["began"] < other["ended"] for other in records) for record in records)


def test_every_gpu_has_one_whole_trial_without_a_word_in_the_spec(two_gpus: str, tmp_path: Path, blobs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records = recorded(tmp_path / "s", two_gpus, blobs, monkeypatch, at_a_time=2)
    assert {tuple(record["limits"]["gpus"]) for record in records} == {("0",), ("1",)}
    assert {record["limits"]["gpu_memory_bytes"] for record in records} == {None}
    assert {record["limits"]["threads"] for record in records} == {2}
    assert all(record["visible"] == record["limits"]["gpus"][0] for record in records)
    for gpu in ("0", "1"):
        assert at_once([record for record in records if record["limits"]["gpus"] == [gpu]]) == 1
    assert at_once(records) == 2


def test_half_a_gpu_is_half_of_its_memory_and_two_trials_a_card(two_gpus: str, tmp_path: Path, blobs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records = recorded(tmp_path / "s", two_gpus, blobs, monkeypatch, at_a_time=4, gpus=0.5, cpus=1, labels={"ray.io/accelerator-type": "T4"})
    assert {record["limits"]["gpu_memory_bytes"] for record in records} == {(CARD_MIB // 2 - 512) * 2**20}
    assert {len(record["limits"]["gpus"]) for record in records} == {1}
    for gpu in ("0", "1"):
        assert at_once([record for record in records if record["limits"]["gpus"] == [gpu]]) == 2


def test_share_that_cannot_be_kept_to_is_an_error_before_the_sweep(two_gpus: str, tmp_path: Path, blobs: Path) -> None:
    with pytest.raises(ClusterError, match=r"0\.01 of a card of 16 GiB leaves nothing beside the 0\.5 GiB that CUDA takes"):
        sweep(tmp_path / "s", two_gpus, dataset={"source": "npz", "path": str(blobs)}, resources={"gpus": 0.01})
    assert not (tmp_path / "s" / "leaderboard.parquet").exists()


SEES = """
import json, os
import keras

def build_model(configuration, problem):
    with open(os.path.join(os.path.dirname(__file__), f"seen-{configuration['kind']}"), "w") as file:
        file.write(os.environ["CUDA_VISIBLE_DEVICES"])
    return keras.Sequential([keras.Input(problem.input_shape), keras.layers.Dense(problem.outputs, activation="softmax")])
"""


def test_trial_without_a_gpu_sees_none_on_a_machine_with_some(two_gpus: str, tmp_path: Path, blobs: Path) -> None:
    (tmp_path / "seeing.py").write_text(SEES)
    sweep(
        tmp_path / "s",
        two_gpus,
        dataset={"source": "npz", "path": str(blobs)},
        resources={"gpus": 0},
        space={"builder": "seeing:build_model", "kind": ["a", "b"]},
        search={"sampler": "random", "trials": 1},
        training={"max_epochs": 1},
        evaluation={"enabled": False},
        search_path=(str(tmp_path),),
    )
    assert {seen.read_text() for seen in tmp_path.glob("seen-*")} == {"-1"}
