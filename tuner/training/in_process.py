"""A training in this very process, with the face of process.py: for a debugger, which cannot follow a trial into a process of its own.

Nothing here is bounded: no deadline ends a hung epoch, no limit keeps memory, and a crash takes the whole sweep with it.
"""

import bdb
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from search_spaces.code import code_in, take_code
from tuner.data.arrays.structure import Structure
from tuner.data.pool import Pool
from tuner.data.splits.drawing import Fold
from tuner.errors import TrialDiverged
from tuner.study.failures import Cause
from tuner.training.child import refusal
from tuner.training.config import TrainingConfig
from tuner.training.process import Limits, ProcessDied
from tuner.training.trainer import Training


class TrainingHere:
    """A `Training` in this process, and more of them one after another; see `process.TrainingProcess` for what its methods do.

    Attributes:
        pid: of this process.
        limits: as they are written down; nobody holds the training to them.
        trainings: that it has begun.
        parameters: trainable parameters of one network.
        path: how an epoch is run: `compiled epoch` or `fit`; `reason` says why it is `fit`.
        asked: how what the builder asked for differs from its configuration.
        stopped: why the training came to its end before its last epoch.
        warnings, printed: nothing; they go to this process's own standard error and output.
    """

    def __init__(self, config: TrainingConfig, pool: Pool, *, folds: Sequence[Fold], limits: Limits, code: bytes = b"") -> None:
        """Build the networks.

        Args:
            config: what to train.
            pool: the rows.
            folds: one for each network, with its scaling.
            limits: what a process of its own would be held to.
            code: the builder itself, as `search_spaces.code` packs it, where it is in no module; empty: its name says where it is.

        Raises:
            ProcessDied: the networks could not be built.
        """
        self.pid = os.getpid()
        self.limits = limits
        self.trainings = 0
        self.warnings: list[str] = []
        self.printed = ""
        self._pool, self._folds, self._code = pool, folds, code
        # What a process of its own writes into a log that nobody reads unless it dies: notes on the build, and that every trial is traced anew.
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
        logging.getLogger("tensorflow").setLevel(logging.ERROR)
        self.begin(config)

    def begin(self, config: TrainingConfig) -> None:
        """Build the networks of another configuration on the same data; those before are gone.

        Raises:
            ProcessDied: they could not be built.
        """
        with _told("build"):
            import keras

            keras.backend.clear_session(free_memory=True)
            take_code(code_in(self._code))
            self._training = Training(config, self._pool, self._folds)
        self.trainings += 1
        self.parameters, self.path, self.reason = self._training.parameters, self._training.path, self._training.reason
        self.kind = ""
        self.asked: dict[str, Any] = self._training.asked
        self.stopped: Cause | None = None

    @property
    def epoch(self) -> int:
        """Epochs that are done."""
        return self._training.epoch

    def run_epoch(self, timeout_s: float | None = None, *, cancelled: Callable[[], bool] | None = None) -> dict[str, float]:
        """Train and validate for one epoch, however long it takes.

        Args:
            timeout_s: ignored: whoever stands at a breakpoint is not to be hurried.
            cancelled: ignored.

        Raises:
            TrialDiverged: a loss is no finite number.
            ProcessDied: it failed.
            OSError: storage refused.
        """
        with _told("run_epoch"):
            report = self._training.run_epoch()
            self.path, self.reason = self._training.path, self._training.reason
            self.stopped = None if self._training.stopped is None else Cause(*self._training.stopped)
            return report

    def save(self, folder: str | Path) -> None:
        """Write a checkpoint. Raises OSError where the storage refuses."""
        with _told("save"):
            self._training.save(folder)

    def restore(self, folder: str | Path) -> None:
        """Continue from a checkpoint. Raises OSError where there is none, ValueError where it is damaged or of another network."""
        with _told("restore"):
            self._training.restore(folder)
            self.stopped = None if self._training.stopped is None else Cause(*self._training.stopped)

    def export(self, path: str | Path, features: Mapping[str, Any] | None = None) -> str:
        """Write the network as a Keras file for inference, or its weights beside it; see `Training.export`.

        Args:
            path: of the file.
            features: see `Training.export`.
        """
        with _told("export"):
            return self._training.export(path, features)

    def layers(self) -> list[dict[str, Any]]:
        """Return what `Training.layers` returns."""
        return self._training.layers()

    def evaluate(self) -> tuple[dict[str, float], Structure]:
        """Return loss and metrics on the validation rows, and the network's outputs for them, `(rows, outputs)` float32."""
        with _told("evaluate"):
            scored = self._training.evaluate()
            self.kind = self._training.kind
            return scored

    def close(self) -> None:
        """Let go of the networks."""
        self._training.close()

    def __enter__(self) -> "TrainingHere":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()


@contextmanager
def _told(verb: str) -> Iterator[None]:
    """Tell of an exception as a process of its own would: what its kind means for the trial is decided by whoever asked."""
    try:
        yield
    except bdb.BdbQuit:  # whoever leaves the debugger wants to leave the sweep
        raise
    except Exception as error:
        refused = refusal({"do": verb}, error)
        if refused["kind"] == "diverged":
            raise TrialDiverged(refused["message"]) from error
        if refused["kind"] in ("storage", "value"):
            raise
        raise ProcessDied(**refused) from error
