"""The race on fresh seeds: who takes part, who leaves, what the verdict says."""

import pytest

from tests.benchmarks import confirm as benchmark
from tuner.results.confirm import Candidate, Race, candidates
from tuner.results.leaderboard import TrialRecord
from tuner.study.objective import Objective

MAX = Objective("val_accuracy", "max")
MIN = Objective("val_loss", "min")


def race(*epochs: int, budget: int = 1000, objective: Objective = MAX, parameters: tuple[int | None, ...] = ()) -> Race:
    sizes = parameters or (10,) * len(epochs)
    return Race(tuple(Candidate(trial, 0.9, each, size) for trial, (each, size) in enumerate(zip(epochs, sizes, strict=True))), objective, budget)


def run(contest: Race, curves: dict[int, list[float | None]]) -> dict[tuple[int, int], float | None]:
    """Train round by round, each trial's seeds with these scores, until the race is over."""
    scores: dict[tuple[int, int], float | None] = {}
    while wanted := contest.next(scores):
        scores |= {(trial, index): curves[trial][index] for trial, index in wanted}
    return scores


def seeds(scores: dict[tuple[int, int], float | None]) -> dict[int, int]:
    return {trial: sum(other == trial for other, _ in scores) for trial, _ in scores}


def test_whoever_is_clearly_worse_leaves_after_two_seeds_and_the_close_ones_get_more() -> None:
    contest = race(3, 3, 3)
    scores = run(contest, {0: [0.95, 0.951, 0.949, 0.952, 0.95], 1: [0.951, 0.95, 0.949, 0.95, 0.951], 2: [0.30, 0.31]})
    assert seeds(scores) == {0: 5, 1: 5, 2: 2}
    found = contest.verdict(scores)
    assert [entry["tied"] for entry in found] == [True, True, False]
    assert found[2]["trial"] == 2
    assert (found[2]["rank_low"], found[2]["rank_high"]) == (3, 3)
    assert (found[0]["rank_low"], found[0]["rank_high"]) == (1, 2)


def test_clear_winner_needs_two_seeds_only() -> None:
    contest = race(1, 1)
    scores = run(contest, {0: [0.9, 0.901], 1: [0.1, 0.101]})
    assert seeds(scores) == {0: 2, 1: 2}
    found = contest.verdict(scores)
    assert [(entry["trial"], entry["chosen"]) for entry in found] == [(0, True), (1, False)]


@pytest.mark.parametrize(("objective", "sign"), [(MAX, 1), (MIN, -1)])
def test_verdict_reads_the_same_whichever_way_is_better(objective: Objective, sign: int) -> None:
    contest = race(1, 1, objective=objective)
    scores = run(contest, {0: [sign * 0.5, sign * 0.6], 1: [sign * 10.0, sign * 10.1]})
    found = contest.verdict(scores)
    assert found[0]["trial"] == 1
    assert found[0]["mean"] == pytest.approx(sign * 10.05)
    assert found[0]["low"] < found[0]["mean"] < found[0]["high"]
    # A loss is negative whatever the mode: trial 0 had 0.9 in the search.
    assert found[1]["shrinkage"] == pytest.approx(0.55 - 0.9 if sign > 0 else 0.9 - -0.55)


def test_smallest_network_wins_among_those_that_cannot_be_told_apart() -> None:
    contest = race(1, 1, 1, parameters=(1000, 50, 1))
    found = contest.verdict(run(contest, {0: [0.92, 0.9, 0.91, 0.9, 0.92], 1: [0.91, 0.9, 0.91, 0.9, 0.91], 2: [0.1, 0.1]}))
    assert found[0]["trial"] == 0
    assert [entry["trial"] for entry in found if entry["chosen"]] == [1]


def test_smaller_network_must_be_within_one_standard_error_and_not_only_tied() -> None:
    contest = race(1, 1, parameters=(1000, 50), budget=4)
    found = contest.verdict(run(contest, {0: [0.97, 0.969], 1: [0.93, 0.96]}))
    assert [(entry["trial"], entry["tied"], entry["near"], entry["chosen"]) for entry in found] == [(0, True, True, True), (1, True, False, False)]


def test_network_of_unknown_size_is_not_the_smallest() -> None:
    contest = race(1, 1, parameters=(None, 7))
    found = contest.verdict(run(contest, {0: [0.9, 0.91, 0.9, 0.93, 0.91], 1: [0.9, 0.91, 0.9, 0.92, 0.91]}))
    assert found[0]["trial"] == 0
    assert [entry["trial"] for entry in found if entry["chosen"]] == [1]


def test_no_training_goes_beyond_the_budget() -> None:
    contest = race(4, 6, budget=30)
    scores = run(contest, {0: [0.9, 0.8, 0.9, 0.8, 0.9], 1: [0.8, 0.9, 0.8, 0.9, 0.8]})
    assert seeds(scores) == {0: 3, 1: 3}


def record(number: int, epochs: int) -> TrialRecord:
    return TrialRecord(number=number, state="complete", rank=number + 1, score=0.9, best_epoch=epochs, epochs=epochs)


def test_as_many_of_the_best_take_part_as_the_budget_gives_two_seeds_to() -> None:
    ranked = [record(0, 5), record(1, 5), record(2, 10), record(3, 1)]
    assert [each.trial for each in candidates(ranked, 5, 100)] == [0, 1, 2, 3]
    assert [each.trial for each in candidates(ranked, 2, 100)] == [0, 1]
    assert [each.trial for each in candidates(ranked, 5, 20)] == [0, 1]
    assert candidates(ranked, 5, 19) == ()
    with pytest.raises(ValueError, match="got 1 candidates; expected at least two"):
        race(3)


def test_candidate_that_fails_on_a_fresh_seed_is_out() -> None:
    contest = race(1, 1, 1)
    scores = run(contest, {0: [0.99, None], 1: [0.9, 0.8, 0.9, 0.8, 0.85], 2: [0.85, 0.9, 0.8, 0.8, 0.9]})
    assert {entry["trial"] for entry in contest.verdict(scores)} == {1, 2}
    alone = run(contest, {0: [0.9, None], 1: [None, 0.9], 2: [0.5, 0.6]})
    assert [(entry["trial"], entry["chosen"]) for entry in contest.verdict(alone)] == [(2, True)]
    assert contest.verdict({(0, 0): None, (0, 1): 0.9, (1, 0): None, (1, 1): 0.9, (2, 0): None, (2, 1): 1.0}) == []


def test_race_goes_on_where_it_was_interrupted_whatever_had_arrived() -> None:
    contest = race(2, 2, 2)
    curves: dict[int, list[float | None]] = {0: [0.9, 0.91, 0.93, 0.9, 0.92], 1: [0.91, 0.9, 0.9, 0.92, 0.9], 2: [0.3, 0.32]}
    whole = run(contest, curves)
    # The second round had begun, and only its last training had ended.
    partial = {run_: score for run_, score in whole.items() if run_[1] < 2} | {(1, 2): whole[1, 2]}
    assert contest.next(partial) == [(0, 2)]
    while wanted := contest.next(partial):
        partial |= {(trial, index): curves[trial][index] for trial, index in wanted}
    assert partial == whole
    assert contest.verdict(partial) == contest.verdict(whole)


def test_equal_scores_are_tied_and_have_an_interval_of_no_width() -> None:
    contest = race(1, 1, parameters=(9, 8))
    found = contest.verdict(run(contest, {0: [1.0] * 5, 1: [1.0] * 5}))
    assert all(entry["tied"] and entry["low"] == entry["high"] == 1.0 for entry in found)
    assert found[1]["chosen"]


@pytest.mark.parametrize("setting", [benchmark.Setting(3, 2.0, 0.4), benchmark.Setting(5, 0.3), benchmark.Setting(5, 2.0, 0.4, budget=2.0)])
def test_intervals_cover_and_the_best_is_tied_in_simulated_sweeps(setting: benchmark.Setting) -> None:
    sweeps = 150
    found = benchmark.shares(setting, sweeps, seed=1)
    assert found["covers"] >= benchmark.least_expected(sweeps)
    assert found["best_is_tied"] >= 0.95


def test_simulation_notices_an_interval_that_is_too_narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tuner.results.confirm.SPENT_ON_LOOKING", -0.15)
    assert benchmark.shares(benchmark.Setting(3, 2.0), 150, seed=1)["covers"] < benchmark.least_expected(150)
