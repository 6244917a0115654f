"""Where studies live: in the journal of a sweep's folder, or in a database.

Owns how one is made, opened again and read there, and what is said where that fails. Must not know what a record means.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna
from optuna.storages import BaseStorage, JournalStorage

from tuner.errors import SweepError
from tuner.study.journal import JournalDamaged, SweepJournal
from tuner.study.objective import Objective
from tuner.study.record import Study
from tuner.study.writing import write_whole

JOURNAL = "journal.log"
DATABASE = "database.json"
# The trials of earlier sweeps that the sampler knows lie beside a study, in one whose name ends so.
KNOWN = " (warm start)"


def open_study(location: str | Path, name: str, objective: Objective, sampler: optuna.samplers.BaseSampler | None = None, *, alone: bool = True) -> Study:
    """Open the study of a sweep, making it where there is none; trials that a killed driver left running wait to be continued.

    Args:
        location: the sweep's folder (the journal is made in it), or a database URL such as `postgresql://host/db`.
        name: the study's name in that storage.
        objective: what is optimised.
        sampler: Optuna's sampler; needed only where new configurations are asked for.
        alone: False where another driver may be at work: running trials are then left as they are, until `take_over`.

    Raises:
        SweepError: the storage cannot be opened, or holds a study with another objective.
    """
    with _place(location, "expected a folder with write permission", "; restore it from a copy, or start in another folder") as place:
        storage = _open_storage(location)
        study = optuna.create_study(storage=storage, sampler=sampler, study_name=name, direction=objective.direction, load_if_exists=True)
    if study.direction.name.lower() != objective.direction:
        raise SweepError(f"{place}: study {name!r} is to be {study.direction.name.lower()}d, the objective asks to {objective.direction} {objective.metric}")
    opened = Study(study, objective)
    if alone:
        opened.take_over()
    return opened


def read_study(folder: str | Path) -> Study:
    """Return the study of a sweep by the sweep's folder alone, to look at: nothing is released or mended, for its driver may be at work.

    Raises:
        SweepError: no sweep lies there, or it cannot be read.
    """
    journal, place = Path(folder) / JOURNAL, Path(folder) / DATABASE
    if not journal.exists() and not place.exists():
        raise SweepError(f"{folder}: no sweep there ({JOURNAL} is missing); expected the folder of a sweep that `tuner run` has begun")
    expected, remedy = "expected a study with read permission", "; restore it from a copy"
    location, name = str(folder), ""
    if not journal.exists():
        with _told(str(place), expected, remedy):
            stated = json.loads(place.read_text(encoding="utf-8"))
            location, name = str(stated["url"]), stated["name"]
    with _place(location, expected, remedy):
        if journal.exists():
            backend = SweepJournal(journal)
            storage: BaseStorage = JournalStorage(backend)
            backend.check_end()
            name = next((name for name in optuna.study.get_all_study_names(storage) if not name.endswith(KNOWN)), "")
        else:
            storage = _open_storage(location)
        study = optuna.load_study(study_name=name, storage=storage)
        objective = Objective(**study.user_attrs["objective"])
    return Study(study, objective)


def note_database(folder: str | Path, url: str, name: str) -> None:
    """Write into a sweep's folder where its study lives, for this user's eyes: the URL may hold a password."""
    place = Path(folder) / DATABASE
    write_whole(place, json.dumps({"url": url, "name": name}), private=True)


def _is_database(location: str | Path) -> bool:
    return "://" in str(location)


@contextmanager
def _place(location: str | Path, expected: str, remedy: str) -> Iterator[str]:
    """Tell in one line why the study at a location cannot be opened; the context is what the place is called."""
    if not _is_database(location):
        with _told(str(Path(location) / JOURNAL), expected, remedy) as place:
            yield place
        return
    from tuner.study import database  # with SQLAlchemy, for which no other sweep has to wait

    with database.told(str(location)) as place, _told(place, expected, remedy):
        yield place


@contextmanager
def _told(place: str, expected: str, remedy: str) -> Iterator[str]:
    """Tell in one line why what is stored at a place is no study."""
    try:
        yield place
    except OSError as error:
        raise SweepError(f"{place}: cannot be opened ({error.strerror or error}); {expected}") from error
    except JournalDamaged as error:
        raise SweepError(f"{error}{remedy}") from error
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise SweepError(f"{place}: holds no sweep that has begun ({type(error).__name__}: {error}){remedy}") from error


def _open_storage(location: str | Path) -> BaseStorage:
    """Open the storage that a study lives in: a journal file in a folder, or a database by its URL.

    What a driver that was killed left half written in a journal is cut off.
    """
    if _is_database(location):
        from tuner.study.database import SweepDatabase

        return SweepDatabase(str(location))
    journal = Path(location) / JOURNAL
    journal.parent.mkdir(parents=True, exist_ok=True)
    backend = SweepJournal(journal)
    storage = JournalStorage(backend)
    backend.check_end()
    backend.mend()
    return storage
