"""What a job takes along: the spec, the user's own builder with what it imports, and how the job begins. Nothing else of the submitter's machine.

Owns which files are sent and what must be so for a sweep to run elsewhere. Must not talk to a cluster.
"""

import json
import platform
import shutil
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from tuner.cli import entry
from tuner.errors import SpecError
from tuner.spec.sections import FUNCTIONS
from tuner.spec.sweep_spec import SweepSpec
from tuner.sweep.sources import modules

PACKAGES = ("ray", "keras-sweep-tuner", "tensorflow", "keras", "optuna")
COMMAND = ("python", "entry.py")
AT_HOME = "~/sweeps"


def versions() -> dict[str, str]:
    """Return what this installation consists of, as far as a cluster must be alike."""
    return {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}


def folder_there(spec: SweepSpec, folder: str | None) -> str:
    """Return the sweep's folder on the cluster: as asked for, or as the spec has it, or in the home folder of the head.

    Args:
        spec: checked.
        folder: as the command was given it; None: it was not.

    Raises:
        SpecError: `folder` is not absolute.
    """
    if folder is not None and not folder.startswith(("/", "~/")):
        raise SpecError(f"--folder: got {folder!r}; expected an absolute folder on the cluster, or one that starts with ~/")
    given = folder or spec.folder
    return given if given is not None and given.startswith(("/", "~/")) else f"{AT_HOME}/{spec.name}"


def pack(path: Path, spec: SweepSpec, *, overrides: Sequence[str], folder: str, into: Path) -> list[str]:
    """Put what a job needs into a folder.

    Args:
        path: the spec's file.
        spec: the same, checked, overrides and all.
        overrides: as on the command line.
        folder: the sweep's folder on the cluster.
        into: an empty folder.

    Returns:
        The names of the files, below `into`.

    Raises:
        SpecError: the sweep needs what is on this machine only.
    """
    _check(spec)
    shutil.copyfile(path, into / "sweep.toml")
    shutil.copyfile(entry.__file__, into / "entry.py")
    job = {"spec": "sweep.toml", "overrides": list(overrides), "folder": folder, "wait_s": spec.cluster.wait_s, "versions": versions()}
    (into / "job.json").write_text(json.dumps(job, indent=2), encoding="utf-8")
    root = path.resolve().parent
    functions = {"space.builder": spec.space.builder, "dataset.source": spec.dataset.source if spec.dataset.is_function else None}
    functions |= {f"training.{key}": getattr(spec.training, key) for key in FUNCTIONS}
    sources = {source: key for key, name in functions.items() if name is not None for source in modules(name.partition(":")[0], root)}
    for source, key in sources.items():
        copy = into / source.relative_to(root)
        if copy.exists():
            raise SpecError(f"{key}: {source.name} has the name of a file of the job; give it another")
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, copy)
    return sorted(str(file.relative_to(into)) for file in into.rglob("*") if file.is_file())


def _check(spec: SweepSpec) -> None:
    for key in ("path", "test_path"):
        value = getattr(spec.dataset, key)
        if value is not None and "://" not in value and not value.startswith("/"):
            raise SpecError(f"dataset.{key}: got {value!r}; expected a URL, or an absolute path that the cluster's nodes share: data are not sent along")
