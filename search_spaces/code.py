"""Functions that are in no module, such as those of a notebook's cell: packed by the program that has them, unpacked where they are called.

They travel in memory alone: as a value through Ray's object store to each worker, and through a pipe to the process that calls them. Nothing here
reads or writes a file, and what has been on a disk is never unpacked: a record holds their source text, for people.
"""

import base64
from collections.abc import Mapping
from typing import Any

from search_spaces.errors import SearchSpaceError

KEY = "code"
# The module that stands in the name of a function which is in none.
IN_MEMORY = "in_memory"


def packed(functions: Mapping[str, Any]) -> bytes:
    """Return functions with all that they need: closures, and what their cell or script has made; modules are named, not taken along.

    Args:
        functions: `in_memory:name` -> a function, a `HyperModel` or its class.

    Raises:
        SearchSpaceError: one of them holds what cannot leave its process.
    """
    import cloudpickle

    if not functions:
        return b""
    for name, function in functions.items():
        try:
            cloudpickle.dumps(function)
        except Exception as error:  # whatever the objects it holds raise when they are packed
            raise SearchSpaceError(
                f"{name.partition(':')[2]}: cannot be sent to a trial's process ({type(error).__name__}: {error}); expected a function that makes what it "
                "needs (live datasets, traced functions and sessions cannot travel)"
            ) from error
    return cloudpickle.dumps(dict(functions))


def code_in(code: bytes) -> dict[str, str]:
    """Return the part of a request that carries packed functions; nothing where there are none."""
    return {KEY: base64.b64encode(code).decode()} if code else {}


def take_code(request: Mapping[str, Any]) -> None:
    """Let the names of the functions that a request carries stand for them, each made anew.

    Args:
        request: from the process that started this one, through their pipe.
    """
    if KEY in request:
        import cloudpickle

        from search_spaces import network

        for name, function in cloudpickle.loads(base64.b64decode(request[KEY])).items():
            network.give(name, function)
