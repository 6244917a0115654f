"""What the sections of the HTML report share: their material, and the blocks that they are built of."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

from tuner.report.importance import Importances
from tuner.report.markup import Markup, element
from tuner.results.leaderboard import Leaderboard


@dataclass(frozen=True)
class Material:
    """What the sections are made of: the leaderboard, its summary, and what was computed from it once."""

    leaderboard: Leaderboard
    summary: Mapping[str, Any]
    importances: Importances


def plain_table(heads: Sequence[str], rows: Sequence[Sequence[str]], *, numeric: Set[int] = frozenset()) -> Markup:
    """Return a table of texts.

    Args:
        heads: what stands above the columns.
        rows: as many texts each.
        numeric: places of the columns that are set to the right.
    """
    head = element("tr", [element("th", text, scope="col", class_="n" if index in numeric else None) for index, text in enumerate(heads)])
    body = [element("tr", [element("td", text, class_="n" if index in numeric else long(text)) for index, text in enumerate(row)]) for row in rows]
    return element(
        "div",
        element("table", element("thead", head), element("tbody", body)),
        class_="scroll",
        tabindex="0",
        role="group",
        aria_label=f"Table: {', '.join(heads)}",
    )


def long(text: str) -> str | None:
    """Return the class of a cell whose text may wrap, or None for one that stays on its line."""
    return "long" if len(text) > 24 else None


def figures(*drawn: Markup | None) -> Markup | None:
    """Return figures side by side, or None where there are none."""
    present = [figure for figure in drawn if figure]
    return element("div", present, class_="figures") if present else None


def switch(name: str, label: str, panes: Sequence[tuple[str, Markup | None]]) -> Markup | None:
    """Return several views of the same, of which one is seen at a time, on paper too. It works by style alone, without scripts.

    Args:
        name: unique on the page.
        label: what is chosen, for those who do not see it.
        panes: what a view is called, and the view; those that are None are left out.
    """
    present = [(words, pane) for words, pane in panes if pane]
    if len(present) < 2:
        return present[0][1] if present else None
    buttons = [
        (
            element("input", type="radio", name=name, id=f"{name}-{index}", checked=index == 0),
            element("label", words, for_=f"{name}-{index}"),
        )
        for index, (words, _) in enumerate(present)
    ]
    return element("div", buttons, [element("div", pane, class_="pane") for _, pane in present], class_="switch", role="group", aria_label=label)
