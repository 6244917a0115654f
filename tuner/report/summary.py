"""What a hurried reader should know of a sweep: the few numbers that every format begins with.

Each score comes with what it should be held against: its interval on new rows, and what doing nothing would score.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from tuner.report.cautions import warnings
from tuner.report.scores import doing_nothing, epochs_saved, on_new_rows, test_result
from tuner.results.leaderboard import STATES, Leaderboard, TrialRecord


def summarise(leaderboard: Leaderboard) -> dict[str, Any]:
    """Return the summary as JSON; `schema.py` describes every key."""
    states = Counter(record.state for record in leaderboard.records)
    best = leaderboard.ranked[0] if leaderboard.ranked else None
    baseline = leaderboard.best_baseline
    seconds = [record.seconds for record in leaderboard.records if record.seconds is not None]
    return {
        "name": leaderboard.facts.get("name"),
        "metric": leaderboard.objective.metric,
        "mode": leaderboard.objective.mode,
        "trials": len(leaderboard.records),
        "states": {state: states[state] for state in STATES if states[state]},
        "complete_early": dict(Counter(record.cause["kind"] for record in leaderboard.records if record.state == "complete" and record.cause)),
        "epochs": sum(record.epochs for record in leaderboard.records),
        "epochs_saved": epochs_saved(leaderboard),
        "trial_seconds": sum(seconds) if seconds else None,
        "seconds": wall_seconds(leaderboard),
        "search_ended": leaderboard.facts.get("search_ended"),
        "best": _brief(leaderboard, best),
        "winner": _winner(leaderboard),
        "best_baseline": _brief(leaderboard, baseline),
        "gain": best.gain if best else None,
        "front": _front(leaderboard),
        "test": test_result(leaderboard),
        "doing_nothing": doing_nothing(leaderboard),
        "warnings": warnings(leaderboard),
    }


def ends_in_words(summary: Mapping[str, Any]) -> str:
    """Return how the trials ended, such as `12 complete, 5 of them by patience, 3 pruned`; empty where there is none.

    Args:
        summary: as `summarise` returns it.
    """
    early = "".join(f", {amount:,} of them by {kind}" for kind, amount in (summary.get("complete_early") or {}).items())
    return ", ".join(f"{amount:,} {state}{early if state == 'complete' else ''}" for state, amount in summary["states"].items())


def _brief(leaderboard: Leaderboard, record: TrialRecord | None) -> dict[str, Any] | None:
    if record is None:
        return None
    return {
        "trial": record.number,
        "name": record.name,
        "score": record.score,
        "spread": record.at_best(f"{leaderboard.objective.metric}_spread"),
        "best_epoch": record.best_epoch,
        "parameters": record.parameters,
    }


def _front(leaderboard: Leaderboard) -> dict[str, Any] | None:
    """Return the Pareto front in brief, or None where there is one objective."""
    if leaderboard.second is None or not leaderboard.front:
        return None
    best, *_, least = [*leaderboard.front, leaderboard.front[-1]]
    return {"trials": len(leaderboard.front), "against": leaderboard.second, "best": _brief(leaderboard, best), "least": _brief(leaderboard, least)}


def _winner(leaderboard: Leaderboard) -> dict[str, Any] | None:
    """Return whom the confirmation on fresh seeds chose, or None where there was none."""
    confirmed = leaderboard.facts.get("confirmed") or ()
    chosen = next((entry for entry in confirmed if entry.get("chosen")), None)
    if chosen is None:
        return None
    low, high, holds = on_new_rows(leaderboard, chosen)
    return {
        "trial": chosen["trial"],
        "name": leaderboard.winner.name,
        "mean": chosen["mean"],
        "low": chosen.get("low"),
        "high": chosen.get("high"),
        "interval": None if low is None or high is None else {"low": low, "high": high, "level": 0.95, "method": f"the luck of the {holds}"},
        "runs": len(chosen.get("runs") or ()),
        "near": sum(bool(entry.get("near")) for entry in confirmed),
    }


def wall_seconds(leaderboard: Leaderboard) -> float | None:
    """Return how long the sweep took, all stages together; the search alone where no stage has ended."""
    facts = leaderboard.facts
    staged = [stage["seconds"] for stage in facts.get("stages") or () if stage.get("seconds") is not None]
    return facts["seconds"] if facts.get("seconds") is not None else sum(staged) if staged else facts.get("search_seconds")
