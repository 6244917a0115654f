"""What a sweep says last: its result in a few lines for people, and the same for machines."""

from pathlib import Path
from typing import Any

from cluster.wording import one_line
from tuner.report.numbers import number, scatter
from tuner.report.scores import plain
from tuner.report.summary import summarise
from tuner.report.tables import headlines
from tuner.report.tables import text as table
from tuner.results.leaderboard import Leaderboard


def ending(leaderboard: Leaderboard, folder: Path) -> str:
    """Return the best five, what was confirmed, the test scores each beside what doing nothing would score, and where model and report lie.

    Args:
        leaderboard: of the sweep.
        folder: the sweep's.
    """
    rows = [("confirmed", value) for label, value in headlines(summarise(leaderboard)) if label.startswith("Confirmed")]
    final = leaderboard.facts.get("final")
    if final:
        nothing = (final.get("test") or {}).get("baseline") or {}
        for name, mean in final["mean"].items():
            spread, without = final["spread"][name], (nothing.get("scores") or {}).get(plain(name))
            more = f" ± {scatter(spread)} over {len(final['runs'])} seeds" if spread is not None else ""
            beside = f"; {nothing['name']}: {number(without)}" if without is not None else ""
            rows.append((name, f"{number(mean)}{more}; the saved model: {number(final['saved'][name])}{beside}"))
        rows.append(("model", str(folder / final["model"])))
    rows.append(("report", str(folder / "report.html")))
    # A metric may have any name: the column is as wide as the longest.
    wide = max(16, *(len(one_line(label, None)) + 2 for label, _ in rows), 0)
    return "\n".join([table(leaderboard, top=5), *(f"{one_line(label, None):<{wide}}{one_line(value, None)}" for label, value in rows)])


def ending_facts(leaderboard: Leaderboard, folder: Path) -> dict[str, Any]:
    """Return the result as JSON.

    Args:
        leaderboard: of the sweep.
        folder: the sweep's.
    """
    final = leaderboard.facts.get("final") or {}
    best, summary = leaderboard.best, summarise(leaderboard)
    return {
        "folder": str(folder),
        "trials": len(leaderboard.records),
        "best": {"trial": best.number, "score": best.score, "best_epoch": best.best_epoch, "configuration": dict(best.configuration)},
        "winner": summary["winner"],
        "doing_nothing": summary["doing_nothing"],
        "test": {name: final.get(name) for name in ("mean", "spread", "saved")} if final else None,
        "report": str(folder / "report.html"),
    }
