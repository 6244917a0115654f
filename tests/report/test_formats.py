"""The report in every format but HTML: the same numbers everywhere, nothing revealed, nothing that a name could break."""

import csv
import io
import json
import math
import re
from dataclasses import replace
from typing import Any

import jsonschema
import pytest

from tests.sweeps_made_up import changed, sweep
from tuner.errors import SweepError
from tuner.report import discretion
from tuner.report.cautions import warnings
from tuner.report.formats import FORMATS, render
from tuner.report.lanes import named
from tuner.report.numbers import duration, number, scatter, setting, signed
from tuner.report.schema import SCHEMA
from tuner.report.summary import summarise
from tuner.report.tables import columns, text
from tuner.results.leaderboard import Leaderboard, TrialRecord, rank_trials

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(2)>',
    "a|b\n| c",
    "\\end{table}&%$#_{}~^",
    "=HYPERLINK(1)",
    "</script><!--",
    "\x1b[31mred\x07",
    "\u202egnp.exe",
    "`x`*_[link](javascript:alert(3))",
)


def markdown_table(report: str) -> list[dict[str, str]]:
    lines = [line for line in report.splitlines() if line.startswith("| ")]
    cells = [[cell.strip().replace("\\", "") for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    return [dict(zip(cells[0], row, strict=True)) for row in cells[1:]]


def latex_table(report: str) -> list[dict[str, str]]:
    lines = [line.strip().removesuffix(" \\\\") for line in report.splitlines() if " & " in line]
    cells = [[cell.replace("\\_", "_").replace("--", "–") for cell in line.split(" & ")] for line in lines]
    return [dict(zip(cells[0], row, strict=True)) for row in cells[1:]]


# ---- the same numbers


@pytest.mark.parametrize("board", [sweep(40), sweep(30, seed=3, folds=True), sweep(30, seed=4, task="regression")], ids=["plain", "folds", "regression"])
def test_numbers_are_equal_in_all_formats(board: Leaderboard) -> None:
    told = json.loads(render(board, "json"))["trials"]
    in_full = list(csv.DictReader(io.StringIO(render(board, "csv"))))
    metric = board.objective.metric
    assert len(in_full) == len(told) == len(board.records)
    for row, trial in zip(in_full, told, strict=True):
        for name in ("rank", "number", "score", "best_epoch", "epochs", "seconds", "parameters", "seed", "gain", "started_at"):
            assert row[name] == ("" if trial[name] is None else str(trial[name])), name
        for name, value in trial["configuration"].items():
            assert row[f"config.{name}"] == str(value)
    heads = {"rank": "rank", "number": "trial", "best_epoch": "best epoch", "epochs": "epochs", "parameters": "parameters", "score": metric}
    for shown in (markdown_table(render(board, "md")), latex_table(render(board, "latex"))):
        assert len(shown) >= 10
        for row, trial in zip(shown, told, strict=False):
            for name, heading in heads.items():
                value = trial[name]
                assert row[heading] == (str(value) if name == "number" else number(value)), name
                assert float(row[heading].replace(",", "")) == pytest.approx(value, rel=1e-3)
            assert row["seconds"].replace(",", "") == f"{trial['seconds']:.1f}"
            assert row["gain"] == signed(trial["gain"])
            for name, value in trial["configuration"].items():
                assert row.get(name, setting(value)) == setting(value)


def test_the_summary_is_equal_in_json_markdown_and_latex() -> None:
    board = sweep(40)
    summary = json.loads(render(board, "json"))["summary"]
    for report in (render(board, "md").replace("\\", ""), render(board, "latex").replace("\\%", "%")):
        for value in (summary["best"]["score"], summary["test"]["mean"], summary["test"]["interval"]["low"], summary["best_baseline"]["score"]):
            assert number(value) in report
        assert f"{summary['epochs']:,}" in report and f"early stopping saved {summary['epochs_saved']:,}" in report


@pytest.mark.parametrize("board", [sweep(30), sweep(30, task="regression", folds=True), sweep(0), sweep(3, final=False), Leaderboard(())])
def test_json_follows_its_published_schema(board: Leaderboard) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.Draft202012Validator(SCHEMA).validate(json.loads(render(board, "json")))


def test_the_schema_refuses_what_it_does_not_describe() -> None:
    told = json.loads(render(sweep(5), "json"))
    told["trials"][0]["state"] = "done"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(SCHEMA).validate(told)


def test_numbers_read_the_same_way_everywhere() -> None:
    found = [number(value) for value in (0.98125, 0, 0.0, 407050, 1e-5, 12345.678, None, math.nan, -0.5, 27.0)]
    assert found == ["0.9812", "0", "0.0000", "407,050", "1.000e-05", "12,345.7", "–", "–", "-0.5000", "27"]
    assert [scatter(value) for value in (0.0123, 6.083e-4, 1e-5, None)] == ["0.0123", "0.0006", "1.000e-05", "–"]
    assert [signed(value) for value in (0.0022, -0.0022, 3.4e-05, 0.0, None)] == ["+0.0022", "-0.0022", "+3.4e-05", "0.0000", "–"]
    assert duration(192) == "3 min 12 s"
    assert [setting(value) for value in (True, False, None, 1e-7, 64, "relu")] == ["yes", "no", "–", "1e-07", "64", "relu"]


# ---- the table as text


def test_the_text_table_is_aligned_and_says_what_it_leaves_out() -> None:
    lines = text(sweep(30), top=5).splitlines()
    assert lines[0].split()[:4] == ["rank", "trial", "state", "val_accuracy"]
    assert len(lines) == 8 and lines[-2:] == ["25 more of 30 trials.", "Ranked by val_accuracy, more is better; always 3 would score 0.1003."]
    right = lines[0].index("val_accuracy") + len("val_accuracy")
    assert all(line[right - 1].isdigit() and line[right] == " " for line in lines[1:6])


def test_a_narrow_terminal_names_the_hyperparameters_that_do_not_fit() -> None:
    lines = text(sweep(10), top=None, width=120).splitlines()
    assert max(map(len, lines[:11])) <= 120
    assert lines[11].startswith("Not shown, for want of room: ") and "batch_size" in lines[11]
    assert "epsilon" not in text(sweep(10)), "it is the same in all trials"


# ---- summary and warnings


def test_the_interval_of_an_accuracy_is_wilsons_where_none_was_recorded() -> None:
    confusion = [[48, 2], [3, 47]]
    final = {"mean": {"test_accuracy": 0.95}, "saved": {"test_accuracy": 0.95}, "runs": [{}, {}], "test": {"confusion": confusion}}
    found = summarise(changed(sweep(20), final=final))["test"]["interval"]
    # Wilson's interval of 95 of 100.
    assert (found["low"], found["high"]) == pytest.approx((0.88825, 0.97846), abs=1e-4)
    final["test"]["intervals"] = {"test_accuracy": {"low": 0.9, "high": 0.99}}
    assert summarise(changed(sweep(20), final=final))["test"]["interval"] == {"low": 0.9, "high": 0.99}


def test_epochs_saved_counts_the_schedulers_stops_only() -> None:
    def pruned(number_: int, kind: str) -> TrialRecord:
        return TrialRecord(number=number_, state="pruned", score=0.5, best_epoch=1, epochs=4, cause={"kind": kind, "message": "", "details": ""})

    board = Leaderboard(rank_trials([pruned(0, "scheduler"), pruned(1, "budget")], sweep(0).objective), {"scheduler": {"max_epochs": 20}})
    assert summarise(board)["epochs_saved"] == 16
    assert summarise(Leaderboard(board.records, {"spec": {"training": {"max_epochs": 30}}}))["epochs_saved"] == 26
    assert summarise(Leaderboard(board.records))["epochs_saved"] is None


def _one(configuration: dict[str, Any] | None = None, **more: Any) -> TrialRecord:
    return TrialRecord(**{"number": 0, "state": "complete", "score": 0.9, "best_epoch": 1, "epochs": 3, "configuration": configuration or {}, **more})


def _board(*records: TrialRecord, **facts: Any) -> Leaderboard:
    return Leaderboard(rank_trials(records, sweep(0).objective), facts)


TESTED = {"mean": {"test_score": 0.9}, "spread": {"test_score": 0.001}, "runs": [{}, {}, {}]}


@pytest.mark.parametrize(
    ("board", "expected"),
    [
        (_board(), "None of 0 trials has a score"),
        (_board(_one()), "No test score"),
        (_board(_one(), final=TESTED, test_openings=[{}, {}]), "opened 2 times"),
        (_board(_one(), final={**TESTED, "mean": {"test_score": 0.85}}), "worse than the search score by 0.0500"),
        (_board(_one(baseline="by hand"), final=TESTED), "did not beat its baselines: the best network is by hand"),
        (_board(_one(), _one(number=1, state="failed", cause={"kind": "memory", "message": "", "details": ""})), "50 % of the trials failed (memory 1)"),
        (_board(_one(), TrialRecord(number=1, state="waiting")), "1 trial waits to be continued"),
        (_board(_one(best_epoch=3), scheduler={"max_epochs": 3}), "still improving at its last epoch (3)"),
        (_board(_one({"width": 64}), space={"width": {"low": 8, "high": 64}}), "edge of its range in width = 64"),
        (_board(_one({"rate": 0.099}), space={"rate": {"low": 1e-5, "high": 0.1, "log": True}}), "edge of its range in rate = 0.099"),
        (_board(_one(), final={**TESTED, "runs": [{}]}), "on one seed only"),
    ],
)
def test_what_lessens_trust_is_said(board: Leaderboard, expected: str) -> None:
    assert any(expected in warning for warning in warnings(board)), warnings(board)


@pytest.mark.parametrize("name", ["dropout", "depth"])
def test_the_lower_end_of_nothing_or_one_is_no_edge(name: str) -> None:
    low: float = 0.0 if name == "dropout" else 1
    board = _board(_one({name: low}), space={name: {"low": low, "high": 5}}, final=TESTED, test_openings=[{}])
    assert warnings(board) == []


# ---- two objectives


def with_front(board: Leaderboard) -> Leaderboard:
    records = rank_trials(board.records, board.objective, also="parameters")
    return Leaderboard(records, {**board.facts, "spec": {**board.facts["spec"], "search": {"also_minimize": "parameters"}}})


def test_the_front_of_two_objectives_stands_in_every_format() -> None:
    board = with_front(sweep(40))
    told = json.loads(render(board, "json"))
    jsonschema.Draft202012Validator(SCHEMA).validate(told)
    front = [trial for trial in told["trials"] if trial["pareto"]]
    assert len(front) == told["summary"]["front"]["trials"] > 1
    most, least = (f"{number(trial['score'])} with {number(trial['parameters'])}" for trial in (front[0], front[-1]))
    line = f"Pareto front: {len(front)} trials, from {most} to {least} parameters"
    for form in ("md", "latex"):
        assert line in render(board, form)
    assert [row["number"] for row in csv.DictReader(io.StringIO(render(board, "csv"))) if row["pareto"] == "True"] == [str(trial["number"]) for trial in front]
    assert [row["trial"] for row in markdown_table(render(board, "md")) if row["pareto"] == "yes"] == [
        str(trial["number"]) for trial in front if trial["rank"] <= 20
    ]
    page = render(board, "html")
    assert f"{len(front)} trials on the front" in page and 'id="trade-off"' in page
    assert summarise(sweep(20))["front"] is None and 'id="trade-off"' not in render(sweep(20), "html")


# ---- what must not happen


def hostile(name: str) -> Leaderboard:
    board = sweep(14)
    records = [
        replace(
            record,
            baseline=name if record.baseline else None,
            worker=name,
            configuration={**record.configuration, name: name, "optimizer": name + str(record.number % 2)},
            cause={"kind": name, "message": name, "details": name},
        )
        for record in board.records
    ]
    final = {**board.facts["final"], "layers": [{"name": name, "type": name, "shape": name, "parameters": 1}], "model": name}
    final["test"] = {**final["test"], "classes": [name] * 10, "mistakes": [{"truth": name, "predicted": name, "confidence": 0.5, "row": 1, "image": None}]}
    facts = {**board.facts, "name": name, "space": {name: {"help": name}}, "spec": {name: name}, "search_ended": name, "final": final}
    facts["test_openings"] = [{"at": name, "reason": name}]
    facts["ways"] = facts["python_warnings"] = {name: 2}
    facts["extensions"] = [{"at": name, "changes": [name]}]
    facts["warm_start"] = {"sweeps": [name], "trials": 3}
    facts["earlier_finals"] = [{"trial": 1, "epochs": 2, "mean": {name: 0.5}, "spread": {name: None}, "saved": {name: 0.5}}]
    return Leaderboard(tuple(records), facts)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_stay_text(name: str) -> None:
    board = hostile(name)
    assert json.loads(render(board, "json", revealing=True))["facts"]["name"] == name
    rows = list(csv.reader(io.StringIO(render(board, "csv", revealing=True))))
    assert {len(row) for row in rows} == {len(rows[0])}
    assert not any(cell.startswith(("=", "@")) for row in rows for cell in row)
    shown = render(board, "md")
    table = [line for line in shown.splitlines() if line.startswith("|")]
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table}) == 1
    assert not re.search(r"<\w|(?<!\\)\]\(|\x1b", shown)
    typeset = render(board, "latex")
    assert typeset.count("\\end{table}") == 1 and "\x1b" not in typeset
    assert len({len(re.findall(r"(?<!\\)&", line)) for line in typeset.splitlines() if " & " in line}) == 1
    assert not re.search(r"[\x00-\x09\x0b-\x1f]", text(board))


@pytest.mark.parametrize(
    ("secret", "kept"),
    [
        ("/home/alice/code/data.csv", "data.csv"),
        ('File "/home/alice/my net/net.py", line 3', "net.py"),
        ("s3://key:pw@bucket/data.parquet?X-Amz-Signature=abc", "s3://bucket/data.parquet"),
        ("postgresql://alice:pw@db/sweeps", "postgresql://db/sweeps"),
        ("RAY_AUTH_TOKEN=abc next", "next"),
        ("Authorization: Bearer abc", "Authorization"),
        (r"C:\Users\alice\data.csv", "data.csv"),
        ("/home/alice", ""),
        ("~/private/data.npz", "data.npz"),
    ],
)
def test_reports_reveal_no_secrets_folders_or_users(secret: str, kept: str) -> None:
    found = discretion.clean_text(secret)
    assert kept in found
    assert not re.search(r"alice|pw|abc|private|work|my net", found)


HARMLESS = ("s3://bucket/a/b.parquet", "and/or", "1/2", "worker-1/0", "tokens per second: 5", "(64, 10) and (64,)", "</b>", "a / b", "")


@pytest.mark.parametrize("harmless", HARMLESS)
def test_harmless_text_is_left_alone(harmless: str) -> None:
    assert discretion.clean_text(harmless) == harmless


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_is_discreet_unless_asked(form: str) -> None:
    board = sweep(60)
    board = changed(board, spec={"storage": "postgresql://alice:pw@db/x", "api_token": "abc123", "path": "/home/alice/x/y.csv"})
    assert not re.search(r"alice|abc123|pw@", render(board, form))
    if form == "json":
        assert "/home/alice/x/y.csv" in render(board, form, revealing=True)
        assert json.loads(render(board, form))["facts"]["spec"]["api_token"] == discretion.HIDDEN


def test_workers_are_named_by_their_place_and_keep_it_when_a_process_takes_the_place_of_another() -> None:
    def at(number_: int, worker: str, start: float) -> TrialRecord:
        return _one(number=number_, worker=worker, started_at=start, seconds=5.0)

    one = [at(0, "10.0.0.7/aaaa", 0.0), at(1, "10.0.0.7/bbbb", 0.0), at(2, "10.0.0.7/cccc", 6.0), at(3, "10.0.0.7/aaaa", 7.0)]
    assert named(one) == {"10.0.0.7/aaaa": "worker 1", "10.0.0.7/bbbb": "worker 2", "10.0.0.7/cccc": "worker 2"}
    many = [at(0, "h1/a/gpu 0", 0.0), at(1, "h1/b/gpu 1", 0.0), at(2, "h2/c/gpu 0", 1.0), at(3, "h2/d/gpu 0", 1.0)]
    assert list(named(many).values()) == ["node 1, GPU 0", "node 1, GPU 1", "node 2, GPU 0, worker 1", "node 2, GPU 0, worker 2"]
    board = _board(*one)
    for form in ("html", "json", "csv"):
        assert "worker 2" in render(board, form) and "10.0.0.7" not in render(board, form)
    assert "10.0.0.7/bbbb" in render(board, "json", revealing=True)


def test_who_drives_the_sweep_and_from_where_is_no_part_of_a_report() -> None:
    board = changed(sweep(3), driver={"host": "alices-laptop", "pid": 4711}, begun_in={"folder": "alices-folder"})
    assert not re.search("alices|4711", render(board, "json"))


def test_an_unknown_format_is_one_line_with_the_nearest_word() -> None:
    with pytest.raises(SweepError, match=r"^report format 'htm': unknown; did you mean 'html'\?$"):
        render(sweep(1), "htm")


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("board", [Leaderboard(()), sweep(0), sweep(1), sweep(12, final=False)], ids=["no facts", "no trials", "one trial", "not tested"])
def test_every_format_shows_every_sweep(form: str, board: Leaderboard) -> None:
    assert render(board, form).strip()


def test_columns_are_those_that_tell_something() -> None:
    names = [column.name for column in columns(sweep(20, baselines=False))]
    assert "gain" not in names and "baseline" not in names and "spread" not in names and "config.epsilon" not in names
    assert {"gain", "baseline", "spread"} <= {column.name for column in columns(sweep(20, folds=True))}
