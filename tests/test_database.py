"""A study in a real PostgreSQL on loopback, where its server is installed."""

import getpass
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

import optuna
import pytest
from optuna.storages import RDBStorage

from tuner import study as study_room
from tuner.errors import SweepError
from tuner.lock import beating
from tuner.objective import Objective
from tuner.study import Cause, note_database, open_study, read_study

OBJECTIVE = Objective("val_accuracy", "max")


def server() -> Path | None:
    """Return the folder of PostgreSQL's programs."""
    found = shutil.which("initdb")
    places = [Path(found).resolve().parent] if found else []
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((place for place in places if (place / "initdb").exists() and (place / "postgres").exists()), None)


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    pytest.importorskip("psycopg", reason="psycopg is not installed: pip install 'keras-sweep-tuner[database]'")
    programs = server()
    if programs is None:
        pytest.skip("no PostgreSQL server (initdb, postgres) on this machine")
    # It refuses to run as root.
    user = "nobody" if os.getuid() == 0 else getpass.getuser()
    account = pwd.getpwnam(user)
    as_user = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []} if os.getuid() == 0 else {}
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="tuner-pg-") as folder:
        os.chown(folder, account.pw_uid, account.pw_gid)
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder}
        data = f"{folder}/data"
        # On loopback, for one test, in a folder of its own: whoever can connect may.
        subprocess.run([programs / "initdb", "-D", data, "-U", "tuner", "--auth=trust", "--no-sync"], check=True, **quiet, **as_user)
        command = [programs / "postgres", "-D", data, "-p", str(port), "-h", "127.0.0.1", "-k", folder, "-F"]
        with subprocess.Popen(command, **quiet, **as_user) as process:
            try:
                for _ in range(300):
                    with socket.socket() as probe:
                        if probe.connect_ex(("127.0.0.1", port)) == 0:
                            break
                    time.sleep(0.1)
                yield f"postgresql+psycopg://tuner:secret@127.0.0.1:{port}/postgres"
            finally:
                process.send_signal(signal.SIGINT)  # at once, without waiting for its clients
                process.wait(30)


@pytest.fixture(autouse=True)
def connections(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Close what SQLAlchemy keeps open for the next query, as the end of a process does."""
    made: list[RDBStorage] = []

    class Kept(RDBStorage):
        def __init__(self, url: str) -> None:
            made.append(self)
            super().__init__(url)

    monkeypatch.setattr(study_room, "RDBStorage", Kept)
    yield
    for storage in made:
        if hasattr(storage, "engine"):
            storage.remove_session()
            storage.engine.dispose()


def test_study_in_postgresql_is_whole_after_a_kill_and_has_one_driver(database: str, tmp_path: Path) -> None:
    study = open_study(database, "s", OBJECTIVE, optuna.samplers.RandomSampler(seed=0), alone=False)
    study.set_fact("objective", {"metric": "val_accuracy", "mode": "max"})
    with beating(study, lambda: None):
        numbers = [study.ask().number for _ in range(2)]
        for epoch in (1, 2):
            study.report(0, epoch, {"val_accuracy": 0.1 * epoch, "loss": 1.0})
        study.finish(0, "pruned", Cause("scheduler", "below"))
        assert numbers == [0, 1]
        second = open_study(database, "s", OBJECTIVE, alone=False)
        with pytest.raises(SweepError, match=f"process {os.getpid()} on"), beating(second, lambda: None):
            pass
        assert [trial.number for trial in second.trials("running")] == [1]  # nothing was taken from the first
    again = open_study(database, "s", OBJECTIVE, optuna.samplers.RandomSampler(seed=0), alone=False)
    again.take_over()
    assert [trial.number for trial in again.trials("waiting")] == [1]
    assert again.trial(0).intermediate_values == {1: 0.1, 2: 0.2}
    assert again.ask().number == 1
    note_database(tmp_path, database, "s")
    assert read_study(tmp_path).facts["objective"]["mode"] == "max"


def test_database_that_is_away_is_named_without_its_password(database: str) -> None:
    host = database.partition("@")[2].rpartition("/")[0]
    with pytest.raises(SweepError, match=f"{host}/nowhere: cannot be opened") as caught:
        open_study(database.replace("/postgres", "/nowhere"), "s", OBJECTIVE)
    assert "secret" not in str(caught.value)
