"""The command line: words in, one room called, exit code out.

Owns commands, options, signals and exit codes; every decision is made in the rooms below. Exit codes:

    0    done                           130  interrupted (Ctrl-C); 143: terminated. Run the same command again to go on.
    2    bad input, or a full disk      4    the cluster has gone. Run the same command again once it is back.
    3    nothing to rank: no trial has a score
"""

import io
import json
import os
import shlex
import shutil
import sys
from pathlib import Path

import click

from tuner.cli import again, doctor, jobs, manifest, quick
from tuner.cli.compare import compare
from tuner.cli.interruption import signals
from tuner.cli.plan import plan
from tuner.cli.running import CHANGED_BUILDER, run_to_end
from tuner.cli.simulate import simulate
from tuner.errors import EXPECTED, REFUSALS, NothingToRank, SweepError
from tuner.monitor.printable import leave, say, several
from tuner.study.writing import cannot_write

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

JSON_OPTION = click.option("--json", "as_json", is_flag=True, help="Print JSON for machines, one object a line.")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(package_name="keras-sweep-tuner", prog_name="tuner")
def cli() -> None:
    """Search the hyperparameters of Keras networks, on a laptop, on several GPUs, or on a Ray cluster.

    \b
    tuner init sweep.toml          write a commented example
    tuner plan sweep.toml          what it will take, before anything is paid
    tuner run sweep.toml           search, rank, retrain the best, test it
    tuner resume DIR               go on with one that was interrupted
    tuner extend DIR --trials +50  give it more to spend
    tuner leaderboard DIR          read the result
    tuner compare DIR DIR          lay several side by side
    """


@cli.command()
@click.argument("spec", type=click.Path(dir_okay=False, path_type=Path), required=False)
@quick.options
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Replace a value of the spec, such as --set search.trials=50. Repeatable.")
@CHANGED_BUILDER
@click.option("--again-by", hidden=True, help="What goes on with the sweep, where that is not this command: a job's log says it.")
@click.option("--quiet", "-q", is_flag=True, help="Print only the result.")
@JSON_OPTION
def run(
    spec: Path | None, overrides: tuple[str, ...], changed_builder: bool, again_by: str | None, quiet: bool, as_json: bool, **instead: str | int | None
) -> None:
    """Run the sweep that SPEC (a TOML file) describes, or the one that --builder and --data mean: its spec is then written first.

    Run it again after an interruption, and it goes on where it stopped. Everything is written to the sweep's folder: the study's journal,
    leaderboard.parquet, model.keras, its card, and report.html.
    """
    from tuner.spec import sweep_spec as specs

    spec = quick.spec_of(spec, instead)
    checked, beside, go_on = specs.load(spec, overrides), (str(spec.resolve().parent),), again_by or f"`tuner run {shlex.quote(str(spec))}` goes on"
    run_to_end(checked, beside, again=go_on, quiet=quiet, as_json=as_json, changed_builder=changed_builder)


@cli.command()
@click.argument("path", type=click.Path(dir_okay=False, path_type=Path), default="sweep.toml")
@click.option("--force", is_flag=True, help="Replace the file if it is there.")
def init(path: Path, force: bool) -> None:
    """Write a commented example of a sweep to PATH (default: sweep.toml)."""
    from tuner.spec import sweep_spec as specs

    if path.exists() and not force:
        raise specs.SpecError(f"{path}: exists already; --force replaces it")
    if not path.parent.is_dir():
        raise specs.SpecError(f"{path.parent}: no such folder")
    path.write_text(specs.EXAMPLE.read_text(encoding="utf-8"), encoding="utf-8")
    click.echo(f"{path}: written; `tuner run {path}` runs it")


@cli.command()
@click.option("--markdown", "as_page", is_flag=True, help="A page for people instead: every key with its values, default and meaning.")
def schema(as_page: bool) -> None:
    """Print the JSON schema of sweep.toml, for editors and other programs."""
    from tuner.spec import keys
    from tuner.spec import sweep_spec as specs

    click.echo(keys.markdown() if as_page else json.dumps(specs.schema(), indent=2), nl=not as_page)


@cli.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--top", type=click.IntRange(min=1), default=20, show_default=True, help="How many rows.")
@JSON_OPTION
def leaderboard(folder: Path, top: int, as_json: bool) -> None:
    """Show the leaderboard of the sweep in FOLDER (or of a leaderboard.parquet)."""
    from tuner.report.formats import render
    from tuner.report.tables import text
    from tuner.results.leaderboard import Leaderboard

    board = Leaderboard.read(folder)
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    click.echo(render(board, "json") if as_json else text(board, top=top, width=width), nl=not as_json)


@cli.command()
@click.argument("folder", type=click.Path(path_type=Path), required=False)
@click.option("--format", "form", default="md", show_default=True, help="md, csv, json, latex or html.")
@click.option("--output", "-o", type=click.Path(dir_okay=False, path_type=Path), help="Write to this file instead of printing.")
@click.option("--reveal", is_flag=True, help="Also show folders and user names, which a report hides.")
@click.option("--schema", "as_schema", is_flag=True, help="Print the JSON schema of --format json instead.")
def report(folder: Path | None, form: str, output: Path | None, reveal: bool, as_schema: bool) -> None:
    """Write a report of the sweep in FOLDER: a view of its leaderboard, which is never changed by it."""
    from tuner.report.formats import render
    from tuner.report.schema import SCHEMA
    from tuner.results.leaderboard import Leaderboard

    if as_schema:
        click.echo(json.dumps(SCHEMA, indent=2))
        return
    if folder is None:
        raise click.UsageError("FOLDER is missing; expected the folder of a sweep, or --schema")
    if output is not None and not output.parent.is_dir():
        raise SweepError(f"{output}: there is no folder {output.parent}; expected one that exists")
    text = render(Leaderboard.read(folder), form, revealing=reveal)
    if output is None:
        click.echo(text, nl=not text.endswith("\n"))
    else:
        output.write_text(text, encoding="utf-8")
        click.echo(f"{output}: written", err=True)


@cli.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("data", type=click.Path(path_type=Path))
@click.option(
    "--output", "-o", type=click.Path(dir_okay=False, path_type=Path), help="Where to write: .csv, .parquet, .feather or .npz. Default, or -: CSV, printed."
)
@click.option(
    "--builder-folder",
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    help="Where the module of your own builder lies, for a sweep that kept no copy of it. Default: this folder.",
)
@click.option("--batch-size", type=click.IntRange(min=1), help="Rows that are read and predicted at a time. Default: some megabytes of them.")
def predict(folder: Path, data: Path, output: Path | None, builder_folder: Path | None, batch_size: int | None) -> None:
    """Write the predictions of the sweep's saved model (FOLDER/model.keras) for DATA.

    DATA is a table, an .npz with x, or images, in the shape of the sweep's own and of any size; a target column is not needed; - is standard input. A row that
    cannot be read is named, and has its place without predictions. A network of your own is built anew by the copy of
    your module that FOLDER keeps: code of whoever made it, which runs here.
    """
    from tuner.results.prediction import predict_file

    predict_file(folder, data, output, search_path=(str((builder_folder or Path.cwd()).resolve()),), batch_size=batch_size)


@cli.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--format", "form", type=click.Choice(["saved_model", "onnx", "litert", "keras"]), required=True, help="onnx needs the extra `onnx`.")
def export(folder: Path, form: str) -> None:
    """Write the sweep's saved model in another format, into FOLDER/exported, and say how far its outputs are from those of model.keras."""
    from tuner.results.exporting import export as write

    said = write(folder, form, search_path=(str(Path.cwd()),))
    click.echo(f"{folder / said['file']}: on {said['rows']} rows the largest difference from model.keras is {said['difference']:.2g}")


@cli.command()
@click.option("--data", type=click.Path(dir_okay=False, path_type=Path), help="An mnist.npz; default: Keras's own copy, downloaded once.")
@click.option("--only", multiple=True, metavar="NAME", help="Only this baseline. Repeatable.")
@click.option("--seeds", type=click.IntRange(min=1), default=1, show_default=True, help="How often each is trained.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="What all their seeds derive from.")
@click.option("--grid/--no-grid", default=True, show_default=True, help="Also the grid search over optimizers with 4-fold cross-validation.")
@JSON_OPTION
def baselines(data: Path | None, only: tuple[str, ...], seeds: int, seed: int, grid: bool, as_json: bool) -> None:
    """Train the hand-tuned networks that Tuner grew out of, as they were trained, and compare with what was published."""
    from tuner.monitor.console import view_for
    from tuner.sweep import baselines as reproductions

    view = view_for(as_json=as_json)
    with signals() as interruption:
        networks = reproductions.reproduce(data, only=only, seeds=seeds, seed=seed, view=view, interrupted=interruption.event)
        optimizers = reproductions.reproduce_grid(data, seeds=seeds, seed=seed, view=view, interrupted=interruption.event) if grid else []
    text = reproductions.table(networks, "network")
    if optimizers:
        text += "\n\n" + reproductions.table(optimizers, "grid search, 4 folds")
    view.result(text, {"baselines": reproductions.to_json(networks), "grid_search": reproductions.to_json(optimizers)})


cli.add_command(again.resume)
cli.add_command(again.extend)
cli.add_command(again.fork)
cli.add_command(compare)
cli.add_command(plan)
cli.add_command(simulate)
for command in (*jobs.COMMANDS, doctor.doctor, manifest.manifest):
    cli.add_command(command)


def main() -> None:
    """Run the command line: expected errors become one line, or a few where they hold a traceback of the user's own code, and exit code 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal may know fewer characters than a report has
    try:
        cli(standalone_mode=False)
    except click.exceptions.Abort:
        raise SystemExit(130) from None
    except click.ClickException as error:
        error.show()
        raise SystemExit(2) from None
    except NothingToRank as error:
        say(f"tuner: {several(error)}", sys.stderr)
        raise SystemExit(3) from None
    except EXPECTED as error:
        say(f"tuner: {several(error)}", sys.stderr)
        raise SystemExit(2) from None
    except BrokenPipeError:  # the reader of a pipe has seen enough
        leave(sys.stdout)
        raise SystemExit(141) from None
    except OSError as error:
        if error.errno not in REFUSALS:
            raise
        say(f"tuner: {several(cannot_write(error.filename or 'a file', error))}", sys.stderr)
        raise SystemExit(2) from None
