"""The pictures of the search: its history, learning curves, hyperparameters and workers.

Each function returns one figure, or None where there is nothing to draw. Large sweeps are thinned out, and the caption says so. Must not know how
the page is put together.
"""

import math
from collections.abc import Sequence
from statistics import median
from typing import Any

from tuner.leaderboard import Leaderboard, TrialRecord
from tuner.report.axes import Scale, figure, frame, legend, mark, polyline
from tuner.report.importance import Importances, score_by
from tuner.report.markup import Markup, element, join
from tuner.report.numbers import count, duration, number, seconds, setting

MOST_POINTS = 1200
MOST_CURVES = 80
MOST_LINES = 250
MOST_AXES = 9
MOST_SLICES = 5
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


def _focused(values: Sequence[float], leaderboard: Leaderboard, start: float, end: float) -> Scale:
    """Return a scale that gives its room to the better values: hopeless ones stand at its edge."""
    ordered = sorted(values, key=leaderboard.objective.cost)
    best, middle, worst = ordered[0], ordered[len(ordered) // 2], ordered[-1]
    reach = abs(middle - best) * 3.5
    if abs(worst - best) <= reach or reach == 0:
        return Scale.around(values, start, end, room=0.06)
    return Scale.around([best, best + math.copysign(reach, worst - best)], start, end, room=0.06)


def _beyond(values: Sequence[float], y: Scale) -> str:
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
    y = _focused(values, leaderboard, HEIGHT - 48, 46)
    shown = thin(ordered, MOST_POINTS)
    points, best = [], None
    for record in ordered:
        if best is None or leaderboard.objective.better(record.score or math.nan, best):
            if best is not None:
                points.append((x(place[record.number]), y(best)))
            best = record.score
            points.append((x(place[record.number]), y(best or 0.0)))
    points.append((x.end, y(best or 0.0)))
    marks = [_point(record, x(place[record.number]), record.score or 0.0, y) for record in shown]
    present = {classes_of(record) for record in shown}
    drawing = join(
        frame(x, y, x_label=f"time since the start ({unit})" if against_time else "trial", y_label=leaderboard.objective.metric, whole_x=not against_time),
        element("path", class_="best", d=polyline(points)),
        marks,
        legend([("line plain", "best so far"), *(entry for entry in STATES if entry[0] in present)], 58, 18),
    )
    last = max((record for record in ordered if record.score == best), key=lambda record: -place[record.number])
    when = f"after {duration(at[last.number])}" if against_time else f"by trial {last.number}, of {count(len(leaderboard.records), 'trial')}"
    caption = f"The best score, {number(best)}, was reached {when}.{_beyond(values, y)}{thinned(len(shown), len(ordered), 'trial')}"
    return figure(drawing, title="Score over time" if against_time else "Score by trial", caption=caption, width=WIDTH, height=HEIGHT)


def _point(record: TrialRecord, x: float, value: float, y: Scale, words: str | None = None) -> Markup:
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
    y = _focused([*scores, *(value for record in shown for value in record.curves[metric][1:] if value is not None)], leaderboard, height - 48, 52)
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
    drawing = join(frame(x, y, x_label="epoch", y_label=metric, whole_x=True, x_ticks=ticks), area, clipped, rungs, element("text", "the best", class_="label", x=WIDE - 176, y=54), key)
    stops = (leaderboard.facts.get("scheduler") or {}).get("milestones") or ()
    told_rungs = " Dashed lines are the rungs of early stopping, with the trials that reached them and the share that went on." if rungs and stops else ""
    hidden = f" {count(outside, 'line')} would lie wholly beyond it." if outside else ""
    caption = f"One line per trial; the axis gives its room to the better scores.{hidden}{told_rungs}{thinned(len(shown), len(having), 'trial')}"
    return figure(drawing, title=f"{metric} by epoch", caption=caption, width=WIDE, height=height, wide=True)


def _rungs(leaderboard: Leaderboard, x: Scale, y: Scale) -> list[Markup]:
    parts = []
    milestones = [milestone for milestone in (leaderboard.facts.get("scheduler") or {}).get("milestones") or () if x.low <= milestone < x.high]
    for milestone in milestones:
        reached = [record for record in leaderboard.records if record.epochs >= milestone]
        if not reached:
            continue
        on = sum(record.epochs > milestone for record in reached)
        parts.append(element("line", class_="rung", x1=x(milestone), x2=x(milestone), y1=y.end, y2=y.start))
        parts.append(element("text", f"{len(reached):,} → {on:,}", class_="tick halo", x=x(milestone) + 5, y=y.start - 8))
    return parts


def parallel(leaderboard: Leaderboard, importances: Importances) -> Markup | None:
    """Return the configurations as lines across one axis per hyperparameter, coloured by rank, with the score at the right."""
    having = [record for record in leaderboard.ranked if record.configuration]
    order = [share.name for share in importances.shares]
    names = sorted(leaderboard.varying, key=lambda name: order.index(name) if name in order else len(order))
    if len(having) < 3 or not names:
        return None
    used = names[:MOST_AXES]
    used = [name for name in leaderboard.varying if name in used]
    shown = thin(having, MOST_LINES, keep=60)
    height, top, bottom = 420, 64, 330
    gap = (WIDE - 140) / len(used)
    left = 62.0
    axes = {name: _Axis(name, leaderboard, top, bottom) for name in used}
    score = _focused([record.score for record in having if record.score is not None], leaderboard, bottom, top)
    lines = []
    for record in reversed(shown):
        points = [(left + gap * index, axes[name](record.configuration.get(name))) for index, name in enumerate(used)]
        points.append((left + gap * len(used), score(record.score or 0.0)))
        fifth = min(4, 5 * ((record.rank or 1) - 1) // len(having))
        classes = f"thread q{fifth}" + (" top" if (record.rank or 9) <= 3 else "")
        lines.append(element("path", element("title", told(record)), class_=classes, d=polyline(points), data_trial=record.number))
    parts: list[Any] = [lines]
    for index, name in enumerate(used):
        parts.append(axes[name].drawing(left + gap * index, index % 2 == 1))
    at = left + gap * len(used)
    parts.append(element("line", class_="axis", x1=at, x2=at, y1=top, y2=bottom))
    parts += [element("text", label, class_="tick halo", x=at + 7, y=score(value) + 4) for value, label in score.ticks()]
    parts.append(element("text", leaderboard.objective.metric, class_="label", x=at, y=26 if len(used) % 2 == 0 else 44, text_anchor="middle"))
    parts.append(legend([(f"line thread q{index}", words) for index, words in enumerate(("best fifth", "second", "third", "fourth", "last fifth"))], left - 8, height - 10))
    left_out = [name for name in names if name not in used]
    note = f" Not drawn, as they mattered least: {', '.join(left_out)}." if left_out else ""
    inactive = " Lines that dip below an axis are trials in which that hyperparameter was not active." if any(axis.inactive for axis in axes.values()) else ""
    caption = f"Each line is a trial; where those of the best fifth run together, the search has found a preference.{inactive}{note}{thinned(len(shown), len(having), 'trial')}"
    return figure(join(parts), title="Configurations", caption=caption, width=WIDE, height=height, wide=True)


class _Axis:
    """The values of one hyperparameter from bottom to top; below them a place for trials in which it was not active."""

    def __init__(self, name: str, leaderboard: Leaderboard, top: float, bottom: float) -> None:
        self.name, self.top, self.bottom = name, top, bottom
        values = [record.configuration.get(name) for record in leaderboard.ranked if record.configuration]
        known = [value for value in values if value is not None]
        self.inactive = len(known) < len(values)
        self.numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in known) and len(set(known)) > 1
        self.scale: Scale | None = None
        if self.numeric:
            self.scale = Scale.around(known, bottom, top, log=is_log(known, (leaderboard.facts.get("space") or {}).get(name) or {}), room=0.02)
            distinct = sorted(set(known))
            few = [(value, setting(value)) for value in distinct]
            self.marks = few if len(distinct) <= 6 else self.scale.ticks(4, whole=all(isinstance(value, int) for value in known))
        self.choices = sorted({setting(value) for value in known}) or [setting(None)]

    def __call__(self, value: Any) -> float:
        if value is None:
            return self.bottom + 26
        if self.scale:
            return self.scale(value)
        step = (self.bottom - self.top) / len(self.choices)
        return self.bottom - step * (self.choices.index(setting(value)) + 0.5)

    def drawing(self, x: float, low_title: bool) -> Markup:
        ticks = self.marks if self.scale else [(choice, choice) for choice in self.choices]
        # Two heights for the headings: long names of neighbours would run into each other.
        title = element("text", _short(self.name, 20), class_="label", x=x, y=44 if low_title else 26, text_anchor="middle")
        parts = [title, element("line", class_="axis", x1=x, x2=x, y1=self.top, y2=self.bottom)]
        for value, label in ticks:
            y = self.scale(value) if self.scale and not isinstance(value, str) else self._of_choice(label)
            parts.append(element("text", _short(label, 14), class_="tick halo", x=x + 6, y=y + 4))
        if self.inactive:
            parts.append(element("text", "not active", class_="tick halo", x=x, y=self.bottom + 44, text_anchor="middle"))
        return join(parts)

    def _of_choice(self, label: str) -> float:
        step = (self.bottom - self.top) / len(self.choices)
        return self.bottom - step * (self.choices.index(label) + 0.5)


def _short(words: str, most: int) -> str:
    return words if len(words) <= most else words[: most - 1] + "…"


def is_log(values: Sequence[float], described: dict[str, Any]) -> bool:
    """Say whether values belong on a logarithmic axis: as the space says, else if they are positive and span more than a factor of 50."""
    return bool(described["log"]) if "log" in described and min(values) > 0 else min(values) > 0 and max(values) / min(values) > 50


def importance_bars(importances: Importances) -> Markup | None:
    """Return one bar per hyperparameter, with its spread."""
    if not importances.shares:
        return None
    shares = importances.shares[:14]
    height = 40 + 26 * len(shares) + 34
    x = Scale(0, max(0.05, *(min(share.value + share.spread, 1.5) for share in shares)) * 1.04, 136, WIDTH - 54)
    parts = []
    for value, label in [(value, f"{100 * value:.0f} %") for value, _ in x.ticks(4)]:
        parts.append(element("line", class_="grid", x1=x(value), x2=x(value), y1=30, y2=height - 36))
        parts.append(element("text", label, class_="tick", x=x(value), y=height - 18, text_anchor="middle"))
    for index, share in enumerate(shares):
        y = 36 + 26 * index
        parts.append(element("text", _short(share.name, 19), class_="tick strong", x=128, y=y + 13, text_anchor="end"))
        parts.append(element("rect", class_="bar", x=x.start, y=y, width=max(1.0, x(share.value) - x.start), height=17, rx=2))
        parts.append(element("line", class_="whisker", x1=x(max(0.0, share.value - share.spread)), x2=x(share.value + share.spread), y1=y + 8.5, y2=y + 8.5))
        parts.append(element("text", f"{100 * share.value:.0f} %", class_="tick", x=x(share.value + share.spread) + 6, y=y + 13))
    parts.append(element("text", "share of the variation in rank", class_="label", x=x.start, y=18))
    trust = "" if importances.fit >= 0.3 else " That is little: take these as hints."
    caption = (
        f"How much worse a forest predicts unseen trials when one hyperparameter is shuffled among the trials where it is active (line: spread). {importances.trials:,} trials, "
        f"all compared at epoch {importances.epoch}; the forest explains {max(0.0, 100 * importances.fit):.0f} % of their variation.{trust}"
    )
    return figure(join(parts), title="What mattered", caption=caption, width=WIDTH, height=height)


def slices(leaderboard: Leaderboard, importances: Importances) -> list[Markup]:
    """Return the score against each of the most important hyperparameters, at equal epochs."""
    scored = [(record, score_by(record, leaderboard, importances.epoch)) for record in leaderboard.ranked if importances.epoch]
    usable = {record.number: score for record, score in scored if score is not None}
    return [_slice(leaderboard, share.name, usable, importances.epoch) for share in importances.shares[:MOST_SLICES] if share.active >= 3]


def _slice(leaderboard: Leaderboard, name: str, scores: dict[int, float], epoch: int) -> Markup:
    records = [record for record in leaderboard.ranked if record.number in scores and record.configuration.get(name) is not None]
    shown = thin(records, MOST_POINTS // 3)
    y = _focused([scores[record.number] for record in records], leaderboard, HEIGHT - 48, 32)
    values = [record.configuration[name] for record in records]
    described = (leaderboard.facts.get("space") or {}).get(name) or {}
    numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    distinct = sorted(set(values), key=lambda value: (value if numeric else 0, setting(value)))
    medians: list[Markup] = []
    if numeric and len(distinct) > 8:
        x = Scale.around(values, 58, WIDTH - 14, log=is_log(values, described))
        place = {record.number: x(record.configuration[name]) for record in shown}
        axes = frame(x, y, x_label=_short(name, 40), y_label=f"{leaderboard.objective.metric} at epoch {epoch}", whole_x=all(isinstance(value, int) for value in values))
        what = ""
    else:
        distinct = distinct[:12]
        x = Scale(-0.5, len(distinct) - 0.5, 58, WIDTH - 14)
        place = {}
        for index, choice in enumerate(distinct):
            members = [record for record in shown if record.configuration[name] == choice]
            for position, record in enumerate(members):
                # Spread out by a fixed pattern: a hash of the position, so that the same leaderboard gives the same picture.
                place[record.number] = x(index + 0.5 * ((position * 0.618034) % 1 - 0.5))
            middle = median(scores[record.number] for record in records if record.configuration[name] == choice)
            if y.low <= middle <= y.high:
                medians.append(element("line", class_="median", x1=x(index - 0.32), x2=x(index + 0.32), y1=y(middle), y2=y(middle)))
        ticks = [(float(index), _short(setting(choice), 80 // len(distinct))) for index, choice in enumerate(distinct)]
        axes = frame(x, y, x_label=_short(name, 40), y_label=f"{leaderboard.objective.metric} at epoch {epoch}", x_ticks=ticks)
        what = " The lines are medians."
    marks = [_point(record, place[record.number], scores[record.number], y) for record in shown if record.number in place]
    found = [scores[record.number] for record in records]
    words = f"{count(len(records), 'trial')} in which it was active, each with its best score up to epoch {epoch}.{what}{_beyond(found, y)}{thinned(len(shown), len(records), 'trial')}"
    return figure(join(axes, marks, medians), title=f"Slice: {name}", caption=words, width=WIDTH, height=HEIGHT)


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
        parts += [element("text", _short(worker, 20), class_="tick", x=142, y=lane_of[worker] + lane * 0.65, text_anchor="end") for worker in workers]
    combined: dict[str, list[str]] = {}
    for record in timed:
        start = x((record.started_at or 0.0) / divisor)
        long = max(0.6, x(((record.started_at or 0.0) + (record.seconds or 0.0)) / divisor) - start)
        y, thick = lane_of[record.worker or ""] + 2, lane - 4
        if len(timed) <= MOST_BARS:
            words = f"{told(record)}, {seconds(record.seconds)} s"
            parts.append(element("rect", element("title", words), class_=f"busy {classes_of(record)}", x=start, y=y, width=long, height=thick, data_trial=record.number))
        else:
            combined.setdefault(classes_of(record), []).append(f"M{start:.1f} {y}h{long:.1f}v{thick}h-{long:.1f}z")
    parts += [element("path", class_=f"busy {name}", d="".join(paths)) for name, paths in combined.items()]
    present = {classes_of(record) for record in timed}
    parts.append(legend([entry for entry in STATES if entry[0] in present], 150, 18))
    busy = sum(record.seconds or 0.0 for record in timed) / (max(ends) * len(workers)) if max(ends) > 0 else 0.0
    caption = f"{count(len(workers), 'worker')}, busy {100 * busy:.0f} % of the time until the last trial ended. One bar per trial."
    return figure(join(parts), title="Workers", caption=caption, width=WIDE, height=height, wide=True)


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
