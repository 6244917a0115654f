"""One round: a real sweep on tiny data, its driver, and what befell it. Must not know how it is hit, nor what is checked afterwards.

A driver is `tuner run` in a process of its own, forked from this one, which has the libraries loaded: a round runs several, and each import takes seconds.
"""

import contextlib
import json
import os
import random
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tests.heads import free_port, running, wait_until

ROOT = Path(__file__).parents[3]
TRIALS, EPOCHS = 4, 4
EPOCH_TIMEOUT_S = 5.0
RUN_LIMIT_S = 180.0

NETWORKS = '''
import time
import keras
import numpy as np
import tensorflow as tf

class Slow(keras.layers.Layer):
    """Takes its time over every batch."""

    def __init__(self, seconds):
        super().__init__()
        self.seconds = seconds

    def call(self, x):
        with tf.control_dependencies([tf.numpy_function(self.wait, [], tf.float32)]):
            return tf.identity(x)

    def wait(self):
        time.sleep(self.seconds)
        return np.float32(0)

def build_model(configuration, problem):
    kind = configuration["kind"]
    width = 60_000_000 if kind == "greedy" else configuration["units"]
    layers = [keras.Input(problem.input_shape), Slow(1000.0 if kind == "hangs" else 0.1), keras.layers.Dense(width, activation="relu")]
    model = keras.Sequential([*layers, keras.layers.Dense(problem.outputs, activation="softmax")])
    rate = 1e30 if kind == "diverges" else configuration["rate"]
    model.compile(keras.optimizers.SGD(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model
'''

SPEC = """
name = "chaos"
seed = {seed}
folder = "{folder}/sweep"
[dataset]
source = "npz"
path = "{folder}/blobs.npz"
[space]
builder = "chaos_networks:build_model"
kind = {kinds}
units = [4, 8, 16]
rate = {{low = 0.01, high = 0.3, log = true}}
[search]
sampler = "{sampler}"
trials = {trials}
{budget}
[scheduler]
name = "{scheduler}"
grace_period = 1
[training]
max_epochs = {epochs}
epoch_timeout_s = {timeout}
[resources]
memory_gb = 0.6
[evaluation]
enabled = {evaluated}
seeds = 1
confirm = 2
confirm_budget = 2.0
[cluster]
{cluster}
"""
# Configurations that go wrong by themselves.
BAD_KINDS = ("greedy", "hangs", "diverges")


class Cluster:
    """A Ray head with one CPU, and a node with another, which is started again where it was killed.

    Attributes:
        address: of the head.
        home: the folder for temporary files of all that runs.
    """

    def __init__(self, address: str, home: Path, stack: contextlib.ExitStack) -> None:
        self.address, self.home = address, home
        self._stack = stack
        self.start_node()

    def start_node(self) -> None:
        self.node = self._stack.enter_context(running(f"--address={self.address}", "--node-ip-address=127.0.0.1", "--num-cpus=1"))


@contextlib.contextmanager
def cluster() -> Iterator[Cluster]:
    """Run a cluster for many rounds; temporary files of this process lie in its folder meanwhile."""
    from tuner.training import starting

    with tempfile.TemporaryDirectory(prefix="c-", ignore_cleanup_errors=True) as home, contextlib.ExitStack() as stack:
        before = dict(os.environ), tempfile.tempdir
        os.environ["TMPDIR"] = tempfile.tempdir = home
        try:
            port = free_port()
            fixed = ["--head", "--node-ip-address=127.0.0.1", f"--port={port}", f"--temp-dir={home}/ray", "--num-cpus=1", "--include-dashboard=false"]
            head = stack.enter_context(running(*fixed))
            wait_until(lambda: len(_raylets(f":{port}")) == 1, head)
            begun = Cluster(f"127.0.0.1:{port}", Path(home), stack)
            starting.warm()
            wait_until(lambda: len(_raylets(f":{port}")) == 2, begun.node)
            yield begun
        finally:
            starting.cool()
            os.environ["TMPDIR"], tempfile.tempdir = before[0].get("TMPDIR", "/tmp"), before[1]


@dataclass
class Round:
    """One sweep and what befell it.

    Attributes:
        home: the folder of temporary files.
        own: it runs in Tuner's own Ray, not on the cluster.
        told: (trial, epoch) -> the values that the driver told, one per telling.
        excused: how many epochs may be trained again: one per running trial that lost its process.
        violations: (kind, what was found).
    """

    folder: Path
    home: Path
    address: str
    draw: random.Random
    shared: "Cluster | None" = None
    own: bool = False
    events: list[str] = field(default_factory=list)
    told: dict[tuple[int, int], list[float]] = field(default_factory=dict)
    excused: int = 0
    other: list[str] = field(default_factory=list)
    violations: list[tuple[str, str]] = field(default_factory=list)
    epochs_budget: int | None = None
    evaluated: bool = False
    runs: int = 0
    driver: "Driver | None" = None

    @property
    def sweep(self) -> Path:
        return self.folder / "sweep"

    def wrong(self, kind: str, what: str) -> None:
        self.violations.append((kind, what))


class Driver:
    """A process that runs a command, or a function in a copy of this process, with its output in a pipe; asked like a Popen.

    What the copy registered for its exit is not run: it would tidy up after this process.
    """

    def __init__(self, run: Callable[[], None] | list[str], errors: Path) -> None:
        self.output, end = os.pipe()
        self._code: int | None = None
        self._process: subprocess.Popen | None = None
        if isinstance(run, list):
            with errors.open("a") as file:
                self._process = subprocess.Popen(run, stdout=end, stderr=file, start_new_session=True, cwd=ROOT)
            self.pid = self._process.pid
            os.close(end)
            return
        sys.stdout.flush()
        self.pid = os.fork()
        if self.pid == 0:
            code = 1
            try:
                os.setsid()
                for number, handler in ((signal.SIGTERM, signal.SIG_DFL), (signal.SIGINT, signal.default_int_handler)):
                    signal.signal(number, handler)
                file = os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
                for target, source in ((1, end), (2, file)):
                    os.dup2(source, target)
                os.close(self.output)
                run()
                code = 0
            except SystemExit as ended:
                code = ended.code if isinstance(ended.code, int) else 1
            except BaseException:
                sys.excepthook(*sys.exc_info())
            finally:
                sys.stdout.flush()
                os._exit(code)
        os.close(end)

    def poll(self) -> int | None:
        if self._process is not None:
            return self._process.poll()
        if self._code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._code = os.waitstatus_to_exitcode(status)
        return self._code

    def wait(self) -> int:
        while (code := self.poll()) is None:
            time.sleep(0.01)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def lines(self, until: float) -> Iterator[str]:
        """Yield its lines as they come, until it has ended or the time has come; an empty one twice a second where there are none."""
        rest = b""
        while time.monotonic() < until:
            if not select.select([self.output], [], [], 0.5)[0]:
                yield ""
                continue
            part = os.read(self.output, 1 << 16)
            if not part:
                break
            *whole, rest = (rest + part).split(b"\n")
            yield from (line.decode(errors="replace") for line in whole)
        os.close(self.output)


def tuner_runs(spec: Path) -> Callable[[], None]:
    """Return what a driver of Tuner does."""

    def run() -> None:
        from tuner.cli.main import main

        sys.argv = ["tuner", "run", str(spec), "--json"]
        main()

    return run


def write_sweep(round: Round, seed: int, *, bad: bool = True) -> Path:
    """Draw a sweep and write it down: data, networks and spec; some of its configurations may be bad."""
    draw, folder = round.draw, round.folder
    if draw.random() < 0.4:
        round.epochs_budget = draw.randrange(EPOCHS + 2, 3 * EPOCHS)
    round.evaluated = draw.random() < 0.2
    rows = np.random.default_rng(0)
    y = np.repeat(np.arange(3), 40)
    np.savez(folder / "blobs.npz", x=(rows.normal(size=(120, 4)) + 3 * np.eye(3, 4)[y]).astype(np.float32), y=y)
    (folder / "chaos_networks.py").write_text(NETWORKS)
    kinds = ["learns", "learns too", *(kind for kind in BAD_KINDS if bad and draw.random() < 0.2)]
    spec = SPEC.format(
        seed=seed,
        folder=folder,
        kinds=json.dumps(kinds),
        sampler=draw.choice(["random", "forecast", "tpe"]),
        scheduler=draw.choice(["asha", "asha", "median", "forecast"]),
        trials=TRIALS,
        budget=f"epochs = {round.epochs_budget}" if round.epochs_budget else "",
        epochs=EPOCHS,
        timeout=EPOCH_TIMEOUT_S,
        evaluated=str(round.evaluated).lower(),
        cluster='target = "local"\ncpus = 2' if round.own else f'target = "address"\naddress = "{round.address}"',
    )
    (folder / "chaos.toml").write_text(spec)
    return folder / "chaos.toml"


def processes() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").glob("[0-9]*")]


def text(pid: int, name: str) -> str:
    """Return what /proc says of a process; nothing where it is gone."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/{name}").read_text(errors="replace")
    return ""


def raylets(round: Round) -> list[int]:
    """Return the raylets that this round's sweep runs on."""
    return _raylets(f"{round.home}/tuner-ray-" if round.own else f":{round.address.rpartition(':')[2]}")


def _raylets(sign: str) -> list[int]:
    return [pid for pid in processes() if "raylet/raylet" in (words := text(pid, "cmdline")) and sign in words]
