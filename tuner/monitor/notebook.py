"""The view of a notebook's cell: one output that is drawn anew, twice a second at most, and the result below it as text."""

import html
import sys
import time
from collections.abc import Mapping
from typing import Any

from tuner.monitor.console import Progression, View

EVERY_S = 0.5
MOST_RUNNING = 8
MOST_LINES = 12


def in_notebook() -> bool:
    """Say whether this process is the kernel of a notebook, or another place that shows rich output."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return shell is not None and hasattr(shell, "kernel")


class NotebookView(View):
    """Progress in the cell: the stage, a bar, the counts, the best so far, the running trials, and the last notes."""

    def __init__(self) -> None:
        """Take hold of the cell's output; nothing is drawn before the first stage."""
        self._state = Progression()
        self._stage = ""
        self._lines: list[str] = []
        self._searching = False
        self._drawn = 0.0
        self._handle: Any = None

    def stage(self, name: str, **facts: Any) -> None:
        if self._searching:
            self._lines.append(self._state.summary())
        self._searching = name == "search"
        if self._searching:
            self._state.begin(facts)
        self._stage = f"{name}: {facts['text']}" if facts.get("text") else name
        self._draw(at_once=True)

    def epoch(self, number: int, epoch: int, value: float | None, state: str, cause: str = "") -> None:
        self._state.update(number, epoch, value, state)
        if state == "failed":
            self._lines.append(f"trial {number} failed at epoch {epoch}: {cause}")
        self._draw()

    def note(self, text: str) -> None:
        self._lines.append(text)
        self._draw(at_once=True)

    def forecast(self, expected: Mapping[str, Any]) -> None:
        self._lines.append(self._state.expect(expected))
        self._draw(at_once=True)

    def result(self, text: str, facts: Mapping[str, Any]) -> None:
        """Draw the end; the result itself is what the call returns, and the cell shows.

        Args:
            text: for people.
            facts: for machines.
        """
        self._stage = "done"
        self._draw(at_once=True)

    def close(self) -> None:
        self._draw(at_once=True)

    def _draw(self, *, at_once: bool = False) -> None:
        now = time.monotonic()
        if not self._stage or (not at_once and now - self._drawn < EVERY_S):
            return
        self._drawn = now
        from IPython.display import HTML, display

        picture = HTML(self._picture())
        if self._handle is None:
            self._handle = display(picture, display_id=True)
        else:
            self._handle.update(picture)

    def _picture(self) -> str:
        parts = [f"<b>{html.escape(self._stage)}</b>"]
        if self._searching:
            share = 100 * self._state.fraction
            parts.append(f'<progress value="{share:.1f}" max="100" style="width:100%"></progress>')
            parts += [html.escape(self._state.summary()), html.escape(self._state.best_text())]
            for number, (epoch, value) in sorted(self._state.running.items())[:MOST_RUNNING]:
                shown = "" if value is None else f", {self._state.metric} {value:.4f}"
                parts.append(html.escape(f"trial {number}: epoch {epoch}/{self._state.max_epochs}{shown}"))
        notes = "\n".join(map(html.escape, self._lines[-MOST_LINES:]))
        body = "<br>".join(parts) + (f'<pre style="white-space:pre-wrap">{notes}</pre>' if notes else "")
        return f'<div class="tuner-progress">{body}</div>'
