"""Whether a spec's builder asks for its hyperparameters itself, read from its source before anything is checked."""

from collections.abc import Sequence
from typing import Any

from search_spaces import network
from search_spaces.errors import SearchSpaceError


def styled(values: dict[str, Any], search_path: Sequence[str]) -> dict[str, Any]:
    """Return a spec's values with `space.define_by_run` set where the source of its builder says so; whoever checks it reports the mistakes in it.

    Args:
        values: as a file holds them.
        search_path: folders in which the builder is looked for.
    """
    space = values.get("space")
    builder = space.get("builder") if isinstance(space, dict) else None
    if not isinstance(builder, str) or "define_by_run" in values["space"]:
        return values
    try:
        style = network.style(builder, search_path)
    except SearchSpaceError:
        return values
    # Where the source does not say, a builder without a single hyperparameter in the spec has them all itself.
    itself = style not in (None, "configuration") or (style is None and set(values["space"]) == {"builder"})
    return {**values, "space": {**values["space"], "define_by_run": True}} if itself else values
