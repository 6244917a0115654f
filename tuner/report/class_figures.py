"""The pictures of a classifier: where it is right, where it is wrong, and how sure it is.

Each function returns one figure, or None where the facts for it are missing.
"""

import math
from collections.abc import Mapping
from typing import Any

from tuner.report.axes import Scale, figure, frame, shortened
from tuner.report.markup import Markup, element, join, picture
from tuner.report.numbers import count, number, percent

MOST_NAMED_CLASSES = 24
MOST_MISTAKES = 24
SIZE = 480


def confusion(test: Mapping[str, Any]) -> Markup | None:
    """Return the confusion matrix: true classes downwards, predicted ones to the right."""
    counts, classes = test.get("confusion"), test.get("classes") or ()
    if not counts or not classes:
        return None
    size = len(counts)
    named = size <= MOST_NAMED_CLASSES
    longest = max(len(name) for name in classes) if named else 0
    left = 40 + min(96, 7 * longest) if named else 40
    cell = (SIZE - left - 12) / size
    top = 40 if not named or longest <= 3 else 46 + min(60, 5 * longest)
    height = int(top + cell * size + 14)
    worst = max((counts[row][column] for row in range(size) for column in range(size) if row != column), default=0)
    parts: list[Markup] = [element("text", "predicted →", class_="label", x=max(left, 64), y=16), element("text", "true ↓", class_="label", x=4, y=16)]
    for row in range(size):
        total = sum(counts[row])
        for column in range(size):
            amount = counts[row][column]
            if not amount and not named:
                continue
            # Hits and mistakes have scales of their own: beside thousands of hits no mistake would show.
            level = 0 if not amount else math.ceil(4 * amount / total) if row == column else math.ceil(4 * amount / max(worst, 4))
            kind = f"hit h{level}" if row == column else f"miss h{level}"
            words = f"{classes[row]} taken for {classes[column]}: {amount:,}" if row != column else f"{classes[row]} recognised: {amount:,} of {total:,}"
            x, y = left + cell * column, top + cell * row
            parts.append(element("rect", element("title", words), class_=kind, x=x + 0.5, y=y + 0.5, width=cell - 1, height=cell - 1))
            if named and amount and cell >= 14:
                anchor = {"x": x + cell / 2, "y": y + cell / 2 + 4, "text_anchor": "middle"}
                parts.append(element("text", f"{amount:,}", class_=f"count h{level}" + (" small" if cell < 6.5 * len(f"{amount:,}") + 4 else ""), **anchor))
        if named:
            middle = top + cell * (row + 0.5) + 4
            parts.append(element("text", shortened(classes[row], 18), class_="tick", x=left - 7, y=middle, text_anchor="end"))
            across = left + cell * (row + 0.5)
            if longest <= 3:
                parts.append(element("text", classes[row], class_="tick", x=across, y=top - 7, text_anchor="middle"))
            else:
                parts.append(element("text", shortened(classes[row], 18), class_="tick", transform=f"translate({across + 4:.1f} {top - 7:.1f}) rotate(-45)"))
    right = sum(counts[index][index] for index in range(size))
    rows = sum(map(sum, counts))
    pairs = sorted(((counts[row][column], classes[row], classes[column]) for row in range(size) for column in range(size) if row != column), reverse=True)[:3]
    often = "; most often " + ", ".join(f"{truth} taken for {taken} ({amount:,})" for amount, truth, taken in pairs if amount) if worst else ""
    caption = f"{right:,} of {count(rows, 'test row')} right, {rows - right:,} wrong{often}. Shades of hits and of mistakes have scales of their own."
    return figure(join(parts), title="Confusion matrix", caption=caption, width=SIZE, height=height)


def calibration(test: Mapping[str, Any]) -> Markup | None:
    """Return how often the model is right when it says that it is sure."""
    bins = [entry for entry in test.get("calibration") or () if entry["count"]]
    if not bins:
        return None
    x, y = Scale(0, 1, 58, SIZE - 16), Scale(0, 1, 332, 40)
    most = max(entry["count"] for entry in bins)
    marks = []
    for entry in bins:
        words = f"{count(entry['count'], 'row')}: confidence {number(entry['confidence'])}, right {number(entry['accuracy'])}"
        radius = 3 + 9 * math.sqrt(entry["count"] / most)
        marks.append(element("circle", element("title", words), class_="bubble", cx=x(entry["confidence"]), cy=y(entry["accuracy"]), r=radius))
    drawing = join(
        frame(x, y, x_label="confidence of the model", y_label="share that was right"),
        element("path", class_="ideal", d=f"M{x(0):.1f} {y(0):.1f}L{x(1):.1f} {y(1):.1f}"),
        marks,
    )
    rows = sum(entry["count"] for entry in bins)
    gap = sum(entry["count"] * abs(entry["confidence"] - entry["accuracy"]) for entry in bins) / rows
    over = sum(entry["count"] * (entry["confidence"] - entry["accuracy"]) for entry in bins) > 0
    caption = (
        "On the dashed line, 80 % confidence means 80 % right. "
        f"On average the two differ by {100 * gap:.1f} points; the model is rather too {'sure' if over else 'modest'}. "
        "The area of a bubble is its number of rows."
    )
    return figure(drawing, title="Calibration", caption=caption, width=SIZE, height=384)


def mistakes(test: Mapping[str, Any]) -> Markup | None:
    """Return the most confident mistakes, as pictures where the data are images."""
    wrong = (test.get("mistakes") or ())[:MOST_MISTAKES]
    if not wrong:
        return None
    cards = []
    for entry in wrong:
        words = f"{entry['truth']} taken for {entry['predicted']}"
        image = element("img", src=picture(entry["image"]), alt=words, width=72, height=72) if entry.get("image") else None
        row = f"row {entry['row']:,}" if entry.get("row") is not None else None
        words_beside = (
            element("b", entry["truth"]),
            " taken for ",
            element("b", entry["predicted"]),
            element("span", f"{_sure(entry['confidence'])} sure"),
            element("span", row) if row else None,
        )
        cards.append(element("li", image, element("div", words_beside)))
    return element(
        "div",
        element("h3", "The most confident mistakes"),
        element("ul", cards, class_="mistakes" if any(entry.get("image") for entry in wrong) else "mistakes words"),
        class_="wide",
    )


def _sure(confidence: float) -> str:
    """Return a share as percent, with a decimal near the end: no network is 100 % sure."""
    return percent(confidence) if confidence < 0.985 else f"{min(99.9, 100 * confidence):.1f} %"
