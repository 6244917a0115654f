"""The pictures of training: the objective over epochs, and training against validation."""

import math
from collections.abc import Sequence

from tuner.report.axes import LEAST_TO_FOCUS, Scale, area, figure, focused, frame, mark, polyline, shortened
from tuner.report.markup import Markup, element, join
from tuner.report.numbers import count, number
from tuner.report.search_figures import WIDE, label, said
from tuner.report.smooth import quantiles
from tuner.results.leaderboard import Leaderboard, TrialRecord

NAMED = 5
# With fewer others than these each has its own line; more become a band.
LEAST_FOR_BAND = 12
MOST_PLACES = 80
PANELS = 4


def curves(leaderboard: Leaderboard, *, whole: bool = False) -> Markup | None:
    """Return the objective over epochs: the best five by name, the others as a band, and the rungs at which trials were stopped.

    Args:
        leaderboard: whose trials they are.
        whole: draw the whole range of values, not only that of the better ones.
    """
    metric = leaderboard.objective.metric
    having = [record for record in leaderboard.records if any(value is not None for value in record.curves.get(metric, ()))]
    if not having:
        return None
    best = [record for record in having if record.rank is not None and record.rank <= NAMED]
    others = [record for record in having if record not in best]
    # Scores, not all values: every network is bad in its first epochs, and the differences that matter lie later.
    scores = [record.score for record in having if record.score is not None]
    every = [value for record in having for value in record.curves[metric] if value is not None]
    late = [value for record in best for value in record.curves[metric][1:] if value is not None]
    height, longest = 400, max(record.epochs for record in having)
    x = Scale(1, max(2, longest), 70, WIDE - 190)
    y = Scale.around(every, height - 48, 52) if whole else focused(scores, leaderboard.objective, height - 48, 52, others=late)
    banded = len(others) >= LEAST_FOR_BAND
    drawn = _band(others, metric, x, y) if banded else [_line(record, leaderboard, x, y, "curve pruned") for record in others]
    drawn += [_line(record, leaderboard, x, y, f"curve top top{record.rank}") for record in reversed(best)]
    name = f"area-of-curves-{'whole' if whole else 'better'}"
    clip = element("clipPath", element("rect", x=x.start, y=y.end - 2, width=x.end - x.start + 2, height=y.start - y.end + 2), id=name)
    rungs = _rungs(leaderboard, x, y)
    drawing = join(
        frame(x, y, x_label="epoch", y_label=label(metric, leaderboard.objective.mode), x_ticks=x.ticks(8, whole=True) if longest > 1 else [(1.0, "1")]),
        clip,
        element("g", drawn, clip_path=f"url(#{name})"),
        rungs,
        _key(best, banded, len(others)),
    )
    band = " The darker band holds the middle half of the others, the lighter one eight in ten, at each epoch of those that got so far." if banded else ""
    words = " Dashed lines are the rungs of early stopping: how many trials reached each, and how many went on." if rungs else ""
    focus = " The axis gives its room to the better scores." if not whole and len(scores) >= LEAST_TO_FOCUS else ""
    caption = f"The best {len(best)} of {count(len(having), 'trial')}.{band}{focus}{words}"
    return figure(drawing, title=f"{metric} by epoch", caption=caption, width=WIDE, height=height, wide=True)


def _line(record: TrialRecord, leaderboard: Leaderboard, x: Scale, y: Scale, classes: str) -> Markup:
    points = [(x(epoch), y.unbounded(value)) for epoch, value in enumerate(record.curves[leaderboard.objective.metric], start=1) if value is not None]
    # A network of one epoch is a point: a line of no length shows only with a round cap.
    drawn = polyline(points) + ("h0" if len(points) == 1 else "")
    words = said(record, leaderboard)
    return element("path", element("title", words) if words else None, class_=classes, d=drawn, data_trial=record.number)


def _band(records: Sequence[TrialRecord], metric: str, x: Scale, y: Scale) -> list[Markup]:
    """Return what most of the trials did: two bands and the middle, up to the epoch that at least three of them reached."""
    reached = sorted((record.epochs for record in records), reverse=True)
    last = reached[min(2, len(reached) - 1)]
    places = sorted({1 + round(index * (last - 1) / max(1, min(last, MOST_PLACES) - 1)) for index in range(min(last, MOST_PLACES))})
    ends_at = []
    for epoch in places:
        values = [value for record in records if record.epochs >= epoch and (value := record.curves[metric][epoch - 1]) is not None]
        if values:
            ends_at.append((x(epoch), [y.unbounded(value) for value in quantiles(values, (0.1, 0.25, 0.5, 0.75, 0.9))]))
    if len(ends_at) < 2:
        return []
    wide, narrow = ([(at, ends[low]) for at, ends in ends_at] + [(at, ends[high]) for at, ends in reversed(ends_at)] for low, high in ((0, 4), (1, 3)))
    return [
        element("path", class_="band light", d=area(wide)),
        element("path", class_="band", d=area(narrow)),
        element("path", class_="band-middle", d=polyline([(at, ends[2]) for at, ends in ends_at])),
    ]


def _key(best: Sequence[TrialRecord], banded: bool, others: int) -> list[Markup]:
    at = WIDE - 176
    parts = [element("text", "the best", class_="label", x=at, y=54)]
    for index, record in enumerate(best):
        y = 74 + 22 * index
        parts.append(element("path", class_=f"curve top top{record.rank}", d=f"M{at} {y}h18"))
        parts.append(element("text", shortened(f"{record.rank}. {record.name}", 22), class_="tick", x=at + 24, y=y + 4, data_trial=record.number))
    if banded:
        y = 84 + 22 * len(best)
        parts += [element("rect", class_="band light", x=at, y=y - 7, width=18, height=14), element("rect", class_="band", x=at, y=y - 4, width=18, height=8)]
        parts.append(element("text", f"the other {others:,}", class_="tick", x=at + 24, y=y + 4))
    return parts


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


def against_training(leaderboard: Leaderboard) -> Markup | None:
    """Return training against validation for the best trials, in panels of one scale: where the lines part, a network learns its rows by heart."""
    base = leaderboard.objective.metric.removeprefix("val_")
    able = [record for record in leaderboard.ranked if record.epochs > 1]
    pair = next(
        ((name, f"val_{name}") for name in dict.fromkeys((base, "loss")) if any(name in record.curves and f"val_{name}" in record.curves for record in able)),
        None,
    )
    if pair is None:
        return None
    shown = [record for record in able if all(name in record.curves for name in pair)][:PANELS]
    # The first epoch's values are far off, and would leave no room for the rest.
    values = [value for record in shown for name in pair for value in record.curves[name][1 if record.epochs > 3 else 0 :] if value is not None]
    if not values:
        return None
    width, height = (WIDE - 70) / PANELS, 250
    parts = [element("text", pair[0], class_="label", x=70, y=16), *_lines_key(200)]
    said_of = []
    for index, record in enumerate(shown):
        left = 70 + width * index
        x = Scale(1, record.epochs, left, left + width - 24)
        y = Scale.around(values, height - 46, 50)
        ticks = [(1.0, "1"), (float(record.epochs), f"{record.epochs:,}")]
        parts.append(
            frame(x, y, x_label="epoch" if index == 0 else "", y_label=shortened(f"{record.rank}. {record.name}", 24), x_ticks=ticks, y_words=index == 0)
        )
        name = f"panel-{index}"
        parts.append(element("clipPath", element("rect", x=x.start, y=y.end, width=x.end - x.start + 2, height=y.start - y.end), id=name))
        lines = [
            element(
                "path", class_=classes, d=polyline([(x(epoch), y.unbounded(value)) for epoch, value in enumerate(record.curves[one], 1) if value is not None])
            )
            for one, classes in zip(pair, ("line-b", "line-a"), strict=True)
            if any(value is not None for value in record.curves[one])
        ]
        parts.append(element("g", lines, clip_path=f"url(#{name})"))
        train, validation = record.at_best(pair[0]), record.at_best(pair[1])
        if train is not None and validation is not None:
            best = record.best_epoch or 1
            parts.append(mark("complete", x(best), y(validation), trial=record.number, words=f"{record.name}, its best epoch: {best}"))
            said_of.append(f"{record.name} {number(train)} and {number(validation)}")
    at_best = f" At the best epoch (the point), in training and in validation: {'; '.join(said_of)}." if said_of else ""
    caption = f"Where the lines part, a network learns its training rows by heart.{at_best}"
    return figure(join(parts), title=f"Training against validation: {pair[0]}", caption=caption, width=WIDE, height=height, wide=True)


def _lines_key(at: float) -> list[Markup]:
    parts = []
    for classes, words in (("line-a", "validation"), ("line-b", "training")):
        parts += [element("path", class_=classes, d=f"M{at} 12h18"), element("text", words, class_="tick", x=at + 24, y=16)]
        at += math.ceil(40 + 6.6 * len(words))
    return parts
