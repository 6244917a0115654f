"""A study in a database: Optuna's tables, with patience for a server that is away.

The database keeps its own promises (transactions, its own checksums); the journal's CRC has no counterpart here. Optuna's heartbeat stays off, for it
belongs to `Study.optimize`: lock.py has one of its own.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import func, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, NoSuchModuleError, OperationalError, SQLAlchemyError

from tuner.errors import SweepError
from tuner.study.journal import PAUSES_S

Answer = TypeVar("Answer")

# A connection that went silent is given up after a minute, and then the database counts as away. Other servers' defaults stay as they are.
_CONNECT = {"postgresql": {"connect_timeout": 10, "keepalives_idle": 30, "tcp_user_timeout": 60_000}, "mysql": {"connect_timeout": 10}}


class SweepDatabase(RDBStorage):
    """Optuna's storage in a database. What cannot be read or written for want of a connection is tried again, as with the journal.

    Args:
        url: as SQLAlchemy takes it; `postgresql://` without a driver means psycopg 3.

    Raises:
        SweepError: later, from any method: the database stays away.
    """

    def __init__(self, url: str) -> None:
        place = make_url(url)
        if place.drivername in ("postgresql", "postgres"):
            place = place.set(drivername="postgresql+psycopg")
        self.place = without_password(url)
        self._pauses: tuple[float, ...] = PAUSES_S
        self._next: int | None = None
        options = {"pool_pre_ping": True, "connect_args": _CONNECT.get(place.get_backend_name(), {})}
        super().__init__(place.render_as_string(hide_password=False), engine_kwargs=options)

    def close(self) -> None:
        """Close the connections that SQLAlchemy keeps for the next query."""
        self.remove_session()
        self.engine.dispose()

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Any = None) -> bool:
        """Set a trial's state; that it has this state already is no error where the answer to a first attempt was lost."""
        attempts = 0

        def once() -> bool:
            nonlocal attempts
            attempts += 1
            if attempts > 1 and RDBStorage.get_trial(self, trial_id).state == state:
                return True
            return RDBStorage.set_trial_state_values(self, trial_id, state, values)

        return self._patiently(once)

    def _create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> FrozenTrial:
        self._next = None
        return self._patiently(lambda: RDBStorage._create_new_trial(self, study_id, template_trial))

    def _get_prepared_new_trial(self, study_id: int, template_trial: FrozenTrial | None, session: Any) -> Any:
        # One driver makes trials. If there is one more than at the first attempt, that attempt succeeded and its answer was lost.
        count = session.scalar(select(func.count()).where(models.TrialModel.study_id == study_id))
        if self._next is not None and count > self._next:
            return session.scalars(select(models.TrialModel).where(models.TrialModel.study_id == study_id, models.TrialModel.number == self._next)).one()
        self._next = count
        return super()._get_prepared_new_trial(study_id, template_trial, session)

    def _patiently(self, ask: Callable[[], Answer]) -> Answer:
        for pause in (*self._pauses, None):
            try:
                return ask()
            except (StorageInternalError, SQLAlchemyError) as error:
                cause = _away(error)
                if cause is None:
                    raise
                if pause is None:
                    self._pauses = ()  # whoever asks now is tidying up, and need not wait as long again
                    raise SweepError(f"{self.place}: the database is away ({_reason(cause)}); bring it back, and run the same command again") from error
                time.sleep(pause)
        raise AssertionError("the last pause is None")


def _patient(name: str) -> Callable[..., Any]:
    method = getattr(RDBStorage, name)

    def asked(self: SweepDatabase, *arguments: Any, **named: Any) -> Any:
        return self._patiently(lambda: method(self, *arguments, **named))

    return asked


# All that Optuna's cache and the study ask of a storage. Each may be asked twice: reads, and writes of a named value.
for _name in (
    "get_study_id_from_name",
    "get_study_name_from_id",
    "get_study_directions",
    "get_study_user_attrs",
    "get_study_system_attrs",
    "get_all_studies",
    "get_trial",
    "get_trial_id_from_study_id_trial_number",
    "get_best_trial",
    "_get_best_trial_id",
    "_get_trials",
    "_set_trial_param",
    "set_study_user_attr",
    "set_study_system_attr",
    "set_trial_user_attr",
    "set_trial_system_attr",
    "set_trial_intermediate_value",
):
    setattr(SweepDatabase, _name, _patient(_name))


def check(url: str) -> None:
    """Refuse what is no URL of a database. Connects to nothing.

    Raises:
        ValueError: it is none, or holds a password.
    """
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise ValueError("got no database URL; expected one such as postgresql://user@host/db") from None
    if parsed.password is not None or {"password", "passwd", "pwd"} & {key.lower() for key in parsed.query}:
        where = "a file: ?read_default_file=~/.my.cnf" if parsed.get_backend_name() in ("mysql", "mariadb") else "PGPASSWORD, or in ~/.pgpass"
        raise ValueError(f"got a URL with a password in it, which every record of the sweep would show; expected it in {where}")


@contextmanager
def explained(url: str) -> Iterator[str]:
    """Tell in one line why a study in a database cannot be opened; the context is what the database is called.

    Raises:
        SweepError: it cannot.
    """
    place = without_password(url)
    try:
        yield place
    except (SQLAlchemyError, ImportError, StorageInternalError) as error:  # ImportError: the database's driver is not installed
        raise SweepError(f"{place}: cannot be opened ({_reason(error)}); expected a database that SQLAlchemy can reach") from error


def without_password(url: str) -> str:
    """Return a database's URL as it may be shown: without user, password and options."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2].partition('?')[0]}"


def _reason(error: BaseException) -> str:
    """Say in one line why a database could not be opened, in the words of its driver, or that there is no such driver."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ModuleNotFoundError):
            return f"Python's driver {cause.name} is not installed; pip install it, or name another in the URL, as in mysql+pymysql:// or postgresql+psycopg://"
        if isinstance(cause, NoSuchModuleError):
            return "SQLAlchemy knows no such kind of database"
        if isinstance(cause, DBAPIError) and str(cause.orig).strip():
            return str(cause.orig).strip().splitlines()[0]
        cause = cause.__cause__
    return type(error).__name__


def _away(error: BaseException) -> DBAPIError | None:
    """Return the error of the database's driver if it says that the database cannot be reached."""
    for cause in (error, error.__cause__):
        if isinstance(cause, OperationalError | InterfaceError) or (isinstance(cause, DBAPIError) and cause.connection_invalidated):
            return cause
    return None
