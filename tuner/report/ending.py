"""What a sweep says last: its result in a few lines for people, and the same for machines."""

from pathlib import Path
from typing import Any

from cluster.wording import one_line
from tuner.report.summary import summarise
from tuner.report.tables import headlines
from tuner.report.tables import text as table
from tuner.results.leaderboard import Leaderboard


def ending(leaderboard: Leaderboard, folder: Path) -> str:
    """Return the best five, what was confirmed, the test scores, and where model and report lie."""
    lines = [table(leaderboard, top=5), ""]
    final = leaderboard.facts.get("final")
    width = max(16, *(len(name) + 2 for name in (final["mean"] if final else ())), 0)
    lines += [f"{'confirmed':<{width}}{value}" for label, value in headlines(summarise(leaderboard)) if label.startswith("Confirmed")]
    if final:
        for name, mean in final["mean"].items():
            spread = final["spread"][name]
            more = f" ± {spread:.4f} over {len(final['runs'])} seeds" if spread is not None else ""
            lines.append(f"{one_line(name):<{width}}{mean:.4f}{more}; the saved model: {final['saved'][name]:.4f}")
        lines.append(f"{'model':<{width}}{folder / final['model']}")
    lines.append(f"{'report':<{width}}{folder / 'report.html'}")
    return "\n".join(lines)


def ending_facts(leaderboard: Leaderboard, folder: Path) -> dict[str, Any]:
    """Return the result as JSON."""
    final = leaderboard.facts.get("final") or {}
    best = leaderboard.best
    return {
        "folder": str(folder),
        "trials": len(leaderboard.records),
        "best": {"trial": best.number, "score": best.score, "best_epoch": best.best_epoch, "configuration": dict(best.configuration)},
        "winner": summarise(leaderboard)["winner"],
        "test": {name: final.get(name) for name in ("mean", "spread", "saved")} if final else None,
        "report": str(folder / "report.html"),
    }
