"""Several sweeps side by side: what each reached, what it spent, and in what their specs differ.

A view of leaderboards, like every report. Owns what is compared and when a comparison would mislead: sweeps of different metrics are refused, and
whatever makes scores less than comparable is said. Must not choose a best sweep: that would be one more choice by luck.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from cluster.wording import one_line
from tuner.errors import SweepError
from tuner.report.discretion import discreet
from tuner.report.numbers import MISSING, count, duration, number, scatter
from tuner.report.summary import ends_in_words, summarise
from tuner.report.tables import escape_markdown
from tuner.results.leaderboard import Leaderboard


def compare(boards: Mapping[str, Leaderboard]) -> dict[str, Any]:
    """Return the comparison as JSON: `metric`, `mode`, `sweeps` (a list in the given order), `differences` and `notes`.

    `differences` maps each key of the specs that is not the same everywhere to its values, one per sweep; null: the spec has no such key.

    Args:
        boards: what a sweep is called here -> its leaderboard; at least two.

    Raises:
        SweepError: there are fewer than two, or they were ranked by different metrics.
    """
    if len(boards) < 2:
        raise SweepError(f"compare: got {count(len(boards), 'sweep')}; expected at least two")
    objectives = {label: f"{board.objective.metric} ({board.objective.mode})" for label, board in boards.items()}
    if len(set(objectives.values())) > 1:
        listed = ", ".join(f"{objective} in {label}" for label, objective in objectives.items())
        raise SweepError(f"compare: got {listed}; expected sweeps that are ranked by one metric in one direction")
    hidden = {label: discreet(board) for label, board in boards.items()}
    first = next(iter(hidden.values())).objective
    return {
        "metric": first.metric,
        "mode": first.mode,
        "sweeps": [_sweep(label, board) for label, board in hidden.items()],
        "differences": _differences([board.facts.get("spec") or {} for board in hidden.values()]),
        "notes": _notes(hidden),
    }


def text(comparison: Mapping[str, Any], *, width: int | None = None) -> str:
    """Return a comparison as plain text, a column per sweep; what does not fit beside each other stands below each other.

    Args:
        comparison: from `compare`.
        width: columns of the terminal; None: as wide as needed.
    """
    heads, *rows = [[one_line(cell, None) for cell in row] for row in _rows(comparison)]
    wide = [max(len(row[column]) for row in [heads, *rows]) for column in range(len(heads))]
    blocks: list[list[int]] = [[]]
    for column in range(1, len(heads)):
        used = wide[0] + sum(wide[other] + 2 for other in blocks[-1])
        if width is not None and blocks[-1] and used + wide[column] + 2 > width:
            blocks.append([])
        blocks[-1].append(column)
    parts = ["\n".join("  ".join(row[column].ljust(wide[column]) for column in (0, *block)).rstrip() for row in [heads, *rows]) for block in blocks]
    return "\n\n".join(parts) + "\n" + "".join(f"\n{one_line(note, None)}\n" for note in comparison["notes"])


def markdown(comparison: Mapping[str, Any]) -> str:
    """Return a comparison as a Markdown table, a column per sweep, and its notes."""
    heads, *rows = _rows(comparison)
    lines = ["| " + " | ".join(map(escape_markdown, heads)) + " |", "|" + "---|" * len(heads)]
    lines += ["| " + " | ".join(map(escape_markdown, row)) + " |" for row in rows]
    lines += [f"\n> **Note** {escape_markdown(note)}" for note in comparison["notes"]]
    return "\n".join(lines) + "\n"


def _sweep(label: str, board: Leaderboard) -> dict[str, Any]:
    summary, facts = summarise(board), board.facts
    spec, data = facts.get("spec") or {}, facts.get("dataset") or {}
    kept = ("trials", "states", "complete_early", "epochs", "epochs_saved", "seconds", "trial_seconds", "best", "winner", "test", "doing_nothing")
    return {
        "label": label,
        "name": summary["name"],
        **{key: summary[key] for key in kept},
        "parameters": board.winner.parameters if board.ranked else None,
        "sampler": (spec.get("search") or {}).get("sampler"),
        "scheduler": (facts.get("scheduler") or spec.get("scheduler") or {}).get("name"),
        "seed": facts.get("seed"),
        "content_hash": data.get("content_hash"),
        "split_hash": data.get("split_hash"),
    }


def _differences(specs: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    flat = [_flat(spec) for spec in specs]
    keys = [key for key in dict.fromkeys(key for each in flat for key in each) if key not in ("name", "folder")]
    values_of = {key: [each.get(key) for each in flat] for key in keys}
    return {key: values for key, values in values_of.items() if len({json.dumps(value, sort_keys=True) for value in values}) > 1}


def _flat(spec: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in spec.items():
        flat |= _flat(value, f"{path}{key}.") if isinstance(value, Mapping) else {f"{path}{key}": value}
    return flat


def _notes(boards: Mapping[str, Leaderboard]) -> list[str]:
    data = [board.facts.get("dataset") or {} for board in boards.values()]
    notes = []
    if len({facts.get("content_hash") for facts in data}) > 1:
        notes.append("The data are not the same in all of them (their content hashes differ): no score here can be compared with one from other data.")
    elif len({facts.get("split_hash") for facts in data}) > 1:
        notes.append("The data are the same, but not their splits: the scores were measured on different rows, and differ by that alone as well.")
    unconfirmed = [label for label, board in boards.items() if board.ranked and not any(entry.get("chosen") for entry in board.facts.get("confirmed") or ())]
    if unconfirmed:
        notes.append(f"Not confirmed on fresh seeds: {', '.join(unconfirmed)}. The more trials a search had, the more of its best score is luck.")
    unfinished = [label for label, board in boards.items() if any(record.state in ("waiting", "running") for record in board.records)]
    if unfinished:
        notes.append(f"Not at its end: {', '.join(unfinished)}.")
    return notes


def _rows(comparison: Mapping[str, Any]) -> list[list[str]]:
    """Return the table: first the heads, then one row per fact, each with its name first."""
    sweeps, metric = comparison["sweeps"], comparison["metric"]
    tests = dict.fromkeys(each["test"]["metric"] for each in sweeps if each["test"])
    shown: list[tuple[str, Any]] = [
        (f"best {metric}", lambda each: f"{number(each['best']['score'])} ({each['best']['name']})" if each["best"] else MISSING),
        (f"confirmed {metric}", _confirmed),
        ("doing nothing", lambda each: number((each["doing_nothing"] or {}).get("score"))),
        *((name.replace("_", " "), lambda each, name=name: _test(each, name)) for name in tests),
        ("parameters", lambda each: number(each["parameters"])),
        ("trials", lambda each: number(each["trials"])),
        ("of them", lambda each: ends_in_words(each) or MISSING),
        ("epochs", lambda each: number(each["epochs"])),
        ("time", lambda each: duration(each["seconds"])),
        ("time in trials", lambda each: duration(each["trial_seconds"])),
        ("sampler", lambda each: each["sampler"] or MISSING),
        ("scheduler", lambda each: each["scheduler"] or MISSING),
        ("seed", lambda each: number(each["seed"]).replace(",", "")),
        ("data", lambda each: (each["content_hash"] or MISSING)[:12]),
    ]
    already = {"search.sampler", "scheduler.name", "seed"}
    rows = [["", *(each["label"] for each in sweeps)], *([name, *(value(each) for each in sweeps)] for name, value in shown)]
    return rows + [[key, *map(_setting, values)] for key, values in comparison["differences"].items() if key not in already]


def _confirmed(sweep: Mapping[str, Any]) -> str:
    winner = sweep["winner"]
    if not winner:
        return MISSING
    within = f", {number(winner['interval']['low'])} to {number(winner['interval']['high'])}" if winner["interval"] else ""
    return f"{number(winner['mean'])} ({winner['name']}{within})"


def _test(sweep: Mapping[str, Any], metric: str) -> str:
    test = sweep["test"]
    if not test or test["metric"] != metric:
        return MISSING
    return number(test["mean"]) + (f" ± {scatter(test['spread'])}" if test["spread"] is not None else "") + f" ({count(test['runs'], 'seed')})"


def _setting(value: Any) -> str:
    if value is None:
        return MISSING
    words = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return words if len(words) <= 40 else f"{words[:39]}…"
