"""What should make a reader of a sweep careful, the gravest first.

Each warning is a fact of this sweep that changes how far its numbers can be trusted, or what to do next.
"""

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

from tuner.report.numbers import count, number, percent, setting
from tuner.report.scores import doing_nothing, full_epochs, plain, test_result
from tuner.results.leaderboard import Leaderboard


def warnings(leaderboard: Leaderboard) -> list[str]:
    """Return what should make a reader careful, the gravest first."""
    checks = (
        _nothing_ranked,
        _no_better_than_nothing,
        _blind_to_a_class,
        _worse_than_the_mean,
        _untested,
        _opened_again,
        _shrunk,
        _behind_baseline,
        _one_epoch,
        _failures,
        _unfinished,
        _still_improving,
        _at_the_edge,
        _one_seed,
    )
    return [text for check in checks if (text := check(leaderboard))]


def _nothing_ranked(leaderboard: Leaderboard) -> str | None:
    return None if leaderboard.ranked else f"None of {count(len(leaderboard.records), 'trial')} has a score: there is nothing to choose from."


def _no_better_than_nothing(leaderboard: Leaderboard) -> str | None:
    """The network is no better than one answer for every row: by its test score where there is one, else by its search score."""
    nothing, test = doing_nothing(leaderboard), test_result(leaderboard)
    if nothing is None or not leaderboard.ranked:
        return None
    cost = leaderboard.objective.cost
    if test and nothing["test"] is not None and plain(test["metric"]) == plain(leaderboard.objective.metric):
        name, score, other = test["metric"].replace("_", " "), test["mean"], nothing["test"]
        within = test["interval"]
        even = within is not None and within["low"] <= other <= within["high"]
        said = f"{number(score)} ({number(within['low'])} to {number(within['high'])})" if within else number(score)
    elif nothing["score"] is not None and leaderboard.winner.score is not None:
        name, score, other, even = leaderboard.objective.metric, leaderboard.winner.score, nothing["score"], False
        said = number(score)
    else:
        return None
    if cost(score) < cost(other) and not even:
        return None
    return f"The network is no better than {_gerund(nothing['name'])}: {name} {said}, and {number(other)} without any network."


def _gerund(answer: str) -> str:
    return f"answering {answer!r} for every row" if not answer.startswith("always ") else f"always answering {answer.removeprefix('always ')!r}"


def _blind_to_a_class(leaderboard: Leaderboard) -> str | None:
    test = (leaderboard.facts.get("final") or {}).get("test") or {}
    blind = [entry for entry in (*(test.get("per_class") or ()), *((test.get("multi_label") or {}).get("labels") or ())) if entry.get("support")]
    missed = [entry.get("class", entry.get("label", "")) for entry in blind if entry.get("f1") == 0]
    if not missed:
        return None
    named = ", ".join(missed[:5]) + (f" and {len(missed) - 5} more" if len(missed) > 5 else "")
    return f"The network never finds {named}: F1 is 0 there, whatever the score over all rows says."


def _worse_than_the_mean(leaderboard: Leaderboard) -> str | None:
    r2 = (((leaderboard.facts.get("final") or {}).get("test") or {}).get("errors") or {}).get("R2")
    if r2 is None or r2 > 0:
        return None
    return f"R2 on test data is {number(r2)}: the network predicts no better than the mean of the targets."


def _one_epoch(leaderboard: Leaderboard) -> str | None:
    full = full_epochs(leaderboard)
    if not leaderboard.ranked or leaderboard.winner.best_epoch != 1 or full is None or full < 4:
        return None
    return "The winner's best epoch is its first: it has hardly been trained, or training made it worse. Smaller learning steps may do better."


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
    reached = [f"{name} = {setting(value)}" for name, value in leaderboard.best.configuration.items() if _on_edge(value, space.get(name) or {})]
    return f"The best trial stands at the edge of its range in {', '.join(reached)}: a wider range may do better." if reached else None


def _on_edge(value: Any, described: Mapping[str, Any]) -> bool:
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
