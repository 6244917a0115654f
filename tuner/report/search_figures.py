"""The pictures of the search: its history, and score against size.

Each function returns one figure, or None where there is nothing to draw. Large sweeps are thinned out, and the caption says so. How a trial is marked, and
what its mark says, is the same in all pictures.
"""

from collections.abc import Mapping, Sequence

from tuner.report.axes import Scale, figure, focused, frame, legend, mark, polyline
from tuner.report.clock import Clock
from tuner.report.markup import Markup, element, join
from tuner.report.numbers import count, duration, number
from tuner.report.tables import better
from tuner.results.leaderboard import Leaderboard, TrialRecord

MOST_POINTS = 500
# Beyond so many trials, what marks say when pointed at is left to the page's script, which has it in its table.
MOST_WITH_WORDS = 300
WIDE = 980
LANE = 20
STATES = (("complete", "complete"), ("pruned", "stopped early"), ("failed", "failed"), ("baseline", "baseline"))


def classes_of(record: TrialRecord) -> str:
    """Return the class of a trial's mark: what it is, by shape and colour."""
    return "baseline" if record.baseline else record.state if record.state in ("complete", "pruned", "failed") else "pruned"


def said(record: TrialRecord, leaderboard: Leaderboard) -> str | None:
    """Return what a trial's mark says when pointed at; None in a sweep so large that the script says it.

    Args:
        record: the trial.
        leaderboard: that it is one of.
    """
    if len(leaderboard.records) > MOST_WITH_WORDS:
        return None
    where = f", epoch {record.best_epoch} of {record.epochs}" if record.best_epoch else ""
    return f"{record.name}: {number(record.score)}{where}, {record.state}"


def thin(records: Sequence[TrialRecord], most: int, *, keep: int = 30) -> list[TrialRecord]:
    """Return an even selection in the order given, with the best and the baselines in it.

    Args:
        records: of which.
        most: how many at most.
        keep: how many of the best are in it in any case.
    """
    if len(records) <= most:
        return list(records)
    sure = {record.number for record in records if (record.rank is not None and record.rank <= keep) or record.baseline}
    rest = [record for record in records if record.number not in sure]
    room = max(1, most - len(sure))
    chosen = {rest[index * len(rest) // room].number for index in range(min(room, len(rest)))}
    return [record for record in records if record.number in sure or record.number in chosen]


def thinned(shown: int, of: int, noun: str) -> str:
    """Return the caption's word on what was left out, if anything was.

    Args:
        shown: how many are drawn.
        of: how many there are.
        noun: of one of them.
    """
    return f" Drawn: {shown:,} of {count(of, noun)}, the best and an even selection of the others." if shown < of else ""


def unit_of(longest: float) -> tuple[str, float]:
    """Return the unit that so many seconds read best in, and how many seconds it has."""
    return ("s", 1.0) if longest < 180 else ("min", 60.0) if longest < 3 * 3600 else ("h", 3600.0)


def label(metric: str, mode: str) -> str:
    """Return the label of an axis of scores.

    Args:
        metric: of the objective.
        mode: `max` or `min`.
    """
    return f"{metric} ({better(mode)})"


def history(leaderboard: Leaderboard, *, against_time: bool = False) -> Markup | None:
    """Return every score with the best so far; failed trials in a lane of their own.

    Args:
        leaderboard: whose trials they are.
        against_time: in the order of the time at which they ended, not of their numbers.
    """
    clock = Clock(leaderboard.records)
    at = {record.number: clock.ended(record) if against_time else float(record.number) for record in leaderboard.records}
    ranked = [record for record in leaderboard.ranked if at[record.number] is not None]
    if not ranked:
        return None
    failed = [record for record in leaderboard.records if record.state == "failed" and at[record.number] is not None]
    unit, divisor = unit_of(max(at[record.number] or 0.0 for record in ranked)) if against_time else ("", 1.0)
    place = {record.number: (at[record.number] or 0.0) / divisor for record in (*ranked, *failed)}
    ordered = sorted(ranked, key=lambda record: place[record.number])
    values = [record.score for record in ordered if record.score is not None]
    scale = focused(values, leaderboard.objective, 0, 1)
    outside = [value for value in values if not scale.low <= value <= scale.high]
    lanes = [name for name, some in (("worse", outside), ("failed", failed)) if some]
    height = 330 + LANE * len(lanes)
    y = Scale(scale.low, scale.high, 282, 46)
    longest = max(1e-6, *place.values()) if place else 1.0
    x = Scale(-0.02 * longest, 1.02 * longest, 70, WIDE - 16)
    lane_of = {name: y.start + LANE * (index + 0.5) for index, name in enumerate(lanes)}
    shown = thin(ordered, MOST_POINTS)
    marks = [_mark(record, x(place[record.number]), y, leaderboard, lane_of.get("worse", y.start)) for record in shown]
    marks += [mark("failed", x(place[record.number]), lane_of["failed"], trial=record.number, words=said(record, leaderboard)) for record in thin(failed, 100)]
    present = {classes_of(record) for record in (*shown, *failed)}
    ticks = [(value, text) for value, text in x.ticks(8, whole=not against_time) if value >= 0]
    resumed = [_resumed(x(at_work / divisor), y) for at_work in clock.breaks] if against_time else []
    across = f"time at work ({unit})" if against_time else "trial"
    drawing = join(
        frame(x, y, x_label=across, y_label=label(*_metric(leaderboard)), x_ticks=ticks, below=LANE * len(lanes)),
        [element("text", name, class_="tick", x=x.start - 7, y=lane_of[name] + 4, text_anchor="end") for name in lanes],
        resumed,
        element("path", class_="best", d=polyline([(x(along), y(value)) for along, value in _best_so_far(ordered, leaderboard, place, x.high)])),
        marks,
        legend([("line plain", "best so far"), *(entry for entry in STATES if entry[0] in present)], 70, 18),
    )
    best = leaderboard.best
    first = f"The best score, {number(best.score)}, was reached "
    first += (
        f"after {duration(at[best.number])} at work."
        if against_time and best.number in place
        else f"by trial {best.number}, of {count(len(leaderboard.records), 'trial')}."
    )
    rest = f" {count(len(outside), 'trial')} far worse {'stands' if len(outside) == 1 else 'stand'} below the axis." if outside else ""
    rest += f" The sweep was resumed {count(len(resumed), 'time')}; the time between is left out." if resumed else ""
    return figure(
        drawing,
        title="Score over time" if against_time else "Score by trial",
        caption=f"{first}{rest}{thinned(len(shown), len(ordered), 'trial')}",
        width=WIDE,
        height=height,
        wide=True,
    )


def _metric(leaderboard: Leaderboard) -> tuple[str, str]:
    return leaderboard.objective.metric, leaderboard.objective.mode


def _resumed(at: float, y: Scale) -> Markup:
    return join(element("line", class_="rung", x1=at, x2=at, y1=y.end, y2=y.start), element("text", "resumed", class_="tick halo", x=at + 5, y=y.end + 12))


def _best_so_far(ordered: Sequence[TrialRecord], leaderboard: Leaderboard, place: Mapping[int, float], end: float) -> list[tuple[float, float]]:
    """Return the corners of the best score so far, as (place, score)."""
    points: list[tuple[float, float]] = []
    best: float | None = None
    for record in ordered:
        if record.score is not None and (best is None or leaderboard.objective.better(record.score, best)):
            points += [(place[record.number], best)] if best is not None else []
            best = record.score
            points.append((place[record.number], best))
    return [*points, (end, points[-1][1])]


def _mark(record: TrialRecord, x: float, y: Scale, leaderboard: Leaderboard, lane: float) -> Markup:
    """Return a trial's mark at its score; one that is far worse stands in its lane, as a triangle."""
    value = record.score or 0.0
    inside = y.low <= value <= y.high
    name = classes_of(record) if inside else f"beyond {classes_of(record)}"
    return mark(name, x, y(value) if inside else lane + 3, trial=record.number, words=said(record, leaderboard))


def trade_off(leaderboard: Leaderboard) -> Markup | None:
    """Return the score against the second objective, with the Pareto front as a line; nothing where there is one objective."""
    second = leaderboard.second
    sized = {record.number: float(value) for record in leaderboard.ranked if second and (value := getattr(record, second, None)) is not None}
    sized_records = [record for record in leaderboard.ranked if record.number in sized]
    front = sorted((record for record in leaderboard.front if record.number in sized), key=lambda record: sized[record.number])
    if second is None or not front:
        return None
    scores = [record.score for record in sized_records if record.score is not None]
    x = Scale.around(list(sized.values()), 70, WIDE - 20, log=min(sized.values()) > 0 and max(sized.values()) / min(sized.values()) > 20)
    scale = focused(scores, leaderboard.objective, 0, 1)
    outside = sum(not scale.low <= value <= scale.high for value in scores)
    lane = LANE if outside else 0
    y = Scale(scale.low, scale.high, 312, 46)
    corners: list[tuple[float, float]] = []
    for record in front:
        at = x(sized[record.number])
        corners += [(at, corners[-1][1])] if corners else []
        corners.append((at, y(record.score or 0.0)))
    shown = thin(sized_records, MOST_POINTS)
    present = {classes_of(record) for record in shown}
    drawing = join(
        frame(x, y, x_label=second, y_label=label(*_metric(leaderboard)), below=lane),
        element("text", "worse", class_="tick", x=x.start - 7, y=y.start + LANE / 2 + 4, text_anchor="end") if outside else None,
        element("path", class_="best", d=polyline([*corners, (x.end, corners[-1][1])])),
        [_mark(record, x(sized[record.number]), y, leaderboard, y.start + LANE / 2) for record in shown],
        legend([("line plain", "Pareto front"), *(entry for entry in STATES if entry[0] in present)], 70, 18),
    )
    far = f" {count(outside, 'trial')} far worse {'stands' if outside == 1 else 'stand'} below the axis." if outside else ""
    caption = (
        f"{count(len(front), 'trial')} on the front: each other trial has one beside it with as good a score and no more {second}."
        f"{far}{thinned(len(shown), len(sized_records), 'trial')}"
    )
    return figure(drawing, title=f"{leaderboard.objective.metric} against {second}", caption=caption, width=WIDE, height=360 + lane, wide=True)
