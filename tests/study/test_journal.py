"""The journal: what its checksums find, and its patience with storage."""

import json
import random
import shutil
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from tuner.errors import SweepError
from tuner.study import journal, writing
from tuner.study.backends import JOURNAL, open_study
from tuner.study.failures import Cause
from tuner.study.journal import SweepJournal
from tuner.study.objective import Objective
from tuner.study.record import Study

OBJECTIVE = Objective("val_accuracy", "max")
MARK = "journal.end"


def opened(folder: Path) -> Study:
    return open_study(folder, "s", OBJECTIVE, optuna.samplers.RandomSampler(seed=0))


def told(study: Study) -> list:
    return [(trial.number, trial.state.name, dict(trial.intermediate_values), dict(trial.user_attrs), dict(trial.params)) for trial in study.trials()]


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """A folder with the study of four ended trials."""
    study = opened(tmp_path)
    study.set_fact("spec", {"seed": 1})
    for number in range(4):
        trial = study.ask()
        trial.suggest_float("x", 0, 1)
        for epoch in (1, 2, 3):
            study.report(number, epoch, {"val_accuracy": 0.1 * epoch + 0.01 * number, "loss": 1.0})
        study.finish(number, "complete" if number else "failed", None if number else Cause("crash", "killed"))
    return tmp_path


def test_damage_anywhere_is_named_or_the_study_is_what_it_was(sweep: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    whole = (sweep / JOURNAL).read_bytes()
    right, lines = told(opened(sweep)), whole.splitlines(keepends=True)
    draw = random.Random(0)
    folder = tmp_path_factory.mktemp("damaged")
    found = 0
    for number in range(600):
        kind = ("change", "flip", "cut out", "double", "insert", "swap")[number % 6]
        place, line = draw.randrange(len(whole) - 1), draw.randrange(len(lines) - 1)
        if kind == "change":
            damaged = whole[:place] + bytes([draw.randrange(256)]) + whole[place + 1 :]
        elif kind == "flip":
            damaged = whole[:place] + bytes([whole[place] ^ (1 << draw.randrange(8))]) + whole[place + 1 :]
        elif kind == "cut out":
            damaged = whole[:place] + whole[min(len(whole) - 1, place + draw.randrange(1, 300)) :]
        elif kind == "double":
            damaged = b"".join([*lines[: line + 1], *lines[line:]])
        elif kind == "insert":
            damaged = whole[:place] + draw.randbytes(draw.randrange(1, 20)) + whole[place:]
        else:
            damaged = b"".join([*lines[:line], lines[line + 1], lines[line], *lines[line + 2 :]])
        (folder / JOURNAL).write_bytes(damaged)
        try:
            read = told(opened(folder))
        except SweepError as error:
            assert str(error).startswith(f"{folder / JOURNAL}: ") and "\n" not in str(error)
            found += 1
        else:
            assert read == right, (kind, place, line)
    assert found > 500


def test_torn_tail_of_any_length_is_a_shorter_history_and_never_an_error(sweep: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    whole = (sweep / JOURNAL).read_bytes()
    folder = tmp_path_factory.mktemp("torn")
    for end in range(0, len(whole), 97):
        (folder / MARK).unlink(missing_ok=True)
        (folder / JOURNAL).write_bytes(whole[:end])
        before = len(opened(folder).trials())
        study = opened(folder)
        study.set_fact("mended", True)
        assert opened(folder).facts["mended"]
        assert len(study.trials()) == before


def test_journal_that_was_cut_between_two_lines_is_no_shorter_sweep(sweep: Path) -> None:
    whole = (sweep / JOURNAL).read_bytes()
    lines = whole.splitlines(keepends=True)
    (sweep / JOURNAL).write_bytes(b"".join(lines[:-1]) + lines[-1][:-9])  # the last append, torn: what a crash leaves
    assert len(opened(sweep).trials()) == 4
    for left in (len(lines) - 3, len(lines) // 2, 0):
        (sweep / JOURNAL).write_bytes(b"".join(lines[:left]))
        with pytest.raises(SweepError, match=r"journal\.log: is cut short \(its records end at byte \d+, but at least \d+ bytes had been written\); delete "):
            opened(sweep)
    (sweep / JOURNAL).unlink()
    with pytest.raises(SweepError, match="is cut short"):
        opened(sweep)
    (sweep / MARK).write_bytes(b"damaged")  # it is a guard, and no part of the record
    assert not opened(sweep).trials()


def test_storage_that_refuses_is_asked_again_and_no_half_line_stays(sweep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study, refusals, pauses = opened(sweep), [3], []
    fsync = journal.os.fsync

    def refuse(file: int) -> None:
        if refusals[0]:
            refusals[0] -= 1
            raise OSError(28, "No space left on device")
        fsync(file)

    monkeypatch.setattr(journal.os, "fsync", refuse)
    monkeypatch.setattr(writing.time, "sleep", pauses.append)
    study.set_fact("told", 1)
    assert pauses == [0.5, 1.0, 2.0]
    assert opened(sweep).facts["told"] == 1
    assert sum('"told":1' in line for line in (sweep / JOURNAL).read_text().splitlines()) == 1

    refusals[0] = 1000
    with pytest.raises(SweepError, match=r"journal\.log: cannot be written \(No space left on device\); make room or mend the storage"):
        study.set_fact("told", 2)
    assert sum(pauses) > 120
    refusals[0] = 0
    assert opened(sweep).facts["told"] == 1


def test_records_that_are_made_together_are_read_at_once_and_written_in_one_go(sweep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study, writes = opened(sweep), []
    fsync = journal.os.fsync
    monkeypatch.setattr(journal.os, "fsync", lambda file: (writes.append(1), fsync(file)))
    with study.together():
        study.set_fact("told", 1)
        with study.together():
            study.report(study.ask().number, 1, {"val_accuracy": 0.5, "loss": 1.0})
        assert study.facts["told"] == 1 and study.trial(4).intermediate_values == {1: 0.5} and not writes
        optuna.load_study(study_name="s", storage=JournalStorage(JournalFileBackend(str(sweep / JOURNAL)))).set_user_attr("note", "meanwhile")
        assert "told" not in opened(sweep).facts
        writes.clear()  # the other's
    assert len(writes) == 1
    assert study.facts["note"] == opened(sweep).facts["note"] == "meanwhile"
    study.set_fact("after", 2)
    assert opened(sweep).facts["told"] == 1 and opened(sweep).facts["after"] == 2
    assert told(opened(sweep))[:-1] == told(study)[:-1] and opened(sweep).trial(4).intermediate_values == {1: 0.5}


def test_records_that_could_not_be_written_together_are_written_by_the_next(sweep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = opened(sweep)

    def refuse(file: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(journal.os, "fsync", refuse)
        patch.setattr(writing.time, "sleep", lambda seconds: None)
        with pytest.raises(SweepError, match="cannot be written"), study.together():
            study.set_fact("told", 1)
            study.set_fact("also", 2)
    study.set_fact("after", 3)
    assert {name: opened(sweep).facts[name] for name in ("told", "also", "after")} == {"told": 1, "also": 2, "after": 3}
    lines = [json.loads(line) for line in (sweep / JOURNAL).read_text().splitlines()]
    assert sum("told" in line.get("user_attr", {}) for line in lines) == 1


def test_study_counts_its_trials_and_finds_those_that_wait_as_it_goes(sweep: Path) -> None:
    study = opened(sweep)
    assert (study.count(), study.waiting()) == (4, None)
    study.enqueue({"x": 0.5}, {})
    begun = study.ask().number
    assert (study.count(), study.waiting()) == (5, None)
    study.release(begun)
    study.enqueue({"x": 0.6}, {})
    assert (study.count(), study.waiting()) == (6, begun)
    study.resume(begun)
    assert study.waiting() == 5
    assert (opened(sweep).count(), opened(sweep).waiting()) == (6, begun)  # a driver that was killed: what ran waits


def test_lock_that_a_killed_driver_left_in_the_middle_of_a_write_is_removed(sweep: Path) -> None:
    (sweep / f"{JOURNAL}.lock").symlink_to(sweep / JOURNAL)
    opened(sweep).set_fact("told", 1)  # without waiting for the lock's 30 s
    assert opened(sweep).facts["told"] == 1


def test_optunas_own_tools_read_the_journal_and_may_write_to_it(sweep: Path) -> None:
    ours = opened(sweep)
    theirs = optuna.load_study(study_name="s", storage=JournalStorage(JournalFileBackend(str(sweep / JOURNAL))))
    assert [trial.number for trial in theirs.trials] == [0, 1, 2, 3]
    theirs.set_user_attr("note", "from the dashboard")
    ours.set_fact("after", 1)
    assert opened(sweep).facts | {"spec": 0} == {"spec": 0, "note": "from the dashboard", "after": 1}
    assert "crc" in json.loads((sweep / JOURNAL).read_text().splitlines()[-1])
    assert next(SweepJournal(sweep / JOURNAL).read_logs(3)) == list(SweepJournal(sweep / JOURNAL).read_logs(0))[3]


def test_journal_whose_folder_is_removed_is_named_at_once(sweep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = opened(sweep)
    slept: list[float] = []
    monkeypatch.setattr(writing.time, "sleep", slept.append)
    shutil.rmtree(sweep)
    for use in (study.trials, study.ask, lambda: study.set_fact("name", "s")):
        with pytest.raises(SweepError, match=r"journal\.log: is gone, and the sweep's record with it"):
            use()
    assert slept == [] and not sweep.exists()


@pytest.mark.parametrize("name", [JOURNAL, MARK])
def test_journal_that_is_a_link_is_refused_and_what_it_leads_to_is_whole(sweep: Path, tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "text"
    elsewhere.write_text("a text of the user's")
    (sweep / name).unlink()
    (sweep / name).symlink_to(elsewhere)
    with pytest.raises(SweepError, match=f"{name}: is a link to .*; expected a file of this sweep's own"):
        opened(sweep)
    assert elsewhere.read_text() == "a text of the user's"
