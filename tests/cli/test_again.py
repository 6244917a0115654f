"""What can be done with a sweep that exists: go on, extend it, fork it, know it."""

import json
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.sweep.test_journey import Told, sweep
from tuner.errors import SpecError, SweepError
from tuner.results.leaderboard import Leaderboard
from tuner.study.backends import read_study
from tuner.study.lock import exclusive_driver
from tuner.sweep import reopen
from tuner.sweep.journey import run_sweep


def go_on(folder: Path) -> tuple[Leaderboard, Told]:
    view = Told()
    begun = reopen.recorded(folder)
    return run_sweep(begun.spec, view=view, interrupted=threading.Event(), given=begun.given), view


def of(path: Path) -> dict[str, Any]:
    return {"source": "npz", "path": str(path)}


def test_sweep_that_is_extended_ranks_all_trials_and_opens_the_test_split_again_only_for_another_winner(tmp_path: Path, blobs: Path, ray_address: str) -> None:
    folder = tmp_path / "sweep"
    given: dict[str, Any] = {"dataset": of(blobs), "search": {"sampler": "random", "trials": 2, "epochs": 100}, "evaluation": {"seeds": 1, "confirm": 1}}
    before = sweep(folder, ray_address, **given)
    assert reopen.extend(folder, trials="+3", epochs=None, seconds=None) == ["search.trials: 2 -> 5"]

    board, view = go_on(folder)
    assert sorted(record.number for record in board.records) == [0, 1, 2, 3, 4]
    assert {record.number: record.curves for record in before.records}.items() <= {record.number: record.curves for record in board.records}.items()
    assert board.facts["final"]["trial"] == board.winner.number
    changed = (board.winner.number, board.winner.best_epoch) != (before.winner.number, before.winner.best_epoch)
    assert len(board.facts["test_openings"]) == 1 + changed
    assert ("test" in view.stages) == changed
    assert [extension["changes"] for extension in board.facts["extensions"]] == [["search.trials: 2 -> 5"]]

    # The spec that it was begun with still means this sweep; one with a budget of its own is told the way.
    assert sweep(folder, ray_address, **given) == board
    with pytest.raises(SpecError, match=r"search\.trials: 5 -> 9\); `tuner extend"):
        sweep(folder, ray_address, **{**given, "search": {**given["search"], "trials": 9}})

    # As if the winner had been another one: the second opening is recorded, and told.
    study = read_study(folder)
    study.set_fact("final", {**study.facts["final"], "trial": 77})
    again, view = go_on(folder)
    assert len(again.facts["test_openings"]) == len(board.facts["test_openings"]) + 1
    assert again.facts["earlier_finals"][-1]["trial"] == 77
    assert any("further look at the test split" in note for note in view.notes)


def test_extension_is_refused_where_it_changes_nothing(tmp_path: Path, blobs: Path, ray_address: str) -> None:
    folder = tmp_path / "sweep"
    search = {"sampler": "random", "trials": 1, "epochs": 3}
    sweep(folder, ray_address, dataset=of(blobs), search=search, evaluation={"enabled": False}, scheduler={"name": "fifo"})
    nothing = {"trials": None, "epochs": None, "seconds": None}
    for amounts, message in [
        ({}, "nothing to add; expected --trials"),
        ({"trials": "+x"}, r"--trials \+x: not an amount"),
        ({"trials": "1"}, r"--trials 1: no more than before \(1\); expected \+1"),
        ({"seconds": "+5"}, r"--seconds \+5: this sweep has no budget of seconds"),
    ]:
        with pytest.raises(SpecError, match=message):
            reopen.extend(folder, **{**nothing, **amounts})
    with pytest.raises(SweepError, match=r"search\.epochs: 3 of 3 are spent; give --epochs as well"):
        reopen.extend(folder, **{**nothing, "trials": "+1"})
    with exclusive_driver(folder), pytest.raises(SweepError, match="is running this sweep"):
        reopen.extend(folder, **{**nothing, "trials": "+1", "epochs": "+3"})
    with pytest.raises(SweepError, match="nowhere: no sweep there"):
        reopen.extend(tmp_path / "nowhere", **{**nothing, "trials": "+1"})
    assert not (tmp_path / "nowhere").exists()
    assert read_study(folder).facts["spec"]["search"]["trials"] == 1


def test_fork_knows_what_was_tried_and_neither_repeats_nor_ranks_it(
    tmp_path: Path, blobs: Path, ray_address: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small = {"name": "mlp", "depth": 1, "width": [4, 8, 16], "activation": ["relu", "tanh"], "batch_size": 32, "optimizer": "adam", "learning_rate": 0.03}
    fixed = {"dropout": 0.0, "dropout_input": 0.0, "regularizer": "none", "schedule": "constant", "batch_normalization": False}
    first = sweep(
        tmp_path / "first", ray_address, dataset=of(blobs), space={**small, **fixed}, search={"sampler": "random", "trials": 3}, evaluation={"enabled": False}
    )
    tried = {json.dumps(record.configuration, sort_keys=True) for record in first.records}
    view = Told()
    board = sweep(
        tmp_path / "second",
        ray_address,
        view=view,
        dataset=of(blobs),
        space={**small, **fixed, "width": [4, 8, 32]},  # a changed space: trials of width 16 mean nothing in it
        search={"sampler": "tpe", "trials": 2, "warm_start": [str(tmp_path / "first")]},
        evaluation={"enabled": False},
    )
    lie = sum(record.configuration["width"] != 16 for record in first.records)
    assert f"{tmp_path / 'first'}: {lie} of 3 trials lie in this space, and teach the sampler" in view.notes
    assert [record.number for record in sorted(board.records, key=lambda record: record.number)] == [0, 1]
    assert not tried & {json.dumps(record.configuration, sort_keys=True) for record in board.records}
    assert board.facts["warm_start"] == {"sweeps": ["first"], "trials": lie}
    assert len(read_study(tmp_path / "second").trials()) == 2

    with pytest.raises(SpecError, match=r"is about another objective \(max val_accuracy, here min val_loss\)"):
        known = {"trials": 1, "warm_start": [str(tmp_path / "first")]}
        sweep(tmp_path / "third", ray_address, dataset=of(blobs), objective={"metric": "val_loss"}, search=known)

    # On the command line, with a space in which everything has been tried.
    from tuner.cli.main import main

    lines = ['name = "forked"', "[dataset]", 'source = "npz"', f'path = "{blobs}"', "[search]", "trials = 2", "[evaluation]", "enabled = false", "[cluster]"]
    space = [f"{name} = {json.dumps(value)}" for name, value in {**small, **fixed}.items()]
    spec = [*lines, 'target = "address"', f'address = "{ray_address}"', "[training]", "max_epochs = 3", "[space]", *space]
    (tmp_path / "forked.toml").write_text("\n".join(spec))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["tuner", "fork", "first", "forked.toml", "--json"])
    main()
    assert "3 of 3 trials lie in this space" in capsys.readouterr().out
    assert not tried & {json.dumps(record.configuration, sort_keys=True) for record in Leaderboard.read(tmp_path / "sweeps/forked").records}
    monkeypatch.setattr(sys, "argv", ["tuner", "resume", "sweeps/forked", "--json"])
    main()
    assert '"trials": 2' in capsys.readouterr().out


def test_sweep_whose_study_lives_in_a_database_is_opened_again_by_its_folder(tmp_path: Path, blobs: Path, ray_address: str) -> None:
    url = f"sqlite:///{tmp_path}/study.db"
    folder = tmp_path / "sweep"
    board = sweep(folder, ray_address, database=url, dataset=of(blobs), search={"sampler": "random", "trials": 2}, evaluation={"enabled": False})
    assert not (folder / "journal.log").exists()
    assert (folder / "database.json").stat().st_mode & 0o077 == 0
    begun = reopen.recorded(folder)
    assert begun.spec.database == url
    assert len(read_study(folder).trials()) == len(board.records) == 2
    assert read_study(folder).facts["driver"] is None
