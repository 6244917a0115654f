"""Batch scripts for Slurm, run by stand-ins that start real Rays on loopback (tests/slurm.py)."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cluster.errors import ClusterError
from cluster.slurm import MOST_RESTARTS, Batch, script
from tests.cli.test_main import run
from tests.slurm import Slurm

# Waits for both nodes of the job, and then to be asked to stop; its second start ends by itself.
DRIVER = """
import os, signal, sys, time
import ray
def stop(number, frame):
    print("asked to stop", flush=True)
    os._exit(143)
signal.signal(signal.SIGTERM, stop)
ray.init(address=os.environ["TUNER_ADDRESS"], log_to_driver=False, logging_level="ERROR")
signal.signal(signal.SIGTERM, stop)
while len(nodes := [node for node in ray.nodes() if node["Alive"]]) < 2:
    time.sleep(0.1)
print("nodes", len(nodes), "CPUs", [node["Resources"].get("CPU") for node in nodes], "start", os.environ.get("SLURM_RESTART_COUNT", "0"), flush=True)
mode = os.stat(os.environ["TUNER_JOB_FOLDER"] + ".0").st_mode
print("folder", oct(mode)[-3:], "token", len(os.environ["RAY_AUTH_TOKEN"]), flush=True)
while "SLURM_RESTART_COUNT" not in os.environ:
    time.sleep(0.05)
"""


@pytest.fixture
def slurm(tmp_path: Path) -> Slurm:
    return Slurm(tmp_path, job=4_000_000 + os.getpid())


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_job_brings_ray_up_on_its_nodes_stops_before_its_end_and_goes_on_after_a_requeue(slurm: Slurm) -> None:
    (slurm.folder / "driver.py").write_text(DRIVER)

    def end_of_the_time(queue: Slurm, batch: subprocess.Popen) -> None:
        if queue.starts == 1:
            queue.wait_for("folder")
            os.kill(batch.pid, signal.SIGUSR1)

    code = slurm.sbatch(script(Batch("s", (f"{sys.executable} driver.py",), nodes=2, cpus=1)), meanwhile=end_of_the_time)
    said = slurm.output
    assert (code, slurm.starts) == (0, 2), said
    assert "nodes 2 CPUs [1.0, 1.0] start 0" in said and "nodes 2 CPUs [1.0, 1.0] start 1" in said
    assert said.count("asked to stop") == 1 and said.count("folder 700 token 64") == 2
    assert not list(Path("/tmp").glob(f"tuner-slurm-{slurm.job}*"))
    assert not [line for line in processes() if f"tuner-slurm-{slurm.job}" in line]


def processes() -> list[str]:
    lines = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(file.read_bytes().decode(errors="replace"))
        except OSError:  # it has ended since
            continue
    return lines


# A Ray whose port is open at once, and that ends when it is asked to: what follows of its ends needs no more.
RAY = """#!{python}
import os, socket, sys, time
if "--head" in sys.argv:
    port = next(word for word in sys.argv if word.startswith("--port=")).removeprefix("--port=")
    listener = socket.create_server(("127.0.0.1", int(port)))
time.sleep(120)
"""


@pytest.mark.parametrize(
    ("codes", "starts"),
    [
        pytest.param([0], 1, id="done"),
        pytest.param([2], 1, id="bad input"),
        pytest.param([3], 1, id="nothing to rank"),
        pytest.param([4, 0], 2, id="the cluster has gone, then done"),
        pytest.param([143, 130, 2], 3, id="cut off twice, then bad input"),
    ],
)
def test_only_a_sweep_that_was_cut_off_goes_back_into_the_queue(slurm: Slurm, codes: list[int], starts: int) -> None:
    quick_ray(slurm)
    command = f"exit $(echo {' '.join(map(str, codes))} | cut -d' ' -f$(( ${{SLURM_RESTART_COUNT:-0}} + 1 )))"
    code = slurm.sbatch(script(Batch("s", (f"bash -c {command!r}",))))
    assert (code, slurm.starts) == (codes[-1], starts), slurm.output


def quick_ray(slurm: Slurm) -> None:
    (slurm.folder / "bin" / "ray").write_text(RAY.format(python=sys.executable))
    (slurm.folder / "bin" / "ray").chmod(0o755)


def test_after_scancel_nothing_follows(slurm: Slurm) -> None:
    quick_ray(slurm)

    def cancel(queue: Slurm, batch: subprocess.Popen) -> None:
        queue.wait_for("begun")
        os.kill(batch.pid, signal.SIGTERM)

    command = "bash -c 'trap \"exit 143\" TERM; echo begun; while :; do sleep 0.05; done'"
    assert slurm.sbatch(script(Batch("s", (command,))), meanwhile=cancel) == 143
    assert slurm.starts == 1, slurm.output


def test_each_task_of_an_array_runs_a_command_of_its_own(slurm: Slurm) -> None:
    quick_ray(slurm)
    text = script(Batch("s", ("echo the first", "echo '$HOME is not' \"$SLURM_JOB_ID\" `echo expanded` \\\\")))
    assert "#SBATCH --array=0-1\n" in text
    assert slurm.sbatch(text, array_task=1) == 0
    assert f"$HOME is not {slurm.job} expanded \\" in slurm.output and "the first" not in slurm.output


def test_job_that_is_cut_off_for_ever_ends_at_last(slurm: Slurm) -> None:
    quick_ray(slurm)
    slurm.starts = MOST_RESTARTS
    assert slurm.sbatch(script(Batch("s", ("bash -c 'exit 143'",)))) == 143
    assert slurm.starts == MOST_RESTARTS + 1


@pytest.fixture
def tuner(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., tuple[int, str, str]]:
    monkeypatch.chdir(tmp_path)
    for name in ("one", "two"):
        (tmp_path / f"{name} spec.toml").write_text(f'name = "{name}"\nsearch = {{trials = 3}}\n')
    return lambda *arguments: run("manifest", "slurm", *map(str, arguments), capsys=capsys, monkeypatch=monkeypatch)


SHELLCHECK = shutil.which("shellcheck", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")


@pytest.mark.skipif(SHELLCHECK is None, reason="needs shellcheck")
@pytest.mark.parametrize(
    "words", [[], ["two spec.toml"], ["--nodes", 4, "--gpus", 2, "--setup", ". /shared/venv/bin/activate"], ["--container", "/images/tuner 1.sif", "--gpus", 1]]
)
def test_script_has_nothing_that_shellcheck_speaks_of(words: list, tuner: Callable) -> None:
    code, out, err = tuner("one spec.toml", *words)
    assert (code, err) == (0, "")
    checked = subprocess.run([SHELLCHECK, "-"], input=out, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout


def test_command_is_the_sweep_on_the_jobs_own_cluster(tuner: Callable, tmp_path: Path) -> None:
    out = tuner("one spec.toml", "two spec.toml", "--sbatch", "--partition=gpu", "--gpus", 3, "--hours", 1.5, "--nodes", 2)[1]
    options = re.findall(r"^#SBATCH (.*)$", out, flags=re.MULTILINE)
    assert {"--partition=gpu", "--gres=gpu:3", "--time=01:30:00", "--nodes=2", "--array=0-1", "--requeue", "--signal=B:USR1@300"} <= set(options)
    for name in ("one", "two"):
        place = r"--set cluster.target=address --set cluster.address=\$TUNER_ADDRESS --set cluster.wait_s=300.0"
        assert f"  \"tuner run '{tmp_path}/{name} spec.toml' {place} --again-by 'the job goes back into the queue, unless it was cancelled'\"\n" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["one spec.toml", "one spec.toml"], "two of them have one name"),
        (["one spec.toml", "--sbatch", "partition gpu"], "--sbatch: got 'partition gpu'; expected an option of sbatch"),
        (["one spec.toml", "--sbatch", "--x=1\nrm -rf"], "--sbatch: got"),
        (["one spec.toml", "--hours", "0.05"], "--hours: got 0.05; expected more than the 300 s"),
        (["gone.toml"], "gone.toml: no such file"),
    ],
)
def test_job_that_cannot_be_is_one_line(words: list[str], message: str, tuner: Callable) -> None:
    code, out, err = tuner(*words)
    assert (code, out) == (2, "") and message in err


def test_numbers_that_are_not_possible_are_refused() -> None:
    for given in ({"nodes": 0}, {"gpus": -1}, {"memory_gib": 0}):
        with pytest.raises(ClusterError, match="expected at least 1, 1, 0 and 1"):
            Batch("s", ("true",), **given)
