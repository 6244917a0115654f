"""The pictures of the hyperparameters: configurations as lines, what mattered, and slices of that.

Each function returns one figure (`slices`: several), or None where there is nothing to draw. Must not know what any hyperparameter means, nor how
the page is put together.
"""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from tuner.report.axes import Scale, figure, focused, frame, legend, mark, polyline, shortened
from tuner.report.importance import Importances
from tuner.report.markup import Markup, element, join
from tuner.report.numbers import count, setting
from tuner.report.search_figures import MOST_POINTS, classes_of, thin, thinned, told
from tuner.results.leaderboard import Leaderboard

MOST_LINES = 250
MOST_AXES = 9
MOST_SLICES = 5
WIDTH, HEIGHT = 480, 300
WIDE = 980


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
    score = focused([record.score for record in having if record.score is not None], leaderboard.objective, bottom, top)
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
    parts.append(
        legend(
            [(f"line thread q{index}", words) for index, words in enumerate(("best fifth", "second", "third", "fourth", "last fifth"))], left - 8, height - 10
        )
    )
    left_out = [name for name in names if name not in used]
    why = "as they mattered least" if order else "for want of room"
    note = f" Not drawn, {why}: {', '.join(left_out)}." if left_out else ""
    inactive = " Lines that dip below an axis are trials in which that hyperparameter was not active." if any(axis.inactive for axis in axes.values()) else ""
    what = "Each line is a trial; where those of the best fifth run together, the search has found a preference."
    caption = f"{what}{inactive}{note}{thinned(len(shown), len(having), 'trial')}"
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
            whole = all(isinstance(value, int) for value in known)
            self.marks = few if whole and len(distinct) <= 6 else self.scale.ticks(4, whole=whole)
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
        title = element("text", shortened(self.name, 20), class_="label", x=x, y=44 if low_title else 26, text_anchor="middle")
        parts = [title, element("line", class_="axis", x1=x, x2=x, y1=self.top, y2=self.bottom)]
        for value, label in ticks:
            y = self.scale(value) if self.scale and not isinstance(value, str) else self._of_choice(label)
            parts.append(element("text", shortened(label, 14), class_="tick halo", x=x + 6, y=y + 4))
        if self.inactive:
            parts.append(element("text", "not active", class_="tick halo", x=x, y=self.bottom + 44, text_anchor="middle"))
        return join(parts)

    def _of_choice(self, label: str) -> float:
        step = (self.bottom - self.top) / len(self.choices)
        return self.bottom - step * (self.choices.index(label) + 0.5)


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
        parts.append(element("text", shortened(share.name, 19), class_="tick strong", x=128, y=y + 13, text_anchor="end"))
        parts.append(element("rect", class_="bar", x=x.start, y=y, width=max(1.0, x(share.value) - x.start), height=17, rx=2))
        parts.append(element("line", class_="whisker", x1=x(max(0.0, share.value - share.spread)), x2=x(share.value + share.spread), y1=y + 8.5, y2=y + 8.5))
        parts.append(element("text", f"{100 * share.value:.0f} %", class_="tick", x=x(share.value + share.spread) + 6, y=y + 13))
    parts.append(element("text", "share of the variation in rank", class_="label", x=x.start, y=18))
    trust = "" if importances.fit >= 0.3 else " That is little: take these as hints."
    caption = (
        f"How much worse a forest predicts unseen trials when one hyperparameter is shuffled among the trials where it is active (line: spread). "
        f"The rank is that of {len(importances.standings):,} trials, each pair compared at the last epoch that both reached; "
        f"the forest explains {max(0.0, 100 * importances.fit):.0f} % of its variation.{trust}"
    )
    return figure(join(parts), title="What mattered", caption=caption, width=WIDTH, height=height)


def slices(leaderboard: Leaderboard, importances: Importances) -> list[Markup]:
    """Return, for each of the most important hyperparameters, how its values fared at equal epochs."""
    return [_slice(leaderboard, share.name, importances.standings) for share in importances.shares[:MOST_SLICES] if share.active >= 3]


def _slice(leaderboard: Leaderboard, name: str, standings: Mapping[int, float]) -> Markup:
    records = [record for record in leaderboard.ranked if record.number in standings and record.configuration.get(name) is not None]
    shown = thin(records, MOST_POINTS // 3)
    y = Scale(0, 100, HEIGHT - 48, 32)
    values = [record.configuration[name] for record in records]
    described = (leaderboard.facts.get("space") or {}).get(name) or {}
    numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    distinct = sorted(set(values), key=lambda value: (value if numeric else 0, setting(value)))
    medians: list[Markup] = []
    if numeric and len(distinct) > 8:
        x = Scale.around(values, 58, WIDTH - 14, log=is_log(values, described))
        place = {record.number: x(record.configuration[name]) for record in shown}
        axes = frame(
            x,
            y,
            x_label=shortened(name, 40),
            y_label="beats … % of the trials",
            whole_x=all(isinstance(value, int) for value in values),
        )
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
            middle = y(100 * median(standings[record.number] for record in records if record.configuration[name] == choice))
            medians.append(element("line", class_="median", x1=x(index - 0.32), x2=x(index + 0.32), y1=middle, y2=middle))
        ticks = [(float(index), shortened(setting(choice), 80 // len(distinct))) for index, choice in enumerate(distinct)]
        axes = frame(x, y, x_label=shortened(name, 40), y_label="beats … % of the trials", x_ticks=ticks)
        what = " The lines are medians."
    marks = [
        mark(classes_of(record), place[record.number], y(100 * standings[record.number]), trial=record.number, words=told(record))
        for record in shown
        if record.number in place
    ]
    words = f"{count(len(records), 'trial')} in which it was active, by the share of all trials that each beats at equal epochs."
    words += f"{what}{thinned(len(shown), len(records), 'trial')}"
    return figure(join(axes, marks, medians), title=f"Slice: {name}", caption=words, width=WIDTH, height=HEIGHT)
