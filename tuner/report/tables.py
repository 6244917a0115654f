"""The leaderboard as a table: for a terminal or a pipe, for Markdown, LaTeX and CSV.

Owns which columns a table has and in which order. Must not know HTML. Whatever comes from data or a spec is escaped for the format at hand.
"""

import csv
import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cluster.wording import one_line
from tuner.report.numbers import MISSING, count, duration, number, scatter, seconds, setting, signed
from tuner.report.scores import doing_nothing
from tuner.report.summary import ends_in_words, summarise
from tuner.results.leaderboard import COLUMNS, Leaderboard, TrialRecord


@dataclass(frozen=True)
class Column:
    """A column for people.

    Attributes:
        name: its key: the same in every format.
        heading: what stands above it.
        value: the record's value in full, for sorting.
        shown: the value as text.
        numeric: whether it is set to the right.
    """

    name: str
    heading: str
    value: Callable[[TrialRecord], Any]
    shown: Callable[[TrialRecord], str]
    numeric: bool = True


def columns(leaderboard: Leaderboard) -> list[Column]:
    """Return the columns worth showing: those of every sweep, gain and spread where there are any, and the hyperparameters that vary."""
    metric = leaderboard.objective.metric
    spread = f"{metric}_spread"
    best = leaderboard.ranked[0].score if leaderboard.ranked else None
    shown = [
        Column("rank", "rank", lambda record: record.rank, lambda record: number(record.rank)),
        Column("number", "trial", lambda record: record.number, lambda record: str(record.number)),
        Column("state", "state", lambda record: record.state, lambda record: record.state, numeric=False),
        Column("score", metric, lambda record: record.score, lambda record: number(record.score)),
        Column("to_first", "to first", lambda record: _gap(record, best), lambda record: MISSING if record.rank == 1 else signed(_gap(record, best))),
    ]
    if spread in leaderboard.metrics:
        shown.append(Column("spread", "± spread", lambda record: record.at_best(spread), lambda record: scatter(record.at_best(spread))))
    if leaderboard.best_baseline:
        shown.append(Column("gain", "gain", lambda record: record.gain, lambda record: signed(record.gain)))
        shown.append(Column("baseline", "baseline", lambda record: record.baseline, lambda record: record.baseline or MISSING, numeric=False))
    shown += [
        Column("best_epoch", "best epoch", lambda record: record.best_epoch, lambda record: number(record.best_epoch)),
        Column("epochs", "epochs", lambda record: record.epochs, lambda record: number(record.epochs)),
        Column("seconds", "seconds", lambda record: record.seconds, lambda record: seconds(record.seconds)),
        Column("parameters", "parameters", lambda record: record.parameters, lambda record: number(record.parameters)),
    ]
    if leaderboard.second:
        shown.append(Column("pareto", "pareto", lambda record: record.pareto, lambda record: "yes" if record.pareto else MISSING, numeric=False))
    return shown + [_hyperparameter(name, leaderboard) for name in leaderboard.varying]


def _gap(record: TrialRecord, best: float | None) -> float | None:
    """Return how far a ranked trial's score lies from the best one."""
    return None if best is None or record.score is None or record.rank is None else record.score - best


def _hyperparameter(name: str, leaderboard: Leaderboard) -> Column:
    values = [record.configuration.get(name) for record in leaderboard.records]
    numeric = all(value is None or (isinstance(value, int | float) and not isinstance(value, bool)) for value in values)
    return Column(f"config.{name}", name, lambda record: record.configuration.get(name), lambda record: setting(record.configuration.get(name)), numeric)


def text(leaderboard: Leaderboard, *, top: int | None = 20, width: int | None = None) -> str:
    """Return the table as plain text, the best first.

    Args:
        leaderboard: what to show.
        top: how many trials; None: all.
        width: columns of the terminal; hyperparameters that no longer fit are named below the table. None: as wide as needed, as for a pipe.
    """
    shown = leaderboard.records[:top]
    table = [[one_line(column.heading, None), *(one_line(column.shown(record), None) for record in shown)] for column in columns(leaderboard)]
    kept, left_out, used = [], [], 0
    for column, cells in zip(columns(leaderboard), table, strict=True):
        wide = max(map(len, cells))
        if width is not None and used + wide > width and column.name.startswith("config."):
            left_out.append(one_line(column.heading, None))
            continue
        kept.append([cell.rjust(wide) if column.numeric else cell.ljust(wide) for cell in cells])
        used += wide + 2
    lines = ["  ".join(row).rstrip() for row in zip(*kept, strict=True)]
    if left_out:
        lines.append(f"Not shown, for want of room: {', '.join(left_out)}.")
    if len(shown) < len(leaderboard.records):
        lines.append(f"{len(leaderboard.records) - len(shown):,} more of {count(len(leaderboard.records), 'trial')}.")
    if leaderboard.records:
        lines.append(one_line(ranked_by(leaderboard), None))
    return "\n".join(lines) + "\n"


def ranked_by(leaderboard: Leaderboard) -> str:
    """Return by which metric, in which direction, and what doing nothing would score."""
    nothing = doing_nothing(leaderboard)
    beside = f"; {nothing['name']} would score {number(nothing['score'])}" if nothing and nothing["score"] is not None else ""
    return f"Ranked by {leaderboard.objective.metric}, {better(leaderboard.objective.mode)}{beside}."


def better(mode: str) -> str:
    """Return which direction of a metric is the better one, in words."""
    return "more is better" if mode == "max" else "less is better"


def as_csv(leaderboard: Leaderboard) -> str:
    """Return every trial as CSV: the leaderboard's columns in full precision, without learning curves.

    A text that a spreadsheet would run as a formula (it begins with `=`, `+`, `-` or `@`) gets a leading apostrophe.
    """
    names = leaderboard.hyperparameters
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([_csv_cell(name) for name in [*COLUMNS, *(f"config.{name}" for name in names)]])
    for record in leaderboard.records:
        cause = {f"cause.{part}": value for part, value in (record.cause or {}).items()}
        row = [cause.get(name) if name.startswith("cause.") else getattr(record, name) for name in COLUMNS]
        writer.writerow([_csv_cell(value) for value in [*row, *(record.configuration.get(name) for name in names)]])
    return out.getvalue()


def _csv_cell(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


def markdown(leaderboard: Leaderboard, *, top: int = 20) -> str:
    """Return summary, warnings and the best trials as Markdown, for a pull request.

    Args:
        leaderboard: what to show.
        top: how many trials.
    """
    summary = summarise(leaderboard)
    facts = [f"- {escape_markdown(label)}: {escape_markdown(value)}" for label, value in headlines(summary)]
    lines = [f"# {escape_markdown(summary['name'] or 'Sweep')}", "", *facts, ""]
    lines += [f"> **Note** {escape_markdown(warning)}" + "\n" for warning in summary["warnings"]]
    shown, heads = leaderboard.records[:top], columns(leaderboard)
    lines.append("| " + " | ".join(escape_markdown(column.heading) for column in heads) + " |")
    lines.append("|" + "|".join("---:" if column.numeric else "---" for column in heads) + "|")
    lines += ["| " + " | ".join(escape_markdown(column.shown(record)) for column in heads) + " |" for record in shown]
    if len(shown) < len(leaderboard.records):
        lines += ["", f"{len(leaderboard.records) - len(shown):,} more of {count(len(leaderboard.records), 'trial')}."]
    return "\n".join(lines) + "\n"


def headlines(summary: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the summary as labelled lines, for formats that are read from top to bottom."""
    lines = []
    if best := summary["best"]:
        spread = f" ± {scatter(best['spread'])} over the folds" if best["spread"] is not None else ""
        lines.append((f"Best {summary['metric']}", f"{number(best['score'])}{spread} ({best['name']}, epoch {best['best_epoch']}; {better(summary['mode'])})"))
    if winner := summary["winner"]:
        within = f" (95 % interval {number(winner['interval']['low'])} to {number(winner['interval']['high'])})" if winner["interval"] else ""
        near = f"; the smallest of {winner['near']} within one standard error" if winner["near"] > 1 else ""
        seeds = f" over {count(winner['runs'], 'fresh seed')}" if winner["runs"] else ""
        lines.append((f"Confirmed {summary['metric']}", f"{number(winner['mean'])}{seeds}{within} ({winner['name']}{near})"))
    if test := summary["test"]:
        value = f"{number(test['mean'])}" + (f" ± {scatter(test['spread'])}" if test["spread"] is not None else "") + f" over {count(test['runs'], 'seed')}"
        if test["saved"] is not None:
            value += f"; the saved model {number(test['saved'])}"
        if test["interval"]:
            value += f" ({100 * test['interval'].get('level', 0.95):.0f} % interval {number(test['interval']['low'])} to {number(test['interval']['high'])})"
        lines.append((test["metric"].replace("test_", "Test ", 1), value))
    if nothing := summary["doing_nothing"]:
        parts = [(summary["metric"], nothing["score"]), (summary["test"]["metric"] if summary["test"] else "", nothing["test"])]
        scored = ", ".join(f"{metric} {number(score)}" for metric, score in parts if score is not None)
        lines.append((f"Doing nothing ({nothing['name']})", scored))
    if baseline := summary["best_baseline"]:
        lines.append(("Gain over the best baseline", f"{signed(summary['gain'])} ({baseline['name']}: {number(baseline['score'])})"))
    if front := summary["front"]:
        ends = [f"{number(end['score'])} with {number(end[front['against']])}" for end in (front["best"], front["least"])]
        lines.append(("Pareto front", f"{count(front['trials'], 'trial')}, from {ends[0]} to {ends[1]} {front['against']}"))
    states = ends_in_words(summary)
    lines.append(("Trials", f"{summary['trials']:,} ({states})" if states else "0"))
    saved = f"; early stopping saved {summary['epochs_saved']:,}" if summary["epochs_saved"] else ""
    lines.append(("Epochs", f"{summary['epochs']:,}{saved}"))
    if summary["seconds"] is not None:
        lines.append(("Time", duration(summary["seconds"])))
    return lines


def escape_markdown(words: str) -> str:
    """Escape what Markdown, or HTML inside it, would act on. The trial's text arrives as it is, and stays within its cell."""
    escaped = re.sub(r"([\\`*_\[\]#|~@])", r"\\\1", one_line(words, None))
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("://", ":&#8203;//")


def latex(leaderboard: Leaderboard, *, top: int = 10) -> str:
    """Return the best trials as a LaTeX table; it needs the package booktabs.

    Args:
        leaderboard: what to show.
        top: how many trials.
    """
    summary = summarise(leaderboard)
    heads = columns(leaderboard)
    facts = "; ".join(f"{label}: {value}" for label, value in headlines(summary))
    lines = [
        "% needs \\usepackage{booktabs}",
        "\\begin{table}",
        "  \\centering",
        f"  \\caption{{{_tex(summary['name'] or 'Sweep')}. {_tex(facts)}.}}",
        f"  \\begin{{tabular}}{{{''.join('r' if column.numeric else 'l' for column in heads)}}}",
        "    \\toprule",
        "    " + " & ".join(_tex(column.heading) for column in heads) + " \\\\",
        "    \\midrule",
        *("    " + " & ".join(_tex(column.shown(record)) for column in heads) + " \\\\" for record in leaderboard.records[:top]),
        "    \\bottomrule",
        "  \\end{tabular}",
        "\\end{table}",
    ]
    return "\n".join(lines) + "\n"


_TEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", MISSING: "--", "±": r"$\pm$", "…": r"\ldots{}"}
_TEX |= {character: f"\\{character}" for character in "&%$#_{}"} | {"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}"}


def _tex(words: str) -> str:
    return "".join(_TEX.get(character, character) for character in one_line(words, None))
