"""What users, builders and other people's files call things, made fit for a terminal.

Owns which characters are printed as they are: names of metrics, messages of exceptions and facts of other people's jobs may hold escape codes, which would
steer the terminal, and line feeds, which would forge a line.
"""

import errno
import os
from typing import IO


def one(text: object) -> str:
    """Return a text as one line: what cannot be printed is written as Python writes it."""
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in str(text))


def several(text: object) -> str:
    """Return a text of several lines, each fit to be printed."""
    return "\n".join(one(line.replace("\t", "    ")) for line in str(text).split("\n"))


def leave(stream: IO[str]) -> None:
    """Let what is printed on a stream go nowhere from now on: whoever read it has gone, and what is printed is not worth ending a search for."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
    except (OSError, ValueError):  # no file at all
        return


def hand_over(text: str, stream: IO[str]) -> None:
    """Print a result and a line feed. A terminal that has gone away is no error: whoever sat there has the folder; but whoever reads a pipe asked for it.

    Args:
        text: fit to be printed.
        stream: where to.

    Raises:
        OSError: the reader of a pipe has gone, or a disk refuses.
    """
    try:
        print(text, file=stream, flush=True)
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        leave(stream)


def say(text: str, stream: IO[str]) -> None:
    """Print a text and a line feed, where anybody reads it: a reader or a terminal that has gone away is no error.

    Args:
        text: fit to be printed.
        stream: where to.
    """
    try:
        print(text, file=stream, flush=True)
    except OSError:  # EPIPE: the reader of a pipe has gone; EIO: the terminal has
        leave(stream)
