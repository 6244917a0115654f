"""The pictures of a regression, and of the probabilities of two classes or of labels.

Each function returns one figure, or None where the facts for it are missing.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from tuner.report.axes import Scale, area, figure, frame, mark, polyline, shortened
from tuner.report.markup import Markup, element, join
from tuner.report.numbers import count, number, percent, setting

MOST_POINTS = 2000
# As many lines as differ by colour.
MOST_LABELS = 5
# Classes whose sizes differ by less than this factor are about as large.
EVEN = 1.2
SIZE = 480
HEIGHT = 384


def operating(curves: Mapping[str, Mapping[str, Any] | None], *, areas: Mapping[str, str] | None = None) -> Markup | None:
    """Return the receiver operating characteristic: the share of what is positive that is found, against the share of what is not that is called so.

    Args:
        curves: what is positive -> `area` and `points`; None where a class is missing.
        areas: the same -> the area in words, with its interval.
    """
    drawn = {name: curve for name, curve in curves.items() if curve}
    if not drawn:
        return None
    x, y = Scale(0, 1, 58, SIZE - 16), Scale(0, 1, 332, 40)
    frame_ = frame(x, y, x_label="share of the others that is called positive", y_label="share of the positives that is found")
    chance = element("path", class_="ideal", d=f"M{x(0):.1f} {y(0):.1f}L{x(1):.1f} {y(1):.1f}")
    (first, curve), *more = drawn.items()
    said = (areas or {}).get(first) or number(curve["area"])
    caption = f"Area {said}; 0.5, the dashed line, is chance." if not more else f"{_left_out(drawn)}The dashed line is chance."
    drawing = join(frame_, _shade(curve["points"], x, y) if not more else None, chance, _lines(drawn, x, y))
    return figure(join(drawing, _names(drawn, 250) if more else None), title="Found against false alarms (ROC)", caption=caption, width=SIZE, height=HEIGHT)


def precision_recall(curves: Mapping[str, Mapping[str, Any] | None], *, share: float | None = None) -> Markup | None:
    """Return precision against recall.

    Args:
        curves: what is positive -> `area` and `points`; None where there is none.
        share: of the rows that are positive, which is the precision of calling all of them so.
    """
    drawn = {name: curve for name, curve in curves.items() if curve}
    if not drawn:
        return None
    x, y = Scale(0, 1, 58, SIZE - 16), Scale(0, 1, 332, 40)
    frame_ = frame(x, y, x_label="share of the positives that is found (recall)", y_label="share of the called that is positive (precision)")
    chance = element("path", class_="ideal", d=f"M{x(0):.1f} {y(share):.1f}H{x(1):.1f}") if share is not None else None
    if len(drawn) == 1:
        (curve,) = drawn.values()
        beside = f"; {number(share)}, the dashed line, is calling every row positive" if share is not None else ""
        caption = f"Area (average precision) {number(curve['area'])}{beside}."
    else:
        caption = f"{_left_out(drawn)}One line per label."
    drawing = join(frame_, chance, _lines(drawn, x, y), _names(drawn, 250) if len(drawn) > 1 else None)
    return figure(drawing, title="Precision and recall", caption=caption, width=SIZE, height=HEIGHT)


def _lines(curves: Mapping[str, Mapping[str, Any]], x: Scale, y: Scale) -> list[Markup]:
    return [
        element(
            "path",
            element("title", f"{name}: area {number(curve['area'])}"),
            class_=f"curve top top{index + 1}",
            d=polyline([(x(across), y(up)) for across, up in curve["points"]]),
        )
        for index, (name, curve) in enumerate(list(curves.items())[:MOST_LABELS])
    ]


def _shade(points: Sequence[Sequence[float]], x: Scale, y: Scale) -> Markup:
    return element("path", class_="band light", d=area([(x(0), y(0)), *((x(across), y(up)) for across, up in points), (x(1), y(0))]))


def _names(curves: Mapping[str, Mapping[str, Any]], at: float) -> list[Markup]:
    parts = []
    for index, (name, curve) in enumerate(list(curves.items())[:MOST_LABELS]):
        y = 226 + 20 * index
        parts.append(element("path", class_=f"curve top top{index + 1}", d=f"M{at} {y}h16"))
        parts.append(element("text", f"{shortened(name, 18)}  {number(curve['area'])}", class_="tick halo", x=at + 22, y=y + 4))
    return parts


def _left_out(curves: Mapping[str, Any]) -> str:
    return f"Drawn: {MOST_LABELS} of {len(curves)} labels, the most frequent ones. " if len(curves) > MOST_LABELS else ""


def thresholds(two_class: Mapping[str, Any]) -> Markup | None:
    """Return precision, recall and F1 against the probability from which on a row is called positive."""
    entries = two_class.get("thresholds") or ()
    if not any(entry.get("f1") is not None for entry in entries):
        return None
    x, y = Scale(0, 1, 58, SIZE - 16), Scale(0, 1, 332, 40)
    lines = []
    for classes, key in (("line-a", "precision"), ("line-b", "recall"), ("line-c", "f1")):
        points = [(x(entry["threshold"]), y(entry[key])) for entry in entries if entry.get(key) is not None]
        lines.append(element("path", element("title", key), class_=classes, d=polyline(points)) if points else None)
    key_parts, at = [], 170.0
    for classes, words in (("line-a", "precision"), ("line-b", "recall"), ("line-c", "F1")):
        key_parts += [element("path", class_=classes, d=f"M{at} 12h18"), element("text", words, class_="tick", x=at + 24, y=16)]
        at += 40 + 6.6 * len(words)
    best = two_class.get("best_threshold")
    usual = element("line", class_="rung", x1=x(0.5), x2=x(0.5), y1=y.end, y2=y.start)
    chosen = mark("complete", x(best["threshold"]), y(best["f1"]), words=f"F1 {number(best['f1'])} from {number(best['threshold'])} on") if best else None
    drawing = join(
        frame(x, y, x_label=f"called {shortened(str(two_class.get('positive', '1')), 24)} from this probability on", y_label=""),
        usual,
        lines,
        chosen,
        key_parts,
    )
    at_half = min((entry for entry in entries if entry.get("f1") is not None), key=lambda entry: abs(entry["threshold"] - 0.5))
    caption = f"At 0.5, the dashed line, F1 is {number(at_half['f1'])}." + (
        f" The best on these very rows, {number(best['f1'])}, is at {number(best['threshold'])}: choose a threshold on other rows than it is judged on."
        if best
        else ""
    )
    return figure(drawing, title="Where to draw the line", caption=caption, width=SIZE, height=HEIGHT)


def scatter(test: Mapping[str, Any]) -> Markup | None:
    """Return predicted against true values; where the true ones are but a few, what was predicted for each of them."""
    if test.get("groups"):
        return groups(test)
    pairs = [pair for pair in test.get("scatter") or () if all(math.isfinite(value) for value in pair)]
    if not pairs:
        return None
    shown = pairs if len(pairs) <= MOST_POINTS else [pairs[index * len(pairs) // MOST_POINTS] for index in range(MOST_POINTS)]
    values = [value for pair in pairs for value in pair]
    x, y = Scale.around(values, 70, SIZE - 16), Scale.around(values, 332, 40)
    drawing = join(
        frame(x, y, x_label="true value", y_label="predicted value"),
        element("path", class_="ideal", d=f"M{x.start:.1f} {y.start:.1f}L{x.end:.1f} {y.end:.1f}"),
        [mark("complete", x(truth), y(predicted), words=f"true {number(truth)}, predicted {number(predicted)}") for truth, predicted in shown],
    )
    rows = test.get("rows") or len(pairs)
    caption = "On the dashed line, the prediction is exact. " + (
        f"Drawn: {len(shown):,} of {count(rows, 'test row')}, evenly chosen." if len(shown) < rows else f"{count(rows, 'test row')}."
    )
    return figure(drawing, title="Predicted against true", caption=caption, width=SIZE, height=HEIGHT)


def groups(test: Mapping[str, Any]) -> Markup | None:
    """Return what was predicted for each of a few true values: the middle half as a box, nine in ten as a line."""
    entries = test["groups"]
    x = Scale(-0.5, len(entries) - 0.5, 70, SIZE - 16)
    y = Scale.around([value for entry in entries for value in (*entry["quantiles"], entry["value"])], 332, 40)
    parts = [frame(x, y, x_label="true value", y_label="predicted value", x_ticks=[(float(i), setting(entry["value"])) for i, entry in enumerate(entries)])]
    for index, entry in enumerate(entries):
        low, quarter, middle, three, high = (y(value) for value in entry["quantiles"])
        left, right, at = x(index - 0.25), x(index + 0.25), x(float(index))
        words = f"{count(entry['rows'], 'row')} of {number(entry['value'])}: median {number(entry['quantiles'][2])}"
        parts += [
            element("line", class_="whisker", x1=at, x2=at, y1=low, y2=high),
            element("rect", element("title", words), class_="band", x=left, y=three, width=right - left, height=max(1.0, quarter - three)),
            element("line", class_="median", x1=left, x2=right, y1=middle, y2=middle),
            element("path", class_="ideal", d=f"M{left - 6:.1f} {y(entry['value']):.1f}H{right + 6:.1f}"),
        ]
    caption = (
        f"The targets have only {len(entries)} different values: is this a classification? "
        "A box holds the middle half of the predictions, its line nine in ten; the dashed lines are the true values."
    )
    return figure(join(parts), title="Predicted for each true value", caption=caption, width=SIZE, height=HEIGHT)


def shares(entries: Sequence[tuple[str, int]], *, title: str, where: str) -> Markup | None:
    """Return how many rows each class has, as bars; None where all have about as many, which a sentence says as well.

    Args:
        entries: class and rows, in the order of the classes.
        title: a heading.
        where: which rows are counted.
    """
    total = sum(rows for _, rows in entries)
    amounts = [rows for _, rows in entries]
    if not total or len(entries) < 2 or max(amounts) <= EVEN * min(amounts):
        return None
    shown = sorted(entries, key=lambda entry: -entry[1])[:12]
    height = 26 + 24 * len(shown)
    x = Scale(0, shown[0][1], 150, SIZE - 90)
    parts = []
    for index, (name, rows) in enumerate(shown):
        y = 12 + 24 * index
        parts.append(element("text", shortened(name, 20), class_="tick strong", x=140, y=y + 12, text_anchor="end"))
        parts.append(element("rect", class_="bar", x=x.start, y=y, width=max(1.0, x(rows) - x.start), height=15, rx=2))
        parts.append(element("text", f"{rows:,} ({percent(rows / total)})", class_="tick", x=x(rows) + 6, y=y + 12))
    rest = f" Drawn: the largest {len(shown)} of {len(entries)}." if len(shown) < len(entries) else ""
    caption = f"{count(total, 'row')} {where}. Always {shown[0][0]} would be right in {percent(shown[0][1] / total)} of them.{rest}"
    return figure(join(parts), title=title, caption=caption, width=SIZE, height=height)
