"""`tuner plan`: what a sweep will take, before it starts."""

import json
from pathlib import Path

import click

from tuner.cli.interruption import signals


@click.command()
@click.argument("spec", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Replace a value of the spec, such as --set search.trials=50. Repeatable.")
@click.option("--measure", type=click.IntRange(1, 100), default=4, show_default=True, help="How many configurations are tried out.")
@click.option("--price-per-hour", type=click.FloatRange(min=0), help="Of all machines together; the plan then says what the sweep will cost.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
def plan(spec: Path, overrides: tuple[str, ...], measure: int, price_per_hour: float | None, as_json: bool) -> None:
    """Say what the sweep that SPEC describes will take, before anything is paid for it.

    Builds every branch of its space and names those that are impossible, trains a few configurations for a moment where the sweep would run, and
    forecasts epochs and time of each stage. Nothing is written; the test split stays sealed.
    """
    from tuner.monitor.console import view_for
    from tuner.spec import sweep_spec as specs
    from tuner.sweep import plan as plans
    from tuner.sweep.given import Given

    checked = specs.load(spec, overrides)
    # Only the plan itself belongs on standard output.
    view = view_for(quiet=as_json)
    with signals() as interruption:
        try:
            planned = plans.make_plan(
                checked,
                measure=measure,
                price_per_hour=price_per_hour,
                view=view,
                interrupted=interruption.event,
                given=Given((str(spec.resolve().parent),)),
            )
        finally:
            view.close()
    click.echo(json.dumps(planned, allow_nan=False, ensure_ascii=False) if as_json else plans.text(planned))
