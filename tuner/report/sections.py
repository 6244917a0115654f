"""The sections of the HTML report, from what a hurried reader needs to what a careful one checks.

Each section is a function from the page's material to markup, or None where a sweep has nothing for it. `SECTIONS` is their order. Must not know
how the page around them is built.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence

from tuner.report import search_figures, space_figures
from tuner.report.blocks import Material, figures, long, plain_table
from tuner.report.markup import Markup, element, join
from tuner.report.model_section import final_model
from tuner.report.numbers import MISSING, count, duration, number, percent, scatter, setting, signed
from tuner.report.reproduction import reproducibility
from tuner.report.tables import columns
from tuner.report.worth import span, verdicts
from tuner.results.leaderboard import Leaderboard, TrialRecord

STATIC_ROWS = 200
MOST_OF_FRONT = 30


def overview(material: Material) -> Markup:
    """Return the numbers of the sweep, the winner's configuration, and the warnings."""
    summary, leaderboard = material.summary, material.leaderboard
    tiles = []
    if test := summary["test"]:
        found = test["interval"]
        where = (
            f"{100 * found.get('level', 0.95):.0f} % interval {number(found['low'])} to {number(found['high'])}, for the saved model"
            if found
            else "without interval"
        )
        spread = f" ± {scatter(test['spread'])}" if test["spread"] is not None else ""
        tiles.append(_tile(test["metric"].replace("_", " "), number(test["mean"]), f"{spread} over {count(test['runs'], 'seed')}; {where}".strip(), "first"))
    if best := summary["best"]:
        spread = f"± {scatter(best['spread'])} over the folds, " if best["spread"] is not None else ""
        chose = "partly luck, see Confirmed" if summary["winner"] else "it chose the winner" if summary["test"] else "of one training"
        tiles.append(_tile(f"best {summary['metric']}", number(best["score"]), f"{spread}{best['name']}, epoch {best['best_epoch']}; {chose}"))
    if chosen := summary["winner"]:
        within = f", 95 % interval {number(chosen['low'])} to {number(chosen['high'])}" if chosen["low"] is not None and chosen["high"] is not None else ""
        tiles.append(_tile("confirmed", number(chosen["mean"]), f"{summary['metric']} of {chosen['name']} over {count(chosen['runs'], 'fresh seed')}{within}"))
    if baseline := summary["best_baseline"]:
        tiles.append(_tile("gain", signed(summary["gain"]), f"over the best baseline, {baseline['name']}, {number(baseline['score'])}"))
    states = ", ".join(f"{amount:,} {state}" for state, amount in summary["states"].items())
    tiles.append(_tile("trials", f"{summary['trials']:,}", states))
    saved = f"{summary['epochs_saved']:,} more saved by early stopping" if summary["epochs_saved"] else "trained in all trials"
    tiles.append(_tile("epochs", f"{summary['epochs']:,}", saved))
    if summary["seconds"] is not None:
        work = f"{duration(summary['trial_seconds'])} of work in the trials" if summary["trial_seconds"] is not None else ""
        tiles.append(_tile("time", duration(summary["seconds"]), work))
    winner = leaderboard.winner if leaderboard.ranked else None
    notes = (
        element("aside", element("h3", "Before you rely on this"), element("ul", [element("li", text) for text in summary["warnings"]]), class_="notes")
        if summary["warnings"]
        else None
    )
    return join(element("div", tiles, class_="tiles"), notes, _winner(winner) if winner else None)


def _tile(label: str, value: str, small: str, kind: str = "") -> Markup:
    return element(
        "div", element("p", label, class_="label"), element("p", value, class_="value"), element("p", small, class_="small"), class_=f"tile {kind}".strip()
    )


def _winner(record: TrialRecord) -> Markup:
    size = f", {record.parameters:,} parameters" if record.parameters is not None else ""
    items = [element("div", element("dt", name), element("dd", setting(value))) for name, value in record.configuration.items()]
    return element(
        "div",
        element("h3", f"The winner's configuration ({record.name}, epoch {record.best_epoch}{size})"),
        element("dl", items, class_="settings"),
        class_="winner",
    )


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
    more = (
        element(
            "p",
            f"These are the first {len(shown):,}; {rest:,} more are shown with scripts on, and stand in leaderboard.parquet and the CSV report.",
            class_="static-only",
        )
        if rest
        else None
    )
    fixed = (
        {name: leaderboard.best.configuration.get(name) for name in leaderboard.hyperparameters if name not in leaderboard.varying}
        if leaderboard.ranked
        else {}
    )
    same = (
        element("p", "The same in all trials: ", ", ".join(f"{name} {setting(value)}" for name, value in fixed.items()), ".", class_="quiet") if fixed else None
    )
    return join(
        element("p", _how_ranked(leaderboard)),
        element("div", id="controls", class_="controls", hidden=True),
        element(
            "div",
            element("table", element("caption", "All trials, the best first", class_="hidden"), element("thead", head), element("tbody", rows), id="trials"),
            class_="scroll tall", tabindex="0", role="group", aria_label="Leaderboard (scrolls)",
        ),
        more,
        element("div", id="more", class_="controls", hidden=True),
        same,
    )  # fmt: skip


def cell(name: str, shown: str, record: TrialRecord, numeric: bool) -> Markup:
    """Return a cell of the leaderboard's table."""
    if name == "state":
        return element("td", element("span", shown, class_=f"badge {record.state}"))
    return element("td", shown, class_="n" if numeric else long(shown))


def _how_ranked(leaderboard: Leaderboard) -> str:
    better = "most" if leaderboard.objective.mode == "max" else "least"
    gain = " Gain is measured against the best baseline; positive is better." if leaderboard.best_baseline else ""
    return f"Ranked by the {better} {leaderboard.objective.metric} at any epoch, on validation data; ties go to the earlier trial.{gain}"


def confirmed(material: Material) -> Markup | None:
    """Return the best trials trained again on fresh seeds, with intervals."""
    entries = material.leaderboard.facts.get("confirmed")
    if not entries:
        return None
    metric = material.leaderboard.objective.metric
    numbers = {record.number: record for record in material.leaderboard.records}
    rows = []
    for entry in entries:
        record = numbers.get(entry["trial"])
        known = "low" in entry and "high" in entry
        ranks = f"{entry['rank_low']} to {entry['rank_high']}" if "rank_low" in entry and "rank_high" in entry else MISSING
        marks = ", ".join(word for word, on in (("winner", entry.get("chosen")), ("tied with #1", entry.get("tied") and not entry.get("chosen"))) if on)
        cells = [
            record.name if record else f"trial {entry['trial']}",
            number(entry["mean"]),
            f"{number(entry['low'])} to {number(entry['high'])}" if known else MISSING,
            str(len(entry.get("runs") or ())),
            number(entry.get("search_score")),
            signed(entry.get("shrinkage")),
            ranks,
            marks,
        ]
        rows.append(cells)
    heads = ["trial", f"confirmed {metric}", "95 % interval", "seeds", "search score", "shrinkage", "rank, 95 %", ""]
    return join(
        element(
            "p",
            "The best trials of the search, trained again from scratch on fresh seeds and scored on validation data at the epoch that was their best. "
            "Shrinkage is what the search score lost: the winner's curse. Of those that cannot be told from the first and lie within one standard error "
            "of it, the smallest network wins.",
        ),
        plain_table(heads, rows, numeric={1, 2, 3, 4, 5, 6}),
    )


def worth(material: Material) -> Markup | None:
    """Return plain answers to whether the search paid, and what each stage took."""
    answers = verdicts(material.leaderboard)
    stages = material.leaderboard.facts.get("stages") or ()
    if not answers and not stages:
        return None
    listed = (
        element("dl", [join(element("dt", verdict["question"]), element("dd", verdict["answer"])) for verdict in answers], class_="answers")
        if answers
        else None
    )
    foreseen = {stage["name"]: stage for stage in (material.leaderboard.facts.get("forecast") or {}).get("stages") or ()}
    rows = []
    for stage in stages:
        expected = foreseen.get(stage["name"])
        ranges = [span(expected["seconds"], duration), span(expected["epochs"], lambda epochs: f"{epochs:,.0f}")] if expected else [MISSING, MISSING]
        held = [duration(stage.get(f"{what}_seconds")) for what in ("cpu", "gpu")]
        rows.append([stage["name"], duration(stage.get("seconds")), ranges[0], number(stage["epochs"]) if stage.get("epochs") else MISSING, ranges[1], *held])
    heads = ["stage", "time", "forecast", "epochs", "forecast", "CPU time held", "GPU time held"]
    told = {2: foreseen, 4: foreseen, **{place: any(stage.get(f"{what}_seconds") for stage in stages) for place, what in ((5, "cpu"), (6, "gpu"))}}
    shown = [place for place in range(len(heads)) if told.get(place, True)]
    cells = [[row[place] for place in shown] for row in rows]
    return join(listed, plain_table([heads[place] for place in shown], cells, numeric=set(range(1, len(shown)))) if rows else None)


def progress(material: Material) -> Markup | None:
    """Return the score by trial and by time."""
    return figures(search_figures.history(material.leaderboard), search_figures.history(material.leaderboard, against_time=True))


def learning_curves(material: Material) -> Markup | None:
    """Return the learning curves with the rungs of early stopping."""
    return figures(search_figures.curves(material.leaderboard))


def hyperparameters(material: Material) -> Markup | None:
    """Return configurations, importances and slices."""
    found = figures(
        space_figures.parallel(material.leaderboard, material.importances),
        space_figures.importance_bars(material.importances),
        *space_figures.slices(material.leaderboard, material.importances),
    )
    why_not = element("p", f"Importances were not measured: {material.importances.why_not}", class_="quiet") if material.importances.why_not else None
    return join(found, why_not) if found else None


def trade_off(material: Material) -> Markup | None:
    """Return score against size, and who is on the Pareto front."""
    drawn = figures(search_figures.trade_off(material.leaderboard))
    second = material.leaderboard.second
    if drawn is None or second is None:
        return None
    metric = material.leaderboard.objective.metric
    rows = [[number(record.rank), record.name, number(record.score), number(getattr(record, second))] for record in material.leaderboard.front[:MOST_OF_FRONT]]
    return join(
        element("p", f"Asked for: a good {metric} with few {second}. Nothing tried beats a trial on the front in one without losing in the other."),
        drawn,
        plain_table(["rank", "trial", metric, second], rows, numeric={0, 2, 3}),
    )


def workers(material: Material) -> Markup | None:
    """Return the timeline."""
    return figures(search_figures.timeline(material.leaderboard))


def failures(material: Material) -> Markup | None:
    """Return the failed trials by cause."""
    failed = [record for record in material.leaderboard.records if record.state == "failed"]
    if not failed:
        return element("p", "No trial failed.") if material.leaderboard.records else None
    trials = len(material.leaderboard.records)
    groups: dict[tuple[str, str], list[TrialRecord]] = defaultdict(list)
    for record in failed:
        groups[(record.cause or {}).get("kind", "unknown"), (record.cause or {}).get("message", "")].append(record)
    ordered = sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))
    rows = [[kind, message, str(len(records)), _listed(records)] for (kind, message), records in ordered[:40]]
    details = [
        element("details", element("summary", f"{kind}: {message}"), element("pre", record.cause["details"], tabindex="0"))
        for (kind, message), records in ordered[:40]
        for record in records[:1]
        if record.cause and record.cause.get("details")
    ]
    left_out = element("p", f"{len(ordered) - 40} rarer causes are in leaderboard.parquet.", class_="quiet") if len(ordered) > 40 else None
    return join(
        element(
            "p",
            f"{count(len(failed), 'trial')} of {trials:,} failed ({percent(len(failed) / trials)}). {'It has' if len(failed) == 1 else 'They have'} no rank.",
        ),
        plain_table(["cause", "message", "trials", "which"], rows, numeric={2}),
        left_out,
        details,
    )


def _listed(records: Sequence[TrialRecord]) -> str:
    first = ", ".join(str(record.number) for record in records[:8])
    return first + (f", and {len(records) - 8:,} more" if len(records) > 8 else "")


SECTIONS: dict[str, tuple[str, Callable[[Material], Markup | None]]] = {
    "summary": ("Summary", overview),
    "leaderboard": ("Leaderboard", table),
    "confirmed": ("Confirmed", confirmed),
    "worth": ("Was it worth it?", worth),
    "progress": ("Progress", progress),
    "curves": ("Learning curves", learning_curves),
    "hyperparameters": ("Hyperparameters", hyperparameters),
    "trade-off": ("Trade-off", trade_off),
    "model": ("Final model", final_model),
    "failures": ("Failures", failures),
    "workers": ("Workers", workers),
    "reproducibility": ("Reproducibility", reproducibility),
}
