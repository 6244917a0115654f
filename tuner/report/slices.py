"""Slices: how the values of one hyperparameter fared, at equal epochs."""

from collections.abc import Mapping, Sequence
from typing import Any

from tuner.report.axes import Scale, area, figure, frame, mark, polyline, shortened
from tuner.report.importance import Importances
from tuner.report.markup import Markup, element, join
from tuner.report.numbers import count, setting
from tuner.report.search_figures import classes_of, said, thin, thinned
from tuner.report.smooth import QUARTILES, quantiles, running_quartiles
from tuner.report.space_figures import is_log
from tuner.results.leaderboard import Leaderboard, TrialRecord

MOST_SLICES = 4
MOST_MARKS = 250
MOST_CHOICES = 12
# More values than these of a number make an axis, fewer are choices.
LEAST_ON_AN_AXIS = 9
WIDTH, HEIGHT = 480, 300
PERCENTILE = "rank in percent: 100 beats all trials"


def slices(leaderboard: Leaderboard, importances: Importances) -> list[Markup]:
    """Return one figure for each of the hyperparameters that mattered most; none where nothing says which.

    Args:
        leaderboard: whose trials they are.
        importances: which mattered, and how the trials stand at equal epochs.
    """
    if not importances.is_telling:
        return []
    return [_slice(leaderboard, share.name, importances.standings) for share in importances.shares[:MOST_SLICES] if share.active >= 3]


def _slice(leaderboard: Leaderboard, name: str, standings: Mapping[int, float]) -> Markup:
    records = [record for record in leaderboard.ranked if record.number in standings and record.configuration.get(name) is not None]
    shown = thin(records, MOST_MARKS)
    values = [record.configuration[name] for record in records]
    numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    y = Scale(0, 100, HEIGHT - 48, 32)
    if numeric and len(set(values)) >= LEAST_ON_AN_AXIS:
        described = (leaderboard.facts.get("space") or {}).get(name) or {}
        x = Scale.around(values, 58, WIDTH - 14, log=is_log(values, described))
        place = {record.number: x(record.configuration[name]) for record in shown}
        ticks = x.ticks(6, whole=all(isinstance(value, int) for value in values))
        under = _trend([(x(record.configuration[name]), y(100 * standings[record.number])) for record in records], x)
        what = " The line is the median of the trials nearby, the band their middle half." if under else ""
    else:
        distinct = sorted(set(values), key=lambda value: (value if numeric else 0, setting(value)))[:MOST_CHOICES]
        x = Scale(-0.5, len(distinct) - 0.5, 58, WIDTH - 14)
        ticks = [(float(index), shortened(setting(choice), 80 // len(distinct))) for index, choice in enumerate(distinct)]
        place, under = {}, []
        for index, choice in enumerate(distinct):
            place |= _spread_out([record for record in shown if record.configuration[name] == choice], x, index)
            under += _box([y(100 * standings[record.number]) for record in records if record.configuration[name] == choice], x, index)
        what = " A box is the middle half, its line the median."
    marks = [
        mark(classes_of(record), place[record.number], y(100 * standings[record.number]), trial=record.number, words=said(record, leaderboard))
        for record in shown
        if record.number in place
    ]
    axes = frame(x, y, x_label=shortened(name, 40), y_label=PERCENTILE, x_ticks=ticks)
    caption = f"{count(len(records), 'trial')}.{what}{thinned(len(shown), len(records), 'trial')}"
    return figure(join(axes, under, marks), title=name, caption=caption, width=WIDTH, height=HEIGHT)


def _spread_out(records: Sequence[TrialRecord], x: Scale, index: int) -> dict[int, float]:
    """Return where trials of one choice stand, side by side in a fixed pattern, so that the same leaderboard gives the same picture."""
    return {record.number: x(index + 0.5 * ((position * 0.618034) % 1 - 0.5)) for position, record in enumerate(records)}


def _trend(points: Sequence[tuple[float, float]], x: Scale) -> list[Markup]:
    near = running_quartiles(points, x.start, x.end)
    if len(near) < 3:
        return []
    around = [(at, ends[0]) for at, ends in near] + [(at, ends[2]) for at, ends in reversed(near)]
    return [element("path", class_="band", d=area(around)), element("path", class_="band-middle", d=polyline([(at, ends[1]) for at, ends in near]))]


def _box(values: Sequence[float], x: Scale, index: int) -> list[Any]:
    if not values:
        return []
    low, middle, high = quantiles(values, QUARTILES)
    left, right = x(index - 0.32), x(index + 0.32)
    return [
        element("rect", class_="band", x=left, y=min(low, high), width=right - left, height=max(1.0, abs(high - low))) if len(values) >= 4 else None,
        element("line", class_="median", x1=left, x2=right, y1=middle, y2=middle),
    ]
