"""The section on the data: where they came from, how they were divided, and what was decided about them on the way to numbers."""

from collections.abc import Mapping
from typing import Any

from tuner.report.blocks import Material, figures, plain_table
from tuner.report.markup import Markup, element, join
from tuner.report.model_figures import shares
from tuner.report.numbers import MISSING
from tuner.report.reproduction import data_of


def data(material: Material) -> Markup | None:
    """Return source, rows and classes of the data, and each decision about them; None where nothing is recorded."""
    facts = material.leaderboard.facts
    dataset = facts.get("dataset") or {}
    if not dataset:
        return None
    shape = " × ".join(map(str, dataset.get("input_shape") or ()))
    classes = dataset.get("classes") or {}
    task = ", ".join(part for part in (dataset.get("task"), _classes(classes), f"input {shape}" if shape else None) if part)
    lines = [("Source", data_of(facts)), ("Task", task), ("Rows", rows_of(dataset)), ("Scaling", dataset.get("scaling")), ("Target", _target(dataset))]
    listed = element("dl", [element("div", element("dt", name), element("dd", str(value))) for name, value in lines if value], class_="facts")
    drawn = figures(shares(list(classes.items()), title="Rows of each class", where="outside the test split")) if classes else None
    return join(listed, drawn, _decisions(dataset))


def _classes(classes: Mapping[str, int]) -> str | None:
    if not classes:
        return None
    least, most = min(classes.values()), max(classes.values())
    return f"{len(classes):,} classes of {least:,} rows each" if least == most else f"{len(classes):,} classes of {least:,} to {most:,} rows"


def _decisions(dataset: Mapping[str, Any]) -> Markup | None:
    """Return how each column or file was taken, why, and which key of the spec would have it otherwise."""
    decisions = dataset.get("decisions")
    if not decisions:
        return None
    heads = {"name": "column", "kind": "kind", "treatment": "taken as", "why": "because", "key": "in sweep.toml, to have it otherwise"}
    shown = [part for part in heads if part == "name" or any(entry.get(part) for entry in decisions)]
    rows = [[str(entry.get(part) or MISSING) for part in shown] for entry in decisions]
    return join(element("h3", "What was decided"), plain_table([heads[part] for part in shown], rows))


def rows_of(dataset: Mapping[str, Any]) -> str:
    """Return the rows of every split in words."""
    parts = []
    for name in ("train", "validation"):
        if amounts := dataset.get(f"{name}_rows"):
            parts.append(f"{name} {' / '.join(f'{amount:,}' for amount in amounts)}")
    if dataset.get("test_rows") is not None:
        parts.append(f"test {dataset['test_rows']:,}" + (" (as the data bring it)" if dataset.get("test_given") else ""))
    return ", ".join(parts)


def _target(dataset: Mapping[str, Any]) -> str:
    target = dataset.get("target")
    return ", ".join(map(str, target)) if isinstance(target, list | tuple) else str(target or "")
