"""The child's side of process.py: takes its limits upon itself, then trains as it is asked, one answer to one request.

Runs in a process of its own and never returns. Must not know who asks, or how the process was started.
"""

import contextlib
import faulthandler
import io
import json
import os
import resource
import signal
import sys
import traceback
import warnings
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO, Any, NoReturn

import numpy as np

from search_spaces.code import take_code
from tuner.data.pool import Pool
from tuner.data.splits.drawing import Fold
from tuner.errors import REFUSALS, TrialDiverged
from tuner.training import keras_settings, space_request
from tuner.training.config import TrainingConfig
from tuner.training.shared_data import mapped, read_folds, read_structure, write_structure
from tuner.training.trainer import Training

# Characters of what is printed while a request is answered.
MOST_PRINTED = 2000
_HERE = Path(__file__).resolve().parent.parent
# Frames of these folders are not the user's: Tuner's own packages, and where Keras and all other packages are installed.
_NOT_THE_USERS = (f"{_HERE}{os.sep}", f"{_HERE.parent / 'search_spaces'}{os.sep}", f"{Path(np.__file__).resolve().parent.parent}{os.sep}", "<frozen ")
_INSTALLED = (*_NOT_THE_USERS, f"{Path(os.__file__).resolve().parent}{os.sep}")


def serve(requests: int, log: int) -> NoReturn:
    """Answer requests until the other end is closed.

    Args:
        requests: file descriptor of the connection to whoever asks.
        log: file descriptor of the file that standard output and error go to.
    """
    connection = Connection(requests)
    os.dup2(log, 1)
    os.dup2(log, 2)
    faulthandler.enable(file=2)
    # Ctrl-C reaches every process of a terminal: what it means is for the parent alone to decide.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    training: Training | None = None
    shared: _Shared | None = None
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            request = json.loads(connection.recv_bytes())
            printed = _Printed(sys.stdout)
            with warnings.catch_warnings(record=True) as caught, contextlib.redirect_stdout(printed):
                warnings.simplefilter("default")
                # These are for the authors of libraries.
                warnings.simplefilter("ignore", DeprecationWarning)
                warnings.simplefilter("ignore", PendingDeprecationWarning)
                try:
                    if request.get("do") == space_request.VERB:
                        bind(request["limits"])
                        answer = space_request.answer_to(request)
                    elif training is not None and "do" in request:
                        answer = _do(training, request)
                    else:
                        if shared is None:
                            shared = _prepare(request)
                        else:
                            training = None
                            _forget(shared)
                        training, answer = _begin(request, shared)
                except BaseException as error:
                    answer = {"refused": refusal(request, error)}
            said = [f"{warning.category.__name__}: {warning.message}" for warning in caught]
            connection.send_bytes(json.dumps({**answer, "epoch": training.epoch if training else 0, "warnings": said, "printed": printed.text}).encode())
    # Not sys.exit: there is nothing to save, and TensorFlow takes its time to clean up.
    os._exit(0)


class _Printed(io.TextIOBase):
    """What a user's code prints: it goes where it went, and its beginning is kept, to be shown."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self.text = ""

    def write(self, text: str) -> int:
        self.text += text[: max(0, MOST_PRINTED - len(self.text))]
        return self._stream.write(text)

    def flush(self) -> None:
        self._stream.flush()


@dataclass(frozen=True)
class _Shared:
    """What the trainings of a process share, and the modules that were there before the first of them."""

    rows: Pool
    folds: list[Fold]
    modules: frozenset[str]


def bind(limits: dict[str, Any]) -> None:
    """Bind this process to its devices, before TensorFlow first looks at them; `limits` as process.py has them, in JSON."""
    # Before TensorFlow first looks at its devices.
    os.environ["OMP_NUM_THREADS"] = str(limits["threads"])
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(limits["gpus"]) or "-1"
    import tensorflow as tf

    keras_settings.apply()
    use_devices(tf, limits["threads"], limits["gpus"], limits["gpu_memory_bytes"])


def _prepare(request: dict[str, Any]) -> _Shared:
    bind(request["limits"])
    return _Shared(mapped(Path(request["data"])), read_folds(Path(request["folds"])), frozenset(sys.modules))


def _forget(shared: _Shared) -> None:
    """Leave nothing of the training before: its networks, Keras's names and random states, the state of the user's own modules."""
    import keras

    keras.backend.clear_session(free_memory=True)
    for name in sys.modules.keys() - shared.modules:
        place = getattr(sys.modules[name], "__file__", None)
        if place and not place.startswith(_INSTALLED):
            del sys.modules[name]


def _begin(request: dict[str, Any], shared: _Shared) -> tuple[Training, dict[str, Any]]:
    if request["limits"]["memory_bytes"] is not None:
        limit_memory(request["limits"]["memory_bytes"])
    config = TrainingConfig.from_json(request["recipe"])
    # What a packed builder imports is looked for as soon as it is unpacked.
    sys.path[:0] = [folder for folder in config.search_path if folder not in sys.path]
    take_code(request)
    training = Training(config, shared.rows, shared.folds)
    return training, {"asked": training.asked, "parameters": training.parameters, "path": training.path, "reason": training.reason, "layers": training.layers()}


def _do(training: Training, request: dict[str, Any]) -> dict[str, Any]:
    verb = request["do"]
    if verb == "run_epoch":
        return {"report": training.run_epoch(), "path": training.path, "reason": training.reason, "stopped": training.stopped}
    if verb == "save":
        training.save(request["folder"])
    elif verb == "restore":
        training.restore(request["folder"])
        return {"stopped": training.stopped}
    elif verb == "export":
        return {"unsaved": training.export(request["path"], request.get("features"))}
    elif verb == "load_weights":
        training.load_weights(request["path"])
    elif verb == "evaluate":
        report, answers = training.evaluate()
        write_structure(Path(request["folder"]) / "answers", answers)
        return {"report": report, "kind": training.kind}
    elif verb == "predict":
        answers = training.predict(read_structure(Path(request["folder"]) / "x"))
        write_structure(Path(request["folder"]) / "answers", answers)
        return {"kind": training.kind}
    else:
        raise ValueError(f"request: unknown {verb!r}")
    return {}


def use_devices(tf: Any, threads: int, gpus: list[str], gpu_memory_bytes: int | None) -> None:
    """Bind TensorFlow to a trial's devices; it must not have looked at them yet.

    Args:
        tf: the module `tensorflow`.
        threads: CPUs to compute on; TensorFlow takes no notice of OMP_NUM_THREADS.
        gpus: ids of the GPUs that CUDA_VISIBLE_DEVICES leaves visible.
        gpu_memory_bytes: what may be taken of each; None: as much as is needed, growing, so that trials can share a card.

    Raises:
        ValueError: TensorFlow sees other GPUs than it was given.
    """
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    if not gpus:
        tf.config.set_visible_devices([], "GPU")
        return
    visible = tf.config.list_physical_devices("GPU")
    if len(visible) != len(gpus):
        raise ValueError(f"gpus: got {', '.join(gpus)}, but TensorFlow sees {len(visible)}; expected tensorflow[and-cuda] and working drivers")
    for gpu in visible:
        if gpu_memory_bytes is None:
            tf.config.experimental.set_memory_growth(gpu, True)
        else:
            limit = tf.config.LogicalDeviceConfiguration(memory_limit=gpu_memory_bytes / 2**20)
            tf.config.set_logical_device_configuration(gpu, [limit])


def limit_memory(memory_bytes: int) -> None:
    """Let this process allocate so many more bytes than it has now; an allocation beyond fails in it, before the system runs short.

    RLIMIT_AS would count what TensorFlow only reserves; RLIMIT_DATA counts private memory that can be written to.
    """
    with contextlib.suppress(OSError):
        lines = Path("/proc/self/status").read_text().splitlines()
        now = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmData:"))
        _, most = resource.getrlimit(resource.RLIMIT_DATA)
        wanted = now + memory_bytes
        resource.setrlimit(resource.RLIMIT_DATA, (wanted if most == resource.RLIM_INFINITY else min(wanted, most), most))


# What CUDA's libraries say where a card is full; TensorFlow calls these internal errors.
_GPU_FULL = ("CUDA_ERROR_OUT_OF_MEMORY", "CUDNN_STATUS_ALLOC_FAILED", "CUBLAS_STATUS_ALLOC_FAILED", "out of memory")


def refusal(request: dict[str, Any], error: BaseException) -> dict[str, Any]:
    """Return what an exception means for whoever asked: its kind, and what people should read.

    Args:
        request: what was asked for.
        error: what came of it.
    """
    name = type(error).__name__
    message = f"{name}: {str(error).strip() or 'without a message'}".splitlines()[0]
    verb = request.get("do", "build")
    if isinstance(error, TrialDiverged):
        return {"kind": "diverged", "message": str(error)}
    if isinstance(error, MemoryError) or name == "ResourceExhaustedError" or any(sign in message for sign in _GPU_FULL):
        return {"kind": "memory", "message": message, "details": _traceback(error)}
    if isinstance(error, OSError) and (error.errno in REFUSALS or verb in ("save", "restore", "load_weights", "export")):
        return {"kind": "storage", "message": error.strerror or str(error), "number": error.errno, "file": str(error.filename or "")}
    if isinstance(error, ValueError) and verb in ("restore", "load_weights", "evaluate", "predict", "export"):
        return {"kind": "value", "message": str(error)}
    # A builder that knows KerasTuner says so that no other trial is worth trying either.
    fatal = any(each.__name__ == "FatalError" and each.__module__.startswith("keras_tuner") for each in type(error).__mro__)
    return {"kind": "fatal" if fatal else "error", "message": message, "details": _traceback(error)}


def _traceback(error: BaseException) -> str:
    """Return the traceback without the frames that are not the user's; all of it where there are no others."""
    shown = traceback.TracebackException.from_exception(error)
    frames = [frame for frame in shown.stack if not frame.filename.startswith(_NOT_THE_USERS)]
    if frames:
        shown.stack = traceback.StackSummary.from_list(frames)
    return "".join(shown.format())
