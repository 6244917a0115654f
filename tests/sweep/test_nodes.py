"""Nodes come and go while a sweep runs: real nodes on loopback. Trials train nothing here: they sleep, note each epoch, and keep a checkpoint.

What is told to an autoscaler is looked at without one.
"""

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

from cluster import waiting
from cluster.errors import ClusterError
from cluster.resources import Capacity, Node, Resources, ResourcesSection
from tests.heads import free_port, head, running, wait_until
from tests.stand_in import StandIn
from tests.sweep.test_journey import Told, sweep
from tuner.training.trial import Trial, own_limits

EPOCHS = 8


class Sleeping(StandIn):
    """In place of a trial's process: sleeps an epoch and writes down where and when."""

    def __init__(self, folder: Path, number: int) -> None:
        self._folder, self._number, self.epoch = folder, number, 0

    def run_epoch(self, timeout_s: float | None = None, **ignored: Any) -> dict[str, float]:
        time.sleep(0.5)
        while self.epoch >= 2 and (self._folder / "hold").exists():  # what is to happen meanwhile does not hang on how fast this machine is
            time.sleep(0.1)
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
        folder = Path(self._context.checkpoints).parent
        self._process = Sleeping(folder, self._assignment.number)  # type: ignore[assignment]
        self._restore(self._process)  # type: ignore[arg-type]
        self._epoch = self._process.epoch
        return self._process


class CountingTrial(SleepingTrial):
    """A trial that notes what it was given."""

    def _start(self) -> Any:
        folder = Path(self._context.checkpoints).parent
        (folder / f"given-{self._assignment.number}").write_text(str(own_limits().threads))
        return super()._start()


def test_node_that_joins_is_used_and_one_that_dies_costs_at_most_an_epoch(tmp_path: Path, blobs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tuner.sweep.journey.Trial", SleepingTrial)
    monkeypatch.setattr("tuner.search.dispatch.ASK_FOR_NODES_EVERY_S", 1.0)
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
            finally:
                (folder / "hold").unlink()

        folder.mkdir()
        (folder / "hold").touch()
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


def test_sweep_waits_for_nodes_on_which_it_fits_and_says_so(tmp_path: Path, blobs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tuner.sweep.journey.Trial", SleepingTrial)
    sections = {
        "dataset": {"source": "npz", "path": str(blobs)},
        "resources": {"cpus": 2},
        "search": {"sampler": "random", "trials": 1},
        "scheduler": {"name": "fifo"},
        "training": {"max_epochs": 2},
        "evaluation": {"enabled": False},
    }
    with head("--num-cpus=1") as (address, _), contextlib.ExitStack() as others:
        # Without an autoscaler there is nothing to wait for.
        with pytest.raises(ClusterError, match=r"one trial asks for 2 CPU, and no node has that much \([^;]*: 1 CPU.*; ask for less in \[resources\]$"):
            sweep(tmp_path / "none", address, **sections)
        with pytest.raises(ClusterError, match=r"ask for less in \[resources\]; waited 1 s for other nodes"):
            sweep(tmp_path / "late", address, **{**sections, "cluster": {"target": "address", "address": address, "wait_s": 1.0}})

        class Joining(Told):
            def note(self, text: str) -> None:
                super().note(text)
                if "waiting" in text:
                    ports = f"--dashboard-agent-listen-port={free_port()}"
                    others.enter_context(running(f"--address={address}", "--node-ip-address=127.0.0.1", "--num-cpus=2", ports))

        view = Joining()
        board = sweep(tmp_path / "s", address, view=view, **{**sections, "cluster": {"target": "address", "address": address, "wait_s": 90.0}})
    assert [record.state for record in board.records] == ["complete"]
    assert [note for note in view.notes if "waiting 90 s at most for nodes on which it fits" in note]


@pytest.mark.parametrize(
    ("told", "autoscales"),
    [
        ({"autoscaler_report": {"node_type_mapping": {"ab12": "node_ab12"}}}, False),
        ({"autoscaler_report": {"node_type_mapping": {"ab12": "head", "cd34": "gpu"}}}, True),
    ],
)
def test_cluster_whose_nodes_are_of_named_types_has_an_autoscaler(told: dict, autoscales: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ray.experimental.internal_kv._internal_kv_get", lambda key: json.dumps(told).encode())
    assert waiting.autoscales() is autoscales


def test_cluster_that_has_just_begun_is_asked_again_whether_it_has_an_autoscaler(monkeypatch: pytest.MonkeyPatch) -> None:
    answers, told, asked = [None, None, True], [], []
    small, large = (Capacity((Node("a", cpus=cpus, gpus=0.0),)) for cpus in (1.0, 2.0))
    nodes = [small, small, small, small, large]
    monkeypatch.setattr(waiting, "LOOK_EVERY_S", 0.0)
    monkeypatch.setattr(waiting, "capacity_now", lambda: nodes.pop(0))
    monkeypatch.setattr(waiting, "autoscales", lambda: answers.pop(0))
    monkeypatch.setattr(waiting, "ask_for", lambda every: asked.append(len(every)))
    _, capacity = waiting.place(ResourcesSection(cpus=2), None, tell=told.append, interrupted=threading.Event())
    assert (capacity, nodes, answers) == (large, [], [])
    assert ["waiting 20 s" in told[0], "waiting 600 s" in told[1], len(told)] == [True, True, 2]
    assert asked == [1, 0]

    answers, asked = [None, True], []
    with waiting.wanted(Resources(), 3) as look:
        assert asked == []
        look()
        look()
        assert asked == [3]
    assert asked == [3, 0]


def test_autoscaler_is_told_what_is_wanted_and_in_the_end_that_nothing_is(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[Any, Any]] = []
    monkeypatch.setattr("ray.autoscaler.sdk.request_resources", lambda bundles, bundle_label_selectors: told.append((bundles, bundle_label_selectors)))
    monkeypatch.setattr(waiting, "autoscales", lambda: True)
    with waiting.wanted(Resources(gpus=1, labels=(("zone", "a"),)), 2):
        assert told == [([{"CPU": 1.0, "GPU": 1}] * 2, [{"zone": "a"}] * 2)]
    assert told[1:] == [([], None)]


def test_large_trials_and_small_ones_share_the_workers(tmp_path: Path, blobs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tuner.sweep.journey.try_first_batch", lambda *given, **named: None)  # no trial of it builds a network either
    monkeypatch.setattr("tuner.sweep.journey.Trial", CountingTrial)
    (tmp_path / "nothing.py").write_text("def build(configuration, problem): ...\n")
    with head("--num-cpus=2") as (address, _):
        board = sweep(
            tmp_path / "s",
            address,
            dataset={"source": "npz", "path": str(blobs)},
            space={"builder": "nothing:build", "width": [1, 2, 3, 512, 1024, 2048]},
            resources={"cpus": 1, "larger": [{"when": {"width": {"at_least": 512}}, "cpus": 2}]},
            search={"sampler": "grid", "trials": 6},
            scheduler={"name": "fifo", "grace_period": 1},
            training={"max_epochs": 1},
            evaluation={"enabled": False},
            search_path=(str(tmp_path),),
        )
    assert {record.state for record in board.records} == {"complete"}
    given = {record.configuration["width"]: int((tmp_path / "s" / f"given-{record.number}").read_text()) for record in board.records}
    assert given == {1: 1, 2: 1, 3: 1, 512: 2, 1024: 2, 2048: 2}
