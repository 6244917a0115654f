"""What Keras and TensorFlow take from their surroundings when they are imported: variables, and Keras's own file keras.json.

Owns what of it a trial must not depend on, and what is said where somebody has set it: a sweep trains alike on every machine, whatever its user's other
programs want. Nothing here imports either of them.
"""

import hashlib
import importlib.util
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tuner.errors import SpecError

BACKEND = "tensorflow"
# What Keras has where nobody says otherwise, and trials have always: `training.precision` says how they compute, and data have their channels last.
FLOATX, EPSILON, IMAGE_DATA_FORMAT = "float32", 1e-7, "channels_last"
POSSIBLE = {"floatx": ("float16", "float32", "float64"), "image_data_format": ("channels_last", "channels_first")}
# Keras 3.15 ends `fit` early where they are set.
CUTS = ("KERAS_MAX_EPOCHS", "KERAS_MAX_STEPS_PER_EPOCH")
# Read when TensorFlow, Keras or what they compute with is imported: a process that has imported them computes as these variables were.
READ_AT_IMPORT = (
    *("TF_", "TFHUB_", "KERAS_", "XLA_", "CUDA", "CUDNN_", "CUBLAS_", "NVIDIA_", "NCCL_", "ROCM_", "HIP_", "AMD_", "JAX_", "TORCH_"),
    *("ONEDNN_", "DNNL_", "MKL", "OMP_", "KMP_", "GOMP_", "OPENBLAS_", "BLIS_", "NUMEXPR_", "EIGEN_", "ABSL_", "GRPC_", "PROTOCOL_BUFFERS_"),
    *("LD_", "DYLD_", "MALLOC_", "GLIBC_TUNABLES", "PYTHONHASHSEED", "PYTHONOPTIMIZE", "PYTHONPATH", "PYTHONSTARTUP", "PYTHONWARNINGS", "PYTHONMALLOC"),
)
# Set in each trial's process before TensorFlow looks at its devices: whoever forks it need not have had them.
OF_EACH_TRIAL = ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "TF_CPP_MIN_LOG_LEVEL", "GRPC_VERBOSITY", "ABSL_MIN_LOG_LEVEL")


def check(environment: Mapping[str, str] = os.environ) -> list[str]:
    """Refuse what trials cannot honour; return what they do otherwise than Keras is set to here, one line each.

    Args:
        environment: as trials will have it.

    Raises:
        SpecError: Keras is set to another backend than TensorFlow, or to end `fit` early, or its file is not what Keras takes.
    """
    path, said = _file(environment)
    backend = environment.get("KERAS_BACKEND") or said.get("backend", BACKEND)
    if backend != BACKEND:
        where = "KERAS_BACKEND" if environment.get("KERAS_BACKEND") else f'{path}: "backend"'
        mend = f"run with KERAS_BACKEND={BACKEND}" + ("" if environment.get("KERAS_BACKEND") else ", or change the file")
        raise SpecError(f"{where}: got {backend!r}; Tuner trains on Keras with {BACKEND!r} only: {mend}")
    for name in CUTS:
        if environment.get(name):
            raise SpecError(f"{name}: got {environment[name]!r}, which ends training early, whatever the spec says; expected it unset")
    for name, words in POSSIBLE.items():
        if said.get(name, words[0]) not in words:
            raise SpecError(f"{path}: {name}: got {said[name]!r}; expected {' or '.join(words)}, or Keras itself does not start")
    if not isinstance(said.get("epsilon", EPSILON), float):
        raise SpecError(f"{path}: epsilon: got {said['epsilon']!r}; expected a number such as 1e-07, or Keras itself does not start")
    usual = {"floatx": FLOATX, "epsilon": EPSILON, "image_data_format": IMAGE_DATA_FORMAT}
    mends = {"floatx": "training.precision in the spec says how they compute", "epsilon": "as everywhere", "image_data_format": "data are read so"}
    return [f"{path}: {name} is {said[name]}; trials have {value}: {mends[name]}" for name, value in usual.items() if said.get(name, value) != value]


def apply() -> None:
    """Give Keras, in a trial's process, the settings that all trials have."""
    import keras

    keras.config.set_floatx(FLOATX)
    keras.config.set_epsilon(EPSILON)
    keras.config.set_image_data_format(IMAGE_DATA_FORMAT)


def fingerprint(environment: Mapping[str, str] = os.environ) -> str:
    """Return a hash of all that a process which imports TensorFlow and Keras takes from its surroundings, and of where it finds them.

    Args:
        environment: the process's.
    """
    variables = {name: value for name, value in environment.items() if name.startswith(READ_AT_IMPORT) and name not in OF_EACH_TRIAL}
    path, _ = _file(environment)
    try:
        content = path.read_bytes()
    except OSError:
        content = b""
    origins = [getattr(importlib.util.find_spec(name), "origin", None) for name in ("keras", "tensorflow", "numpy")]
    whole = json.dumps([sorted(variables.items()), str(path), content.decode(errors="replace"), origins])
    return hashlib.sha256(whole.encode(errors="surrogateescape")).hexdigest()


def _file(environment: Mapping[str, str]) -> tuple[Path, dict[str, Any]]:
    """Return where Keras 3.15 looks for its file, and what that says; Keras passes over what is no JSON."""
    home = environment.get("KERAS_HOME")
    if home is None:
        home = os.path.expanduser("~")
        home = os.path.join(home if os.access(home, os.W_OK) else "/tmp", ".keras")
    path = Path(os.path.expanduser(os.path.join(home, "keras.json")))
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return path, {}
    return path, said if isinstance(said, dict) else {}
