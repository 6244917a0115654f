"""The section on what is needed to use the model, to check the sweep or to repeat it: seeds, hashes, versions, machines, spec, each look at the test split."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tuner.report.blocks import Material, plain_table
from tuner.report.markup import Markup, element, join
from tuner.report.numbers import MISSING, count, number, setting


def reproducibility(material: Material) -> Markup:
    """Return what is needed to check the sweep or to repeat it."""
    facts = material.leaderboard.facts
    data = facts.get("dataset") or {}
    scheduler = facts.get("scheduler") or {}
    lines = [
        ("Seed of the sweep", facts.get("seed")),
        ("Data", data_of(facts)),
        ("Content hash", data.get("content_hash")),
        ("Hash of the split", data.get("split_hash")),
        ("Builder", facts.get("builder")),
        ("Its source", _sources(facts.get("builder_sources"))),
        ("Early stopping", ", ".join(f"{name.replace('_', ' ')} {_plain(value)}" for name, value in scheduler.items())),
        ("Started", facts.get("started_at")),
        ("The search ended", facts.get("search_ended")),
        ("Hardware", facts.get("hardware")),
        ("How epochs were run", _counted(facts.get("ways"))),
        ("Python warned", _counted(facts.get("python_warnings"))),
        ("Known from earlier sweeps", _known(facts.get("warm_start"))),
        ("Extended", "; ".join(f"{extension.get('at', MISSING)}: {', '.join(extension.get('changes', ()))}" for extension in facts.get("extensions") or ())),
        ("Platform", facts.get("platform")),
        ("Tuner", facts.get("tuner")),
        ("Versions", ", ".join(f"{name} {version}" for name, version in (facts.get("versions") or {}).items())),
    ]
    listed = element("dl", [element("div", element("dt", name), element("dd", str(value))) for name, value in lines if value not in (None, "")], class_="facts")
    openings = facts.get("test_openings") or ()
    opened = plain_table(["opened at", "reason"], [[opening.get("at", MISSING), opening.get("reason", MISSING)] for opening in openings])
    spec = json.dumps(facts["spec"], indent=2, ensure_ascii=False) if facts.get("spec") else None
    return join(
        _use(facts),
        listed,
        element("h3", "Openings of the test split"),
        opened if openings else element("p", "None was recorded."),
        _earlier(facts.get("earlier_finals") or ()),
        element("details", element("summary", "The spec, defaults included"), element("pre", spec, tabindex="0")) if spec else None,
        element("p", "Every trial's seed and configuration are in leaderboard.parquet.", class_="quiet"),
    )


def data_of(facts: Mapping[str, Any]) -> str | None:
    """Return where the data came from: the file, else the name of the source."""
    place = ((facts.get("spec") or {}).get("dataset") or {}).get("path")
    return str(place) if isinstance(place, str) else (facts.get("dataset") or {}).get("source")


def _use(facts: Mapping[str, Any]) -> Markup | None:
    """Return how the saved model is applied to new data, and the sweep run again."""
    final = facts.get("final")
    again = "tuner run sweep.toml            # the sweep again: the spec stands below in full"
    if not final:
        return None
    use = "tuner predict FOLDER new.csv    # FOLDER: where this report lies; one row of predictions for each row of new.csv"
    return join(element("h3", "To use this model"), element("pre", f"{use}\n{again}", tabindex="0"))


def _sources(sources: Mapping[str, Any] | None) -> str:
    """Return the files that a builder of one's own stands in, with the hash of each, and where in the sweep's folder their copy is kept."""
    if not sources or not sources.get("files"):
        return ""
    files = ", ".join(f"{name} {str(digest)[:16]}" for name, digest in sources["files"].items())
    changed = f"; changed {count(len(sources['earlier']), 'time')} during the sweep" if sources.get("earlier") else ""
    return f"{files}; kept in {sources.get('folder', 'the sweep')}{changed}"


def _counted(amounts: Mapping[str, int] | None) -> str:
    return "; ".join(f"{words} ({count(amount, 'trial')})" for words, amount in (amounts or {}).items())


def _known(warm_start: Mapping[str, Any] | None) -> str:
    return f"{count(warm_start.get('trials', 0), 'trial')} of {', '.join(warm_start.get('sweeps', ()))}" if warm_start else ""


def _earlier(finals: Sequence[Mapping[str, Any]]) -> Markup | None:
    """Return what earlier winners had on the test split, before an extension of the search led to another one."""
    if not finals:
        return None
    metrics = list(finals[0].get("mean") or {})
    rows = [
        [str(final.get("trial", MISSING)), number(final.get("epochs")), *(number((final.get("mean") or {}).get(name)) for name in metrics)] for final in finals
    ]
    return join(
        element("h3", "Earlier winners"),
        element("p", "Each was tested as the final model is, before the search was extended and found another winner."),
        plain_table(["trial", "epochs", *(f"mean {name}" for name in metrics)], rows, numeric={0, 1, *range(2, 2 + len(metrics))}),
    )


def _plain(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else setting(value)
