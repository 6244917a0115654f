"""Stand-ins for `sbatch`, `srun` and `scontrol`, which start real processes on this machine: what a batch script means to Slurm, as far as ours use it.

Source: the manuals of sbatch, srun and scontrol, https://slurm.schedmd.com (24.05). A job's script runs on its first node; `--signal=B:USR1@N` sends USR1 to
the script alone; a job that is requeued runs the same script from its beginning, with SLURM_RESTART_COUNT one larger; `srun` starts one task per node, hands
SIGTERM on to all of them, and ends when they have.
"""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

SRUN = """#!{python}
import os, signal, subprocess, sys
words, count = sys.argv[1:], 1
while words and words[0].startswith("--"):
    name, _, value = words.pop(0).partition("=")
    if name not in ("--nodes", "--ntasks", "--ntasks-per-node", "--overlap"):
        sys.exit(f"srun: unrecognized option '{{name}}'")
    count = int(value) if name == "--ntasks" else count
tasks = [subprocess.Popen(words, env={{**os.environ, "SLURM_PROCID": str(number)}}, start_new_session=True) for number in range(count)]
def hand_on(number, frame):
    for task in tasks:
        try:
            os.killpg(task.pid, number)
        except ProcessLookupError:
            pass
signal.signal(signal.SIGTERM, hand_on)
sys.exit(max(task.wait() for task in tasks) and 1)
"""
SCONTROL = """#!{python}
import os, sys
if sys.argv[1:2] != ["requeue"] or sys.argv[2] != os.environ["SLURM_JOB_ID"]:
    sys.exit("scontrol: invalid")
open(os.environ["REQUEUED"], "w").close()
"""


class Slurm:
    """A queue with one job.

    Attributes:
        starts: how often the job has been started.
        output: what it has written so far.
    """

    def __init__(self, folder: Path, job: int) -> None:
        self.folder, self.job, self.starts = folder, job, 0
        self._bin = folder / "bin"
        self._bin.mkdir()
        for name, text in (("srun", SRUN), ("scontrol", SCONTROL)):
            (self._bin / name).write_text(text.format(python=sys.executable))
            (self._bin / name).chmod(0o755)

    @property
    def output(self) -> str:
        log = self.folder / "log"
        return log.read_text() if log.exists() else ""

    def sbatch(self, script: str, *, array_task: int | None = None, meanwhile: Callable[["Slurm", subprocess.Popen], None] = lambda slurm, batch: None) -> int:
        """Run a job to its last end, through all its requeues, and return its exit code.

        Args:
            script: its batch script.
            array_task: its number in an array.
            meanwhile: called after each start, with this queue and the running script.
        """
        path, marker = self.folder / "batch.sh", self.folder / "requeued"
        path.write_text(script)
        options = dict(re.findall(r"^#SBATCH --([a-z-]+)(?:=(.*))?$", script, flags=re.MULTILINE))
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("RAY_")},
            "PATH": f"{self._bin}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "SLURM_JOB_ID": str(self.job),
            "SLURM_NNODES": options["nodes"],
            "REQUEUED": str(marker),
            "TUNER_HEAD_IP": "127.0.0.1",
        } | ({} if array_task is None else {"SLURM_ARRAY_TASK_ID": str(array_task)})
        while True:
            marker.unlink(missing_ok=True)
            count = {"SLURM_RESTART_COUNT": str(self.starts)} if self.starts else {}
            self.starts += 1
            with (self.folder / "log").open("a") as log:
                batch = subprocess.Popen(["bash", str(path)], env=environment | count, cwd=self.folder, stdout=log, stderr=log, start_new_session=True)
            try:
                meanwhile(self, batch)
                code = batch.wait(240)
            finally:
                if batch.poll() is None:
                    os.killpg(batch.pid, signal.SIGKILL)
            if not marker.exists() or "requeue" not in options:
                return code

    def wait_for(self, text: str, timeout_s: float = 200.0) -> None:
        """Wait until the job has written a text."""
        until = time.monotonic() + timeout_s
        while text not in self.output:
            if time.monotonic() > until:
                raise TimeoutError(f"{text!r} is not in:\n{self.output}")
            time.sleep(0.05)
