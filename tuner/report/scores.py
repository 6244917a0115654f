"""What a score should be held against: its interval on new rows, what doing nothing would score, and how long a full training is.

Owns which names mean the same metric, and what values a metric can have.
"""

import math
from collections.abc import Mapping
from typing import Any

from tuner.results import wilson
from tuner.results.leaderboard import Leaderboard

# What Keras and its users call the same score.
ALIASES = {
    **dict.fromkeys(("acc", "binary_accuracy", "categorical_accuracy", "sparse_categorical_accuracy"), "accuracy"),
    "mean_absolute_error": "mae",
    "mean_squared_error": "mse",
    "root_mean_squared_error": "rmse",
    "r2_score": "r2",
}
# Scores that are shares of rows, and scores that lie between 0 and 1 whatever they are.
SHARES = ("accuracy",)
BETWEEN_0_AND_1 = (*SHARES, "auc", "precision", "recall", "f1", "f1_score")
NEVER_NEGATIVE = ("mae", "mse", "rmse")


def plain(metric: str) -> str:
    """Return the name of a metric without its split, its number (`auc_1`) and its capitals, one name for each score."""
    name = metric.lower().removeprefix("val_").removeprefix("test_")
    name = name.rstrip("0123456789").removesuffix("_") if name.rpartition("_")[2].isdecimal() else name
    return ALIASES.get(name, name)


def doing_nothing(leaderboard: Leaderboard) -> dict[str, Any] | None:
    """Return what one answer for every row scores, on validation and on test data, or None where nothing was recorded.

    The loss of a builder's own is its own business, and may be no cross-entropy at all: nothing stands beside it.
    """
    searched = (leaderboard.facts.get("dataset") or {}).get("baseline") or {}
    tested = ((leaderboard.facts.get("final") or {}).get("test") or {}).get("baseline") or {}
    metric = plain(leaderboard.objective.metric)
    on_validation = (searched.get("scores") or {}).get(metric) if metric != "loss" or _has_our_loss(leaderboard.facts) else None
    test = test_result(leaderboard)
    on_test = (tested.get("scores") or {}).get(plain(test["metric"])) if test else None
    if on_validation is None and on_test is None:
        return None
    return {"name": searched.get("name") or tested.get("name"), "score": on_validation, "test": on_test}


def _has_our_loss(facts: Mapping[str, Any]) -> bool:
    """Say whether the loss is the usual one of the task: a built-in network, and none of its own in the spec."""
    training, builder = (facts.get("spec") or {}).get("training") or {}, facts.get("builder")
    return isinstance(builder, str) and builder.startswith("search_spaces.") and not any(training.get(key) for key in ("loss", "class_weight"))


def on_new_rows(leaderboard: Leaderboard, entry: Mapping[str, Any]) -> tuple[float | None, float | None, str]:
    """Return the interval of a confirmed score, and what luck it holds: that of the seeds and, for a share of rows, of the validation rows as well.

    The seeds' interval alone says who is better on these rows; what the network does on others also hangs on which rows these are. The two are
    independent, so their reaches add by squares. An end that the metric cannot have is cut.

    Args:
        leaderboard: whose facts know the number of validation rows.
        entry: of `confirmed`.

    Returns:
        The ends, None where there are none; and `seeds`, or `seeds and 359 validation rows`.
    """
    low, high, mean = entry.get("low"), entry.get("high"), entry["mean"]
    if low is None or high is None:
        return None, None, ""
    metric = plain(leaderboard.objective.metric)
    rows = sum((leaderboard.facts.get("dataset") or {}).get("validation_rows") or ())
    on = "seeds"
    if metric in SHARES and rows and 0 <= mean <= 1:
        of_rows = wilson.of_share(mean, rows)
        low, high = mean - math.hypot(mean - low, mean - of_rows[0]), mean + math.hypot(high - mean, of_rows[1] - mean)
        on = f"seeds and {rows:,} validation rows"
    return *bounded(leaderboard, low, high), on


def bounded(leaderboard: Leaderboard, low: float, high: float) -> tuple[float, float]:
    """Return the ends of an interval of the objective, cut where the metric cannot be.

    Args:
        leaderboard: whose objective it is.
        low, high: the ends.
    """
    metric = plain(leaderboard.objective.metric)
    positive = metric in (*BETWEEN_0_AND_1, *NEVER_NEGATIVE) or (metric == "loss" and _has_our_loss(leaderboard.facts))
    return max(low, 0.0 if positive else -math.inf), min(high, 1.0 if metric in (*BETWEEN_0_AND_1, "r2") else math.inf)


def full_epochs(leaderboard: Leaderboard) -> int | None:
    """Return how many epochs a trial trains that nobody stops: as the facts say, else as the longest complete trial did."""
    spec = leaderboard.facts.get("spec") or {}
    stated = (leaderboard.facts.get("scheduler") or {}).get("max_epochs") or (spec.get("training") or {}).get("max_epochs")
    return stated or max((record.epochs for record in leaderboard.records if record.state == "complete"), default=None)


def epochs_saved(leaderboard: Leaderboard) -> int | None:
    """Return the epochs that the scheduler's stops left untrained, or None where a full training has no set length."""
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


def interval(final: Mapping[str, Any], metric: str) -> dict[str, Any] | None:
    """Return the interval of the saved model's test score: as evaluated, else Wilson's where the metric is an accuracy and its counts are recorded.

    Args:
        final: the fact of that name.
        metric: such as `test_accuracy`.
    """
    test = final.get("test") or {}
    given = (test.get("intervals") or {}).get(metric)
    if given:
        return given
    confusion, saved = test.get("confusion"), (final.get("saved") or {}).get(metric)
    roc = (test.get("two_class") or {}).get("roc") or {}
    if plain(metric) == "auc" and roc.get("interval") and saved is not None and math.isclose(saved, roc["area"], abs_tol=0.005):
        return roc["interval"]
    if not confusion or plain(metric) not in SHARES or not (rows := sum(map(sum, confusion))):
        return None
    low, high = wilson.of_share(sum(confusion[index][index] for index in range(len(confusion))) / rows, rows)
    return {"low": low, "high": high, "level": 0.95, "method": f"Wilson, {rows:,} test rows"}
