"""What a hurried reader should know of a sweep, and what should make them careful.

Computes the few numbers that every format begins with, and the warnings. Each warning is a fact of this sweep that changes how far its numbers
can be trusted, or what to do next. Must not know any format, nor what a hyperparameter means.
"""

import math
from collections import Counter
from typing import Any

from tuner.report.numbers import count, number, percent, setting
from tuner.results.leaderboard import STATES, Leaderboard, TrialRecord

# Two-sided 95 % quantile of the normal distribution.
Z95 = 1.959964


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
        "warnings": warnings(leaderboard),
    }


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
    return {
        "trial": chosen["trial"],
        "name": leaderboard.winner.name,
        "mean": chosen["mean"],
        "low": chosen.get("low"),
        "high": chosen.get("high"),
        "runs": len(chosen.get("runs") or ()),
        "near": sum(bool(entry.get("near")) for entry in confirmed),
    }


def wall_seconds(leaderboard: Leaderboard) -> float | None:
    """Return how long the sweep took, all stages together; the search alone where no stage has ended."""
    facts = leaderboard.facts
    staged = [stage["seconds"] for stage in facts.get("stages") or () if stage.get("seconds") is not None]
    return facts["seconds"] if facts.get("seconds") is not None else sum(staged) if staged else facts.get("search_seconds")


def full_epochs(leaderboard: Leaderboard) -> int | None:
    """Return how many epochs a trial trains that nobody stops: as the facts say, else as the longest complete trial did."""
    spec = leaderboard.facts.get("spec") or {}
    stated = (leaderboard.facts.get("scheduler") or {}).get("max_epochs") or (spec.get("training") or {}).get("max_epochs")
    return stated or max((record.epochs for record in leaderboard.records if record.state == "complete"), default=None)


def epochs_saved(leaderboard: Leaderboard) -> int | None:
    """Return the epochs that the scheduler's stops left untrained, or None where a full training's length is not known."""
    full = full_epochs(leaderboard)
    if full is None:
        return None
    stopped = [record for record in leaderboard.records if record.state == "pruned" and (record.cause is None or record.cause["kind"] == "scheduler")]
    return sum(max(0, full - record.epochs) for record in stopped)


def test_result(leaderboard: Leaderboard) -> dict[str, Any] | None:
    """Return the retrained winner's score on the test split, with its interval where one can be given, or None before the test."""
    final = leaderboard.facts.get("final") or {}
    means = final.get("mean") or {}
    if not means:
        return None
    wanted = f"test_{leaderboard.objective.metric.removeprefix('val_')}"
    metric = wanted if wanted in means else next(iter(means))
    return {
        "metric": metric,
        "mean": means[metric],
        "spread": (final.get("spread") or {}).get(metric),
        "runs": len(final.get("runs") or ()),
        "saved": (final.get("saved") or {}).get(metric),
        "interval": interval(final, metric),
    }


def interval(final: dict[str, Any], metric: str) -> dict[str, Any] | None:
    """Return the interval of the saved model's test score: as evaluated, else Wilson's where the metric is an accuracy and its counts are known.

    Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference", Journal of the American Statistical Association 22, 1927.
    """
    test = final.get("test") or {}
    given = (test.get("intervals") or {}).get(metric)
    confusion = test.get("confusion")
    if given or metric != "test_accuracy" or not confusion:
        return given
    rows = sum(map(sum, confusion))
    if rows == 0:
        return None
    share = sum(confusion[index][index] for index in range(len(confusion))) / rows
    center = (share + Z95**2 / (2 * rows)) / (1 + Z95**2 / rows)
    half = Z95 / (1 + Z95**2 / rows) * math.sqrt(share * (1 - share) / rows + Z95**2 / (4 * rows**2))
    return {"low": center - half, "high": center + half, "level": 0.95, "method": f"Wilson, {rows:,} test rows"}


def warnings(leaderboard: Leaderboard) -> list[str]:
    """Return what should make a reader careful, the gravest first."""
    checks = (_nothing_ranked, _untested, _opened_again, _shrunk, _behind_baseline, _failures, _unfinished, _still_improving, _at_the_edge, _one_seed)
    return [text for check in checks if (text := check(leaderboard))]


def _nothing_ranked(leaderboard: Leaderboard) -> str | None:
    return None if leaderboard.ranked else f"None of {count(len(leaderboard.records), 'trial')} has a score: there is nothing to choose from."


def _untested(leaderboard: Leaderboard) -> str | None:
    if not leaderboard.ranked or (leaderboard.facts.get("final") or {}).get("mean"):
        return None
    return "No test score: the scores below chose the winner, so the best of them is too good to be expected on new data."


def _opened_again(leaderboard: Leaderboard) -> str | None:
    openings = leaderboard.facts.get("test_openings") or ()
    return f"The test split was opened {len(openings)} times: a score that was looked at before is no longer independent." if len(openings) > 1 else None


def _shrunk(leaderboard: Leaderboard) -> str | None:
    """The winner's curse: the test score lies beyond its own interval from the score that was searched for."""
    test = test_result(leaderboard)
    if not leaderboard.ranked or test is None or test["metric"] != f"test_{leaderboard.objective.metric.removeprefix('val_')}":
        return None
    loss = leaderboard.objective.cost(test["mean"]) - leaderboard.objective.cost(math.nan if leaderboard.winner.score is None else leaderboard.winner.score)
    room = (test["interval"]["high"] - test["interval"]["low"]) / 2 if test["interval"] else 2 * (test["spread"] or 0)
    if not loss > room > 0:
        return None
    return f"The test score is worse than the search score by {number(loss)}: the best of many trials was partly luck. Quote the test score."


def _behind_baseline(leaderboard: Leaderboard) -> str | None:
    if not leaderboard.ranked or leaderboard.winner.baseline is None:
        return None
    return f"The search did not beat its baselines: the best network is {leaderboard.winner.baseline}, a hand-tuned one."


def _failures(leaderboard: Leaderboard) -> str | None:
    failed = [record for record in leaderboard.records if record.state == "failed"]
    if len(failed) * 10 <= len(leaderboard.records):
        return None
    kinds = Counter(record.cause["kind"] if record.cause else "unknown" for record in failed)
    listed = ", ".join(f"{kind} {amount}" for kind, amount in kinds.most_common())
    return f"{percent(len(failed) / len(leaderboard.records))} of the trials failed ({listed}): a part of the space was not really searched."


def _unfinished(leaderboard: Leaderboard) -> str | None:
    left = sum(record.state in ("waiting", "running") for record in leaderboard.records)
    return f"The search has not come to its end: {count(left, 'trial')} {'waits' if left == 1 else 'wait'} to be continued." if left else None


def _still_improving(leaderboard: Leaderboard) -> str | None:
    full = full_epochs(leaderboard)
    if not leaderboard.ranked or full is None or full < 2 or leaderboard.best.best_epoch != full:
        return None
    return f"The best trial was still improving at its last epoch ({full}): longer training may do better."


def _at_the_edge(leaderboard: Leaderboard) -> str | None:
    if not leaderboard.ranked:
        return None
    space = leaderboard.facts.get("space") or {}
    found = [f"{name} = {setting(value)}" for name, value in leaderboard.best.configuration.items() if _on_edge(value, space.get(name) or {})]
    return f"The best trial stands at the edge of its range in {', '.join(found)}: a wider range may do better." if found else None


def _on_edge(value: Any, described: dict[str, Any]) -> bool:
    low, high = described.get("low"), described.get("high")
    if isinstance(value, bool) or not isinstance(value, int | float) or low is None or high is None or not low < high or not low <= value <= high:
        return False
    # Nothing lies below none or one of something, so those lower ends are no edge.
    open_below = low > (1 if isinstance(value, int) else 0)
    if isinstance(value, int):
        return value == high or (value == low and open_below)
    share = math.log(value / low) / math.log(high / low) if described.get("log") else (value - low) / (high - low)
    return share > 0.98 or (share < 0.02 and open_below)


def _one_seed(leaderboard: Leaderboard) -> str | None:
    test = test_result(leaderboard)
    return "The winner was retrained on one seed only: how much luck is in its test score is not known." if test and test["runs"] == 1 else None
