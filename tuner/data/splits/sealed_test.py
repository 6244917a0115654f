"""The test split, which no search sees: sealed until its opening is on record.

Must not know what is in it.
"""

from collections.abc import Callable
from typing import Any, NoReturn

from tuner.data.pool import Pool


class SealedTest:
    """The test split. It cannot be pickled or copied, so that it reaches no worker by accident; opening it is put on record first."""

    __slots__ = ("_give", "rows")

    # None: nobody knows before it is opened.
    rows: int | None

    def __init__(self, pool: Pool | Callable[[], Pool]) -> None:
        """Seal it.

        Args:
            pool: the rows, or what gives them: it is called when the split is opened, and not before.
        """
        self.rows = len(pool) if isinstance(pool, Pool) else None
        # A closure, not an attribute: nothing that walks over attributes (a logger, a serialiser) meets the rows.
        if isinstance(pool, Pool):
            kept = pool.seal()
            self._give = lambda: kept
        else:
            asked = pool
            self._give = lambda: asked().seal()

    def open(self, record: Callable[[str], None], reason: str) -> Pool:
        """Give out the test split, after the opening has been recorded.

        Args:
            record: called with the reason; the rows are given out only once it has returned.
            reason: why it is opened; not empty.

        Returns:
            The rows, not yet scaled; read-only.

        Raises:
            ValueError: the reason is empty.
        """
        if not reason.strip():
            raise ValueError("SealedTest.open: expected a reason; every opening of the test split is recorded with one")
        record(reason)
        return self._give()

    def __repr__(self) -> str:
        return f"SealedTest(rows={self.rows})"

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError("the test split is sealed: it is neither pickled nor copied; send what SealedTest.open gives only where it is evaluated")
