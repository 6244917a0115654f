"""Scales, ticks and the frame of a figure, in SVG.

Owns where a value stands in a picture and how its axes are written. It draws in no colour of its own: classes name what a mark is, and `style.css` says
how that looks by day, by night and on paper.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tuner.report.markup import Markup, element, join
from tuner.study.objective import Objective

# With fewer scores than these, all of them are worth their room.
LEAST_TO_FOCUS = 12


@dataclass(frozen=True)
class Scale:
    """A linear or logarithmic scale from values to picture units.

    Attributes:
        low, high: the values at its ends, low < high; for a logarithmic scale above 0.
        start, end: where these stand, in picture units.
        log: whether it is logarithmic.

    Raises:
        ValueError: the ends do not fit.
    """

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __post_init__(self) -> None:
        if not self.low < self.high or (self.log and self.low <= 0):
            raise ValueError(f"scale: {self.low} to {self.high}, log {self.log}; expected low < high, and above 0 where it is logarithmic")

    @classmethod
    def around(cls, values: Sequence[float], start: float, end: float, *, log: bool = False, room: float = 0.04) -> "Scale":
        """Return a scale that holds all values, with some room at both ends.

        Args:
            values: what it holds; none: 0 and 1.
            start, end: where its ends stand, in picture units.
            log: make it logarithmic, where all values are above 0.
            room: at both ends, as a share of the values' spread.
        """
        low, high = (min(values), max(values)) if values else (0.0, 1.0)
        log = log and low > 0
        if log:
            spread = (math.log(high / low) or 1.0) * room
            return cls(low * math.exp(-spread), high * math.exp(spread), start, end, log=True)
        spread = (high - low) * room or abs(high) * room or 0.5
        return cls(low - spread, high + spread, start, end)

    def __call__(self, value: float) -> float:
        """Return where a value stands; one beyond the ends stands at the nearer end."""
        return self.unbounded(min(max(value, self.low), self.high))

    def unbounded(self, value: float) -> float:
        """Return where a value stands, also beyond the ends; for what is clipped to the area of the figure."""
        share = math.log(value / self.low) / math.log(self.high / self.low) if self.log else (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self, wanted: int = 5, *, whole: bool = False) -> list[tuple[float, str]]:
        """Return round values within the scale with their labels: powers of ten, or multiples of 1, 2 or 5 of one.

        Args:
            wanted: about how many.
            whole: only whole numbers.
        """
        if self.log and (decades := math.log10(self.high / self.low)) >= 1.5:
            every = max(1, math.ceil(decades / wanted))
            exponents = range(math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9) + 1)
            shown = [exponent for exponent in exponents if exponent % every == 0 or len(exponents) <= wanted]
            return [(10.0**exponent, f"{10**exponent:,}" if 0 <= exponent <= 6 else f"{10.0**exponent:g}") for exponent in shown]
        rough = (self.high - self.low) / wanted
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
        step = max(1.0, step) if whole else step
        decimals = max(0, -math.floor(math.log10(step) + 1e-9))
        first = math.ceil(self.low / step - 1e-9)
        return [(index * step, f"{index * step:,.{decimals}f}") for index in range(first, math.floor(self.high / step + 1e-9) + 1)]


def focused(values: Sequence[float], objective: Objective, start: float, end: float, *, others: Sequence[float] = ()) -> Scale:
    """Return a scale that gives its room to the better values: hopeless ones stand at its edge.

    Args:
        values: the scores.
        objective: says which are better.
        start, end: where its ends stand, in picture units.
        others: values that are to be within it as well.
    """
    if len(values) < LEAST_TO_FOCUS:
        return Scale.around([*values, *others], start, end, room=0.06)
    ordered = sorted([*values, *others], key=objective.cost)
    best, middle, worst = ordered[0], ordered[len(ordered) // 2], ordered[-1]
    reach = abs(middle - best) * 3.5
    if abs(worst - best) <= reach or reach == 0:
        return Scale.around(ordered, start, end, room=0.06)
    return Scale.around([best, best + math.copysign(reach, worst - best)], start, end, room=0.06)


def frame(
    x: Scale,
    y: Scale,
    *,
    x_label: str,
    y_label: str,
    x_ticks: Sequence[tuple[float, str]] | None = None,
    below: float = 0.0,
    y_words: bool = True,
) -> Markup:
    """Return grid, tick labels and axis titles; the area of the figure is what the two scales span.

    Args:
        x, y: the scales.
        x_label, y_label: what stands on the axes.
        x_ticks: values with their labels; None: round ones.
        below: room between the area and the labels of the x axis, in picture units, for what lies beyond the area.
        y_words: write the labels of the y axis; not where a panel at the left has them.
    """
    left, right, bottom, top = x.start, x.end, y.start, y.end
    parts = []
    for value, label in y.ticks():
        parts.append(element("line", class_="grid", x1=left, x2=right, y1=y(value), y2=y(value)))
        if y_words:
            parts.append(element("text", label, class_="tick", x=left - 7, y=y(value) + 4, text_anchor="end"))
    for value, label in x.ticks(6) if x_ticks is None else x_ticks:
        parts.append(element("line", class_="grid", x1=x(value), x2=x(value), y1=top, y2=bottom + below))
        parts.append(element("text", label, class_="tick", x=x(value), y=bottom + below + 17, text_anchor="middle"))
    parts.append(element("line", class_="axis", x1=left, x2=right, y1=bottom, y2=bottom))
    if x_label:
        parts.append(element("text", x_label, class_="label", x=(left + right) / 2, y=bottom + below + 36, text_anchor="middle"))
    parts.append(element("text", y_label, class_="label", x=left, y=top - 10, text_anchor="start"))
    return join(parts)


def figure(drawing: Markup, *, title: str, caption: str, width: int, height: int, wide: bool = False) -> Markup:
    """Return a figure with its heading and caption.

    Args:
        drawing: what stands inside the picture.
        title: a heading.
        caption: one or two sentences that say what is to be seen; they are the picture's alternative text as well.
        width, height: of the picture, in picture units.
        wide: it takes the page's whole width, and scrolls sideways on a narrow screen.
    """
    svg = element(
        "svg",
        drawing,
        viewBox=f"0 0 {width} {height}",
        role="img",
        aria_label=f"{title}. {caption}",
        preserveAspectRatio="xMidYMid meet",
        width=width,
        height=height,
    )
    # What scrolls must be reachable by keyboard.
    holder = element("div", svg, class_="scroll", tabindex="0", role="group", aria_label=f"{title} (scrolls sideways)") if wide else svg
    return element("figure", element("h3", title), holder, element("figcaption", caption), class_="wide" if wide else None)


def legend(entries: Sequence[tuple[str, str]], x: float, y: float) -> Markup:
    """Return a legend in one row.

    Args:
        entries: classes of a mark, and what it means.
        x, y: where it begins.
    """
    parts, at = [], x
    for classes, words in entries:
        parts.append(mark(classes, at + 5, y - 4))
        parts.append(element("text", words, class_="tick", x=at + 14, y=y))
        at += 24 + 6.6 * len(words)
    return join(parts)


def mark(classes: str, x: float, y: float, *, trial: int | None = None, words: str | None = None) -> Markup:
    """Return a data point. Its shape follows its class, so that colour never stands alone.

    Args:
        classes: what it is, first the kind: `complete`, `pruned`, `failed`, `baseline`, `beyond`, `swatch` or `line`.
        x, y: where it stands, in picture units.
        trial: number of the trial that it is.
        words: what it says when pointed at.
    """
    kind = classes.partition(" ")[0]
    title = element("title", words) if words else None
    common = {"class_": classes, "data_trial": trial}
    if kind == "baseline":
        return element("path", title, d=f"M{x:.1f} {y - 5:.1f}l5 5-5 5-5-5z", **common)
    if kind == "failed":
        return element("path", title, d=f"M{x - 4:.1f} {y - 4:.1f}l8 8m0-8l-8 8", **common)
    if kind == "beyond":
        return element("path", title, d=f"M{x - 3.5:.1f} {y - 7:.1f}h7l-3.5 5z", **common)
    if kind == "swatch":
        return element("rect", title, x=x - 5, y=y - 5, width=11, height=10, **common)
    if kind == "line":
        return element("path", title, d=f"M{x - 6:.1f} {y:.1f}h12", **common)
    return element("circle", title, cx=x, cy=y, r=3.4 if kind == "complete" else 3, **common)


def polyline(points: Sequence[tuple[float, float]]) -> str:
    """Return the `d` of a path through points."""
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)


def area(points: Sequence[tuple[float, float]]) -> str:
    """Return the `d` of a closed area around points."""
    return polyline(points) + "z"


def shortened(words: str, most: int) -> str:
    """Return a text with an ellipsis where it is cut.

    Args:
        words: the text.
        most: characters that it may have, the ellipsis included.
    """
    return words if len(words) <= most else words[: most - 1] + "…"
