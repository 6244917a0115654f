"""The picture that a report begins with: what doing nothing, hand-tuning, searching and testing scored, on one axis."""

from collections.abc import Mapping
from typing import Any

from tuner.report.axes import Scale, figure, mark, shortened
from tuner.report.blocks import Material
from tuner.report.markup import Markup, element, join
from tuner.report.numbers import count, number
from tuner.report.scores import plain

WIDTH, LANE = 470, 36
LEFT, RIGHT = 168, 392


def scoreline(material: Material) -> Markup | None:
    """Return one line per score, with its interval where it has one; None where there are fewer than two to compare."""
    rows = _rows(material.summary)
    if len(rows) < 2:
        return None
    kept = _in_reach(rows)
    values = [value for row in rows if row["name"] in kept for value in (row["value"], row.get("low"), row.get("high")) if value is not None]
    x = Scale.around(values, LEFT, RIGHT, room=0.1)
    height = 34 + LANE * len(rows) + 26
    parts: list[Any] = []
    for value, label in x.ticks(3):
        parts.append(element("line", class_="grid", x1=x(value), x2=x(value), y1=22, y2=height - 30))
        parts.append(element("text", label, class_="tick", x=x(value), y=height - 12, text_anchor="middle"))
    more = "more is better →" if material.summary["mode"] == "max" else "← less is better"
    parts.append(element("text", more, class_="tick", x=RIGHT, y=14, text_anchor="end"))
    for index, row in enumerate(rows):
        y = 40 + LANE * index
        parts.append(element("text", row["name"], class_="tick strong", x=LEFT - 16, y=y, text_anchor="end"))
        parts.append(element("text", shortened(row["what"], 28), class_="tick small", x=LEFT - 16, y=y + 13, text_anchor="end"))
        if row.get("low") is not None:
            parts.append(element("line", class_="whisker", x1=x(row["low"]), x2=x(row["high"]), y1=y, y2=y))
        outside = row["name"] not in kept
        kind = row["kind"]
        if outside:
            far = LEFT if row["value"] < x.low else RIGHT
            parts.append(element("path", class_="away", d=f"M{far} {y - 5}l{'-8 5 8 5' if far == LEFT else '8 5-8 5'}z"))
        else:
            parts.append(mark(kind, x(row["value"]), y, words=f"{row['name']}: {number(row['value'])}"))
        parts.append(element("text", number(row["value"]), class_="tick strong" + (" first" if row["name"] == "test" else ""), x=RIGHT + 16, y=y + 4))
    return figure(join(parts), title="Where it stands", caption=_caption(rows, kept), width=WIDTH, height=height)


def _rows(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    nothing, test, best = summary["doing_nothing"], summary["test"], summary["best"]
    comparable = bool(test) and plain(test["metric"]) == plain(summary["metric"])
    rows: list[dict[str, Any]] = []
    if nothing:
        value = nothing["test"] if comparable and nothing["test"] is not None else nothing["score"]
        rows += [{"name": "doing nothing", "what": nothing["name"], "value": value, "kind": "failed"}] if value is not None else []
    if baseline := summary["best_baseline"]:
        rows.append({"name": "by hand", "what": baseline["name"], "value": baseline["score"], "kind": "baseline"})
    if best:
        rows.append({"name": "search", "what": f"best of {count(summary['trials'], 'trial')}", "value": best["score"], "kind": "pruned"})
    if winner := summary["winner"]:
        what = f"{winner['name']}, {count(winner['runs'], 'fresh seed')}"
        rows.append({"name": "confirmed", "what": what, "value": winner["mean"], "kind": "complete", **_ends(winner["interval"] or {})})
    if comparable:
        ends = test["interval"] or {}
        rows.append({"name": "test", "what": f"mean of {count(test['runs'], 'seed')}", "value": test["mean"], "kind": "complete first", **_ends(ends)})
    return [row for row in rows if row["value"] is not None]


def _ends(interval: Mapping[str, Any]) -> dict[str, Any]:
    return {end: interval.get(end) for end in ("low", "high")}


def _in_reach(rows: list[dict[str, Any]]) -> set[str]:
    """Return the rows that the axis has room for: doing nothing is often so far off that the others would stand on one point."""
    others = [value for row in rows if row["name"] != "doing nothing" for value in (row["value"], row.get("low"), row.get("high")) if value is not None]
    names = {row["name"] for row in rows if row["name"] != "doing nothing"}
    nothing = next((row["value"] for row in rows if row["name"] == "doing nothing"), None)
    if nothing is None or len(others) < 2:
        return names | {"doing nothing"}
    spread = max(others) - min(others)
    near = max(min(others) - nothing, nothing - max(others)) <= max(3 * spread, 1e-12)
    return names | ({"doing nothing"} if near else set())


def _caption(rows: list[dict[str, Any]], kept: set[str]) -> str:
    names = {row["name"] for row in rows}
    words = "Search scores are on validation data and chose the winner, so they flatter it." if "search" in names else ""
    words += " The test score is the one to quote." if "test" in names else ""
    words += " Lines are 95 % intervals." if any(row.get("low") is not None for row in rows) else ""
    return (words + (" An arrow: far beyond the axis." if names - kept else "")).strip()
