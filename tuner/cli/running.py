"""How every command that runs a sweep runs it: `tuner run`, `resume`, `extend` and `fork`."""

from contextlib import nullcontext
from typing import TYPE_CHECKING

import click

from tuner.cli.interruption import signals

if TYPE_CHECKING:
    from tuner.spec.sweep_spec import SweepSpec


def run_to_end(spec: "SweepSpec", search_path: tuple[str, ...], *, again: str, quiet: bool, as_json: bool) -> None:
    """Run a sweep, or go on with it; after a signal say how to go on, and exit as shells expect.

    Args:
        spec: checked.
        search_path: folders in which the spec's own builder is looked for.
        again: the command that goes on with it.
        quiet: print the result only.
        as_json: print JSON.
    """
    from tuner.monitor.console import view_for
    from tuner.training import starting

    view = view_for(quiet=quiet, as_json=as_json)
    # Earlier than the sweep would: Ray is imported on one core while TensorFlow is on another.
    with signals() as interruption, starting.ahead() if spec.cluster.target == "local" else nullcontext():
        from tuner.sweep.journey import run_sweep

        try:
            run_sweep(spec, view=view, interrupted=interruption.event, search_path=search_path)
        finally:
            view.close()
    if interruption.signal is not None:
        click.echo(f"interrupted; `{again}` goes on", err=True)
        raise SystemExit(128 + interruption.signal)
