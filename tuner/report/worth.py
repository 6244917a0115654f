"""Was it worth it? What the search gained over hand-tuning and over chance, and what early stopping saved and may have cost.

Every answer is computed from the leaderboard and says what it compares and how sure it is. Must not know any format.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tuner.report.importance import Contest
from tuner.report.numbers import count, duration, number, percent, signed
from tuner.report.scores import bounded, epochs_saved, full_epochs
from tuner.results.leaderboard import Leaderboard
from tuner.results.wilson import Z95

LEAST_PER_SIDE = 8
# How a forecast is shown, by what it is of.
SHOWN: dict[str, Callable[[float], str]] = {"seconds": duration, "epochs": lambda epochs: f"{epochs:,.0f}"}


def verdicts(leaderboard: Leaderboard) -> list[dict[str, str]]:
    """Return questions with their answers, as `{"question": ..., "answer": ...}`; those that the facts cannot answer are left out."""
    asked = (
        ("Did the search beat hand-tuning?", _against_baselines(leaderboard)),
        ("Did proposing by model beat drawing at random?", _against_random(leaderboard)),
        ("What did early stopping save?", _early_stopping(leaderboard)),
        ("Did the sweep take what was forecast?", _forecast(leaderboard)),
    )
    return [{"question": question, "answer": answer} for question, answer in asked if answer]


def _against_baselines(leaderboard: Leaderboard) -> str | None:
    baseline = leaderboard.best_baseline
    proposed = next((record for record in leaderboard.ranked if not record.baseline), None)
    if baseline is None or proposed is None:
        return None
    metric = leaderboard.objective.metric
    confirmed = {entry["trial"]: entry for entry in leaderboard.facts.get("confirmed") or ()}
    ours, theirs = confirmed.get(proposed.number), confirmed.get(baseline.number)
    if ours and theirs and "low" in ours and "low" in theirs:
        apart = ours["low"] > theirs["high"] if leaderboard.objective.mode == "max" else ours["high"] < theirs["low"]
        sure = "the intervals do not overlap" if apart else "the intervals overlap, so the difference may be luck"
        ends = [" to ".join(map(number, bounded(leaderboard, entry["low"], entry["high"]))) for entry in (ours, theirs)]
        return (
            f"Confirmed on fresh seeds, {proposed.name} has {metric} {number(ours['mean'])} ({ends[0]}), "
            f"{baseline.name} {number(theirs['mean'])} ({ends[1]}): {sure}."
        )
    verb = "Yes" if (proposed.gain or 0) > 0 else "No"
    return (
        f"{verb}: {proposed.name} has {metric} {number(proposed.score)}, the best baseline, {baseline.name}, {number(baseline.score)}: "
        f"{signed(proposed.gain)}. "
        f"These are search scores of one training each, the best of {count(len(leaderboard.records), 'trial')}: luck favours the search."
    )


def _against_random(leaderboard: Leaderboard) -> str | None:
    """Compare proposals at equal epochs by pairs.

    Source: J. A. Hanley and B. J. McNeil, "The meaning and use of the area under a receiver operating characteristic (ROC) curve", Radiology 143,
    1982, for the standard error of the share of pairs.
    """
    contest = Contest(leaderboard)
    ours = [record for record in contest.records if record.source == "model"]
    theirs = [record for record in contest.records if record.source == "random"]
    if min(len(ours), len(theirs)) < LEAST_PER_SIDE:
        return None
    share = contest.share_of_wins(ours, theirs)
    # Drawn one win and one loss towards the middle, as Agresti and Coull do for one sample: a share of 0 or 1 would have no interval at all.
    fewer = min(len(ours), len(theirs))
    middle = (share * fewer + 1) / (fewer + 2)
    first, second = middle / (2 - middle), 2 * middle**2 / (1 + middle)
    variance = middle * (1 - middle) + (len(ours) - 1) * (first - middle**2) + (len(theirs) - 1) * (second - middle**2)
    error = math.sqrt(variance / (len(ours) * len(theirs)))
    low, high = max(0.0, middle - Z95 * error), min(1.0, middle + Z95 * error)
    verdict = "Yes" if low > 0.5 else "No" if high < 0.5 else "Not clearly"
    within = f"95 % interval {percent(low)} to {percent(high)}; 50 % would be chance"
    return (
        f"{verdict}: a trial proposed by the model beats a random one in {percent(share)} of the pairs ({within}). "
        f"{len(ours):,} against {count(len(theirs), 'random one')}, each pair at the last epoch that both reached."
    )


def _forecast(leaderboard: Leaderboard) -> str | None:
    """Hold the forecast that was made in the sweep's first minutes against what each stage took."""
    forecast, taken = leaderboard.facts.get("forecast") or {}, leaderboard.facts.get("stages") or ()
    if leaderboard.facts.get("extensions"):  # another sweep than the one that was forecast
        return None
    ranges = [
        (stage["name"], what, stage[what], true[what])
        for stage in forecast.get("stages") or ()
        if (true := _stage(taken, stage["name"]))
        for what in ("seconds", "epochs")
        if true.get(what) is not None
    ]
    if not ranges:
        return None
    missed = [(name, what, expected, true) for name, what, expected, true in ranges if not expected["low"] <= true <= expected["high"]]
    verdict = "Yes" if not missed else "No" if len(missed) == len(ranges) else "In part"
    unit = {"seconds": "", "epochs": " epochs"}
    outside = "; ".join(f"{name} took {SHOWN[what](true)}{unit[what]}, expected {span(expected, SHOWN[what])}" for name, what, expected, true in missed)
    return (
        f"{verdict}: {len(ranges) - len(missed)} of {count(len(ranges), 'range')} held, of the time and the epochs of each stage; "
        f"{percent(forecast.get('level', 0.8))} should. The forecast was made after {duration(forecast.get('at_s'))}, "
        f"from {count(forecast.get('measured', 0), 'trial')}.{f' Outside: {outside}.' if outside else ''}"
    )


def _stage(taken: Sequence[Mapping[str, Any]], name: str) -> Mapping[str, Any] | None:
    return next((each for each in taken if each["name"] == name and each.get("seconds") is not None), None)


def span(ends: Mapping[str, float], shown: Callable[[float], str]) -> str:
    """Return a range in words.

    Args:
        ends: `low` and `high`.
        shown: how a number is written.
    """
    low, high = shown(ends["low"]), shown(ends["high"])
    return low if low == high else f"{low} to {high}"


def _early_stopping(leaderboard: Leaderboard) -> str | None:
    saved, full = epochs_saved(leaderboard), full_epochs(leaderboard)
    if not saved or full is None:
        return None
    spent = sum(record.epochs for record in leaderboard.records)
    share = percent(saved / (saved + spent))
    audit = _audit(leaderboard)
    return f"{saved:,} epochs were not trained, {share} of what the same trials would have taken at {count(full, 'epoch')} each. {audit}"


def _audit(leaderboard: Leaderboard) -> str:
    """Say what early stopping may have cost, from the trials that were trained on although it would have ended them."""
    audited = [record for record in leaderboard.ranked if record.audited is not None]
    if not audited:
        return "What that may have cost was not checked: no trial was trained on that it would have ended."
    best = audited[0]
    were = "was" if len(audited) == 1 else "were"
    check = f"{count(len(audited), 'trial')} that it would have ended {were} trained on to check it: the best of them, {best.name}, came to rank {best.rank}."
    if best.rank == 1:
        return f"{check} Early stopping would have lost the winner."
    # With none of n, the exact (Clopper-Pearson) upper limit of a share has this closed form.
    limit = 1 - 0.05 ** (1 / len(audited))
    return f"{check} None beat the winner, so with 95 % confidence at most {percent(limit)} of those that it ended would have."
