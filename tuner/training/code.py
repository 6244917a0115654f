"""A builder that is in no module, such as a function of a notebook's cell: packed in the driver, unpacked in a trial's process.

It travels in memory alone: as a value through Ray's object store to each worker, and from the worker through a pipe to the process beside it. Nothing here
reads or writes a file, and what has been on a disk is never unpacked: a record holds the builder's source text, for people.
"""

import base64
from typing import Any

from search_spaces.errors import SearchSpaceError

KEY = "code"
# The module that stands in the name of a builder which is in none.
IN_MEMORY = "in_memory"


def packed(builder: Any, name: str) -> bytes:
    """Return a builder with all that it needs: closures, and what its cell or script has made; modules are named, not taken along.

    Args:
        builder: a function, a `HyperModel` or its class.
        name: of the builder, for messages.

    Raises:
        SearchSpaceError: it holds what cannot leave its process.
    """
    import cloudpickle

    try:
        return cloudpickle.dumps(builder)
    except Exception as error:  # whatever the objects it holds raise when they are packed
        raise SearchSpaceError(
            f"{name}: cannot be sent to a trial's process ({type(error).__name__}: {error}); expected a function that makes what it needs (live "
            "datasets, traced functions and sessions cannot travel)"
        ) from error


def code_in(code: bytes) -> dict[str, str]:
    """Return the part of a request that carries a packed builder; nothing where there is none."""
    return {KEY: base64.b64encode(code).decode()} if code else {}


def take_code(request: dict[str, Any], builder: str) -> None:
    """Let the builder's name stand for what a request carries, made anew each time.

    Args:
        request: from the process that started this one, through their pipe.
        builder: the name.
    """
    if KEY in request:
        import cloudpickle

        from search_spaces import network

        network.give(builder, cloudpickle.loads(base64.b64decode(request[KEY])))
