"""A process of its own for one training: started, bounded, asked, ended.

Owns the limits of a trial (threads, memory, GPUs, time), how data reaches it, and what its death means. Parent and child (child.py) speak JSON, strictly one
answer to one request; arrays lie in files that every child of a node maps. Must not know Ray or the search, nor how a process is started (starting.py).
"""

import contextlib
import json
import os
import re
import signal
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from multiprocessing.connection import wait
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from search_spaces.code import code_in
from tuner.data.arrays.structure import Structure
from tuner.data.splits.drawing import Fold
from tuner.errors import TrialDiverged
from tuner.study.failures import Cause
from tuner.training import forkserver, starting
from tuner.training.config import TrainingConfig
from tuner.training.shared_data import SharedData, read_structure, write_structure

SLICE_S = 0.1
LOG_TAIL = 1 << 15


@dataclass(frozen=True)
class Limits:
    """What a trial's process may use.

    Attributes:
        threads: CPUs that it computes on.
        memory_bytes: what it may allocate beside TensorFlow itself and the data; None: no limit. Linux only.
        gpus: ids of the GPUs that it sees; the others are hidden from it.
        gpu_memory_bytes: what it may take of each of them; None: as much as it needs, growing.

    Raises:
        ValueError: one of them is less than 1.
    """

    threads: int = 1
    memory_bytes: int | None = None
    gpus: tuple[str, ...] = ()
    gpu_memory_bytes: int | None = None

    def __post_init__(self) -> None:
        for name in ("threads", "memory_bytes", "gpu_memory_bytes"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"limits.{name}: got {value}; expected at least 1")


class ProcessDied(RuntimeError):
    """A trial's process could not go on.

    Attributes:
        kind: `error` (Python), `memory`, `crash`, `deadline` or `cancelled`.
        message: one line for people.
        details: the traceback in the user's own code, or the last lines that the process wrote.
    """

    def __init__(self, kind: str, message: str, details: str = "") -> None:
        super().__init__(f"{kind}: {message}")
        self.kind = kind
        self.message = message
        self.details = details

    @property
    def place(self) -> str:
        """Where in the user's own code it happened, ` (net.py, line 7)`; empty where nothing says so."""
        places = re.findall(r'^  File "([^"]+)", line (\d+)', self.details, flags=re.MULTILINE)
        return f" ({Path(places[-1][0]).name}, line {places[-1][1]})" if places else ""


class ChildProcess:
    """A process beside this one that answers one request at a time (child.py). Use it in a `with` block, or close it.

    After any exception but TrialDiverged and a plain refusal (ValueError, OSError) the process is gone.

    Attributes:
        epoch: epochs that its training has done.
        pid: of the process.
        warnings: what Python warned of in the process.
        printed: the beginning of what the user's code has printed.
    """

    def __init__(self, *, gpus: bool = False, start: str = "auto") -> None:
        """Start the process.

        Args:
            gpus: whether it will use any.
            start: `fork`, `spawn`, or `auto`: fork where that is safe.

        Raises:
            ProcessDied: it cannot be started.
        """
        self.epoch = 0
        self.warnings: list[str] = []
        self.printed = ""
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the process
        self._oom_kills = _oom_kills()
        try:
            self._connection, self._child = starting.start(self._log.fileno(), gpus=gpus, way=start)
        except forkserver.ServerLost as lost:
            self._log.close()
            raise ProcessDied("crash", str(lost)) from lost
        except BaseException:
            self._log.close()
            raise
        self.pid = self._child.pid

    def close(self) -> None:
        """End the process; it is gone when this returns. Closing twice is fine."""
        if not self._log.closed:
            self._child.kill()
            self._child.status(10.0)
            self._child.close()
            self._connection.close()
            self._log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    def ask(self, request: dict[str, Any], timeout_s: float | None = None, cancelled: Callable[[], bool] | None = None) -> dict[str, Any]:
        """Return the process's answer to a request.

        Args:
            request: JSON, as child.py reads it.
            timeout_s: after so many seconds the process is killed; None: never.
            cancelled: asked ten times a second; once it says yes, the process is killed.

        Raises:
            TrialDiverged: a loss is no finite number.
            ProcessDied: it failed, died, ran out of memory or of time, or was cancelled.
            OSError: storage refused.
            ValueError: what was asked for is impossible.
        """
        if self._log.closed:
            raise ProcessDied("crash", "the process is closed")
        try:
            answer = self._answer(request, timeout_s, cancelled)
        except BaseException:
            # Whoever was interrupted while waiting has lost step with the child, which cannot be asked again.
            self.close()
            raise
        self.epoch = answer["epoch"]
        self.warnings += answer["warnings"]
        self.printed += answer.get("printed", "")
        if os.fstat(self._log.fileno()).st_size > 32 * LOG_TAIL:
            self._log.truncate(0)
        refused = answer.get("refused")
        if refused is None:
            return answer
        if refused["kind"] == "diverged":
            raise TrialDiverged(refused["message"])
        if refused["kind"] == "storage":
            raise OSError(refused["number"], refused["message"], refused["file"] or None)
        if refused["kind"] == "value":
            raise ValueError(refused["message"])
        self.close()
        raise ProcessDied(**refused)

    def _answer(self, request: dict[str, Any], timeout_s: float | None, cancelled: Callable[[], bool] | None) -> dict[str, Any]:
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        try:
            self._connection.send_bytes(json.dumps(request).encode())
            while not wait([self._connection, self._child.fileno()], SLICE_S):
                if cancelled is not None and cancelled():
                    raise ProcessDied("cancelled", "the process was stopped in the middle of an epoch")
                if deadline is not None and time.monotonic() > deadline:
                    raise ProcessDied("deadline", f"no answer within {timeout_s:g} s", self._last_words())
            return json.loads(self._connection.recv_bytes())
        except (EOFError, ConnectionError) as error:
            raise self._died() from error

    def _died(self) -> ProcessDied:
        words = self._last_words()
        status = self._child.status(10.0)
        how = f"was killed by {signal.Signals(-status).name}" if status is not None and status < 0 else f"ended with exit code {status}"
        if status == -signal.SIGKILL and _oom_kills() > self._oom_kills:
            return ProcessDied("memory", "the kernel ran out of memory and killed the process", words)
        if any(sign in words for sign in ("bad_alloc", "out of memory", "Out of memory", "Cannot allocate memory")):
            return ProcessDied("memory", f"the process ran out of memory and {how}", words)
        return ProcessDied("crash", f"the process {how}", words)

    def _last_words(self) -> str:
        size = os.fstat(self._log.fileno()).st_size
        lines = os.pread(self._log.fileno(), LOG_TAIL, max(0, size - LOG_TAIL)).decode(errors="replace").splitlines()
        # Python's own account of a crash ends with the names of all extension modules, which help nobody.
        return "\n".join(line for line in lines if not line.startswith("Extension modules: ")).strip()


class TrainingProcess(ChildProcess):
    """A `Training` in a process of its own, and more of them one after another.

    Attributes:
        parameters: trainable parameters of one network.
        limits: what it may use.
        trainings: that it has begun.
        path: how an epoch is run: `compiled epoch` or `fit`; `reason` says why it is `fit`.
        kind: what the answers that were asked for last are, see `search_spaces.answers.Meaning`.
        asked: how what the builder asked for differs from its configuration, see `search_spaces.define_by_run.building.Difference`.
        stopped: why the training came to its end before its last epoch; None as long as it goes on.
    """

    def __init__(
        self,
        config: TrainingConfig,
        data: SharedData,
        *,
        folds: Sequence[Fold],
        limits: Limits,
        start: str = "auto",
        timeout_s: float | None = 300.0,
        code: bytes = b"",
    ) -> None:
        """Start the process and build the networks in it.

        Args:
            recipe: what to train.
            data: the pool.
            folds: for each network its training rows, its validation rows and its scaling.
            limits: what the process may use.
            start: `fork`, `spawn`, or `auto`: fork where that is safe.
            timeout_s: how long building the networks may take.
            code: the builder itself, as `search_spaces.code` packs it, where it is in no module; empty: its name says where it is.

        Raises:
            ProcessDied: the networks could not be built.
        """
        super().__init__(gpus=bool(limits.gpus), start=start)
        self._given = {"limits": asdict(limits), "data": str(data.folder), "folds": str(data.with_folds(folds)), **code_in(code)}
        self.limits = limits
        self.trainings = 0
        self.begin(config, timeout_s=timeout_s)

    def begin(self, config: TrainingConfig, *, timeout_s: float | None = 300.0) -> None:
        """Build the networks of another recipe, on the same data and under the same limits; those before are gone.

        They are trained bit by bit as in a new process, and begin sooner: TensorFlow has done by then what it does once in every process.

        Args:
            recipe: what to train.
            timeout_s: how long building the networks may take.

        Raises:
            ProcessDied: the networks could not be built.
        """
        self.warnings, self.printed = [], ""
        built = self.ask({"recipe": config.to_json(), **self._given}, timeout_s)
        self.trainings += 1
        self.parameters: int = built["parameters"]
        self.path: str = built["path"]
        self.reason: str = built["reason"]
        self.asked: dict[str, Any] = built["asked"]
        self.stopped: Cause | None = None
        self._layers: list[dict[str, Any]] = built["layers"]

    def run_epoch(self, timeout_s: float | None = None, *, cancelled: Callable[[], bool] | None = None) -> dict[str, float]:
        """Train and validate for one epoch and return what `Training.run_epoch` returns.

        Args:
            timeout_s: after so many seconds the process is killed; None: never.
            cancelled: asked ten times a second; once it says yes, the process is killed.

        Raises:
            TrialDiverged: a loss is no finite number.
            ProcessDied: it failed, died, ran out of memory or of time, or was cancelled.
            OSError: storage refused, and the epoch was broken off.
        """
        answer = self.ask({"do": "run_epoch"}, timeout_s, cancelled)
        self.path, self.reason = answer["path"], answer["reason"]  # an epoch that cannot be compiled says so when it is first run
        self.stopped = None if answer["stopped"] is None else Cause(*answer["stopped"])
        return answer["report"]

    def save(self, folder: str | Path) -> None:
        """Write a checkpoint. Raises OSError where the storage refuses; the process lives on."""
        self.ask({"do": "save", "folder": os.path.abspath(folder)})

    def restore(self, folder: str | Path) -> None:
        """Continue from a checkpoint. Raises OSError where there is none, ValueError where it is damaged or of another network."""
        answer = self.ask({"do": "restore", "folder": os.path.abspath(folder)})
        self.stopped = None if answer["stopped"] is None else Cause(*answer["stopped"])

    def export(self, path: str | Path, features: Mapping[str, Any] | None = None) -> str:
        """Write the network as a Keras file for inference, or its weights beside it; see `Training.export`.

        Args:
            path: of the file.
            features: see `Training.export`.
        """
        return self.ask({"do": "export", "path": os.path.abspath(path), "features": features})["unsaved"]

    def load_weights(self, path: str | Path) -> None:
        """Take the weights of a network that `export` wrote. Raises OSError where there is none, ValueError where it is of another network."""
        self.ask({"do": "load_weights", "path": os.path.abspath(path)})

    def layers(self) -> list[dict[str, Any]]:
        """Return what `Training.layers` returns."""
        return self._layers

    def evaluate(self) -> tuple[dict[str, float], Structure]:
        """Return loss and metrics on the validation rows, and the network's answers for them, `(rows, ...)` float32; see `Training.predict`."""
        answer, answers = self._ask_for_answers({"do": "evaluate"})
        return answer["report"], answers

    def predict(self, x: Structure) -> Structure:
        """Return the network's answers, `(rows, ...)` float32, for rows as the pool holds them; see `Training.predict`."""
        return self._ask_for_answers({"do": "predict"}, x)[1]

    def _ask_for_answers(self, request: dict[str, Any], x: Structure = None) -> tuple[dict[str, Any], Structure]:
        with tempfile.TemporaryDirectory(dir=str(self._given["data"])) as folder:  # there, it is removed with the data if this process is killed
            if x is not None:
                write_structure(Path(folder) / "x", x)
            answer = self.ask({**request, "folder": folder})
            self.kind: str = answer["kind"]
            return answer, read_structure(Path(folder) / "answers")


def _oom_kills() -> int:
    """Return how many processes the kernel has killed for want of memory since it started; 0 where it does not say."""
    with contextlib.suppress(OSError, StopIteration):
        return next(int(line.split()[1]) for line in Path("/proc/vmstat").read_text().splitlines() if line.startswith("oom_kill "))
    return 0
