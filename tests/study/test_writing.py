"""Files that are whole or not there, on storage that refuses."""

import os
from pathlib import Path

import pytest

from tuner.cli import main as cli
from tuner.errors import SweepError
from tuner.study import writing
from tuner.study.writing import PAUSES_S, patiently, write_whole


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that would have been waited."""
    waited: list[float] = []
    monkeypatch.setattr(writing.time, "sleep", waited.append)
    return waited


@pytest.fixture
def refusals(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How often the disk refuses from now on."""
    left, fsync = [0], os.fsync

    def refuse(file: int) -> None:
        if left[0]:
            left[0] -= 1
            raise OSError(28, "No space left on device")
        fsync(file)

    monkeypatch.setattr(writing.os, "fsync", refuse)
    return left


def test_file_takes_the_place_of_another_once_the_disk_lets_it(tmp_path: Path, pauses: list[float], refusals: list[int]) -> None:
    path = tmp_path / "report.md"
    write_whole(path, "old")
    refusals[0] = 2
    write_whole(path, b"new")
    assert path.read_text() == "new" and pauses == [0.5, 1.0]


def test_disk_that_refuses_for_too_long_ends_with_one_line_and_leaves_what_was_there(tmp_path: Path, pauses: list[float], refusals: list[int]) -> None:
    path = tmp_path / "report.md"
    write_whole(path, "old")
    refusals[0] = 99
    with pytest.raises(SweepError) as refused:
        write_whole(path, "new")
    assert str(refused.value) == (
        f"{path}: cannot be written (No space left on device); make room or mend the storage, then run the same command again to go on"
    )
    assert tuple(pauses) == PAUSES_S
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_private_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    write_whole(tmp_path / "secret", "x", private=True)
    assert (tmp_path / "secret").stat().st_mode & 0o077 == 0


def test_reader_of_a_pipe_that_has_gone_is_no_storage(pauses: list[float]) -> None:
    def write() -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        patiently(write, "a pipe")
    assert not pauses


@pytest.mark.parametrize(("filename", "named"), [("/data/x.csv", "/data/x.csv"), (None, "a file")])
def test_full_disk_anywhere_in_a_command_is_one_line_and_exit_code_2(
    filename: str | None, named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise OSError(28, "No space left on device", *([filename] if filename else []))

    monkeypatch.setattr("tuner.results.leaderboard.Leaderboard.read", refuse)
    monkeypatch.setattr("sys.argv", ["tuner", "leaderboard", str(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    err = capsys.readouterr().err
    assert ended.value.code == 2
    assert err.startswith(f"tuner: {named}: cannot be written (No space left on device); make room") and len(err.splitlines()) == 1


def test_defect_that_looks_like_no_full_disk_keeps_its_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*arguments: object, **options: object) -> None:
        raise FileNotFoundError(2, "No such file or directory", "x")

    monkeypatch.setattr("tuner.results.leaderboard.Leaderboard.read", missing)
    monkeypatch.setattr("sys.argv", ["tuner", "leaderboard", str(tmp_path)])
    with pytest.raises(FileNotFoundError):
        cli.main()


def test_file_is_put_in_the_place_of_a_link_and_never_written_through_one(tmp_path: Path) -> None:
    mine = tmp_path / "mine.txt"
    mine.write_text("a text of the user's")
    (tmp_path / "report.md").symlink_to(mine)
    write_whole(tmp_path / "report.md", "a report")
    assert mine.read_text() == "a text of the user's"
    assert (tmp_path / "report.md").read_text() == "a report" and not (tmp_path / "report.md").is_symlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.txt", "report.md"]
