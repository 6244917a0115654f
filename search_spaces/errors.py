"""What can be wrong with a search space or a configuration, and the nearest word for a misspelt one."""

import difflib
from collections.abc import Collection, Iterable


class SearchSpaceError(ValueError):
    """The author of a space (or of the `[space]` section) must act."""


def one_of(word: str, words: Collection[str], kind: str) -> str:
    """Return a word that is among the accepted ones.

    Args:
        word: what arrived.
        words: the words that are accepted.
        kind: what they name, for the message.

    Raises:
        ValueError: it is not.
    """
    if word not in words:
        raise ValueError(f"{word!r}: unknown {kind}; {nearest(word, words)}")
    return word


def nearest(word: str, known: Iterable[str], *, listed: Iterable[str] | None = None) -> str:
    """Return the tail of an error message for an unknown word: the nearest known one, or all of them.

    Args:
        word: what arrived.
        known: the words that would have been accepted.
        listed: those to list where none is near; all where nothing is said.

    Returns:
        `did you mean 'x'?` where one is near, else `expected one of: a, b, c`.
    """
    known = list(known)
    near = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"expected one of: {', '.join(sorted(known if listed is None else listed))}"
