"""A real Jupyter kernel for tests: cells in, messages out."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PATIENCE_S = 280.0


@dataclass
class Shown:
    """What a cell has put out.

    Attributes:
        text: of its streams.
        pages: the HTML of what it displayed, in order; a drawing that replaces an earlier one comes after it.
        result: the representations of its value, by their type.
        error: name and message of the exception that ended it; empty: none did.
    """

    text: str = ""
    pages: list[str] = field(default_factory=list)
    result: dict[str, str] = field(default_factory=dict)
    error: tuple[str, str] = ("", "")


class Kernel:
    """A running kernel."""

    def __init__(self, manager: Any, client: Any) -> None:
        self._manager = manager
        self._client = client

    def run(self, code: str, *, meanwhile: Callable[[Shown], bool] = lambda shown: False) -> Shown:
        """Run a cell to its end; once `meanwhile` says yes to what it has shown, the kernel is interrupted, as by its button."""
        shown, request, until = Shown(), self._client.execute(code), time.monotonic() + PATIENCE_S
        interrupted = False
        while time.monotonic() < until:
            message = self._client.get_iopub_msg(timeout=PATIENCE_S)
            if message["parent_header"].get("msg_id") != request:
                continue
            kind, content = message["msg_type"], message["content"]
            if kind == "status" and content["execution_state"] == "idle":
                return shown
            if kind == "stream":
                shown.text += content["text"]
            elif kind in ("display_data", "update_display_data"):
                shown.pages.append(content["data"].get("text/html", ""))
            elif kind == "execute_result":
                shown.result = content["data"]
            elif kind == "error":
                shown.error = (content["ename"], content["evalue"])
            if not interrupted and meanwhile(shown):
                self._manager.interrupt_kernel()
                interrupted = True
        raise TimeoutError(f"the cell did not end within {PATIENCE_S:.0f} s: {shown}")


@contextmanager
def kernel(folder: Path) -> Iterator[Kernel]:
    """Start a kernel whose working folder is this one, and end it."""
    from jupyter_client.manager import KernelManager

    manager = KernelManager()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3", "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
    manager.start_kernel(cwd=str(folder), env=environment)
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=120)
        yield Kernel(manager, client)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
