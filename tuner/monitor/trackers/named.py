"""Trackers by the name that a spec gives them. Each needs a package of its own, none of them Tuner's core.

A tracker follows the study, which stays the record: it is fed by a process beside the driver (`following.py`), so that a slow or broken one neither
delays a trial nor ends a sweep. To add one: a module with `open_tracker(sweep) -> Tracker` (`tracker.py`), and a row in `TRACKERS`.
"""


from collections.abc import Sequence
from importlib.util import find_spec
from typing import Annotated

from pydantic import AfterValidator

from search_spaces.errors import one_of
from tuner.errors import SpecError

# Name -> the module that feeds it. The package that it needs, and the extra that installs it, have the tracker's own name.
TRACKERS = {
    "mlflow": "tuner.monitor.trackers.mlflow_runs",
    "tensorboard": "tuner.monitor.trackers.tensorboard_files",
    "wandb": "tuner.monitor.trackers.wandb_runs",
}


def _named(names: list[str]) -> list[str]:
    names = [one_of(name, TRACKERS, "tracker") for name in names]
    if len(set(names)) < len(names):
        raise ValueError(f"got {', '.join(names)}; expected each once")
    return names


# In a spec: the names of trackers, each once.
Trackers = Annotated[list[str], AfterValidator(_named)]


def check_installed(names: Sequence[str]) -> None:
    """Check that the trackers' packages are installed here.

    Raises:
        SpecError: one is missing.
    """
    for name in names:
        if find_spec(name) is None:
            raise SpecError(f"trackers: {name!r} needs a package that is not installed; `pip install 'keras-sweep-tuner[{name}]'` installs it")
