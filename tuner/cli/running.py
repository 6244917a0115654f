"""How every command that runs a sweep runs it: `tuner run`, `resume`, `extend` and `fork`."""

import sys
from contextlib import nullcontext
from typing import TYPE_CHECKING

import click

from tuner.cli.interruption import signals
from tuner.monitor.printable import say

if TYPE_CHECKING:
    from tuner.spec.sweep_spec import SweepSpec


CHANGED_BUILDER = click.option(
    "--changed-builder", is_flag=True, help="Go on although the builder's files have changed since the sweep began: later trials are built by the new ones."
)


def run_to_end(spec: "SweepSpec", search_path: tuple[str, ...], *, again: str, quiet: bool, as_json: bool, changed_builder: bool = False) -> None:
    """Run a sweep, or go on with it; after a signal say how to go on, and exit as shells expect.

    Args:
        spec: checked.
        search_path: folders in which the spec's own builder is looked for.
        again: what goes on with it, such as "`tuner run s.toml` goes on".
        quiet: print the result only.
        as_json: print JSON.
        changed_builder: go on with a builder that has changed since the sweep began.
    """
    from tuner.monitor.console import view_for
    from tuner.training import starting

    view = view_for(quiet=quiet, as_json=as_json, live=spec.cluster.target != "in-process")  # a debugger writes on the same terminal
    # Earlier than the sweep would: Ray is imported on one core while TensorFlow is on another.
    with signals() as interruption, starting.ahead() if spec.cluster.target == "local" else nullcontext():
        from tuner.sweep import reopen
        from tuner.sweep.given import Given
        from tuner.sweep.journey import run_sweep

        try:
            if changed_builder and (line := reopen.take_on_builder(spec.sweep_folder, Given(search_path))):
                view.note(line)
            run_sweep(spec, view=view, interrupted=interruption.event, given=Given(search_path))
        finally:
            view.close()
    if interruption.signal is not None:
        say(f"interrupted; {again}", sys.stderr)
        raise SystemExit(128 + interruption.signal)
