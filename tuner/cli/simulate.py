"""`tuner simulate`: a finished sweep, replayed on a virtual clock under other rules."""

import json
from pathlib import Path
from typing import Any

import click


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--sampler", help="Another sampler; its suggestions do as the sweep's nearest configuration did. Default: the sweep's own order.")
@click.option("--scheduler", help="Another scheduler.")
@click.option("--grace-period", type=int, help="Another first epoch at which a trial may be stopped.")
@click.option("--reduction-factor", type=float, help="Another factor between rungs.")
@click.option("--workers", type=click.IntRange(min=1), default=1, show_default=True, help="How many trials run at a time.")
@click.option("--seed", type=click.IntRange(min=0), help="Of the replay; default: the sweep's.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
def simulate(folder: Path, sampler: str | None, workers: int, seed: int | None, as_json: bool, **rules: Any) -> None:
    """Replay the sweep in FOLDER under another searcher, scheduler or number of workers: a simulation, in seconds instead of hours.

    It drives the very objects that a sweep runs on. An epoch that the sweep never trained (a trial was stopped before it) counts as guessed: the value of
    the trial's last epoch is taken to stay.
    """
    from tuner.sweep.replaying import replayed

    # What is left are the options of early stopping, by the names that `replayed` has for them.
    seen, spec = replayed(folder, sampler=sampler, **rules, workers=workers, seed=seed)
    if as_json:
        click.echo(json.dumps(vars(seen)))
        return
    under = f"{sampler or 'its own configurations'}, {spec.scheduler.name}, {workers} worker{'s' * (workers != 1)}"
    click.echo(f"simulated: {folder} with {under}")
    click.echo(f"  would have chosen trial {seen.chosen} of the sweep, seen at {seen.value:.4f}")
    click.echo(f"  {seen.trials} trials, {seen.epochs} epochs ({seen.guessed} of them guessed), {seen.seconds:.1f} s")
