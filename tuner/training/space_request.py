"""The process's side of finding a space: the builder is run here, again and again (finding.py asks for it)."""

import sys
from typing import Any

from search_spaces.code import take_code
from search_spaces.errors import SearchSpaceError

VERB = "find_space"


def answer_to(request: dict[str, Any]) -> dict[str, Any]:
    """Do what `finding.find_space` asks.

    Args:
        request: as it was sent.

    Returns:
        `space`, or the `mistake` of the builder.
    """
    sys.path[:0] = [folder for folder in request["search_path"] if folder not in sys.path]
    take_code(request)
    from search_spaces import network
    from search_spaces.define_by_run.building import asker
    from search_spaces.define_by_run.discovery import discover

    builder = request["builder"]
    try:
        shown = discover(asker(network.resolved(builder), builder), builder, seconds=request["seconds"], seed=request["seed"])
    except SearchSpaceError as error:
        return {"mistake": str(error)}
    return {"space": shown.to_json()}
