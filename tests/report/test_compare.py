"""Sweeps side by side: what is compared, what is refused, what is said."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests.sweeps_made_up import sweep
from tuner.cli.main import cli
from tuner.errors import SweepError
from tuner.report.compare import compare, markdown, text
from tuner.report.summary import summarise
from tuner.results.leaderboard import Leaderboard

HASHES = {"content_hash": "a" * 64, "split_hash": "b" * 64}


def board(trials: int, *, seed: int = 0, sampler: str = "random", hashes: dict[str, str] = HASHES, **facts: Any) -> Leaderboard:
    made = sweep(trials, seed=seed)
    spec = {"name": f"s{seed}", "seed": seed, "search": {"sampler": sampler, "trials": trials}, "space": {"width": [8, 16]}}
    return replace(made, facts={**made.facts, "seed": seed, "spec": spec, "dataset": {**made.facts["dataset"], **hashes}, **facts})


def confirmed(made: Leaderboard) -> list[dict[str, Any]]:
    return [{"trial": made.ranked[1].number, "mean": 0.9512, "low": 0.94, "high": 0.96, "runs": [0.95, 0.9524], "tied": True, "chosen": True}]


def test_each_sweep_says_what_its_own_report_says() -> None:
    one, other = board(20), board(30, seed=1, sampler="tpe")
    found = compare({"one": one, "other": other})
    for label, made, sampler in (("one", one, "random"), ("other", other, "tpe")):
        entry = next(entry for entry in found["sweeps"] if entry["label"] == label)
        summary = summarise(made)
        assert {key: entry[key] for key in ("trials", "epochs", "seconds", "best", "test")} == {
            key: summary[key] for key in ("trials", "epochs", "seconds", "best", "test")
        }
        assert entry["sampler"] == sampler
    assert found["differences"] == {"seed": [0, 1], "search.sampler": ["random", "tpe"], "search.trials": [20, 30]}
    json.dumps(found, allow_nan=False)


def test_different_metrics_are_refused() -> None:
    with pytest.raises(SweepError, match=r"got val_accuracy \(max\) in a, val_loss \(min\) in b; expected sweeps that are ranked by one metric"):
        compare({"a": sweep(5), "b": sweep(5, task="regression")})
    with pytest.raises(SweepError, match="got 1 sweep; expected at least two"):
        compare({"a": sweep(5)})


def test_other_data_and_other_splits_are_said() -> None:
    same = board(5)
    assert not any("hash" in note or "split" in note for note in compare({"a": same, "b": board(6)})["notes"])
    other = compare({"a": same, "b": board(5, hashes={**HASHES, "content_hash": "c" * 64})})
    assert "The data are not the same in all of them" in other["notes"][0]
    split = compare({"a": same, "b": board(5, hashes={**HASHES, "split_hash": "c" * 64})})
    assert "but not their splits" in split["notes"][0]


def test_confirmed_score_stands_beside_the_best_and_its_absence_is_said() -> None:
    made = board(20)
    made = replace(made, facts={**made.facts, "confirmed": confirmed(made)})
    found = compare({"sure": made, "unsure": board(20, seed=1)})
    line = next(line for line in text(found).splitlines() if line.startswith("confirmed val_accuracy"))
    assert f"0.9512 ({made.ranked[1].name}, 0.9215 to 0.9711)" in line
    assert line.endswith("–")
    assert any(note.startswith("Not confirmed on fresh seeds: unsure.") for note in found["notes"])


def test_sweeps_that_do_not_fit_beside_each_other_stand_below() -> None:
    found = compare({f"sweep-{seed}": board(10, seed=seed) for seed in range(4)})
    wide, narrow = text(found), text(found, width=80)
    assert max(map(len, narrow.split("\n\n")[0].splitlines())) <= 80 < max(map(len, wide.splitlines()))
    assert [narrow.count(f"sweep-{seed}") >= 1 for seed in range(4)] == [True] * 4
    assert narrow.count("\nepochs") > wide.count("\nepochs") == 1


def test_hostile_names_stay_within_their_cells() -> None:
    made = board(5)
    label = "a|b\n<script>\x1b[31m"
    found = compare({label: made, "c": board(5, seed=1)})
    assert "\x1b" not in text(found)
    lines = markdown(found).splitlines()
    assert "<script>" not in lines[0]
    assert lines[0].replace("\\|", "").count("|") == lines[1].count("|") == 4


def test_failed_sweep_without_a_score_is_compared_as_well() -> None:
    nothing = Leaderboard((), {**board(5).facts, "final": None, "stages": []})
    found = compare({"a": board(5), "b": nothing})
    assert found["sweeps"][1]["best"] is None
    assert "best val_accuracy" in text(found)


def test_command_prints_each_format(tmp_path: Path) -> None:
    for name in ("x/run", "y/run"):
        (tmp_path / name).mkdir(parents=True)
        board(8, seed=len(name) + (name[0] == "y")).write(tmp_path / name)
    folders = [str(tmp_path / "x/run"), str(tmp_path / "y/run")]
    shown = CliRunner().invoke(cli, ["compare", *folders])
    assert shown.exit_code == 0
    assert shown.stdout.splitlines()[0].split() == ["x/run", "y/run"]
    assert CliRunner().invoke(cli, ["compare", *folders, "--format", "md"]).stdout.startswith("|  | x/run | y/run |")
    as_json = json.loads(CliRunner().invoke(cli, ["compare", *folders, "--json"]).stdout)
    assert [entry["label"] for entry in as_json["sweeps"]] == ["x/run", "y/run"]
    twice = CliRunner().invoke(cli, ["compare", folders[0], folders[0]])
    assert isinstance(twice.exception, SweepError)
    assert "is named twice" in str(twice.exception)
