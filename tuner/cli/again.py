"""`tuner resume`, `tuner extend` and `tuner fork`: what can be done with a sweep that exists."""

import os
import shlex
from pathlib import Path

import click

from tuner.cli.running import CHANGED_BUILDER, run_to_end

FOLDER = click.argument("folder", type=click.Path(path_type=Path))
QUIET = click.option("--quiet", "-q", is_flag=True, help="Print only the result.")
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON for machines, one object a line.")


@click.command()
@click.argument("folder")
@CHANGED_BUILDER
@QUIET
@JSON
def resume(folder: str, changed_builder: bool, quiet: bool, as_json: bool) -> None:
    """Go on with the interrupted sweep in FOLDER, as it was begun.

    The same as running its sweep.toml again, which is not needed here: the spec is in the sweep's record. FOLDER may also be where a storage keeps the
    sweep (s3://bucket/path/NAME): it then goes on in sweeps/NAME here.
    """
    if "://" in folder:
        from tuner.study import mirror

        _go_on(mirror.brought_here(folder), changed_builder=changed_builder, quiet=quiet, as_json=as_json)
    else:
        _go_on(Path(folder), changed_builder=changed_builder, quiet=quiet, as_json=as_json)


@click.command()
@FOLDER
@click.option("--trials", metavar="+N", help="So many more trials; without the +, so many in all.")
@click.option("--epochs", metavar="+N", help="So many more epochs, summed over all trials; without the +, so many in all.")
@click.option("--seconds", metavar="+N", help="So many more seconds of searching; without the +, so many in all.")
@CHANGED_BUILDER
@QUIET
@JSON
def extend(folder: Path, trials: str | None, epochs: str | None, seconds: str | None, changed_builder: bool, quiet: bool, as_json: bool) -> None:
    """Give the sweep in FOLDER more to spend, and go on with it.

    If that finds another winner, it is retrained, and the test split is opened once more. Each opening is recorded: a score that was looked
    at repeatedly promises a little too much.
    """
    from tuner.sweep import reopen

    reopen.check_builder(folder, changed_builder)
    for line in reopen.extend(folder, trials=trials, epochs=epochs, seconds=seconds):
        click.echo(line, err=True)
    _go_on(folder, changed_builder=changed_builder, quiet=quiet, as_json=as_json)


@click.command()
@FOLDER
@click.argument("spec", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Replace a value of the spec, such as --set search.trials=50. Repeatable.")
@QUIET
@JSON
def fork(folder: Path, spec: Path, overrides: tuple[str, ...], quiet: bool, as_json: bool) -> None:
    """Run the new sweep that SPEC describes, knowing what the sweep in FOLDER has tried.

    The same as naming FOLDER in the spec's `search.warm_start`. The space may differ: trials that lie in the new one teach its sampler.
    """
    from tuner.spec import sweep_spec as specs

    checked = specs.load(spec, overrides)
    if checked.sweep_folder.resolve() == folder.resolve():
        raise specs.SpecError(f"{folder}: is the folder of {spec} itself; expected another name or folder in the new spec")
    sources = [*checked.search.warm_start, str(folder)]
    checked = specs.check({**specs.to_json(checked), "search": {**specs.to_json(checked)["search"], "warm_start": list(dict.fromkeys(sources))}})
    again = f"`tuner fork {shlex.quote(str(folder))} {shlex.quote(str(spec))}` goes on"
    run_to_end(checked, (str(spec.resolve().parent),), again=again, quiet=quiet, as_json=as_json)


def _go_on(folder: Path, *, changed_builder: bool, quiet: bool, as_json: bool) -> None:
    from tuner.sweep import reopen

    begun = reopen.recorded(folder)
    if begun.place.is_dir():
        os.chdir(begun.place)  # the spec's own paths start here
    again = f"`tuner resume {shlex.quote(str(folder))}` goes on"
    run_to_end(begun.spec, begun.search_path, again=again, quiet=quiet, as_json=as_json, changed_builder=changed_builder)
