"""Finding the space of a builder that asks while it runs, in a process of its own: the driver never imports TensorFlow.

The driver's side; the process's is space_request.py.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from search_spaces.code import code_in
from search_spaces.errors import SearchSpaceError
from tuner.training.process import ChildProcess, Limits
from tuner.training.space_request import VERB

# The space of a builder that needs seconds for each network is taken as far as it has got by then.
SECONDS = 60.0
# How much longer one run of the builder may take than all of them should.
PATIENCE_S = 600.0


def find_space(
    builder: str,
    *,
    search_path: Sequence[str] = (),
    code: bytes = b"",
    seed: int = 0,
    seconds: float = SECONDS,
    cancelled: Callable[[], bool] | None = None,
) -> dict[str, Any]:
    """Run a builder until its space is complete.

    Args:
        builder: `module:function`.
        search_path: folders where its module is looked for.
        code: the builder itself, where it is in no module.
        seed: of the values that it is run on.
        seconds: how long that may take.
        cancelled: asked ten times a second; once it says yes, the process is ended.

    Returns:
        `Found.to_json`: name, builder and parameters of the space, and how it came about.

    Raises:
        SearchSpaceError: the builder fails on all values, asks for nothing, or for what no space can describe.
        ProcessDied: its process crashed, or was cancelled.
    """
    request = {"do": VERB, "builder": builder, "search_path": list(search_path), "seed": seed, "seconds": seconds, "limits": asdict(Limits()), **code_in(code)}
    with ChildProcess() as process:
        answer = process.ask(request, seconds + PATIENCE_S, cancelled)
    if "mistake" in answer:
        raise SearchSpaceError(answer["mistake"])
    return answer["space"]
