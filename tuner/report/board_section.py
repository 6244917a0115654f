"""The section with the leaderboard itself, and the one with those of its best that were confirmed on fresh seeds."""

from tuner.report.blocks import Material, long, plain_table
from tuner.report.markup import Markup, element, join
from tuner.report.numbers import MISSING, number, setting, signed
from tuner.report.scores import on_new_rows
from tuner.report.tables import columns, ranked_by
from tuner.results.leaderboard import TrialRecord

STATIC_ROWS = 100


def table(material: Material) -> Markup:
    """Return the leaderboard's first rows; the page's script shows the others, sorted and filtered."""
    leaderboard = material.leaderboard
    heads = columns(leaderboard)
    shown = leaderboard.records[:STATIC_ROWS]
    head = element("tr", [element("th", column.heading, scope="col", class_="n" if column.numeric else None) for column in heads])
    rows = [
        element("tr", [cell(column.name, column.shown(record), record, column.numeric) for column in heads], class_=f"state-{record.state}") for record in shown
    ]
    rest = len(leaderboard.records) - len(shown)
    more = f"These are the first {len(shown):,}; {rest:,} more are shown with scripts on, and stand in leaderboard.parquet and the CSV report."
    fixed = [name for name in leaderboard.hyperparameters if name not in leaderboard.varying] if leaderboard.ranked else []
    same = ", ".join(f"{name} {setting(leaderboard.best.configuration.get(name))}" for name in fixed)
    words = element("caption", "All trials, the best first", class_="hidden")
    return join(
        element("p", ranked_by(leaderboard), " ", _how_ranked(material)),
        element("div", id="controls", class_="controls", hidden=True),
        element(
            "div",
            element("table", words, element("thead", head), element("tbody", rows), id="trials"),
            class_="scroll",
            tabindex="0",
            role="group",
            aria_label="Leaderboard (scrolls sideways)",
        ),
        element("p", more, class_="static-only") if rest else None,
        element("div", id="more", class_="controls", hidden=True),
        element("p", f"The same in all trials: {same}.", class_="quiet") if same else None,
    )


def cell(name: str, shown: str, record: TrialRecord, numeric: bool) -> Markup:
    """Return a cell of the leaderboard's table.

    Args:
        name: of the column.
        shown: its text.
        record: the trial.
        numeric: it is set to the right.
    """
    if name == "state":
        return element("td", element("span", shown, class_=f"badge {record.state}"))
    return element("td", shown, class_="n" if numeric else long(shown))


def _how_ranked(material: Material) -> str:
    gain = " Gain is measured against the best baseline; positive is better." if material.leaderboard.best_baseline else ""
    return f"A trial counts by its best epoch on validation data; ties go to the earlier one.{gain}"


def confirmed(material: Material) -> Markup | None:
    """Return the best trials trained again on fresh seeds, with intervals."""
    leaderboard = material.leaderboard
    entries = leaderboard.facts.get("confirmed")
    if not entries:
        return None
    numbers = {record.number: record for record in leaderboard.records}
    rows, holding = [], ""
    for entry in entries:
        record = numbers.get(entry["trial"])
        ranks = f"{entry['rank_low']} to {entry['rank_high']}" if "rank_low" in entry and "rank_high" in entry else MISSING
        low, high, holds = on_new_rows(leaderboard, entry)
        holding = holds or holding
        marks = [("winner", entry.get("chosen")), ("tied with #1", entry.get("tied") and not entry.get("chosen"))]
        cells = [
            record.name if record else f"trial {entry['trial']}",
            number(entry["mean"]),
            f"{number(low)} to {number(high)}" if low is not None else MISSING,
            str(len(entry.get("runs") or ())),
            number(entry.get("search_score")),
            signed(entry.get("shrinkage")),
            ranks,
            ", ".join(word for word, on in marks if on),
        ]
        rows.append(cells)
    heads = ["trial", f"confirmed {leaderboard.objective.metric}", "95 % interval", "seeds", "search score", "lost since", "rank, 95 %", ""]
    holds = f" An interval holds the luck of the {holding}." if holding else ""
    if holding == "seeds":
        holds += " That of the validation rows comes on top, and is not known for this metric."
    return join(
        element(
            "p",
            "The best trials of the search, trained again from scratch on fresh seeds and scored on validation data at the epoch that was their best. "
            "What a score lost since the search was luck: the best of many scores flatters. Of those that cannot be told from the first and lie within one "
            "standard error of it, the smallest network wins.",
        ),
        plain_table(heads, rows, numeric={1, 2, 3, 4, 5, 6}),
        element("p", f"{holds.strip()} Ranks compare the trials on the same rows, by the luck of seeds alone.", class_="quiet") if holds else None,
    )
