"""Several things that are wrong with one table, said at once.

Owns how they are gathered. Must not know what they are.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from tuner.errors import DatasetError

MOST_MESSAGES = 12


class Problems:
    """Gathers the errors of a table's columns, so that its owner mends them in one go.

    Attributes:
        messages: the messages so far, in order; the same one is there once.
    """

    def __init__(self) -> None:
        self.messages: list[str] = []

    @contextmanager
    def gathered(self) -> Iterator[None]:
        """Take in what the block raises; what follows it goes on."""
        try:
            yield
        except DatasetError as error:
            if str(error) not in self.messages:
                self.messages.append(str(error))

    def check(self) -> None:
        """Raise what has been gathered, if anything.

        Raises:
            DatasetError: one line; several problems are numbered in it.
        """
        if len(self.messages) == 1:
            raise DatasetError(self.messages[0])
        if self.messages:
            shown = "; ".join(f"({number}) {text}" for number, text in enumerate(self.messages[:MOST_MESSAGES], start=1))
            rest = len(self.messages) - MOST_MESSAGES
            raise DatasetError(f"{len(self.messages)} problems: {shown}{f'; and {rest} more' if rest > 0 else ''}")
