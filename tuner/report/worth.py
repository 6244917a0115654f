"""Was it worth it? What the search gained over hand-tuning and over chance, and what early stopping saved and may have cost.

Every answer is computed from the leaderboard and says what it compares and how sure it is. Must not know any format.
"""

import math
from collections.abc import Mapping
from typing import Any

from tuner.leaderboard import Leaderboard
from tuner.report.importance import equal_epoch, score_by
from tuner.report.numbers import count, number, percent, signed
from tuner.report.summary import Z95, epochs_saved, full_epochs

LEAST_PER_SIDE = 8


def verdicts(leaderboard: Leaderboard) -> list[dict[str, str]]:
    """Return questions with their answers, as `{"question": ..., "answer": ...}`; those that the facts cannot answer are left out."""
    asked = (
        ("Did the search beat hand-tuning?", _against_baselines(leaderboard)),
        ("Did proposing by model beat drawing at random?", _against_random(leaderboard)),
        ("What did early stopping save?", _early_stopping(leaderboard)),
    )
    return [{"question": question, "answer": answer} for question, answer in asked if answer]


def _against_baselines(leaderboard: Leaderboard) -> str | None:
    baseline = leaderboard.best_baseline
    found = next((record for record in leaderboard.ranked if not record.baseline), None)
    if baseline is None or found is None:
        return None
    metric = leaderboard.objective.metric
    confirmed = {entry["trial"]: entry for entry in leaderboard.facts.get("confirmed") or ()}
    ours, theirs = confirmed.get(found.number), confirmed.get(baseline.number)
    if ours and theirs and "low" in ours and "low" in theirs:
        apart = ours["low"] > theirs["high"] if leaderboard.objective.mode == "max" else ours["high"] < theirs["low"]
        sure = "the intervals do not overlap" if apart else "the intervals overlap, so the difference may be luck"
        return (
            f"Confirmed on fresh seeds, {found.name} has {metric} {number(ours['mean'])} ({number(ours['low'])} to {number(ours['high'])}), "
            f"{baseline.name} {number(theirs['mean'])} ({number(theirs['low'])} to {number(theirs['high'])}): {sure}."
        )
    verb = "Yes" if (found.gain or 0) > 0 else "No"
    return (
        f"{verb}: {found.name} has {metric} {number(found.score)}, the best baseline, {baseline.name}, {number(baseline.score)}: {signed(found.gain)}. "
        f"These are search scores of one training each, the best of {count(len(leaderboard.records), 'trial')}: luck favours the search."
    )


def _against_random(leaderboard: Leaderboard) -> str | None:
    """Compare proposals at equal epochs by pairs.

    Source: J. A. Hanley and B. J. McNeil, "The meaning and use of the area under a receiver operating characteristic (ROC) curve", Radiology 143,
    1982, for the standard error of the share of pairs.
    """
    epoch = equal_epoch(leaderboard)
    sides: dict[str, list[float]] = {"model": [], "random": []}
    for record in leaderboard.ranked:
        score = score_by(record, leaderboard, epoch) if epoch else None
        if record.source in sides and score is not None:
            sides[record.source].append(leaderboard.objective.cost(score))
    ours, theirs = sides["model"], sides["random"]
    if min(len(ours), len(theirs)) < LEAST_PER_SIDE:
        return None
    share = sum((cost < other) + 0.5 * (cost == other) for cost in ours for other in theirs) / (len(ours) * len(theirs))
    first, second = share / (2 - share), 2 * share**2 / (1 + share)
    variance = share * (1 - share) + (len(ours) - 1) * (first - share**2) + (len(theirs) - 1) * (second - share**2)
    error = math.sqrt(max(0.0, variance) / (len(ours) * len(theirs)))
    low, high = max(0.0, share - Z95 * error), min(1.0, share + Z95 * error)
    verdict = "Yes" if low > 0.5 else "No" if high < 0.5 else "Not clearly"
    return (
        f"{verdict}: a trial proposed by the model beats a random one in {percent(share)} of the pairs (95 % interval {percent(low)} to {percent(high)}; 50 % would be chance). "
        f"{len(ours):,} against {count(len(theirs), 'trial')}, all at epoch {epoch}."
    )


def _early_stopping(leaderboard: Leaderboard) -> str | None:
    saved, full = epochs_saved(leaderboard), full_epochs(leaderboard)
    if not saved or full is None:
        return None
    spent = sum(record.epochs for record in leaderboard.records)
    return f"{saved:,} epochs were not trained, {percent(saved / (saved + spent))} of what the same trials would have taken at {count(full, 'epoch')} each. {_audit(leaderboard.facts.get('audit') or {})}".strip()


def _audit(audit: Mapping[str, Any]) -> str:
    """Say what the audit of early stopping found; its facts are named values."""
    told = [f"{name.replace('_', ' ')}: {number(value) if isinstance(value, int | float) else value}" for name, value in audit.items() if isinstance(value, int | float | str)]
    return f"Its audit says: {'; '.join(told)}." if told else "What it may have cost was not audited."
