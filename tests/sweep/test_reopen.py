"""A sweep that never ran keeps no name, and one that ran is not forgotten."""

from pathlib import Path
from typing import Any

import pytest

from tuner.spec import sweep_spec as specs
from tuner.study.backends import open_study, read_study
from tuner.study.objective import Objective
from tuner.study.record import Cause, Study
from tuner.sweep import reopen, sources
from tuner.sweep.given import NOTHING, Given

OBJECTIVE = Objective("val_loss", "min")


def spec(folder: Path, **values: Any) -> specs.SweepSpec:
    return specs.check({"name": "s", "folder": str(folder), "search": {"trials": 9}, **values})


def begun(folder: Path, of: specs.SweepSpec, search_path: tuple[str, ...] = ()) -> Study:
    study = open_study(of.database or folder, "s", OBJECTIVE)
    study.set_fact("objective", {"metric": "val_loss", "mode": "min"})
    if files := sources.sources_of(of.space.builder, search_path):
        sources.record(study, folder, files)
    study.set_fact("spec", specs.to_json(of))
    return study


def test_without_an_epoch_another_spec_begins_anew(tmp_path: Path) -> None:
    study = begun(tmp_path, spec(tmp_path, seed=1))
    for number in range(4):
        study.ask()
        study.finish(number, "failed", Cause("error", "no such metric"))
    (tmp_path / "leaderboard.parquet").write_text("of the one before")
    assert "never finished an epoch" in str(reopen.begin_anew(spec(tmp_path, seed=2), NOTHING))
    assert [path.name for path in tmp_path.iterdir()] == []


def test_without_an_epoch_the_same_spec_goes_on(tmp_path: Path) -> None:
    begun(tmp_path, spec(tmp_path, seed=1)).ask()
    assert reopen.begin_anew(spec(tmp_path, seed=1), NOTHING) is None
    assert len(read_study(tmp_path).trials()) == 1


@pytest.mark.parametrize("value", [0.5, float("nan")])
def test_with_a_single_epoch_nothing_is_forgotten(tmp_path: Path, value: float) -> None:
    study = begun(tmp_path, spec(tmp_path, seed=1))
    study.ask()
    study.report(0, 1, {"val_loss": value, "val_accuracy": 0.1})
    assert reopen.begin_anew(spec(tmp_path, seed=2), NOTHING) is None
    assert len(read_study(tmp_path).trials()) == 1


def test_where_it_only_moved_nothing_is_forgotten(tmp_path: Path) -> None:
    begun(tmp_path, spec(tmp_path)).ask()
    assert reopen.begin_anew(spec(tmp_path, cluster={"target": "address", "address": "h:1"}, trackers=["tensorboard"]), NOTHING) is None


def test_a_mended_builder_begins_anew_without_the_failures_of_the_broken_one(tmp_path: Path) -> None:
    folder, beside = tmp_path / "sweep", (str(tmp_path),)
    (tmp_path / "net.py").write_text("def build(c, p):\n    raise ValueError\n")
    own = spec(folder, space={"builder": "net:build", "units": [1, 2]})
    study = begun(folder, own, beside)
    study.ask()
    study.finish(0, "failed", Cause("error", "ValueError"))
    assert reopen.begin_anew(own, Given(beside)) is None
    (tmp_path / "net.py").write_text("def build(c, p):\n    return 1\n")
    assert reopen.begin_anew(own, Given(beside)) is not None
    assert not (folder / "builder").exists() and not (folder / "journal.log").exists()


def test_a_study_in_a_database_begins_anew_unless_another_driver_works_at_it(tmp_path: Path) -> None:
    from tuner.study.backends import note_database

    folder, url = tmp_path / "sweep", f"sqlite:///{tmp_path}/study.db"
    folder.mkdir()
    study = begun(folder, spec(folder, database=url, seed=1))
    note_database(folder, url, "s")
    study.set_fact("driver", {"host": "elsewhere", "pid": 1, "token": "t", "beat": 1e12})
    assert reopen.begin_anew(spec(folder, database=url, seed=2), NOTHING) is None
    study.set_fact("driver", None)
    assert reopen.begin_anew(spec(folder, database=url, seed=2), NOTHING) is not None
    assert open_study(url, "s", Objective("val_accuracy", "max")).trials() == []  # the direction is the new one's too


def test_a_folder_without_a_sweep_and_a_damaged_record_are_left_alone(tmp_path: Path) -> None:
    assert reopen.begin_anew(spec(tmp_path), Given()) is None
    (tmp_path / "journal.log").write_text("damaged\n")
    assert reopen.begin_anew(spec(tmp_path), Given()) is None
    assert (tmp_path / "journal.log").read_text() == "damaged\n"


def test_a_changed_builder_is_taken_on_by_word_and_the_record_says_from_where(tmp_path: Path) -> None:
    folder, beside = tmp_path / "sweep", (str(tmp_path),)
    (tmp_path / "net.py").write_text("def build(c, p):\n    return 0\n")
    study = begun(folder, spec(folder, space={"builder": "net:build", "units": [1, 2]}), beside)
    study.ask()
    study.report(0, 1, {"val_loss": 1.0})
    assert reopen.take_on_builder(folder, Given(beside)) is None
    (tmp_path / "net.py").write_text("def build(c, p):\n    return 1\n")
    assert "net.py, line 2" in str(reopen.take_on_builder(folder, Given(beside)))
    assert read_study(folder).facts["builder_sources"]["from_trial"] == 1
    assert reopen.take_on_builder(folder, Given(beside)) is None
