"""Where studies live: in the journal of a sweep's folder, or in a database.

Owns how one is made, opened again and read there, and what is said where that fails. Must not know what a record means.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import optuna
from optuna.storages import BaseStorage, JournalStorage

from tuner.errors import SweepError
from tuner.study.journal import JournalDamaged, SweepJournal
from tuner.study.objective import Objective
from tuner.study.record import Study
from tuner.study.sweep_facts import SweepFacts
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
    location = _location(folder)
    with _place(location, "expected a study with read permission", "; restore it from a copy"):
        study = _load(folder, location)
        objective = Objective(**study.user_attrs["objective"])
    return Study(study, objective)


def forget_unbegun(folder: str | Path, is_other: Callable[[SweepFacts], bool]) -> bool:
    """Remove the study of a sweep that has not one epoch to show, and that is to be begun otherwise; say whether that was so.

    The sweep's lock must be held. One that another driver works at in a database, and one that cannot be read, stays as it is.

    Args:
        folder: of the sweep.
        is_other: given the facts of the sweep, says whether it is to be begun otherwise.
    """
    try:
        location = _location(folder)
        with _place(location, "", ""):
            study = _load(folder, location)
            facts = cast(SweepFacts, study.user_attrs)
    except SweepError:  # opening it says so
        return False
    trials = study.get_trials(deepcopy=False)
    if any(name.startswith("epoch_") for trial in trials for name in trial.user_attrs) or facts.get("driver") or not is_other(facts):
        return False
    journal = Path(folder) / JOURNAL
    if journal.exists():
        journal.unlink()
        journal.with_suffix(".end").unlink(missing_ok=True)
    else:
        optuna.delete_study(study_name=study.study_name, storage=study._storage)
    return True


def _location(folder: str | Path) -> str:
    """Return where the study of a sweep's folder lives: the folder itself, or the URL of a database.

    Raises:
        SweepError: no sweep lies there.
    """
    place = Path(folder) / DATABASE
    if (Path(folder) / JOURNAL).exists():
        return str(folder)
    if not place.exists():
        raise SweepError(f"{folder}: no sweep there ({JOURNAL} is missing); expected the folder of a sweep that `tuner run` has begun")
    with _explained(str(place), "expected a study with read permission", "; restore it from a copy"):
        return str(json.loads(place.read_text(encoding="utf-8"))["url"])


def _load(folder: str | Path, location: str) -> optuna.Study:
    if _is_database(location):
        name = json.loads((Path(folder) / DATABASE).read_text(encoding="utf-8"))["name"]
        return optuna.load_study(study_name=name, storage=_open_storage(location))
    backend = SweepJournal(Path(folder) / JOURNAL)
    storage = JournalStorage(backend)
    backend.check_end()
    name = next((name for name in optuna.study.get_all_study_names(storage) if not name.endswith(KNOWN)), "")
    return optuna.load_study(study_name=name, storage=storage)


def note_database(folder: str | Path, url: str, name: str) -> None:
    """Write into a sweep's folder where its study lives, for this user's eyes: the URL may hold a password.

    Args:
        folder: of the sweep.
        url: of the database.
        name: of the study in it.
    """
    place = Path(folder) / DATABASE
    write_whole(place, json.dumps({"url": url, "name": name}), private=True)


def _is_database(location: str | Path) -> bool:
    return "://" in str(location)


@contextmanager
def _place(location: str | Path, expected: str, remedy: str) -> Iterator[str]:
    """Tell in one line why the study at a location cannot be opened; the context is what the place is called."""
    if not _is_database(location):
        with _explained(str(Path(location) / JOURNAL), expected, remedy) as place:
            yield place
        return
    from tuner.study import database  # with SQLAlchemy, for which no other sweep has to wait

    with database.explained(str(location)) as place, _explained(place, expected, remedy):
        yield place


@contextmanager
def _explained(place: str, expected: str, remedy: str) -> Iterator[str]:
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
