"""Several things that are wrong with one table, told at once.

Owns how they are gathered. Must not know what they are.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from tuner.errors import DatasetError

MOST_TOLD = 12


class Problems:
    """Gathers the errors of a table's columns, so that its owner mends them in one go.

    Attributes:
        told: the messages so far, in order; the same one is there once.
    """

    def __init__(self) -> None:
        self.told: list[str] = []

    @contextmanager
    def gathered(self) -> Iterator[None]:
        """Take in what the block raises; what follows it goes on."""
        try:
            yield
        except DatasetError as error:
            if str(error) not in self.told:
                self.told.append(str(error))

    def check(self) -> None:
        """Raise what has been gathered, if anything.

        Raises:
            DatasetError: one line; several problems are numbered in it.
        """
        if len(self.told) == 1:
            raise DatasetError(self.told[0])
        if self.told:
            shown = "; ".join(f"({number}) {text}" for number, text in enumerate(self.told[:MOST_TOLD], start=1))
            rest = len(self.told) - MOST_TOLD
            raise DatasetError(f"{len(self.told)} problems: {shown}{f'; and {rest} more' if rest > 0 else ''}")
