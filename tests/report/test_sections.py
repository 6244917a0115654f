"""What a report says of each kind of targets, beside what doing nothing would score, and what it leaves out where there is nothing."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from tests.report.test_formats import with_front
from tests.report.test_html import Page
from tests.sweeps_made_up import KINDS, changed, sweep, told_of
from tuner.report.compare import compare
from tuner.report.compare import markdown as compare_markdown
from tuner.report.compare import text as compare_text
from tuner.report.ending import ending, ending_facts
from tuner.report.formats import FORMATS, render
from tuner.report.numbers import number
from tuner.report.schema import SCHEMA
from tuner.report.scores import doing_nothing, plain
from tuner.report.summary import summarise
from tuner.report.tables import text
from tuner.results.leaderboard import Leaderboard, TrialRecord, rank_trials

# Every view of a leaderboard that people or programs read.
VIEWS: dict[str, Any] = {
    **{form: lambda board, form=form: render(board, form) for form in FORMATS},
    "text": text,
    "ending": lambda board: ending(board, Path("sweeps/x")),
    "ending as JSON": lambda board: json.dumps(ending_facts(board, Path("sweeps/x"))),
    "compare": lambda board: compare_text(compare({"a": board, "b": sweep(5)})),
    "compare as Markdown": lambda board: compare_markdown(compare({"a": board, "b": sweep(5)})),
    "compare as JSON": lambda board: json.dumps(compare({"a": board, "b": sweep(5)})),
}
IN_FULL = ("json", "csv", "ending as JSON", "compare as JSON")


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_tells_the_best_score(view: str) -> None:
    board = sweep(30)
    assert (str(board.best.score) if view in IN_FULL else number(board.best.score)) in VIEWS[view](board)


@pytest.mark.parametrize("view", [view for view in VIEWS if view != "csv"])
def test_every_view_but_the_bare_table_tells_what_doing_nothing_would_score(view: str) -> None:
    said = VIEWS[view](sweep(30))
    assert ("0.1003" in said) or (view == "ending" and "always 3: 0.1000" in said)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", FORMATS)
def test_every_format_shows_every_kind_of_targets(kind: str, form: str) -> None:
    said = render(told_of(kind), form)
    if form == "json":
        jsonschema.Draft202012Validator(SCHEMA).validate(json.loads(said))
    if form == "html":
        Page(said)


@pytest.mark.parametrize(
    ("kind", "said", "unsaid"),
    [
        (
            "two classes",
            ["Found against false alarms", "Precision and recall", "Where to draw the line", "Confusion matrix", "0.8622"],
            ["Residuals", "Per label"],
        ),
        ("labels", ["Found against false alarms", "Precision and recall", "Per label", "Drawn: 5 of 7 labels"], ["Confusion matrix", "Residuals"]),
        ("targets", ["Per target", "Predicted against true", "400 test rows", "Residuals"], ["Confusion matrix", "Per class"]),
        ("flags", ["Predicted for each true value", "is this a classification?"], ["Predicted against true", "Confusion matrix"]),
        ("heads", ["Head kind", "Head age", "Confusion matrix", "Per target"], ["Per label"]),
        ("custom", ["test_dice", "bootstrap over 300 test rows"], ["Confusion matrix", "Residuals", "Per class", "Predicted"]),
    ],
)
def test_section_on_the_model_shows_what_was_recorded_and_nothing_else(kind: str, said: list[str], unsaid: list[str]) -> None:
    page = Page(render(told_of(kind), "html")).text
    section = page[page.index("Final model", page.index("Reproducibility")) :]
    assert [words for words in said if words not in section] == []
    assert [words for words in unsaid if words in section] == []


def test_accuracy_of_a_rare_class_is_seen_for_what_it_is() -> None:
    board = told_of("blind")
    summary = summarise(board)
    assert summary["warnings"][0].startswith("The network is no better than always answering 'no': test accuracy 0.95")
    assert "The network never finds yes: F1 is 0 there, whatever the score over all rows says." in summary["warnings"]
    assert not any("no better than" in warning for warning in summarise(told_of("two classes"))["warnings"])


def test_regression_that_is_worse_than_the_mean_says_so() -> None:
    board = sweep(20, task="regression")
    test = {**board.facts["final"]["test"], "errors": {"R2": -0.2}}
    assert any("R2 on test data is -0.2000" in warning for warning in summarise(changed(board, final={**board.facts["final"], "test": test}))["warnings"])


def test_search_score_at_chance_is_told_where_there_is_no_test() -> None:
    board = sweep(20, final=False)
    score = (board.best.score or 0.0) + 0.001
    dataset = {**board.facts["dataset"], "baseline": {"name": "always 3", "scores": {"accuracy": score}}}
    assert f"{number(score)} without any network" in summarise(changed(board, dataset=dataset))["warnings"][0]


@pytest.mark.parametrize(
    ("builder", "training", "known"),
    [("search_spaces.mlp:build_model", {}, True), ("mine:build", {}, False), ("search_spaces.mlp:build_model", {"loss": "focal"}, False), (None, {}, False)],
)
def test_loss_of_ones_own_has_nothing_beside_it(builder: str | None, training: dict, known: bool) -> None:
    board = changed(sweep(20, task="regression", final=False), builder=builder, spec={"training": training})
    assert (doing_nothing(board) is not None) == known


@pytest.mark.parametrize(
    ("name", "score"), [("val_AUC", "auc"), ("auc_1", "auc"), ("test_binary_accuracy", "accuracy"), ("val_top_5_accuracy", "top_5_accuracy")]
)
def test_one_score_has_one_plain_name(name: str, score: str) -> None:
    assert plain(name) == score


def test_interval_of_a_confirmed_share_holds_the_luck_of_rows_and_stays_within_what_it_can_be() -> None:
    board = sweep(20)
    entry = {"trial": board.best.number, "mean": 0.98, "low": 0.90, "high": 1.06, "chosen": True, "runs": [0.97, 0.99]}
    interval = summarise(changed(board, confirmed=[entry]))["winner"]["interval"]
    assert interval["high"] == 1.0 and interval["low"] < 0.90
    assert interval["method"] == "the luck of the seeds and 359 validation rows"
    mae = sweep(20, task="regression")
    loss = {**entry, "trial": mae.best.number, "low": -0.1, "high": 2.0}
    assert summarise(changed(mae, confirmed=[loss], builder="search_spaces.mlp:build_model"))["winner"]["interval"]["low"] == 0.0
    assert summarise(changed(mae, confirmed=[loss], builder="mine:build"))["winner"]["interval"]["low"] == -0.1


def test_decisions_about_data_stand_in_a_table() -> None:
    board = sweep(12)
    decision = {"name": "<city>", "kind": "words", "treatment": "one column per word", "why": "12 different ones", "key": "dataset.columns.city"}
    page = Page(render(changed(board, dataset={**board.facts["dataset"], "decisions": [decision]}), "html"))
    assert ["<city>", "words", "one column per word", "12 different ones", "dataset.columns.city"] in [row for table in page.tables for row in table]
    assert "What was decided" not in render(board, "html")
    bare = {"name": "x", "kind": "numbers", "treatment": "scaled", "why": "", "key": ""}
    page = Page(render(changed(board, dataset={**board.facts["dataset"], "decisions": [bare]}), "html"))
    assert ["column", "kind", "taken as"] in [row for table in page.tables for row in table], "a column in which nothing stands is left out"


def test_source_of_a_builder_is_named_with_its_hash_and_its_copy() -> None:
    sources = {"folder": "builder/2", "files": {"mine.py": "3fa21b" + "0" * 58}, "from_trial": 4, "earlier": [{}]}
    said = Page(render(changed(sweep(5), builder="mine:build", builder_sources=sources), "html")).text
    assert "mine:build" in said and "mine.py 3fa21b0000000000; kept in builder/2; changed 1 time during the sweep" in said


def test_least_important_hyperparameters_are_called_so_only_where_it_is_known_which_they_are() -> None:
    names = [f"p{index}" for index in range(12)]
    draws = np.random.default_rng(7)
    records = []
    for trial in range(30):
        value, configuration = float(draws.random()), {name: float(draws.random()) for name in names}
        curve = {"s": (value,)}
        records.append(TrialRecord(number=trial, state="complete", score=value, best_epoch=1, epochs=1, configuration=configuration, curves=curve))
    said = Page(render(Leaderboard(rank_trials(records, sweep(0).objective), {"objective": {"metric": "s", "mode": "max"}}), "html")).text
    assert "What mattered cannot be said" in said and "Not drawn, for want of room:" in said and "mattered least" not in said


def test_menu_has_no_section_without_content() -> None:
    board = sweep(12)
    records = [replace(record, worker="one/0") for record in board.records if record.state != "failed"]
    quiet = Page(render(Leaderboard(tuple(records), board.facts), "html"))
    sections = [attributes["id"] for attributes in quiet.of("section")]
    assert "failures" not in sections and "workers" not in sections and "trade-off" not in sections
    assert "trade-off" in [attributes["id"] for attributes in Page(render(with_front(sweep(20)), "html")).of("section")]


LONG = "a_metric_whose_name_is_far_longer_than_any_column_was_made_for"


@pytest.mark.parametrize("view", ["text", "ending", "md", "html"])
def test_long_names_of_metrics_keep_their_distance(view: str) -> None:
    board = sweep(20)
    final = {**board.facts["final"], "mean": {f"test_{LONG}": 0.5292, "test_loss": 0.1}, "spread": {f"test_{LONG}": None, "test_loss": None}}
    final["saved"] = final["mean"]
    said = VIEWS[view](changed(board, final=final))
    assert f"{LONG}0." not in said and f"{LONG}0" not in said
    if view == "ending":
        starts = {line.index(value) for line, value in ((line, line.split()[1]) for line in said.splitlines()[-4:])}
        assert len(starts) == 1, "the values stand below each other"
