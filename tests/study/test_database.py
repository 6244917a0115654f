"""A study in a real PostgreSQL on loopback, where its server is installed."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from tuner.errors import SpecError, SweepError
from tuner.spec import sweep_spec as specs
from tuner.study import database
from tuner.study.backends import note_database, open_study, read_study
from tuner.study.database import SweepDatabase
from tuner.study.failures import Cause
from tuner.study.lock import beating
from tuner.study.objective import Objective
from tuner.study.record import Study

OBJECTIVE = Objective("val_accuracy", "max")


def server() -> Path | None:
    """Return the folder of PostgreSQL's programs."""
    found = shutil.which("initdb")
    places = [Path(found).resolve().parent] if found else []
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((place for place in places if (place / "initdb").exists() and (place / "postgres").exists()), None)


class Server:
    """A PostgreSQL on loopback that can be stopped and started again."""

    def __init__(self, programs: Path, folder: str) -> None:
        # It refuses to run as root.
        account = pwd.getpwnam("nobody") if os.getuid() == 0 else pwd.getpwuid(os.getuid())
        self._options: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder}
        if os.getuid() == 0:
            os.chown(folder, account.pw_uid, account.pw_gid)
            self._options |= {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"postgresql://tuner@127.0.0.1:{self.port}/postgres"
        data = f"{folder}/data"
        # On loopback, for one test, in a folder of its own: whoever can connect may.
        subprocess.run([programs / "initdb", "-D", data, "-U", "tuner", "--auth=trust", "--no-sync"], check=True, **self._options)
        self._command = [programs / "postgres", "-D", data, "-p", str(self.port), "-h", "127.0.0.1", "-k", folder, "-F"]
        self._process: subprocess.Popen | None = None

    def start(self) -> None:
        if self._process is not None:
            return
        self._process = subprocess.Popen(self._command, **self._options)
        for _ in range(300):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.1)
        raise TimeoutError("no PostgreSQL after 30 s")

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)  # at once, without waiting for its clients
            self._process.wait(30)
            self._process = None


@pytest.fixture(scope="module")
def installed() -> Iterator[Server]:
    pytest.importorskip("psycopg", reason="psycopg is not installed: pip install 'keras-sweep-tuner[database]'")
    programs = server()
    if programs is None:
        pytest.skip("no PostgreSQL server (initdb, postgres) on this machine")
    with tempfile.TemporaryDirectory(prefix="tuner-pg-") as folder:
        found = Server(programs, folder)
        try:
            yield found
        finally:
            found.stop()


@pytest.fixture
def running(installed: Server) -> Server:
    installed.stop()
    installed.start()
    return installed


@pytest.fixture(autouse=True)
def connections(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Close what SQLAlchemy keeps open for the next query, as the end of a process does."""
    made: list[SweepDatabase] = []

    class Kept(SweepDatabase):
        def __init__(self, url: str) -> None:
            made.append(self)
            super().__init__(url)

    monkeypatch.setattr(database, "SweepDatabase", Kept)
    yield
    for storage in made:
        if hasattr(storage, "engine"):
            storage.close()


def opened(running: Server, name: str) -> Study:
    study = open_study(running.url, name, OBJECTIVE, optuna.samplers.RandomSampler(seed=0), alone=False)
    study.set_fact("objective", {"metric": "val_accuracy", "mode": "max"})
    return study


def told(study: Study) -> list[tuple[int, str, dict[int, float]]]:
    return [(trial.number, trial.state.name, dict(trial.intermediate_values)) for trial in study.trials()]


def test_study_in_postgresql_is_whole_after_a_kill_and_has_one_driver(running: Server, tmp_path: Path) -> None:
    study = opened(running, "s")
    with beating(study, lambda: None):
        numbers = [study.ask().number for _ in range(2)]
        for epoch in (1, 2):
            study.report(0, epoch, {"val_accuracy": 0.1 * epoch, "loss": 1.0})
        study.finish(0, "pruned", Cause("scheduler", "below"))
        assert numbers == [0, 1]
        second = opened(running, "s")
        with pytest.raises(SweepError, match=f"process {os.getpid()} on"), beating(second, lambda: None):
            pass
        assert [trial.number for trial in second.trials("running")] == [1]  # nothing was taken from the first
    again = opened(running, "s")
    again.take_over()
    assert [trial.number for trial in again.trials("waiting")] == [1]
    assert again.trial(0).intermediate_values == {1: 0.1, 2: 0.2}
    assert again.ask().number == 1
    note_database(tmp_path, running.url, "s")
    assert read_study(tmp_path).facts["objective"]["mode"] == "max"


def test_database_that_is_not_there_is_named_at_once_without_its_password(running: Server) -> None:
    url = running.url.replace("tuner@", "tuner:secret@").replace("/postgres", "/nowhere")
    with pytest.raises(SweepError, match=rf":{running.port}/nowhere: cannot be opened \(.*database \"nowhere\" does not exist") as caught:
        open_study(url, "s", OBJECTIVE)
    assert "secret" not in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("mysql+nodriver://h/d", r"mysql\+nodriver://h/d: cannot be opened \(SQLAlchemy knows no such kind of database\)"),
        ("mysql+oursql://h/d", r"cannot be opened \(SQLAlchemy knows no such kind of database\)"),
        ("postgresql+psycopg2cffi://h/d", r"cannot be opened \(Python's driver psycopg2cffi is not installed; pip install it, or name another in the URL"),
        ("postgresql://127.0.0.1:1/d", r"127\.0\.0\.1:1/d: cannot be opened \(.*Connection refused\)"),
    ],
)
def test_database_that_cannot_be_opened_is_told_with_the_reason(url: str, message: str) -> None:
    with pytest.raises(SweepError, match=message) as caught:
        open_study(url, "s", OBJECTIVE)
    assert "\n" not in str(caught.value)


def test_database_that_is_away_for_a_moment_is_asked_again_and_nothing_is_lost_or_doubled(running: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    study, pauses = opened(running, "moment"), []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if seconds >= 1.0:
            running.start()

    monkeypatch.setattr(database, "time", SimpleNamespace(sleep=pause))
    for act in (
        lambda: study.ask(),
        lambda: study.set_trial_fact(0, "seed", 7),
        lambda: study.report(0, 1, {"val_accuracy": 0.5, "loss": 1.0}),
        lambda: study.finish(0, "complete"),
        lambda: study.set_fact("search_ended", "the budget is spent"),
    ):
        running.stop()
        act()
    running.stop()
    assert told(study) == [(0, "COMPLETE", {1: 0.5})]
    assert study.trial(0).user_attrs["seed"] == 7 and study.facts["search_ended"] == "the budget is spent"
    assert pauses.count(0.5) >= 6


def test_answer_that_is_lost_after_the_database_has_obeyed_makes_no_second_trial_and_no_error(running: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    study, commits = opened(running, "answers"), []
    commit = Session.commit

    def lose(session: Session) -> None:
        commit(session)
        commits.append(session)
        if len(commits) % 2:
            raise OperationalError("COMMIT", None, Exception("server closed the connection unexpectedly"))

    monkeypatch.setattr(database, "time", SimpleNamespace(sleep=lambda seconds: None))
    monkeypatch.setattr(Session, "commit", lose)
    study.ask()
    study.report(0, 1, {"val_accuracy": 0.5})
    study.finish(0, "complete")
    monkeypatch.undo()
    assert len(commits) >= 6
    assert told(study) == [(0, "COMPLETE", {1: 0.5})]


def test_database_that_stays_away_is_named(running: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    study, pauses = opened(running, "away"), []
    monkeypatch.setattr(database, "time", SimpleNamespace(sleep=pauses.append))
    running.stop()
    with pytest.raises(SweepError, match=rf"127\.0\.0\.1:{running.port}/postgres: the database is away \(.+\); bring it back, and run the same") as caught:
        study.set_fact("told", 1)
    assert len(str(caught.value).splitlines()) == 1
    assert sum(pauses) > 120
    before = len(pauses)
    with pytest.raises(SweepError, match="the database is away"):
        study.set_fact("told", 2)
    assert len(pauses) == before  # whoever tidies up does not wait as long again


@pytest.mark.parametrize("url", ["postgresql://tuner:secret@host/db", "postgresql+psycopg://host/db?user=tuner&password=secret"])
def test_password_in_the_spec_is_refused_with_where_it_belongs(url: str) -> None:
    with pytest.raises(SpecError, match=r"^database: got a URL with a password in it.*; expected it in PGPASSWORD, or in ~/\.pgpass$") as caught:
        specs.check({"name": "s", "database": url})
    assert "secret" not in str(caught.value)


def test_password_of_mysql_belongs_in_its_own_file() -> None:
    with pytest.raises(SpecError, match=r"expected it in a file: \?read_default_file=~/\.my\.cnf$"):
        specs.check({"name": "s", "database": "mysql+pymysql://tuner:secret@host/db"})
    specs.check({"name": "s", "database": "mysql+pymysql://tuner@host/db?read_default_file=~/.my.cnf"})


def test_storage_that_is_no_url_is_refused() -> None:
    with pytest.raises(SpecError, match="database: got no database URL; expected one such as postgresql"):
        specs.check({"name": "s", "database": "study"})
