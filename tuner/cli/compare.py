"""`tuner compare`: several sweeps side by side."""

import json
import shutil
import sys
from pathlib import Path

import click


@click.command()
@click.argument("folders", metavar="DIR DIR ...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--format", "form", type=click.Choice(["text", "md", "json"]), default="text", show_default=True, help="What to print.")
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
def compare(folders: tuple[Path, ...], form: str, as_json: bool) -> None:
    """Lay the sweeps in several folders (or leaderboard.parquet files) side by side.

    Best and confirmed scores, test scores, what each spent, and in what their specs differ. Sweeps must be ranked by the same metric.
    """
    from tuner.errors import SweepError
    from tuner.report import compare as report
    from tuner.results.leaderboard import Leaderboard

    boards = {}
    for folder, label in zip(folders, _labels(folders), strict=True):
        if label in boards:
            raise SweepError(f"compare: {folder} is named twice; expected different sweeps")
        boards[label] = Leaderboard.read(folder)
    comparison = report.compare(boards)
    if as_json or form == "json":
        click.echo(json.dumps(comparison, indent=1, allow_nan=False, ensure_ascii=False))
    elif form == "md":
        click.echo(report.markdown(comparison), nl=False)
    else:
        click.echo(report.text(comparison, width=shutil.get_terminal_size().columns if sys.stdout.isatty() else None), nl=False)


def _labels(folders: tuple[Path, ...]) -> list[str]:
    """Return the last part of each path, with as many more before it as it takes to tell them apart."""
    parts = [folder.resolve().parts for folder in folders]
    for length in range(1, max(map(len, parts)) + 1):
        labels = ["/".join(each[-length:]) for each in parts]
        if len(set(labels)) == len(set(parts)):
            return labels
    return [str(folder) for folder in folders]
