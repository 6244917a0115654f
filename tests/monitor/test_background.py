"""Processes beside the trials."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tuner.monitor import background


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "echo_beside.py").write_text("import sys\nprint(sys.argv[1:], sys.stdin.read())\n")
    monkeypatch.syspath_prepend(tmp_path)
    return "echo_beside"


@pytest.mark.skipif(sys.platform != "linux", reason="what /proc says of a process is Linux's")
def test_process_stands_back_behind_the_trials_from_its_first_moment_and_is_out_of_reach_of_ctrl_c(module: str) -> None:
    with background.begin(module, "a", "b", stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert os.getpriority(os.PRIO_PROCESS, process.pid) == background.NICENESS
        group = Path(f"/proc/{process.pid}/autogroup")
        if group.exists():  # a kernel that shares the processor out among sessions
            assert group.read_text().split()[-1] == str(background.NICENESS)
        assert os.getsid(process.pid) != os.getsid(0)
        told, _ = process.communicate("said")
    assert told == "['a', 'b'] said\n"
    assert process.returncode == 0


def test_process_that_has_ended_at_once_is_no_error(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "setpriority", lambda *_: (_ for _ in ()).throw(ProcessLookupError))
    with background.begin(module, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        assert process.wait() == 0
