"""Which states of trials stay on disk."""

from pathlib import Path

import optuna
import pytest

from tuner.study.failures import Cause
from tuner.study.objective import Objective
from tuner.study.record import Study
from tuner.study.retention import BEST_KEPT, CheckpointRetention

SIZE = 1000


@pytest.fixture
def study() -> Study:
    """Trials 0 to 5 with ever better values, each complete; 6 and 7 wait; 8 runs without a value; 9 failed after the best value of all."""
    made = Study(optuna.create_study(direction="maximize"), Objective("val_accuracy", "max"))
    for number, value in enumerate([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.15, 0.35, None, 0.99]):
        made.ask()
        if value is not None:
            made.report(number, 1, {"val_accuracy": value})
        if number < 6:
            made.finish(number, "complete")
    made.release(6), made.release(7)
    made.finish(9, "failed", Cause("crash", "made up"))
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(10):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "state").write_bytes(b"x" * SIZE)
    return tmp_path


def kept(folder: Path) -> list[int]:
    return sorted(int(place.name) for place in folder.iterdir())


def test_states_of_the_best_and_of_trials_that_may_go_on_stay(study: Study, folder: Path) -> None:
    (folder / ".going-3-77").mkdir()  # of a driver that was killed meanwhile
    CheckpointRetention(folder, study, 1e9).prune()
    assert kept(folder) == [3, 4, 5, 6, 7, 8]


@pytest.mark.parametrize(("room", "left"), [(5, [3, 4, 5, 6, 7]), (4, [3, 4, 5, 7]), (3, [3, 4, 5]), (0, [3, 4, 5])])
def test_where_the_disk_is_full_the_worst_lose_theirs_first_and_the_best_never(study: Study, folder: Path, room: int, left: list[int]) -> None:
    CheckpointRetention(folder, study, room * SIZE).prune()
    assert kept(folder) == left
    assert len(left) >= BEST_KEPT


def test_storage_that_is_away_is_no_error(study: Study, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place in ("none", "file"):
        CheckpointRetention(tmp_path / place, study, 1e9).prune()


def test_it_is_tidied_now_and_then(study: Study, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("tuner.study.retention.time.monotonic", lambda: now[0])
    shelf = CheckpointRetention(folder, study, 1e9)
    shelf.prune_now_and_then()
    assert len(kept(folder)) == 10
    now[0] += 10
    shelf.prune_now_and_then()
    assert len(kept(folder)) == 6
