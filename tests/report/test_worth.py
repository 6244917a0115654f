"""What a report compares: was the search worth it, what mattered, what early stopping cost, was the forecast right."""

import random
from dataclasses import replace
from typing import Any

import pytest

from tests.sweeps_made_up import changed, sweep
from tuner.report.formats import render
from tuner.report.importance import Contest, measure
from tuner.report.numbers import duration
from tuner.report.worth import verdicts
from tuner.results.leaderboard import Leaderboard, TrialRecord, rank_trials


def test_trials_are_compared_at_the_last_epoch_that_both_reached() -> None:
    quick = TrialRecord(number=0, state="pruned", score=0.8, best_epoch=2, epochs=2, curves={"val_accuracy": (0.5, 0.8)})
    slow = TrialRecord(number=1, state="complete", score=0.9, best_epoch=4, epochs=4, curves={"val_accuracy": (0.4, 0.7, 0.85, 0.9)})
    board = Leaderboard(rank_trials([quick, slow], sweep(0).objective), {"objective": {"metric": "val_accuracy", "mode": "max"}})
    assert Contest(board).standings() == {0: 1.0, 1: 0.0}
    assert board.best.number == 1, "the leaderboard ranks by the best epoch nevertheless"


def test_importance_finds_the_hyperparameters_that_matter_and_no_others() -> None:
    draws = random.Random(1)
    records = []
    for number_ in range(150):
        kind = draws.choice(["a", "b"])
        configuration: dict[str, Any] = {"matters": draws.random(), "idle": draws.random(), "kind": kind}
        if kind == "b":
            configuration["only_b"] = draws.random()
        score = configuration["matters"] + (0.8 * configuration["only_b"] if kind == "b" else 0.4)
        curves = {"score": (score,)}
        records.append(TrialRecord(number=number_, state="complete", score=score, best_epoch=1, epochs=1, configuration=configuration, curves=curves))
    found = measure(Leaderboard(rank_trials(records, sweep(0).objective), {"objective": {"metric": "score", "mode": "max"}}))
    shares = {share.name: share for share in found.shares}
    assert found.fit > 0.7
    assert [share.name for share in found.shares][:2] == ["matters", "only_b"]
    assert shares["idle"].value < 0.03 and shares["matters"].value > 0.5
    assert shares["only_b"].active == sum("only_b" in record.configuration for record in records)
    # Whether only_b is active says what kind is; that must not take the credit of kind, nor give any to only_b where it is not active.
    assert shares["kind"].value < shares["only_b"].value


def test_importance_says_why_it_was_not_measured() -> None:
    assert measure(sweep(5)).why_not == "5 trials can be compared; at least 12 are needed."
    same = [TrialRecord(number=n, state="complete", score=0.5, best_epoch=1, epochs=1, configuration={"a": 1}, curves={"score": (0.5,)}) for n in range(20)]
    assert "the same configuration" in measure(Leaderboard(rank_trials(same, sweep(0).objective))).why_not


def _sourced(ours: tuple[float, ...], theirs: tuple[float, ...]) -> Leaderboard:
    found = [("model", score) for score in ours] + [("random", score) for score in theirs]
    records = [
        TrialRecord(number=n, state="complete", source=source, score=score, best_epoch=1, epochs=1, curves={"score": (score,)})
        for n, (source, score) in enumerate(found)
    ]
    return Leaderboard(rank_trials(records, sweep(0).objective), {"objective": {"metric": "score", "mode": "max"}})


@pytest.mark.parametrize(
    ("ours", "theirs", "verdict"),
    [
        (tuple(range(10, 30)), tuple(range(20)), "Yes: a trial proposed by the model beats a random one in 88 % of the pairs"),
        (tuple(range(20)), tuple(range(20)), "Not clearly: a trial proposed by the model beats a random one in 50 % of the pairs (95 % interval 32 % to 68 %"),
        (tuple(range(20)), tuple(range(20, 40)), "No: a trial proposed by the model beats a random one in 0 % of the pairs (95 % interval 0 % to 11 %"),
    ],
)
def test_the_model_is_judged_against_random_draws_in_pairs(ours: tuple, theirs: tuple, verdict: str) -> None:
    answers = [entry["answer"] for entry in verdicts(_sourced(ours, theirs))]
    assert len(answers) == 1 and answers[0].startswith(verdict)


def test_too_few_draws_give_no_verdict() -> None:
    assert verdicts(_sourced((0.5,) * 7, (0.4,) * 20)) == []


def test_an_audit_says_what_early_stopping_may_have_cost() -> None:
    board = sweep(60)
    audited = [record for record in board.ranked if record.audited is not None]
    assert audited
    answer = next(entry["answer"] for entry in verdicts(board) if "early stopping" in entry["question"])
    assert f"the best of them, {audited[0].name}, came to rank {audited[0].rank}." in answer
    without = Leaderboard(tuple(replace(record, audited=None) for record in board.records), board.facts)
    assert "was not checked" in next(entry["answer"] for entry in verdicts(without) if "early stopping" in entry["question"])


def test_forecast_is_held_against_what_each_stage_took() -> None:
    board = sweep(30)
    seconds = board.facts["stages"][0]["seconds"]
    answer = next(entry["answer"] for entry in verdicts(board) if "forecast" in entry["question"])
    assert answer == (
        "In part: 2 of 4 ranges held, of the time and the epochs of each stage; 80 % should. The forecast was made after 22 s, from 4 trials. "
        "Outside: search took 0 epochs, expected 480 to 720; retrain took 1 min 35 s, expected 48 s to 1 min 12 s."
    )
    page = render(board, "html")
    for cell in (duration(seconds), f"{duration(0.8 * seconds)} to {duration(1.2 * seconds)}", "480 to 720"):
        assert f">{cell}<" in page
    extended = changed(board, extensions=[{"at": "", "changes": ["search.trials: 30 -> 60"]}])
    assert not [entry for entry in verdicts(extended) if "forecast" in entry["question"]]
