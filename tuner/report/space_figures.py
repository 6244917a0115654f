"""The pictures of the hyperparameters: configurations as lines, and what mattered.

Each function returns one figure, or None where there is nothing to draw. Must not know what any hyperparameter means.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from tuner.report.axes import Scale, figure, focused, legend, polyline, shortened
from tuner.report.importance import Importances
from tuner.report.markup import Markup, element, join
from tuner.report.numbers import setting
from tuner.report.search_figures import WIDE, said, thin, thinned
from tuner.results.leaderboard import Leaderboard

MOST_LINES = 200
MOST_AXES = 9
MOST_BARS = 14
WIDTH = 480


def parallel(leaderboard: Leaderboard, importances: Importances) -> Markup | None:
    """Return the configurations as lines across one axis per hyperparameter, coloured by rank, with the score at the right.

    Args:
        leaderboard: whose trials they are.
        importances: which hyperparameters go first where there is no room for all.
    """
    having = [record for record in leaderboard.ranked if record.configuration]
    order = [share.name for share in importances.shares] if importances.is_telling else []
    names = sorted(leaderboard.varying, key=lambda name: order.index(name) if name in order else len(order))
    if len(having) < 3 or not names:
        return None
    used = [name for name in leaderboard.varying if name in names[:MOST_AXES]]
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
        words = said(record, leaderboard)
        lines.append(element("path", element("title", words) if words else None, class_=classes, d=polyline(points), data_trial=record.number))
    at = left + gap * len(used)
    parts: list[Any] = [element("g", lines, class_="threads")]
    for index, name in enumerate(used):
        parts.append(axes[name].drawing(left + gap * index, index % 2 == 1))
    parts.append(element("line", class_="axis", x1=at, x2=at, y1=top, y2=bottom))
    parts += [_plate(text, at + 6, score(value)) for value, text in score.ticks()]
    parts.append(element("text", leaderboard.objective.metric, class_="label", x=at, y=26 if len(used) % 2 == 0 else 44, text_anchor="middle"))
    # Where the script lets a reader choose a part of an axis.
    for index, name in enumerate([*used, leaderboard.objective.metric]):
        parts.append(element("rect", class_="brush", x=left + gap * index - 13, y=top - 6, width=26, height=bottom - top + 40, data_axis=name))
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


def _plate(words: str, x: float, y: float, *, anchor: str = "start") -> Markup:
    """Return a label on a ground of its own, so that no line runs through it."""
    wide = 6.3 * len(words) + 6
    begin = x - 3 if anchor == "start" else x - wide / 2
    return join(
        element("rect", class_="plate", x=begin, y=y - 8, width=wide, height=16, rx=3),
        element("text", words, class_="tick", x=x, y=y + 4, text_anchor=anchor),
    )


class _Axis:
    """The values of one hyperparameter from bottom to top; below them a place for trials in which it was not active."""

    def __init__(self, name: str, leaderboard: Leaderboard, top: float, bottom: float) -> None:
        self.name, self.top, self.bottom = name, top, bottom
        values = [record.configuration.get(name) for record in leaderboard.ranked if record.configuration]
        given = [value for value in values if value is not None]
        self.inactive = len(given) < len(values)
        numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in given) and len(set(given)) > 1
        self.scale: Scale | None = None
        if numeric:
            self.scale = Scale.around(given, bottom, top, log=is_log(given, (leaderboard.facts.get("space") or {}).get(name) or {}), room=0.02)
            distinct = sorted(set(given))
            few = [(value, setting(value)) for value in distinct]
            whole = all(isinstance(value, int) for value in given)
            self.marks = few if whole and len(distinct) <= 6 else self.scale.ticks(4, whole=whole)
        self.choices = sorted({setting(value) for value in given}) or [setting(None)]

    def __call__(self, value: Any) -> float:
        if value is None:
            return self.bottom + 26
        return self.scale(value) if self.scale else self._of_choice(setting(value))

    def drawing(self, x: float, low_title: bool) -> Markup:
        """Return heading, line and labels.

        Args:
            x: where it stands.
            low_title: its heading stands lower than that of its neighbours: long names would run into each other.
        """
        title = element("text", shortened(self.name, 20), class_="label", x=x, y=44 if low_title else 26, text_anchor="middle")
        parts = [title, element("line", class_="axis", x1=x, x2=x, y1=self.top, y2=self.bottom)]
        labels = [(self.scale(value), label) for value, label in self.marks] if self.scale else [(self._of_choice(label), label) for label in self.choices]
        parts += [_plate(shortened(label, 14), x + 6, y) for y, label in labels]
        if self.inactive:
            parts.append(_plate("not active", x, self.bottom + 42, anchor="middle"))
        return join(parts)

    def _of_choice(self, label: str) -> float:
        step = (self.bottom - self.top) / len(self.choices)
        return self.bottom - step * (self.choices.index(label) + 0.5)


def is_log(values: Sequence[float], described: Mapping[str, Any]) -> bool:
    """Say whether values belong on a logarithmic axis: as the space says, else if they are positive and span more than a factor of 50.

    Args:
        values: at least one.
        described: the hyperparameter as the space describes it.
    """
    return bool(described["log"]) if "log" in described and min(values) > 0 else min(values) > 0 and max(values) / min(values) > 50


def importance_bars(importances: Importances) -> Markup | None:
    """Return one bar per hyperparameter, with its spread; nothing where the forest explains nothing."""
    if not importances.is_telling:
        return None
    shares = importances.shares[:MOST_BARS]
    height = 40 + 26 * len(shares) + 34
    x = Scale(0, max(0.05, *(min(share.value + share.spread, 1.5) for share in shares)) * 1.04, 196, WIDTH - 10)
    parts = []
    for value, label in [(value, f"{100 * value:.0f} %") for value, _ in x.ticks(4)]:
        parts.append(element("line", class_="grid", x1=x(value), x2=x(value), y1=30, y2=height - 36))
        parts.append(element("text", label, class_="tick", x=x(value), y=height - 18, text_anchor="middle"))
    for index, share in enumerate(shares):
        y = 36 + 26 * index
        # The number belongs to the name, not to the end of the line, where it reads as the line's.
        parts.append(element("text", shortened(share.name, 19), class_="tick strong", x=140, y=y + 13, text_anchor="end"))
        parts.append(element("text", f"{100 * share.value:.0f} %", class_="tick strong", x=186, y=y + 13, text_anchor="end"))
        parts.append(element("rect", class_="bar", x=x.start, y=y, width=max(1.0, x(share.value) - x.start), height=17, rx=2))
        parts.append(element("line", class_="whisker", x1=x(max(0.0, share.value - share.spread)), x2=x(share.value + share.spread), y1=y + 8.5, y2=y + 8.5))
    parts.append(element("text", "share of the variation in rank", class_="label", x=x.start, y=18))
    trust = "" if importances.fit >= 0.3 else " That is little: take these as hints."
    caption = (
        f"How much worse a forest predicts unseen trials when one hyperparameter is shuffled among the trials where it is active (line: spread). "
        f"The rank is that of {len(importances.standings):,} trials, each pair compared at the last epoch that both reached; "
        f"the forest explains {100 * importances.fit:.0f} % of its variation.{trust}"
    )
    return figure(join(parts), title="What mattered", caption=caption, width=WIDTH, height=height)
