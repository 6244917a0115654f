"""One driver per sweep."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import optuna
import pytest

from tuner.errors import SweepError
from tuner.study.backends import open_study
from tuner.study.lock import LOCK, beating, exclusive_driver, holder_of
from tuner.study.objective import Objective
from tuner.study.record import Study

HOLD = """
import sys
from tuner.study.lock import exclusive_driver
with exclusive_driver(sys.argv[1]) as lock:
    if "notes" in sys.argv:
        lock.note(scratch="/nowhere")
    print("held", flush=True)
    sys.stdin.read()
"""


def holder(folder: Path, *words: str) -> subprocess.Popen:
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(folder), *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    return process


def test_second_driver_is_told_host_and_pid_of_the_first(tmp_path: Path) -> None:
    with holder(tmp_path) as first:
        with pytest.raises(SweepError, match=rf"process {first.pid} on {os.uname().nodename} is running this sweep"), exclusive_driver(tmp_path):
            pass
        first.stdin.close()
        first.wait()
    with exclusive_driver(tmp_path) as lock:
        assert lock.before == {}  # the first one ended in order
    assert not (tmp_path / LOCK).exists()


def test_killed_driver_holds_nothing_and_what_it_noted_is_known(tmp_path: Path) -> None:
    # The second one is killed before it has cleaned up after the first.
    for words in (("notes",), ()):
        with holder(tmp_path, *words) as driver:
            driver.send_signal(signal.SIGKILL)
            driver.wait()
    with exclusive_driver(tmp_path) as lock:
        assert lock.before["pid"] == driver.pid
        assert lock.before["scratch"] == "/nowhere"


def test_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SweepError, match=r"file/driver\.lock: cannot be locked"), exclusive_driver(tmp_path / "file"):
        pass


def test_lock_that_is_a_link_is_refused_and_what_it_leads_to_is_whole(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("a text of the user's")
    folder = tmp_path / "sweep"
    folder.mkdir()
    for target in (tmp_path / "mine.txt", tmp_path / "nowhere"):
        (folder / LOCK).symlink_to(target)
        with pytest.raises(SweepError, match=r"driver\.lock: is a link to .*; expected a file of this sweep's own"), exclusive_driver(folder):
            pass
        (folder / LOCK).unlink()
    assert (tmp_path / "mine.txt").read_text() == "a text of the user's"
    assert not (tmp_path / "nowhere").exists()


def test_whoever_drives_a_sweep_is_known_while_it_does(tmp_path: Path) -> None:
    assert holder_of(tmp_path) == {}
    with holder(tmp_path) as driver:
        assert holder_of(tmp_path)["pid"] == driver.pid
        driver.send_signal(signal.SIGKILL)
        driver.wait()
    assert (tmp_path / LOCK).exists() and holder_of(tmp_path) == {}


@pytest.fixture
def database(tmp_path: Path):
    return lambda: open_study(f"sqlite:///{tmp_path}/study.db", "s", Objective("score", "max"), optuna.samplers.RandomSampler(seed=0))


def test_study_in_a_database_has_one_driver_whose_heart_beats(database) -> None:
    study: Study = database()
    with beating(study, lambda: None, every_s=0.01):
        first = study.facts["driver"]["beat"]
        while database().facts["driver"]["beat"] == first:
            pass
        with pytest.raises(SweepError, match=f"process {os.getpid()} on"), beating(database(), lambda: None):
            pass
    assert study.facts["driver"] is None


def test_driver_that_is_gone_or_silent_is_followed_by_the_next(database) -> None:
    study: Study = database()
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    for holder in ({"host": os.uname().nodename, "pid": gone.pid, "beat": 1e12}, {"host": "elsewhere", "pid": 1, "beat": 1.0}):
        study.set_fact("driver", {**holder, "token": "t"})
        with beating(study, lambda: None, every_s=0.01):
            assert study.facts["driver"]["pid"] == os.getpid()


def test_driver_that_another_one_replaced_is_told(database) -> None:
    study: Study = database()
    lost = threading.Event()
    with beating(study, lost.set, every_s=0.01):
        study.set_fact("driver", {"host": "elsewhere", "pid": 1, "token": "other", "beat": 1e12})
        assert lost.wait(30)
    assert study.facts["driver"]["token"] == "other"
