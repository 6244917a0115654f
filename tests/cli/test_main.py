"""The command line: what it prints, and the exit codes that scripts rely on."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sweeps_made_up import sweep as made_up
from tuner.cli.interruption import signals
from tuner.cli.main import main
from tuner.errors import NothingToRank, SweepError

ROOT = Path(__file__).parents[2]


def run(*arguments: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> tuple[int, str, str]:
    """Run the command line in this process; return exit code, standard output and standard error."""
    monkeypatch.setattr(sys, "argv", ["tuner", *arguments])
    code = 0
    try:
        main()
    except SystemExit as end:
        code = int(end.code or 0)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture
def tuner(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: run(*map(str, arguments), capsys=capsys, monkeypatch=monkeypatch)


BAD = [
    (["run", "nothing.toml"], "nothing.toml: no such file; `tuner init nothing.toml` writes an example"),
    (["run", "sweep.toml", "--set", "search.trails=5"], "search.trails: unknown key; did you mean trials?"),
    (["run", "sweep.toml", "--set", "dataset={source='npz', path='gone.npz'}"], "gone.npz: no such file"),
    (["run", "sweep.toml", "--set", "resources.gpus=4"], "resources: one trial asks for 4 CPU, 4 GPU, and no node has that much"),
    (["run", "sweep.toml", "--set", "cluster.address=10.0.0.1:6379"], "cluster.address: got '10.0.0.1:6379' with target 'local'"),
    (["leaderboard", "nowhere"], "nowhere: no leaderboard there"),
    (["report", "board.parquet", "--format", "pdf"], "report format 'pdf': unknown"),
    (["predict", "nowhere", "data.csv"], "nowhere: no saved model there (model.json is missing)"),
    (["predict", "nowhere", "data.csv", "-o", "out.xls"], "out.xls: cannot write .xls"),
    (["report", "board.parquet", "-o", "gone/r.html"], "gone/r.html: there is no folder gone"),
    (["predict", "nowhere", "data.csv", "-o", "gone/out.csv"], "gone/out.csv: there is no folder gone"),
    (["stop", "gone/s"], "gone/s: no such folder; expected the folder of a sweep that runs here, or the id of a job"),
    (["init", "gone/sweep.toml"], "gone: no such folder"),
    (["init", "sweep.toml"], "sweep.toml: exists already; --force replaces it"),
    (["baselines", "--only", "dense-521"], "--only dense-521: unknown baseline; did you mean 'dense-512'?"),
    (["baselines", "--data", "gone.npz"], "gone.npz: no such file"),
    (["run"], "SPEC is missing; expected a TOML file, or --builder MODULE:NAME"),
    (["runn", "sweep.toml"], "No such command 'runn'"),
    (["leaderboard", "board.parquet", "--top", "0"], "Invalid value for '--top'"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD, ids=[" ".join(arguments) for arguments, _ in BAD])
def test_bad_command_is_told_in_one_line_with_exit_code_2(arguments: list[str], message: str, tuner, tmp_path: Path) -> None:
    (tmp_path / "sweep.toml").write_text('name = "s"\n')
    made_up(3).write(tmp_path / "board.parquet")
    code, out, err = tuner(*arguments)
    assert code == 2
    assert out == ""
    assert message in err
    told = [line for line in err.splitlines() if line.startswith(("tuner: ", "Error: "))]
    assert len(told) == 1
    assert "Traceback" not in err


def test_example_is_written_once_and_is_valid(tuner, tmp_path: Path) -> None:
    code, out, _ = tuner("init", "mine.toml")
    assert code == 0
    assert out == "mine.toml: written; `tuner run mine.toml` runs it\n"
    from tuner.spec import sweep_spec as spec

    assert spec.load(tmp_path / "mine.toml").name == "digits"


def test_schema_is_json(tuner) -> None:
    code, out, _ = tuner("schema")
    assert code == 0
    assert json.loads(out)["properties"]["dataset"]


@pytest.mark.parametrize("command", ["init", "run", "leaderboard", "report", "predict", "baselines", "schema", "compare", "plan"])
def test_every_command_explains_itself(command: str, tuner) -> None:
    code, out, _ = tuner(command, "--help")
    assert code == 0
    assert out.count("\n") > 5


def test_leaderboard_and_reports_are_read_from_the_file_alone(tuner, tmp_path: Path) -> None:
    made_up(8).write(tmp_path / "board.parquet")
    code, out, _ = tuner("leaderboard", "board.parquet", "--top", "3")
    assert code == 0
    assert out.splitlines()[0].split()[:3] == ["rank", "trial", "state"]
    for form in ("md", "csv", "json", "latex", "html"):
        assert tuner("report", "board.parquet", "--format", form, "-o", f"r.{form}")[0] == 0
        assert (tmp_path / f"r.{form}").stat().st_size > 200
    assert json.loads(tuner("leaderboard", "board.parquet", "--json")[1])["trials"]


SPEC = """
name = "interrupted"
folder = "sweep"
[dataset]
source = "npz"
path = "blobs.npz"
[space]
depth = 1
width = 8
[search]
trials = 2
sampler = "random"
[scheduler]
name = "fifo"
grace_period = 1
[training]
max_epochs = 150
[evaluation]
seeds = 1
confirm = 0
"""


COMMAND = [sys.executable, "-m", "tuner", "run", "sweep.toml", "--json"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


def interrupt(folder: Path, number: int, *, cluster: str = "") -> tuple[int, str]:
    """Start a sweep, send a signal once a trial has trained five epochs, and return the exit code and standard error."""
    (folder / "sweep.toml").write_text(SPEC + cluster)
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
    process = subprocess.Popen(COMMAND, cwd=folder, env=ENVIRONMENT, **options)
    assert process.stdout is not None
    for line in process.stdout:
        event = json.loads(line)
        if event["event"] == "epoch" and event["epoch"] >= 5:
            os.killpg(process.pid, number)  # as a terminal, `timeout` and batch systems do
            break
    _, err = process.communicate(timeout=120)
    return process.returncode, err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_cannot_be_done_after_a_signal_ends_with_the_code_of_the_signal(number: int, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended, signals():
        signal.raise_signal(number)
        raise SweepError("interrupted while it waited; run the same command again to go on")
    assert ended.value.code == 128 + number
    assert capsys.readouterr().err.endswith("\ntuner: interrupted while it waited; run the same command again to go on\n")
    with pytest.raises(SweepError), signals():
        raise SweepError("without a signal")


def test_sweep_without_any_score_ends_with_3(tuner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(*given: object, **named: object) -> None:
        raise NothingToRank("nothing to rank: none of 4 trials has a score")

    monkeypatch.setattr("tuner.sweep.journey.run_sweep", nothing)
    (tmp_path / "sweep.toml").write_text('name = "digits"\n[dataset]\nsource = "digits"\n[search]\ntrials = 4\n')
    code, _, err = tuner("run", str(tmp_path / "sweep.toml"))
    assert (code, err) == (3, "tuner: nothing to rank: none of 4 trials has a score\n")


def test_terminated_sweep_ends_with_143(tmp_path: Path, blobs: Path) -> None:
    code, err = interrupt(tmp_path, signal.SIGTERM)
    assert code == 143, err


def test_interrupted_sweep_says_how_to_go_on_and_loses_nothing(tmp_path: Path, blobs: Path, ray_address: str) -> None:
    code, err = interrupt(tmp_path, signal.SIGINT, cluster=f'[cluster]\ntarget = "address"\naddress = "{ray_address}"\n')
    assert code == 130, err
    assert "interrupted; `tuner run sweep.toml` goes on" in err

    from tuner.results.leaderboard import Leaderboard

    before = {record.number: record for record in Leaderboard.read(tmp_path / "sweep").records}
    assert "running" not in {record.state for record in before.values()}
    again = subprocess.run(COMMAND, cwd=tmp_path, capture_output=True, text=True, timeout=250, env=ENVIRONMENT)
    assert again.returncode == 0, again.stderr
    after = Leaderboard.read(tmp_path / "sweep")
    assert sorted(record.number for record in after.records) == [0, 1]
    assert all(record.state == "complete" and record.epochs == 150 for record in after.records)
    for number, record in before.items():
        kept = after.find(number)
        assert kept.seed == record.seed
        for metric, values in record.curves.items():
            assert kept.curves[metric][: record.epochs] == values
    # What was trained before the interruption was not trained again.
    events = [json.loads(line) for line in again.stdout.splitlines()]
    continued = [record.number for record in before.values() if record.epochs >= 5 and record.state == "waiting"]
    assert continued
    for number in continued:
        assert min(event["epoch"] for event in events if event["event"] == "epoch" and event["trial"] == number) > 1


@pytest.mark.parametrize("card", ["[]", "{}", "null", '"text"', '{"model": "model.keras"}'])
def test_card_that_is_json_but_no_card_is_named(card: str, tuner, tmp_path: Path) -> None:
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / "model.json").write_text(card)
    code, out, err = tuner("predict", "sweep", "data.csv")
    assert (code, out, err) == (2, "", "tuner: sweep/model.json: is no model card, or a damaged one; expected the model.json that Tuner wrote\n")


@pytest.mark.parametrize(
    ("part", "value"),
    [("scaling", {}), ("scaling", 7), ("features", {}), ("features", None), ("dataset", None), ("dataset", 7), ("recipe", {}), ("recipe", []), ("model", 7)],
)
def test_card_with_another_shape_inside_is_named(part: str, value: object, tuner, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "tests" / "golden" / "finished" / "sweep", tmp_path / "sweep")
    card = json.loads((tmp_path / "sweep" / "model.json").read_text())
    (tmp_path / "sweep" / "model.json").write_text(json.dumps({**card, part: value}))
    code, out, err = tuner("predict", "sweep", "nothing.npz")
    assert (code, out, err) == (2, "", "tuner: sweep/model.json: is no model card, or a damaged one; expected the model.json that Tuner wrote\n")


def test_report_is_printed_whatever_the_terminal_can_write(tmp_path: Path) -> None:
    made_up().write(tmp_path)
    environment = {**os.environ, "PYTHONIOENCODING": "latin-1", "PYTHONPATH": str(ROOT)}
    run = subprocess.run([sys.executable, "-m", "tuner", "report", str(tmp_path)], capture_output=True, env=environment, timeout=60)
    assert run.returncode == 0 and not run.stderr
    assert "\\u2013" in run.stdout.decode("latin-1")  # a dash that Latin 1 does not have


def test_traceback_of_a_users_builder_keeps_its_lines_each_fit_to_be_printed(tuner, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fail(*arguments: object, **named: object) -> None:
        raise SweepError('all trials so far failed alike: boom\x1b[2J\nTraceback:\n  File "net.py", line 7')

    monkeypatch.setattr("tuner.sweep.journey.run_sweep", fail)
    (tmp_path / "sweep.toml").write_text('name = "s"\n')
    code, _, err = tuner("run", "sweep.toml")
    assert (code, err) == (2, 'tuner: all trials so far failed alike: boom\\x1b[2J\nTraceback:\n  File "net.py", line 7\n')


DRIVER = """
import sys
from tuner.cli.interruption import signals
from tuner.study.lock import exclusive_driver
with exclusive_driver(sys.argv[1]), signals() as interruption:
    print("held", flush=True)
    interruption.event.wait(60)
print("ended in order")
"""


def test_sweep_on_this_machine_is_stopped_by_its_folder(tuner, tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", DRIVER, str(tmp_path / "s")], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as driver:
        assert driver.stdout.readline() == "held\n"
        code, _, err = tuner("stop", tmp_path / "s")
        assert driver.stdout.read() == "ended in order\n"
    assert code == 0 and f"process {driver.pid} stops" in err and f"`tuner resume {tmp_path}/s` goes on" in err
    assert "nothing runs there" in tuner("stop", tmp_path / "s")[2]
