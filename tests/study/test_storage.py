"""Files in a bucket, on a real S3 server on loopback, and in a shared folder: the same promises."""

import logging
import os
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from moto.server import ThreadedMotoServer

from tuner.errors import SpecError, SweepError
from tuner.spec import sweep_spec as specs
from tuner.study import mirror, storage
from tuner.study.mirror import Mirror, brought_here, fetch, mirrored
from tuner.study.storage import States, Storage

SECRET = "not-to-be-seen-anywhere"


@contextmanager
def bucket(patch: pytest.MonkeyPatch) -> Iterator[str]:
    """Run an S3 server with one bucket, and let this process and its children know it as a machine's environment does."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        for name, value in {
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
            "AWS_ACCESS_KEY_ID": "someone",
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }.items():
            patch.setenv(name, value)
        urllib.request.urlopen(urllib.request.Request(f"http://{host}:{port}/bucket", method="PUT")).close()
        yield "s3://bucket/sweeps"
    finally:
        server.stop()


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch, bucket(patch) as place:
        yield place


@pytest.fixture(params=["bucket", "folder"])
def place(request: pytest.FixtureRequest, s3: str, tmp_path: Path) -> str:
    """A place of this test's own."""
    return f"{s3}/{tmp_path.name}" if request.param == "bucket" else str(tmp_path / "shared")


def journal(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "journal.log").write_text(text)
    return folder


def told() -> Callable[[str], None]:
    lines: list[str] = []

    def tell(line: str) -> None:
        lines.append(line)

    tell.lines = lines  # type: ignore[attr-defined]
    return tell


def test_files_are_written_listed_read_and_removed_alike_in_a_bucket_and_a_folder(place: str) -> None:
    kept = Storage(place)
    assert (kept.get("a"), kept.sizes(), kept.sizes("none")) == (None, {}, {})
    kept.put("a", b"one"), kept.put("deep/er/b", b"four"), kept.put("a", b"three")
    assert kept.get("a") == b"three"
    assert kept.sizes() == {"a": 5, "deep/er/b": 4}
    assert kept.sizes("deep") == {"er/b": 4}
    kept.remove("a"), kept.remove("a")
    assert kept.sizes() == {"deep/er/b": 4}


def test_folder_is_uploaded_with_the_naming_file_last_and_comes_back_whole(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept, here, order = Storage(place), tmp_path / "here", []
    here.mkdir()
    (here / "state.json").write_text("1"), (here / "zz-1.npz").write_text("old"), (here / ".aside").write_text("half")
    kept.upload(here, "7", last="state.json")
    (here / "zz-1.npz").unlink(), (here / "zz-2.npz").write_text("new"), (here / "state.json").write_text("2")
    put, remove = kept.put, kept.remove
    monkeypatch.setattr(kept, "put", lambda name, content: (order.append(name), put(name, content)))
    monkeypatch.setattr(kept, "remove", lambda name: (order.append(f"-{name}"), remove(name)))
    kept.upload(here, "7", last="state.json")
    assert order == ["7/zz-2.npz", "7/state.json", "-7/zz-1.npz"]
    kept.download("7", tmp_path / "there"), kept.download("8", tmp_path / "nothing")
    assert {file.name: file.read_text() for file in (tmp_path / "there").iterdir()} == {"zz-2.npz": "new", "state.json": "2"}
    assert not (tmp_path / "nothing").exists()


def test_states_of_trials_are_sized_and_removed_by_number(s3: str, tmp_path: Path) -> None:
    place = f"{s3}/{tmp_path.name}"
    kept, states = Storage(place), States(place)
    for name in ("3/state.json", "3/a.npz", "12/state.json", "other/x", "loose"):
        kept.put(name, b"xy")
    assert states.sizes() == {3: 4, 12: 2}
    states.remove(3), states.remove(4)
    assert states.sizes() == {12: 2}


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("sweeps", "got 'sweeps'; expected s3://bucket/path, gs://"),
        ("s3://", "got 's3://'; expected"),
        ("ftp://host/x", "kind ftp://; expected s3://"),
        ("postgresql://me@h/x", "named by `database`"),
        (f"s3://me:{SECRET}@bucket/x", r"credentials or options in a URL.*expected them in AWS_\* variables"),
        (f"s3://bucket/x?secret_key={SECRET}", "credentials or options"),
    ],
)
def test_places_that_are_none_and_credentials_in_a_spec_are_refused(place: str, message: str) -> None:
    with pytest.raises(SpecError, match=f"^storage: {message}" if message.startswith("got '") else f"^storage: .*{message}") as refusal:
        specs.check({"name": "s", "storage": place})
    assert SECRET not in str(refusal.value)


def test_journal_is_mirrored_in_whole_records_and_goes_on_elsewhere(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirror, "EVERY_S", 0.05)
    here, there, tell = journal(tmp_path / "here", "1\n2\nhal"), tmp_path / "there", told()
    copied = threading.Event()
    put = Storage.put
    monkeypatch.setattr(Storage, "put", lambda self, name, content: (put(self, name, content), copied.set() if content == b"1\n2\n" else None))
    with mirrored(here, place, tell=tell, interrupted=threading.Event()):
        assert copied.wait(20)
        assert Storage(place).get("journal.log") == b"1\n2\n"
        with (here / "journal.log").open("a") as file:
            file.write("f\n")
        (here / "leaderboard.parquet").write_text("board")
    assert Storage(place).sizes() == {"journal.log": 9, "leaderboard.parquet": 5}  # the last copy; the driver's sign is gone

    there.mkdir()
    (there / "journal.end").write_text("of another time")
    with mirrored(there, place, tell=tell, interrupted=threading.Event()):
        assert (there / "journal.log").read_text() == "1\n2\nhalf\n"
        assert (there / "leaderboard.parquet").read_text() == "board"
        assert not (there / "journal.end").exists()
    assert tell.lines == [f"the sweep goes on from {place}, which knows it"]  # type: ignore[attr-defined]


def test_the_longer_journal_counts_and_two_different_ones_are_refused(place: str, tmp_path: Path) -> None:
    kept = Storage(place)
    kept.put("journal.log", b"1\n2\n")
    ahead = journal(tmp_path / "ahead", "1\n2\n3\n")
    assert fetch(kept, ahead) == []
    assert (ahead / "journal.log").read_text() == "1\n2\n3\n"
    behind = journal(tmp_path / "behind", "1\n")
    assert fetch(kept, behind) == [f"the sweep goes on from {place}, which knows more of it"]
    assert (behind / "journal.log").read_text() == "1\n2\n"
    with pytest.raises(SweepError, match="hold journals of two different sweeps; expected one and the same"):
        fetch(kept, journal(tmp_path / "other", "1\nx\n"))


def test_storage_that_is_away_is_told_once_tried_again_and_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirror, "EVERY_S", 0.02)
    here, tell, away = journal(tmp_path / "here", "1\n"), told(), threading.Event()
    put, refused = Storage.put, threading.Semaphore(0)

    def flaky(self: Storage, name: str, content: bytes) -> None:
        if away.is_set():
            refused.release()
            raise OSError("curl: no route")
        put(self, name, content)

    monkeypatch.setattr(Storage, "put", flaky)
    with mirrored(here, str(tmp_path / "shared"), tell=tell, interrupted=threading.Event()):
        away.set()
        for _ in range(3):
            assert refused.acquire(timeout=20)
        (here / "journal.log").write_text("1\n2\n")
        away.clear()
    assert Storage(str(tmp_path / "shared")).get("journal.log") == b"1\n2\n"
    assert len(tell.lines) == 2, tell.lines  # type: ignore[attr-defined]
    assert "cannot be written to (curl: no route); tried again" in tell.lines[0]  # type: ignore[attr-defined]
    assert tell.lines[1].endswith("is up to date again")  # type: ignore[attr-defined]


def test_storage_out_of_reach_at_the_beginning_is_one_line(s3: str, tmp_path: Path) -> None:
    message = r"^storage: s3://no-such-bucket/x cannot be used \(.*; expected a place that this machine may read and write"
    with pytest.raises(SweepError, match=message) as refusal, mirrored(tmp_path, "s3://no-such-bucket/x", tell=told(), interrupted=threading.Event()):
        pass
    assert "\n" not in str(refusal.value) and SECRET not in str(refusal.value)


def test_second_driver_is_refused_and_a_dead_one_is_taken_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirror, "DEAD_AFTER_S", 0.6)
    place = str(tmp_path / "shared")
    kept = Storage(place)
    here, tell = journal(tmp_path / "here", "1\n"), told()
    sign = '{{"host": "elsewhere", "pid": 7, "token": "other", "beat": {}}}'.format
    kept.put("driver.json", sign(1).encode())
    alive = threading.Timer(0.1, lambda: kept.put("driver.json", sign(2).encode()))
    alive.start()
    with pytest.raises(SweepError, match="shared: process 7 on elsewhere is running this sweep"):
        Mirror(here, kept, tell=tell, interrupted=threading.Event()).take()
    alive.join()
    assert b"other" in (kept.get("driver.json") or b"")
    Mirror(here, kept, tell=tell, interrupted=threading.Event()).take()  # it writes no more
    assert b"other" not in (kept.get("driver.json") or b"")
    assert "was last used by process 7 on elsewhere; waiting 0.6 s for a sign of life" in tell.lines[0]  # type: ignore[attr-defined]


def test_driver_that_was_taken_over_stops_and_writes_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirror, "EVERY_S", 0.02)
    kept, interrupted = Storage(str(tmp_path / "shared")), threading.Event()
    here = journal(tmp_path / "here", "1\n")
    message = r"process 7 on elsewhere has taken the sweep in .* over; this driver stops"
    with pytest.raises(SweepError, match=message), mirrored(here, kept.place, tell=told(), interrupted=interrupted):
        kept.put("driver.json", b'{"host": "elsewhere", "pid": 7, "token": "other", "beat": 1}')
        assert interrupted.wait(20)
        (here / "journal.log").write_text("1\n2\n")
    assert kept.get("journal.log") in (b"1\n", None)
    assert b"other" in (kept.get("driver.json") or b"")


def test_url_without_a_sweep_is_told(s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SweepError, match="s3://bucket/sweeps/nothing: no sweep is kept there"):
        brought_here(f"{s3}/nothing")
    with pytest.raises(SweepError, match="out of reach"):
        brought_here("http://bucket/nothing")
    Storage(f"{s3}/some").put("journal.log", b"1\n")
    assert (tmp_path / brought_here(f"{s3}/some") / "journal.log").read_text() == "1\n"
    assert not os.path.exists(tmp_path / "sweeps" / "nothing")


def test_place_that_is_one_is_looked_at_nowhere_by_the_spec() -> None:
    spec = specs.check({"name": "s", "storage": "s3://bucket/sweeps/"})
    assert spec.kept_at == "s3://bucket/sweeps/s"
    assert not storage.is_bucket("/mnt/shared")
