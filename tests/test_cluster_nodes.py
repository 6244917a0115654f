"""Nodes come and go while a sweep runs: real nodes on loopback. Trials train nothing here: they sleep, note each epoch, and keep a checkpoint."""

import contextlib
import json
import os
import signal
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import ray

from tests.heads import free_port, head, running, wait_until
from tests.test_sweep import Told, sweep
from tuner import trial as trials
from tuner.trial import Trial

EPOCHS = 8


class Sleeping:
    """In place of a trial's process: sleeps an epoch and writes down where and when."""

    parameters, path, reason = 1, "slept", ""

    def __init__(self, folder: Path, number: int) -> None:
        self._folder, self._number, self.epoch = folder, number, 0

    def run_epoch(self, timeout_s: float | None = None, **ignored: Any) -> dict[str, float]:
        time.sleep(0.5)
        self.epoch += 1
        told = {"trial": self._number, "epoch": self.epoch, "node": ray.get_runtime_context().get_node_id(), "at": time.time()}
        with (self._folder / "told").open("a") as file:
            file.write(json.dumps(told) + "\n")
        return {"val_accuracy": 0.5, "seconds": 0.5}

    def save(self, folder: Path) -> None:
        Path(folder).mkdir(parents=True, exist_ok=True)
        aside = Path(folder) / ".epoch"
        aside.write_text(str(self.epoch))
        os.replace(aside, Path(folder) / "epoch")

    def restore(self, folder: Path) -> None:
        self.epoch = int((Path(folder) / "epoch").read_text())

    def close(self) -> None:
        """Nothing is open."""


class SleepingTrial(Trial):
    """A trial that saves its state after every epoch."""

    def _start(self) -> Any:
        trials.SAVE_EVERY_S = 0.0
        folder = Path(self._work.checkpoints).parent
        self._process = Sleeping(folder, self._number)  # type: ignore[assignment]
        if self._checkpoint.exists():
            self._process.restore(self._checkpoint)
        return self._process


def test_node_that_joins_is_used_and_one_that_dies_costs_at_most_an_epoch(tmp_path: Path, blobs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tuner.sweep.Trial", SleepingTrial)
    monkeypatch.setattr("tuner.dispatch.ASK_FOR_NODES_EVERY_S", 1.0)
    folder, view = tmp_path / "s", Told()

    def told() -> list[dict[str, Any]]:
        with contextlib.suppress(FileNotFoundError):
            return [json.loads(line) for line in (folder / "told").read_text().splitlines()]
        return []

    def nodes() -> set[str]:
        return {line["node"] for line in told()}

    with head("--num-cpus=1") as (address, _), contextlib.ExitStack() as others:
        failures: list[BaseException] = []

        def come_and_go() -> None:
            try:
                wait_until(lambda: len(told()) >= 2)
                ports = f"--dashboard-agent-listen-port={free_port()}"
                node = others.enter_context(running(f"--address={address}", "--node-ip-address=127.0.0.1", "--num-cpus=2", ports))
                wait_until(lambda: len(nodes()) == 2 and told()[-1]["epoch"] >= 2, node)
                os.killpg(node.pid, signal.SIGKILL)
            except BaseException as error:
                failures.append(error)

        operator = threading.Thread(target=come_and_go)
        operator.start()
        board = sweep(
            folder,
            address,
            view=view,
            dataset={"source": "npz", "path": str(blobs)},
            search={"sampler": "random", "trials": 8},
            scheduler={"name": "fifo"},
            training={"max_epochs": EPOCHS},
            evaluation={"enabled": False},
        )
        operator.join()
    assert not failures
    assert "nodes have joined: 3 trials at a time" in view.notes
    assert len(nodes()) == 2
    assert any("tried again" in note for note in view.notes)
    assert {(record.state, record.epochs) for record in board.records} == {("complete", EPOCHS)}
    assert len(board.records) == 8
    # An epoch that was run twice is one whose checkpoint or report did not outlive the node: at most one of each trial.
    runs = Counter((line["trial"], line["epoch"]) for line in told())
    assert {runs[number, epoch] for number in range(8) for epoch in range(1, EPOCHS + 1)} <= {1, 2}
    twice = Counter(trial for (trial, _), times in runs.items() if times > 1)
    assert all(times == 1 for times in twice.values())
