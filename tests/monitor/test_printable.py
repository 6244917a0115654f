"""What is printed of names that users and others give."""

import io
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from tuner.monitor.console import LiveView, PlainView
from tuner.monitor.printable import one, several

EVIL = "val_\x1b[2Jf1[/3]\nforged line\r"


def test_one_line_stays_one_and_escape_codes_are_written_out() -> None:
    assert one(EVIL) == r"val_\x1b[2Jf1[/3]\nforged line\r"
    assert one("Größe µ – 日本") == "Größe µ – 日本"


def test_traceback_stays_several_lines_each_fit_to_be_printed() -> None:
    text = 'all trials so far failed alike: boom\nTraceback:\n  File "b.py", line 3\n\tx\x1b]0;title\x07'
    assert several(text) == 'all trials so far failed alike: boom\nTraceback:\n  File "b.py", line 3\n    x\\x1b]0;title\\x07'


def test_plain_lines_of_an_epoch_are_one_line_whatever_a_metric_is_called() -> None:
    progress = io.StringIO()
    view = PlainView(progress, io.StringIO())
    view.stage("search", text="mlp", metric=EVIL, trials=3, maximise=True)
    view.epoch(0, 1, 0.5, "running")
    view.epoch(1, 1, None, "failed", "\x1b[31mred\nand forged")
    lines = progress.getvalue().splitlines()
    assert any(r"best val_\x1b[2Jf1[/3]\nforged line\r 0.5000" in line for line in lines)
    assert r"trial 1 failed at epoch 1: \x1b[31mred\nand forged" in lines
    assert "\x1b" not in progress.getvalue()


def test_terminal_takes_names_as_they_are_and_no_markup() -> None:
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as terminal:
        view = LiveView(terminal, io.StringIO())
        view.stage("data", text="[bold]rows[/3] [red]")
        view.stage("search", text="mlp for val_f1[/3]", metric="val_f1[/3]", trials=2, max_epochs=3, maximise=True)
        view.epoch(0, 1, 0.25, "running")
        view.note("a note [/nothing] \x1b[2J")
        view.close()
        terminal.flush()
        said = os.read(ours, 1 << 16).decode()
    os.close(ours)
    assert "[bold]rows[/3] [red]" in said and "mlp for val_f1[/3]" in said
    assert "a note [/nothing] \\x1b[2J" in said


SEARCH = """
import sys
from tuner.monitor.console import view_for
view = view_for(as_json="--json" in sys.argv)
view.stage("search", text="mlp", metric="val_accuracy", trials=3, maximise=True)
for number in range(200):
    view.epoch(number, 1, 0.001 * number, "running")
    view.note("x" * 1000)
open(sys.argv[1], "w").write("the search came to its end")
view.result("result", {"done": True})
"""


@pytest.mark.parametrize(("words", "status"), [([], 0), (["--json"], 1)])
def test_reader_of_progress_that_goes_away_does_not_end_a_search(tmp_path: Path, words: list[str], status: int) -> None:
    reading, writing = os.pipe()
    streams = {"stdout": writing, "stderr": subprocess.DEVNULL} if words else {"stdout": subprocess.DEVNULL, "stderr": writing}
    with subprocess.Popen([sys.executable, "-c", SEARCH, str(tmp_path / "end"), *words], **streams) as process:
        os.close(writing)
        os.read(reading, 1)
        os.close(reading)
        process.wait(60)
    assert (tmp_path / "end").read_text() == "the search came to its end"
    assert process.returncode in (status, 0)


@pytest.mark.parametrize("hangup", ["SIG_DFL", "SIG_IGN"], ids=["heard", "ignored as under nohup"])
def test_terminal_that_goes_away_does_not_end_a_search(hangup: str, tmp_path: Path) -> None:
    # As where an ssh session is lost: SIGHUP first, then every write is refused.
    code = f"""
import os, pathlib, signal, sys, time, traceback
signal.signal(signal.SIGHUP, signal.{hangup})
sys.excepthook = lambda *error: pathlib.Path({str(tmp_path / "raised")!r}).write_text("".join(traceback.format_exception(*error)))
sys.argv = ["search", {str(tmp_path / "end")!r}]
from tuner.cli.interruption import signals
with signals() as interruption:
    print("begun", flush=True)
    while os.path.exists({str(tmp_path / "wait")!r}):
        time.sleep(0.01)
    exec({SEARCH!r})
    assert interruption.signal is None
"""
    (tmp_path / "wait").write_text("")
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-c", code])
    seen = b""
    while not seen.endswith(b"begun\r\n"):  # all of it: a terminal passes a line and its end on one after the other
        seen += os.read(terminal, 1024)
    os.close(terminal)  # the kernel sends SIGHUP to whoever sits at it
    (tmp_path / "wait").unlink()
    _, status = os.waitpid(pid, 0)
    raised = tmp_path / "raised"  # nobody reads its standard error any more
    assert os.waitstatus_to_exitcode(status) == 0, raised.read_text() if raised.exists() else "no exception"
    assert (tmp_path / "end").read_text() == "the search came to its end"
