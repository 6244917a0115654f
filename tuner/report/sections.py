"""The sections of the HTML report, from what a hurried reader needs to what a careful one checks.

Each section is a function from the page's material to markup, or None where a sweep has nothing for it. `SECTIONS` is their order.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence

from tuner.report import curve_figures, search_figures, space_figures
from tuner.report.blocks import Material, figures, plain_table, switch
from tuner.report.board_section import confirmed, table
from tuner.report.data_section import data
from tuner.report.markup import Markup, element, join
from tuner.report.model_section import final_model
from tuner.report.numbers import MISSING, count, duration, number, percent
from tuner.report.overview import overview
from tuner.report.reproduction import reproducibility
from tuner.report.slices import slices
from tuner.report.timeline import timeline
from tuner.report.worth import span, verdicts
from tuner.results.leaderboard import TrialRecord

MOST_OF_FRONT = 30


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
        held = [duration(stage.get("cpu_seconds")), duration(stage.get("gpu_seconds"))]
        rows.append([stage["name"], duration(stage.get("seconds")), ranges[0], number(stage["epochs"]) if stage.get("epochs") else MISSING, ranges[1], *held])
    heads = ["stage", "time", "forecast", "epochs", "forecast", "CPU time reserved", "GPU time reserved"]
    reserved = {5: any(stage.get("cpu_seconds") for stage in stages), 6: any(stage.get("gpu_seconds") for stage in stages)}
    filled = {2: foreseen, 4: foreseen, **reserved}
    shown = [place for place in range(len(heads)) if filled.get(place, True)]
    cells = [[row[place] for place in shown] for row in rows]
    table = plain_table([heads[place] for place in shown], cells, numeric=set(range(1, len(shown)))) if rows else None
    note = "Reserved: processors times seconds, whether they were busy or waited; what a cluster bills." if rows and any(reserved.values()) else None
    return join(listed, table, element("p", note, class_="quiet") if note else None)


def progress(material: Material) -> Markup | None:
    """Return the score by trial or by time, as the reader chooses."""
    board = material.leaderboard
    views = [("by trial", search_figures.history(board)), ("by time", search_figures.history(board, against_time=True))]
    return switch("progress-axis", "What the scores stand against", views)


def learning_curves(material: Material) -> Markup | None:
    """Return the learning curves with the rungs of early stopping, and training against validation."""
    board = material.leaderboard
    views = [("the better scores", curve_figures.curves(board)), ("the whole range", curve_figures.curves(board, whole=True))]
    drawn = switch("curve-range", "How much of the range is drawn", views)
    return join(drawn, figures(curve_figures.against_training(board))) if drawn else None


def hyperparameters(material: Material) -> Markup | None:
    """Return configurations, importances and slices."""
    board, measured = material.leaderboard, material.importances
    drawn = figures(space_figures.parallel(board, measured), space_figures.importance_bars(measured))
    if not drawn:
        return None
    sliced = figures(*slices(board, measured))
    if measured.why_not:
        note = f"What mattered was not measured: {measured.why_not}"
    elif not measured.is_telling:
        share = max(0.0, 100 * measured.fit)
        note = f"What mattered cannot be said: from the hyperparameters, a forest explains {share:.0f} % of how unseen trials rank. More trials may tell."
    else:
        note = ""
    what = "For those that mattered most: how the trials with each value rank among all, compared in pairs at the last epoch that both reached."
    return join(
        drawn,
        element("p", note, class_="quiet") if note else None,
        join(element("h3", "Slices"), element("p", what, class_="quiet"), sliced) if sliced else None,
    )


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
    return figures(timeline(material.leaderboard))


def failures(material: Material) -> Markup | None:
    """Return the failed trials by cause."""
    failed = [record for record in material.leaderboard.records if record.state == "failed"]
    if not failed:
        return None
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
    "dataset": ("Data", data),
    "failures": ("Failures", failures),
    "workers": ("Workers", workers),
    "reproducibility": ("Reproducibility", reproducibility),
}
