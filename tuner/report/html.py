"""The report as one HTML file: no network, readable without scripts, better with them.

Owns the page around the sections: its policy (nothing is loaded, and only our own style and script are run, named by their hashes), and the data
that the script works on. Text gets into the page through `markup.element` alone. Must not know what a section says.
"""

import base64
import hashlib
from importlib.resources import files
from typing import Any

from tuner.report.blocks import Material
from tuner.report.importance import measure
from tuner.report.markup import Markup, data_island, element, join
from tuner.report.numbers import count, duration, number, setting
from tuner.report.reproduction import data_of
from tuner.report.sections import SECTIONS
from tuner.report.summary import summarise
from tuner.report.tables import columns
from tuner.results.leaderboard import Leaderboard, TrialRecord

# Beyond these the page would grow heavy: the learning curves of the best so many trials can be looked at one by one, and the best so many with all metrics.
MOST_CURVES = 200
MOST_DETAILED = 50


def as_html(leaderboard: Leaderboard) -> str:
    """Return the report as one HTML document."""
    material = Material(leaderboard, summarise(leaderboard), measure(leaderboard))
    name = material.summary["name"] or "Sweep"
    style, script = (Markup(files("tuner.report").joinpath(file).read_text(encoding="utf-8")) for file in ("style.css", "script.js"))
    policy = f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; img-src data:; base-uri 'none'; form-action 'none'"
    bodies = {key: (title, body) for key, (title, write) in SECTIONS.items() if (body := write(material))}
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", name="referrer", content="no-referrer"),
        element("title", f"{name}: sweep report"),
        # The icon that browsers would otherwise ask a server for.
        element("link", rel="icon", href="data:,"),
        element("style", style),
    )
    links = [element("a", title, href=f"#{key}") for key, (title, _) in bodies.items()]
    body = element(
        "body",
        element("a", "Skip to the leaderboard", href="#leaderboard", class_="skip"),
        element("header", element("p", "Hyperparameter sweep", class_="eyebrow"), element("h1", name), element("p", lede(material), class_="lede")),
        element("nav", links, aria_label="Sections"),
        element("main", [element("section", element("h2", title), content, id=key) for key, (title, content) in bodies.items()]),
        element("footer", element("p", _signature(leaderboard))),
        element("div", id="tip", class_="tip", role="tooltip", hidden=True),
        element("dialog", id="trial", aria_label="One trial"),
        data_island("data", island(leaderboard)),
        element("script", script),
    )
    return f"<!doctype html>\n{element('html', head, body, lang='en')}\n"


def _digest(content: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()


def lede(material: Material) -> Markup:
    """Return the sweep in two or three sentences."""
    summary = material.summary
    source = f" on {place.rpartition('/')[2]}" if (place := data_of(material.leaderboard.facts)) else ""
    took = f" in {duration(summary['seconds'])}" if summary["seconds"] is not None else ""
    parts: list[Any] = [f"{count(summary['trials'], 'configuration')} tried{source}{took}."]
    if best := summary["best"]:
        parts += [f" The best, {best['name']}, reached {summary['metric']} ", element("b", number(best["score"])), "."]
    if winner := summary["winner"]:
        parts += [f" On fresh seeds {winner['name']} won, with a mean of ", element("b", number(winner["mean"])), "."]
    if test := summary["test"]:
        within = f" ({number(test['interval']['low'])} to {number(test['interval']['high'])})" if test["interval"] else ""
        parts += [
            f" Trained again, it has {test['metric'].replace('_', ' ')} ",
            element("b", number(test["mean"])),
            f"{within} on test data that the search never saw.",
        ]
    return join(parts)


def _signature(leaderboard: Leaderboard) -> str:
    version = f" {leaderboard.facts['tuner']}" if leaderboard.facts.get("tuner") else ""
    return f"Made by Tuner{version} from leaderboard.parquet. This page loads nothing from the network."


def island(leaderboard: Leaderboard) -> dict[str, Any]:
    """Return what the script works on: every cell of the table as shown, and for single trials their facts and learning curves."""
    heads = columns(leaderboard)
    return {
        "fixed": [[name, setting(leaderboard.records[0].configuration.get(name))] for name in leaderboard.hyperparameters if name not in leaderboard.varying],
        "name": leaderboard.facts.get("name") or "sweep",
        "metric": leaderboard.objective.metric,
        "columns": [{"name": column.name, "heading": column.heading, "numeric": column.numeric} for column in heads],
        "names": _packed([record.name for record in leaderboard.records]),
        "shown": [_packed([column.shown(record) for record in leaderboard.records]) for column in heads],
        "seeds": [record.seed for record in leaderboard.records],
        "workers": _packed([record.worker for record in leaderboard.records]),
        "sources": _packed([record.source for record in leaderboard.records]),
        "causes": _packed([f"{record.cause['kind']}: {record.cause['message']}" if record.cause else None for record in leaderboard.records]),
        "curves": {
            str(record.number): _curves(record, leaderboard, detailed=place < MOST_DETAILED) for place, record in enumerate(leaderboard.records[:MOST_CURVES])
        },
    }


def _packed(cells: list[str | None]) -> Any:
    """Return texts as they are, or where many are alike, each once and where it stands: the page is a third smaller by it."""
    place = {cell: index for index, cell in enumerate(dict.fromkeys(cells))}
    return cells if len(place) * 4 > len(cells) else {"words": list(place), "at": [place[cell] for cell in cells]}


def _curves(record: TrialRecord, leaderboard: Leaderboard, *, detailed: bool) -> dict[str, list[float | None]]:
    kept = [metric for metric in record.curves if not metric.endswith(("_spread", "seconds"))] if detailed else [leaderboard.objective.metric]
    return {metric: [_short(value) for value in record.curves[metric]] for metric in kept if metric in record.curves}


def _short(value: float | None) -> float | None:
    """Return a number with four significant digits: enough to draw by."""
    return None if value is None else float(f"{value:.4g}")
