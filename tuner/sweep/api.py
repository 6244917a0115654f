"""`tuner.run` and its sisters: sweeps from a script or the cell of a notebook, over the same code path as the command line.

The same folder, record and report come of it, and `tuner resume`, `leaderboard`, `report` and `predict` work on them. Called again under the same name, a
sweep goes on; with other code or data it is refused.
"""

import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from search_spaces.code import packed
from tuner.errors import SpecError
from tuner.monitor.console import QuietView, View, view_for
from tuner.monitor.notebook import NotebookView, in_notebook
from tuner.spec import sweep_spec as specs
from tuner.spec.builder_style import styled
from tuner.sweep.api_code import code_of, own_folders
from tuner.sweep.api_data import asked_for
from tuner.sweep.api_result import Comparison, Plan, Replay, Result
from tuner.sweep.api_spec import values_of
from tuner.sweep.given import Given


def run(
    build_model: Any = None,
    data: Any = None,
    *,
    spec: str | Path | Mapping[str, Any] | None = None,
    quiet: bool = False,
    changed_builder: bool = False,
    **keys: Any,
) -> Result:
    """Search, confirm, retrain and test, as `tuner run` does; go on with a sweep of this name that is there already.

    Args:
        build_model: a function `build(hp)` with KerasTuner's hyperparameters, `build(trial)` with Optuna's, or `build(configuration, problem)`; a
            `HyperModel`; `"module:function"`; or the name of a built-in space (`"mlp"`, `"tabular"`, `"cnn"`, `"sequence"`).
        data: arrays `(x, y)`, `tuner.Data(train=..., validation=..., test=...)`, a function that returns them, a file, or the name of a source.
        spec: a sweep.toml, or what one would hold.
        quiet: show no progress.
        changed_builder: go on with a sweep of this name although its builder has changed; the record says from which trial on.
        keys: any key of sweep.toml: `trials=50`, `max_epochs=20`, `name="first"`, a section as a dictionary (`search={"sampler": "tpe"}`), or
            `section__key` where several sections have it.

    Returns:
        The sweep, as `tuner.load` opens it.

    Raises:
        SpecError, DatasetError, SearchSpaceError, ClusterError, SweepError: one line each that says what arrived, what was expected, and how to mend it.
        KeyboardInterrupt: the user has stopped it; run again, it goes on.

    Example:
        >>> import numpy, tuner
        >>> x = numpy.random.default_rng(0).normal(size=(200, 4)).astype("float32")
        >>> y = (x.sum(axis=1) > 0).astype(int)
        >>> result = tuner.run("mlp", data=(x, y), trials=2, max_epochs=2, name="example", quiet=True)
        >>> result.best.configuration["optimizer"] in ("adam", "sgd", "rmsprop", "adamax", "nadam")
        True
    """
    checked, given = _asked(build_model, data, spec, keys)
    with _interruptible() as interrupted, _view(quiet) as view, _loading_ahead(checked):
        from tuner.sweep.journey import run_sweep
        from tuner.sweep.reopen import take_on_builder

        for line in held_gpus():
            view.note(line)
        if changed_builder and (taken := take_on_builder(checked.sweep_folder, given)):
            view.note(taken)
        run_sweep(checked, view=view, interrupted=interrupted, given=given)
        if interrupted.is_set():
            raise KeyboardInterrupt(f"interrupted; run it again, and {checked.name} goes on (everything is in {checked.sweep_folder})")
    return Result(checked.sweep_folder, given.code, given.search_path)


def plan(build_model: Any = None, data: Any = None, *, spec: str | Path | Mapping[str, Any] | None = None, quiet: bool = False, **keys: Any) -> Plan:
    """Say what a sweep would take, and what its space is, before anything is paid for it: as `tuner plan` does.

    Args:
        build_model: as in `run`.
        data: as in `run`.
        spec: as in `run`.
        quiet: show no progress.
        keys: as in `run`; besides, `measure` and `price_per_hour`, as `tuner plan` has them.

    Raises:
        SpecError, DatasetError, SearchSpaceError, ClusterError: see `run`.
    """
    measure, price = keys.pop("measure", 4), keys.pop("price_per_hour", None)
    checked, given = _asked(build_model, data, spec, keys)
    with _interruptible() as interrupted, _view(quiet) as view:
        from tuner.sweep.plan import make_plan

        return Plan(make_plan(checked, measure=measure, price_per_hour=price, view=view, interrupted=interrupted, given=given))


def load(folder: str | Path) -> Result:
    """Open the sweep in a folder.

    Raises:
        SweepError: there is none.
    """
    return Result(Path(folder))


def compare(*folders: str | Path) -> Comparison:
    """Lay several sweeps side by side, as `tuner compare` does.

    Raises:
        SweepError: one of them is none, or they are ranked by different metrics.
    """
    return Comparison([Path(folder) for folder in folders])


def simulate(folder: str | Path, **changes: Any) -> Replay:
    """Replay a finished sweep under other rules, as `tuner simulate` does.

    Args:
        folder: of the sweep.
        changes: `sampler`, `scheduler`, `grace_period`, `reduction_factor`, `workers`, `seed`.

    Raises:
        SpecError: a change is none of these.
        SweepError: there is no such sweep.
    """
    return Replay.of(Path(folder), changes)


def _asked(builder: Any, data: Any, spec: str | Path | Mapping[str, Any] | None, keys: Mapping[str, Any]) -> tuple[specs.SweepSpec, Given]:
    """Return the checked spec that a call means, and what it holds beside that."""
    values = values_of(spec, keys)
    folders = own_folders()
    if isinstance(spec, str | Path):
        folders = [str(Path(spec).resolve().parent), *folders]
    code, asked = code_of(builder, folders), asked_for(data, folders)
    values.setdefault("name", code.name)
    for section, stated in (("space", code.space), ("dataset", dict(asked.section))):
        values[section] = {**_without(values.get(section, {}), section, stated), **stated}
    if not values["space"].keys() & {"name", "builder"}:
        values["space"]["name"] = "mlp"
    values.setdefault("search", {})
    if isinstance(values["search"], dict) and not values["search"].keys() & {"trials", "epochs", "seconds"}:
        values["search"] = {**values["search"], "trials": 50}
    checked = specs.check(styled(values, folders))
    load = asked.loader(checked.dataset, checked.seed, tuple(folders))
    return checked, Given(tuple(folders), packed({**code.functions, **asked.functions}), code.source, load)


def _without(values: Any, section: str, stated: Mapping[str, Any]) -> dict[str, Any]:
    """Return a section of the spec, which must not say otherwise what an argument says."""
    if not isinstance(values, Mapping):
        raise SpecError(f"{section}: got {values!r}; expected a dictionary")
    other = [key for key in stated if key in values and values[key] != stated[key]]
    if other:
        raise SpecError(f"{section}.{other[0]}: got {values[other[0]]!r} beside {stated[other[0]]!r} in the call; expected one of the two")
    if section == "space" and stated and ("name" in values or "builder" in values):
        raise SpecError("space: got a space beside build_model in the call; expected one of the two")
    return dict(values)


@contextmanager
def _interruptible() -> Iterator[threading.Event]:
    """Turn the first Ctrl-C, or the kernel's interrupt, into a wish to stop cleanly; the second one ends the call at once."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return

    def ask(number: int, frame: object) -> None:
        if event.is_set():
            raise KeyboardInterrupt
        event.set()

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield event
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _view(quiet: bool) -> Iterator[View]:
    view: View
    if quiet:
        with open(os.devnull, "w") as nowhere:
            yield QuietView(nowhere)
        return
    if in_notebook():
        # Ray 2.60 says in every kernel that its own widgets, which are not used here, miss packages.
        logging.getLogger("ray.widgets.util").setLevel(logging.WARNING)
        view = NotebookView()
    else:
        view = view_for()
    try:
        yield view
    finally:
        view.close()


def held_gpus() -> list[str]:
    """Return a line where TensorFlow in this very process has taken hold of GPUs, whose memory trials then lack; none where it has not."""
    tensorflow, eager = sys.modules.get("tensorflow"), sys.modules.get("tensorflow.python.eager.context")
    # Asking an untouched TensorFlow for its devices would take hold of them.
    if tensorflow is None or eager is None or not eager.context()._initialized or not (gpus := tensorflow.config.list_logical_devices("GPU")):
        return []
    return [
        f"TensorFlow in this program holds {len(gpus)} GPU{'s' * (len(gpus) > 1)}, most of its memory as a rule, and trials may lack it: restart the kernel, "
        "or hide them at its beginning by tf.config.set_visible_devices([], 'GPU')"
    ]


def _loading_ahead(spec: specs.SweepSpec) -> Any:
    from tuner.training import starting

    return starting.ahead() if spec.cluster.target == "local" else nullcontext()
