"""The pictures of the search: its history, its learning curves and its workers.

Each function returns one figure, or None where there is nothing to draw. Large sweeps are thinned out, and the caption says so. Must not know how
the page is put together.
"""

import math
from collections.abc import Sequence
from typing import Any

from tuner.report.axes import LEAST_TO_FOCUS, Scale, figure, focused, frame, legend, mark, polyline, shortened
from tuner.report.markup import Markup, element, join
from tuner.report.numbers import count, duration, number, seconds
from tuner.results.leaderboard import Leaderboard, TrialRecord

MOST_POINTS = 1200
MOST_CURVES = 80
MOST_BARS = 600
WIDTH, HEIGHT = 480, 300
WIDE = 980
STATES = (("complete", "complete"), ("pruned", "stopped early"), ("failed", "failed"), ("baseline", "baseline"))


def classes_of(record: TrialRecord) -> str:
    """Return the class of a trial's mark: what it is, by shape and colour."""
    return "baseline" if record.baseline else record.state if record.state in ("complete", "pruned", "failed") else "pruned"


def told(record: TrialRecord) -> str:
    """Return what a trial's mark says when pointed at."""
    where = f", epoch {record.best_epoch} of {record.epochs}" if record.best_epoch else ""
    return f"{record.name}: {number(record.score)}{where}, {record.state}"


def thin(records: Sequence[TrialRecord], most: int, *, keep: int = 30) -> list[TrialRecord]:
    """Return at most `most` records: the best `keep`, the baselines, and of the rest every so many, in the order given."""
    if len(records) <= most:
        return list(records)
    sure = {record.number for record in records if (record.rank is not None and record.rank <= keep) or record.baseline}
    rest = [record for record in records if record.number not in sure]
    room = max(1, most - len(sure))
    chosen = {rest[index * len(rest) // room].number for index in range(min(room, len(rest)))}
    return [record for record in records if record.number in sure or record.number in chosen]


def thinned(shown: int, of: int, noun: str) -> str:
    """Return the caption's word on what was left out, if anything was."""
    return f" Drawn: {shown:,} of {count(of, noun)}, the best and an even selection of the others." if shown < of else ""


def beyond(values: Sequence[float], y: Scale) -> str:
    amount = sum(not y.low <= value <= y.high for value in values)
    return f" {count(amount, 'trial')} beyond the axis {'stands' if amount == 1 else 'stand'} at its edge, as a triangle." if amount else ""


def history(leaderboard: Leaderboard, *, against_time: bool = False) -> Markup | None:
    """Return every score in the order of the trials, or of the time at which they ended, with the best so far."""
    at = {record.number: _ended(record) if against_time else float(record.number) for record in leaderboard.records}
    known = [record for record in leaderboard.ranked if at[record.number] is not None]
    if not known:
        return None
    unit, divisor = _unit(max(at[record.number] or 0 for record in known)) if against_time else ("", 1.0)
    place = {record.number: (at[record.number] or 0.0) / divisor for record in known}
    ordered = sorted(known, key=lambda record: place[record.number])
    values = [record.score for record in ordered if record.score is not None]
    x = Scale.around(list(place.values()), 58, WIDTH - 14, room=0.02)
    y = focused(values, leaderboard.objective, HEIGHT - 48, 46)
    shown = thin(ordered, MOST_POINTS)
    points, best = [], None
    for record in ordered:
        if best is None or leaderboard.objective.better(record.score or math.nan, best):
            if best is not None:
                points.append((x(place[record.number]), y(best)))
            best = record.score
            points.append((x(place[record.number]), y(best or 0.0)))
    points.append((x.end, y(best or 0.0)))
    marks = [point(record, x(place[record.number]), record.score or 0.0, y) for record in shown]
    present = {classes_of(record) for record in shown}
    drawing = join(
        frame(x, y, x_label=f"time since the start ({unit})" if against_time else "trial", y_label=leaderboard.objective.metric, whole_x=not against_time),
        element("path", class_="best", d=polyline(points)),
        marks,
        legend([("line plain", "best so far"), *(entry for entry in STATES if entry[0] in present)], 58, 18),
    )
    last = max((record for record in ordered if record.score == best), key=lambda record: -place[record.number])
    when = f"after {duration(at[last.number])}" if against_time else f"by trial {last.number}, of {count(len(leaderboard.records), 'trial')}"
    caption = f"The best score, {number(best)}, was reached {when}.{beyond(values, y)}{thinned(len(shown), len(ordered), 'trial')}"
    return figure(drawing, title="Score over time" if against_time else "Score by trial", caption=caption, width=WIDTH, height=HEIGHT)


def point(record: TrialRecord, x: float, value: float, y: Scale, words: str | None = None) -> Markup:
    inside = y.low <= value <= y.high
    return mark(classes_of(record) if inside else f"beyond {classes_of(record)}", x, y(value), trial=record.number, words=words or told(record))


def _ended(record: TrialRecord) -> float | None:
    return None if record.started_at is None else record.started_at + (record.seconds or 0.0)


def _unit(longest: float) -> tuple[str, float]:
    return ("s", 1.0) if longest < 180 else ("min", 60.0) if longest < 3 * 3600 else ("h", 3600.0)


def curves(leaderboard: Leaderboard) -> Markup | None:
    """Return the objective over epochs: the best five by name, the rest in the background, and the rungs at which trials were stopped."""
    metric = leaderboard.objective.metric
    having = [record for record in leaderboard.records if any(value is not None for value in record.curves.get(metric, ()))]
    if not having:
        return None
    shown = thin(having, MOST_CURVES, keep=20)
    # Scores, not all values: every network is bad in its first epochs, and the differences that matter lie later.
    scores = [record.score for record in having if record.score is not None]
    height = 400
    longest = max(record.epochs for record in having)
    x = Scale(1, max(2, longest), 62, WIDE - 190)
    late = [value for record in shown for value in record.curves[metric][1:] if value is not None]
    y = focused(scores, leaderboard.objective, height - 48, 52, others=late)
    lines = []
    for record in reversed(shown):
        rank = record.rank or math.inf
        classes = f"curve top top{rank}" if rank <= 5 else f"curve {classes_of(record)}"
        points = [(x(epoch), y.unbounded(value)) for epoch, value in enumerate(record.curves[metric], start=1) if value is not None]
        # A network of one epoch is a point: a line of no length shows only with a round cap.
        drawn = polyline(points) + ("h0" if len(points) == 1 else "")
        lines.append(element("path", element("title", told(record)), class_=classes, d=drawn, data_trial=record.number))
    area = element("clipPath", element("rect", x=x.start, y=y.end - 2, width=x.end - x.start + 2, height=y.start - y.end + 2), id="area-of-curves")
    clipped = element("g", lines, clip_path="url(#area-of-curves)")
    outside = sum(not any(y.low <= value <= y.high for value in record.curves[metric] if value is not None) for record in shown)
    names = [record for record in leaderboard.ranked[:5] if record in shown]
    key = [
        join(
            element("path", class_=f"curve top top{record.rank}", d=f"M{WIDE - 176} {74 + 22 * index}h18"),
            element("text", f"{record.rank}. {record.name[:20]}", class_="tick", x=WIDE - 152, y=78 + 22 * index, data_trial=record.number),
        )
        for index, record in enumerate(names)
    ]
    ticks = None if longest > 1 else [(1.0, "1")]
    rungs = _rungs(leaderboard, x, y)
    drawing = join(
        frame(x, y, x_label="epoch", y_label=metric, whole_x=True, x_ticks=ticks),
        area,
        clipped,
        rungs,
        element("text", "the best", class_="label", x=WIDE - 176, y=54),
        key,
    )
    stops = (leaderboard.facts.get("scheduler") or {}).get("milestones") or ()
    told_rungs = " Dashed lines are the rungs of early stopping, with how many trials reached each and how many went on." if rungs and stops else ""
    hidden = f" {count(outside, 'line')} would lie wholly beyond it." if outside else ""
    focus = "; the axis gives its room to the better scores" if len(scores) >= LEAST_TO_FOCUS else ""
    caption = f"One line per trial{focus}.{hidden}{told_rungs}{thinned(len(shown), len(having), 'trial')}"
    return figure(drawing, title=f"{metric} by epoch", caption=caption, width=WIDE, height=height, wide=True)


def _rungs(leaderboard: Leaderboard, x: Scale, y: Scale) -> list[Markup]:
    parts = []
    free = x.start
    milestones = [milestone for milestone in (leaderboard.facts.get("scheduler") or {}).get("milestones") or () if x.low <= milestone < x.high]
    for milestone in milestones:
        reached = [record for record in leaderboard.records if record.epochs >= milestone]
        if not reached:
            continue
        on = sum(record.epochs > milestone for record in reached)
        parts.append(element("line", class_="rung", x1=x(milestone), x2=x(milestone), y1=y.end, y2=y.start))
        # The first rungs may stand close together: words only where there is room for them.
        if x(milestone) >= free:
            parts.append(element("text", words := f"{len(reached):,} → {on:,}", class_="tick halo", x=x(milestone) + 5, y=y.start - 8))
            free = x(milestone) + 12 + 7 * len(words)
    return parts


def trade_off(leaderboard: Leaderboard) -> Markup | None:
    """Return the score against the second objective, with the Pareto front as a line; nothing where there is one objective."""
    second = leaderboard.second
    sized = {record.number: float(value) for record in leaderboard.ranked if second and (value := getattr(record, second, None)) is not None}
    known = [record for record in leaderboard.ranked if record.number in sized]
    front = sorted((record for record in leaderboard.front if record.number in sized), key=lambda record: sized[record.number])
    if second is None or not front:
        return None
    scores = [record.score for record in known if record.score is not None]
    x = Scale.around(list(sized.values()), 70, WIDE - 20, log=min(sized.values()) > 0 and max(sized.values()) / min(sized.values()) > 20)
    height = 360
    y = focused(scores, leaderboard.objective, height - 48, 46)
    corners: list[tuple[float, float]] = []
    for record in front:
        at = x(sized[record.number])
        corners += [(at, corners[-1][1])] if corners else []
        corners.append((at, y(record.score or 0.0)))
    shown = thin(known, MOST_POINTS)
    present = {classes_of(record) for record in shown}
    drawing = join(
        frame(x, y, x_label=second, y_label=leaderboard.objective.metric),
        element("path", class_="best", d=polyline([*corners, (x.end, corners[-1][1])])),
        [point(record, x(sized[record.number]), record.score or 0.0, y, f"{told(record)}, {number(sized[record.number])} {second}") for record in shown],
        legend([("line plain", "Pareto front"), *(entry for entry in STATES if entry[0] in present)], 70, 18),
    )
    caption = (
        f"{count(len(front), 'trial')} on the front: each other trial has one beside it with as good a score and no more {second}."
        f"{beyond(scores, y)}{thinned(len(shown), len(known), 'trial')}"
    )
    return figure(drawing, title=f"{leaderboard.objective.metric} against {second}", caption=caption, width=WIDE, height=height, wide=True)


def timeline(leaderboard: Leaderboard) -> Markup | None:
    """Return when each worker was busy with which trial."""
    timed = [record for record in leaderboard.records if record.started_at is not None and record.seconds is not None and record.worker]
    if not timed:
        return None
    workers = sorted({record.worker or "" for record in timed}, key=_natural)
    lane = 22 if len(workers) <= 12 else 14 if len(workers) <= 40 else 6
    height = 40 + lane * len(workers) + 46
    ends = [(record.started_at or 0.0) + (record.seconds or 0.0) for record in timed]
    unit, divisor = _unit(max(ends))
    x = Scale(0, max(*ends, 1e-6) / divisor if len(ends) > 1 else max(ends[0], 1e-6) / divisor, 150, WIDE - 20)
    lane_of = {worker: 34 + lane * index for index, worker in enumerate(workers)}
    parts: list[Any] = []
    for value, label in x.ticks(8):
        parts.append(element("line", class_="grid", x1=x(value), x2=x(value), y1=30, y2=height - 44))
        parts.append(element("text", label, class_="tick", x=x(value), y=height - 28, text_anchor="middle"))
    parts.append(element("text", f"time since the start ({unit})", class_="label", x=(x.start + x.end) / 2, y=height - 8, text_anchor="middle"))
    if lane >= 14:
        parts += [element("text", shortened(worker, 20), class_="tick", x=142, y=lane_of[worker] + lane * 0.65, text_anchor="end") for worker in workers]
    combined: dict[str, list[str]] = {}
    for record in timed:
        start = x((record.started_at or 0.0) / divisor)
        long = max(0.6, x(((record.started_at or 0.0) + (record.seconds or 0.0)) / divisor) - start)
        y, thick = lane_of[record.worker or ""] + 2, lane - 4
        if len(timed) <= MOST_BARS:
            words = f"{told(record)}, {seconds(record.seconds)} s"
            parts.append(
                element("rect", element("title", words), class_=f"busy {classes_of(record)}", x=start, y=y, width=long, height=thick, data_trial=record.number)
            )
        else:
            combined.setdefault(classes_of(record), []).append(f"M{start:.1f} {y}h{long:.1f}v{thick}h-{long:.1f}z")
    parts += [element("path", class_=f"busy {name}", d="".join(paths)) for name, paths in combined.items()]
    present = {classes_of(record) for record in timed}
    parts.append(legend([(f"swatch busy {name}", words) for name, words in STATES if name in present], 150, 18))
    busy = sum(record.seconds or 0.0 for record in timed) / (max(ends) * len(workers)) if max(ends) > 0 else 0.0
    caption = f"{count(len(workers), 'worker')}, busy {100 * busy:.0f} % of the time until the last trial ended. One bar per trial."
    return figure(join(parts), title="Who trained what, and when", caption=caption, width=WIDE, height=height, wide=True)


def _natural(words: str) -> list[tuple[int, str]]:
    """Return a key that sorts `slot 10` after `slot 9`."""
    parts, digits = [], ""
    for character in words + "\0":
        if character.isdecimal():
            digits += character
            continue
        if digits:
            parts.append((int(digits), ""))
            digits = ""
        parts.append((0, character))
    return parts
