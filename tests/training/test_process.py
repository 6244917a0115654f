"""A training in a process of its own: what it answers, what it may use, and the ways in which it can end."""

import dataclasses
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tuner.data.pool import Pool
from tuner.data.scaling import Scaling
from tuner.data.splits.drawing import Fold
from tuner.errors import TrialDiverged
from tuner.training import child
from tuner.training.config import TrainingConfig
from tuner.training.process import Limits, ProcessDied, TrainingProcess
from tuner.training.shared_data import SharedData, store
from tuner.training.starting import ahead, cool, is_forked
from tuner.training.trainer import Training

ROOT = Path(__file__).parents[2]
FOLDS = [Fold(np.arange(60), np.arange(60, 80), (Scaling(np.float32(0), np.float32(1 / 255), np.float32(0)),))]


@pytest.fixture(scope="module", autouse=True)
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A forkserver for these tests alone, which ends soon after them."""
    with pytest.MonkeyPatch.context() as patch:
        cool()
        patch.setattr("tempfile.tempdir", str(tmp_path_factory.mktemp("t")))
        yield
        cool()


@pytest.fixture(scope="module")
def pool() -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(0)
    return draw.integers(0, 256, (80, 4, 4)).astype(np.uint8), draw.integers(0, 3, 80).astype(np.int32)


@pytest.fixture(scope="module")
def data(pool: tuple[np.ndarray, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> SharedData:
    return store(tmp_path_factory.mktemp("pool"), Pool(*pool))


def config(builder: str = "network", **configuration: Any) -> TrainingConfig:
    return TrainingConfig(f"tests.builders:{builder}", {"batch_size": 16, **configuration}, "classification", 3, 3, 1, search_path=(str(ROOT),))


def started(
    data: SharedData, builder: str = "network", *, limits: Limits | None = None, start: str = "auto", timeout_s: float = 120.0, **configuration: Any
) -> TrainingProcess:
    return TrainingProcess(config(builder, **configuration), data, folds=FOLDS, limits=limits or Limits(), start=start, timeout_s=timeout_s)


def is_gone(pid: int) -> bool:
    """Say whether a process ends within five seconds; a zombie counts as gone."""
    for _ in range(500):
        try:
            if "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text():
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.01)
    return False


def test_a_process_trains_saves_continues_and_predicts(data: SharedData, pool: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    here = Training(config(), Pool(*pool), FOLDS)
    with started(data) as process:
        assert process.parameters == here.parameters
        assert (process.path, process.reason, process.epoch) == ("compiled epoch", "", 0)
        assert [(layer["type"], layer["shape"]) for layer in process.layers()] == [(layer["type"], layer["shape"]) for layer in here.layers()]
        report = process.run_epoch(60)
        assert report["val_loss"] == pytest.approx(here.run_epoch()["val_loss"], rel=1e-4)
        process.save(tmp_path)
        metrics, outputs = process.evaluate()
        assert metrics["loss"] == report["val_loss"]
        np.testing.assert_array_equal(process.predict(pool[0][60:]), outputs)
        process.export(tmp_path / "model.keras")
        assert (tmp_path / "model.keras").exists()
        pid = process.pid
    assert is_gone(pid)
    with started(data) as process:
        process.restore(tmp_path)
        assert process.epoch == 1
        assert process.evaluate()[0] == metrics
        with pytest.raises(FileNotFoundError):
            process.restore(tmp_path / "none")
        assert process.run_epoch()["loss"] < report["loss"]
    with pytest.raises(ProcessDied, match="crash: the process is closed"):
        process.run_epoch()


def test_a_process_trains_again_bit_by_bit_as_a_new_one_would(data: SharedData, pool: tuple[np.ndarray, np.ndarray]) -> None:
    second = config(dropped=0.4, normalized=True)
    with started(data, dropped=0.2) as process:
        process.run_epoch()
        process.begin(second)
        assert (process.trainings, process.epoch) == (2, 0)
        reports, outputs = [process.run_epoch() for _ in range(2)], process.predict(pool[0])
    with TrainingProcess(second, data, folds=FOLDS, limits=Limits()) as fresh:
        expected = [fresh.run_epoch() for _ in range(2)]
        np.testing.assert_array_equal(outputs, fresh.predict(pool[0]))
    assert [{**report, "seconds": 0} for report in reports] == [{**report, "seconds": 0} for report in expected]


def test_a_builder_s_own_state_does_not_outlive_its_training(data: SharedData, tmp_path: Path) -> None:
    code = "from tests.builders import network\nCALLS = []\ndef build(*given):\n    CALLS.append(1)\n    assert len(CALLS) == 1\n    return network(*given)\n"
    (tmp_path / "remembering.py").write_text(code)
    mine = dataclasses.replace(config(), builder="remembering:build", search_path=(str(tmp_path), str(ROOT)))
    with TrainingProcess(mine, data, folds=FOLDS, limits=Limits()) as process:
        process.begin(mine)
        assert process.run_epoch()["loss"] > 0


def test_a_spawned_process_does_the_same(data: SharedData) -> None:
    with started(data, start="spawn") as process:
        assert process.run_epoch()["loss"] > 0
        pid = process.pid
    assert is_gone(pid)


def test_an_error_in_the_builder_tells_where_it_is(data: SharedData) -> None:
    with pytest.raises(ProcessDied, match="error: KeyError: 'units'") as died:
        started(data, "faulty")
    assert died.value.kind == "error"
    assert "tests/builders.py" in died.value.details and "in _looked_up" in died.value.details
    assert "tuner/" not in died.value.details


def test_a_wrong_builder_is_an_error_with_the_space_s_own_words(data: SharedData) -> None:
    with pytest.raises(ProcessDied, match=r"error: SearchSpaceError: tests.builders:netwrok: .*did you mean 'network'"):
        started(data, "netwrok")


def test_divergence_passes_through(data: SharedData) -> None:
    with started(data, "huge_steps") as process, pytest.raises(TrialDiverged, match="loss is"):
        process.run_epoch()


@pytest.mark.parametrize(("start", "name"), [("fork", "SIGSEGV"), ("fork", "SIGKILL"), ("spawn", "SIGSEGV")])
def test_a_crash_is_named_by_its_signal(data: SharedData, name: str, start: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tuner.training.process._oom_kills", lambda: 3)
    with pytest.raises(ProcessDied, match=f"crash: the process was killed by {name}") as died:
        started(data, "killed", start=start, signal=name)
    assert "last words" in died.value.details


def test_a_kill_by_the_kernel_for_memory_is_told_apart(data: SharedData, monkeypatch: pytest.MonkeyPatch) -> None:
    kills = iter((3, 4))
    monkeypatch.setattr("tuner.training.process._oom_kills", lambda: next(kills))
    with pytest.raises(ProcessDied, match="memory: the kernel ran out of memory"):
        started(data, "killed", signal="SIGKILL")


def test_a_memory_limit_bites_in_the_child(data: SharedData) -> None:
    with pytest.raises(ProcessDied) as died:
        started(data, "greedy", limits=Limits(memory_bytes=600 * 2**20))
    assert died.value.kind == "memory"
    with started(data, limits=Limits(memory_bytes=600 * 2**20)) as process:
        assert process.run_epoch()["loss"] > 0


def test_a_deadline_ends_the_process(data: SharedData) -> None:
    with pytest.raises(ProcessDied, match=r"deadline: no answer within 0.5 s"):
        started(data, "asleep", timeout_s=0.5)


def test_an_epoch_can_be_cancelled(data: SharedData) -> None:
    with started(data, "network") as process:
        os.kill(process.pid, signal.SIGSTOP)
        with pytest.raises(ProcessDied, match="cancelled"):
            process.run_epoch(cancelled=lambda: True)
        assert is_gone(process.pid)


def test_the_user_s_interrupt_reaches_the_parent_and_not_the_child(data: SharedData) -> None:
    with started(data) as process:
        os.kill(process.pid, signal.SIGINT)
        assert process.run_epoch()["loss"] > 0


def test_a_process_has_its_threads_no_gpu_and_no_main_of_its_parent(data: SharedData) -> None:
    with pytest.raises(ProcessDied) as died:
        started(data, "surroundings", limits=Limits(threads=2))
    said = died.value.message
    assert "threads 2 gpus -1" in said and "pytest" not in said and "<Handlers.SIG_IGN: 1>" in said


def test_what_a_builder_prints_stays_off_the_console_and_its_warnings_are_kept(data: SharedData, capfd: pytest.CaptureFixture[str]) -> None:
    with started(data, "talkative") as process:
        assert process.warnings == ["UserWarning: this builder is old"]
        assert process.printed == "hello from the builder\n"
    assert capfd.readouterr() == ("", "")


def test_children_and_server_end_with_a_parent_that_is_killed(data: SharedData, monkeypatch: pytest.MonkeyPatch) -> None:
    code = f"""
import sys, time
sys.path.insert(0, {str(ROOT)!r})
from tests.training.test_process import *
import tempfile; tempfile.tempdir = {tempfile.gettempdir()!r}
process = started(SharedData(Path({str(data.folder)!r})))
print(process.pid, flush=True)
process.run_epoch()
time.sleep(600)
"""
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert Path(f"/proc/{pid}").exists()
    finally:
        parent.kill()
        parent.wait()
        parent.stdout.close()
    assert is_gone(pid)


def test_a_lost_server_takes_its_children_with_it_and_the_next_trial_starts_another(data: SharedData) -> None:
    with started(data) as process:
        server = int(Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[1])
        os.kill(server, signal.SIGKILL)
        with pytest.raises(ProcessDied, match="crash: the process was killed by SIGKILL"):
            process.run_epoch()
        assert is_gone(process.pid)
    with started(data) as process:
        assert process.run_epoch()["loss"] > 0


def test_server_that_was_started_ahead_is_the_one_that_forks(data: SharedData, monkeypatch: pytest.MonkeyPatch) -> None:
    cool()
    with tempfile.TemporaryDirectory() as folder:
        monkeypatch.setattr("tempfile.tempdir", folder)
        with ahead():
            (path,) = Path(folder).glob("*/*.socket")
            begun = path.stat().st_ino
            with started(data):
                assert path.stat().st_ino == begun
        cool()


def test_processes_of_several_threads_share_one_server(data: SharedData) -> None:
    parents = []

    def one() -> None:
        with started(data) as process:
            parents.append(Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[1])

    threads = [threading.Thread(target=one) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(parents) == 3 and len(set(parents)) == 1


def test_data_is_stored_once_and_mapped(pool: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    first = store(tmp_path, Pool(*pool))
    written = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert store(tmp_path, Pool(*pool)) == first
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == written
    assert first.with_folds(FOLDS) == first.with_folds(FOLDS)
    with pytest.raises(ValueError, match=r"0.npy: holds uint8 \(80, 4, 4\); expected uint8 \(10, 4, 4\)"):
        store(tmp_path, Pool(pool[0][:10], pool[1][:10]))


def test_mapped_data_is_not_copied_into_tensorflow(pool: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    from tuner.training.inputs import tensor_of

    store(tmp_path, Pool(*pool))
    mapped = np.load(tmp_path / "0.npy", mmap_mode="c")
    assert np.shares_memory(np.asarray(memoryview(tensor_of(mapped))), mapped)
    read_only = np.load(tmp_path / "0.npy", mmap_mode="r")
    assert np.array_equal(tensor_of(read_only).numpy(), pool[0])


class FakeConfig(SimpleNamespace):
    """TensorFlow's configuration with some GPUs, which writes down what it is told."""

    def __init__(self, gpus: int) -> None:
        self.told: list[Any] = []
        tell = self.told.append
        super().__init__(
            threading=SimpleNamespace(set_intra_op_parallelism_threads=lambda n: tell(("intra", n)), set_inter_op_parallelism_threads=lambda n: None),
            experimental=SimpleNamespace(set_memory_growth=lambda gpu, on: tell(("growth", gpu, on))),
            set_visible_devices=lambda devices, kind: tell(("visible", devices, kind)),
            list_physical_devices=lambda kind: [f"{kind}:{number}" for number in range(gpus)],
            LogicalDeviceConfiguration=lambda memory_limit: memory_limit,
            set_logical_device_configuration=lambda gpu, limits: tell(("limit", gpu, limits)),
        )


@pytest.mark.parametrize(
    ("gpus", "memory_bytes", "told"),
    [
        ([], None, ("visible", [], "GPU")),
        (["3"], None, ("growth", "GPU:0", True)),
        (["3"], 2**31, ("limit", "GPU:0", [2048.0])),
    ],
)
def test_gpus_are_hidden_shared_or_limited(gpus: list[str], memory_bytes: int | None, told: Any) -> None:
    config = FakeConfig(len(gpus))
    child.use_devices(SimpleNamespace(config=config), 4, gpus, memory_bytes)
    assert config.told == [("intra", 4), told]


def test_a_gpu_that_tensorflow_does_not_see_is_an_error() -> None:
    with pytest.raises(ValueError, match="gpus: got 0, 1, but TensorFlow sees 1"):
        child.use_devices(SimpleNamespace(config=FakeConfig(1)), 1, ["0", "1"], None)


def test_trials_with_gpus_are_never_forked() -> None:
    assert not is_forked(gpus=True)
    assert is_forked(gpus=False)


def test_an_unknown_way_to_start_is_refused(data: SharedData) -> None:
    with pytest.raises(ValueError, match="start: got 'frok'"):
        started(data, start="frok")


@pytest.mark.parametrize("wrong", [{"threads": 0}, {"memory_bytes": 0}, {"gpu_memory_bytes": -1}])
def test_impossible_limits_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=f"limits.{next(iter(wrong))}: got"):
        Limits(**wrong)  # type: ignore[arg-type]
