"""What killed runs leave on a machine, and its removal by the next one."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from cluster import stale_sessions as leftovers

RUN = """
import subprocess, sys
from cluster import stale_sessions as leftovers
with leftovers.folder() as made:
    daemon = subprocess.Popen(["sleep", "300"], stdout=open(f"{made}/daemon.out", "w"), start_new_session=True)
    print(made, daemon.pid, flush=True)
    sys.stdin.read()
    daemon.kill()
    daemon.wait()
"""


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let temporary folders be made where no other run's lie."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def started() -> tuple[subprocess.Popen, Path, int]:
    process = subprocess.Popen([sys.executable, "-c", RUN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    made, pid = process.stdout.readline().split()
    return process, Path(made), int(pid)


def gone(pid: int) -> bool:
    try:
        return "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return True


def test_run_that_ends_leaves_nothing(tmp_path: Path) -> None:
    with leftovers.folder() as made:
        assert Path(made).is_dir()
    assert not list(tmp_path.iterdir())


def test_end_at_once_takes_what_runs_out_of_the_folder_with_it() -> None:
    code = RUN.replace("    sys.stdin.read()\n", "    sys.stdin.read()\n    import os\n    leftovers.end()\n    os._exit(130)\n")
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    made, pid = process.stdout.readline().split()
    with process:
        process.stdin.close()
        assert process.wait() == 130
    assert not Path(made).exists()
    while not gone(int(pid)):
        pass


def test_next_run_removes_the_folder_of_a_killed_one_and_ends_its_daemons() -> None:
    process, made, daemon = started()
    with process:
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert made.is_dir() and not gone(daemon)
        leftovers.remove_dead()
    assert not made.exists()
    while not gone(daemon):  # a signal that was sent takes its moment
        pass


def test_run_that_lives_is_left_alone() -> None:
    process, made, daemon = started()
    with process:
        leftovers.remove_dead()
        assert made.is_dir() and not gone(daemon)
        process.stdin.close()
    assert not made.exists()


def test_folder_of_which_nobody_says_whose_it_is_stays_for_a_minute_as_one_that_is_being_made(tmp_path: Path) -> None:
    for name, age_s in (("tuner-ray-new", 0), ("tuner-ray-old", 2 * leftovers.YOUNG_S)):
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (time.time() - age_s,) * 2)
    leftovers.remove_dead()
    assert [path.name for path in tmp_path.iterdir()] == ["tuner-ray-new"]


def test_folder_goes_although_a_daemon_still_writes_into_it() -> None:
    # As a Ray does that failed to start: its daemons have nobody who ends them.
    code = """
import os, subprocess, time
from cluster import stale_sessions
with stale_sessions.folder() as made:
    loop = f"exec 3>{made}/log; while :; do mkdir -p {made}/r/logs; echo x >{made}/r/logs/$RANDOM; done"
    daemon = subprocess.Popen(["bash", "-c", loop], start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not os.path.exists(f"{made}/r/logs"):
        time.sleep(0.01)
    print(made, daemon.pid)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    made, pid = run.stdout.split()
    assert not Path(made).exists() and gone(int(pid))


def test_sweeps_on_one_machine_see_each_other_and_dead_ones_are_not_seen(tmp_path: Path) -> None:
    first, made, _ = started()
    second, other, _ = started()
    with first, second:
        for folder in (made, other):
            (folder / leftovers.RAY).mkdir()
        with leftovers.folder() as ours:
            (Path(ours) / leftovers.RAY).mkdir()
            assert leftovers.others() == sorted((first.pid, second.pid))
            second.kill()
            second.wait()
            assert leftovers.others() == [first.pid]
        first.stdin.close()
