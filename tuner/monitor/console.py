"""What people and machines see of a running sweep: a live view on a terminal, plain lines in a pipe, JSON lines, or nothing.

Owns words and drawing only. Views take what happened (`Event`s in the order in which they happened) and decide nothing.
Progress goes to standard error and the result to standard output, so that output pipes; `--json` puts both on standard output, one object a line.
"""

import json
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import IO, Any, Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from cluster.wording import duration
from tuner.monitor.printable import hand_over, leave, one, say, several


class View(Protocol):
    """What a view is handed while a sweep goes on."""

    def stage(self, name: str, **facts: Any) -> None:
        """A stage of the journey begins (`data`, `cluster`, `search`, `retrain`, `test`, `report`)."""

    def epoch(self, number: int, epoch: int, value: float | None, state: str, cause: str = "") -> None:
        """A trial reported an epoch.

        Args:
            number: of the trial.
            epoch: from 1.
            value: of the objective; None where it has none.
            state: the trial is now `running`, `complete`, `pruned`, `failed`, or `waiting` until others have gone on.
            cause: why it failed.
        """

    def note(self, text: str) -> None:
        """Something that the user should know."""

    def forecast(self, expected: Mapping[str, Any]) -> None:
        """What the sweep is expected to take: its `stages` and their `total`, as report/facts_schema.py describes them (`forecast`)."""

    def result(self, text: str, facts: Mapping[str, Any]) -> None:
        """The sweep is over.

        Args:
            text: its result for people.
            facts: the same for machines, JSON values.
        """

    def close(self) -> None: ...


def view_for(*, quiet: bool = False, as_json: bool = False, live: bool = True) -> View:
    """Return the view that fits where the output goes.

    Args:
        quiet: the result only.
        as_json: for machines.
        live: lines may be drawn over on a terminal; False where somebody else writes there as well.
    """
    if as_json:
        return JsonView(sys.stdout)
    if quiet:
        return QuietView(sys.stdout)
    return LiveView(sys.stderr, sys.stdout) if live and sys.stderr.isatty() else PlainView(sys.stderr, sys.stdout)


@dataclass
class Progression:
    """How far a search is: counts, the best so far, epochs per second, and the estimated end. Shared by the views that show it."""

    trials: int | None = None
    epochs: int | None = None
    seconds: float | None = None
    max_epochs: int = 1
    maximise: bool = True
    metric: str = ""
    clock: Any = time.monotonic
    states: dict[int, str] = field(default_factory=dict)
    running: dict[int, tuple[int, float | None]] = field(default_factory=dict)
    best: float | None = None
    best_trial: int | None = None
    done_epochs: int = 0
    started: float = 0.0
    search_s: float | None = None
    later_s: float = 0.0

    def begin(self, facts: Mapping[str, Any]) -> None:
        """Take the budgets and, where a sweep goes on, what its earlier runs did: `ended` trials by state, `done_epochs` and `gone_s`."""
        for name in ("trials", "epochs", "seconds", "max_epochs", "maximise", "metric", "done_epochs"):
            if name in facts:
                setattr(self, name, facts[name])
        self.states.update(facts.get("ended", {}))
        self.started = self.clock() - facts.get("gone_s", 0.0)

    def update(self, number: int, epoch: int, value: float | None, state: str) -> bool:
        """Take a report; say whether it is a new best.

        Args:
            number, epoch, value, state: see `View.epoch`.
        """
        self.states[number] = state
        self.done_epochs += state != "failed"
        if state == "running":
            self.running[number] = (epoch, value)
        else:
            self.running.pop(number, None)
        if value is None or not (self.best is None or (value > self.best if self.maximise else value < self.best)):
            return False
        self.best, self.best_trial = value, number
        return True

    @property
    def elapsed_s(self) -> float:
        return self.clock() - self.started

    @property
    def ended(self) -> int:
        return sum(state not in ("running", "waiting") for state in self.states.values())

    @property
    def fraction(self) -> float:
        """The share of the tightest budget that is used, from 0 to 1."""
        shares = [0.0]
        if self.trials:
            # A running trial counts by its epochs, so that the bar moves between ends of trials.
            under_way = sum(epoch / self.max_epochs for epoch, _ in self.running.values())
            shares.append((self.ended + under_way) / self.trials)
        if self.epochs:
            shares.append(self.done_epochs / self.epochs)
        if self.seconds:
            shares.append(self.elapsed_s / self.seconds)
        return min(1.0, max(shares))

    @property
    def remaining_s(self) -> float | None:
        """Seconds until the sweep is over; None while there is too little to go by.

        Of the search: as it has gone on so far, and as the forecast has it, which counts less and less. What follows the search is the forecast's alone.
        """
        paced = self.elapsed_s * (1 - self.fraction) / self.fraction if self.fraction > 0.02 else None
        if self.search_s is None:
            return paced
        foreseen = max(0.0, self.search_s - self.elapsed_s)
        rest = foreseen if paced is None else self.fraction * paced + (1 - self.fraction) * foreseen
        return rest + self.later_s

    def expect(self, forecast: Mapping[str, Any]) -> str:
        """Take a forecast, and return it in a line."""
        middles = {stage["name"]: stage["seconds"]["middle"] for stage in forecast.get("stages", ())}
        self.search_s = middles.get("search")
        self.later_s = sum(middles.values()) - middles.get("search", 0.0)
        span, later = forecast["total"]["seconds"], [f"{name} {duration(seconds)}" for name, seconds in middles.items() if name != "search" and seconds >= 0.5]
        return f"forecast: {duration(span['low'])} to {duration(span['high'])} in all" + (f", of which {', '.join(later)} after the search" if later else "")

    def summary(self) -> str:
        """Return the state of the search in one line."""
        counts = {state: sum(other == state for other in self.states.values()) for state in ("running", "complete", "pruned", "failed")}
        words = [f"{self.ended}{f'/{self.trials}' if self.trials else ''} trials"]
        words += [f"{count} {state}" for state, count in counts.items() if count]
        words.append(f"{self.done_epochs} epochs, {self.done_epochs / max(self.elapsed_s, 1e-9):.2g}/s")
        words.append(f"{duration(self.elapsed_s)} gone" + (f", about {duration(self.remaining_s)} left" if self.remaining_s is not None else ""))
        return " · ".join(words)

    def best_text(self) -> str:
        return "no score yet" if self.best is None else f"best {self.metric} {self.best:.4f} (trial {self.best_trial})"


class PlainView(View):
    """Lines for a pipe or a log: stages, new bests, ends of trials, and a summary at most every ten seconds.

    Args:
        progress: where what happens is written.
        output: where the result is.
    """

    def __init__(self, progress: IO[str], output: IO[str]) -> None:
        self._progress, self._output = progress, output
        self._state = Progression()
        self._summed_up_at = 0.0

    def stage(self, name: str, **facts: Any) -> None:
        if name == "search":
            self._state.begin(facts)
        self._line(f"{name}: {facts['text']}" if facts.get("text") else name)

    def epoch(self, number: int, epoch: int, value: float | None, state: str, cause: str = "") -> None:
        new_best = self._state.update(number, epoch, value, state)
        if state == "failed":
            self._line(one(f"trial {number} failed at epoch {epoch}: {cause}"))
        if new_best:
            self._line(one(f"trial {number} epoch {epoch}: {self._state.best_text()}"))
        if time.monotonic() - self._summed_up_at > 10:
            self._summed_up_at = time.monotonic()
            self._line(self._state.summary())

    def note(self, text: str) -> None:
        self._line(text)

    def forecast(self, expected: Mapping[str, Any]) -> None:
        self._line(self._state.expect(expected))

    def result(self, text: str, facts: Mapping[str, Any]) -> None:
        hand_over(text, self._output)

    def close(self) -> None:
        pass

    def _line(self, text: str) -> None:
        say(several(text), self._progress)


class QuietView(View):
    """Only the result."""

    def __init__(self, output: IO[str]) -> None:
        self._output = output

    def stage(self, name: str, **facts: Any) -> None:
        pass

    def epoch(self, number: int, epoch: int, value: float | None, state: str, cause: str = "") -> None:
        pass

    def note(self, text: str) -> None:
        pass

    def forecast(self, expected: Mapping[str, Any]) -> None:
        pass

    def result(self, text: str, facts: Mapping[str, Any]) -> None:
        hand_over(text, self._output)

    def close(self) -> None:
        pass


class JsonView(View):
    """One JSON object a line; the last one is the result."""

    def __init__(self, output: IO[str]) -> None:
        self._output = output

    def stage(self, name: str, **facts: Any) -> None:
        self._write("stage", name=name, **facts)

    def epoch(self, number: int, epoch: int, value: float | None, state: str, cause: str = "") -> None:
        self._write("epoch", trial=number, epoch=epoch, value=value, state=state, cause=cause)

    def note(self, text: str) -> None:
        self._write("note", text=text)

    def forecast(self, expected: Mapping[str, Any]) -> None:
        self._write("forecast", **expected)

    def result(self, text: str, facts: Mapping[str, Any]) -> None:
        self._write("result", **facts)

    def close(self) -> None:
        pass

    def _write(self, event: str, **values: Any) -> None:
        line = json.dumps({"event": event, **values}, allow_nan=False)
        if event == "result":  # whoever asked for it must learn that it did not arrive
            hand_over(line, self._output)
        else:
            say(line, self._output)


class _Patient:
    """A terminal that may go away: what is written then goes nowhere."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError:
            leave(self._stream)
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError:
            leave(self._stream)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class LiveView(View):
    """A picture on the terminal that is redrawn four times a second: a bar, the counts, the best, the running trials.

    Args:
        progress: the terminal.
        output: where the result is written.
    """

    def __init__(self, progress: IO[str], output: IO[str]) -> None:
        self._console = Console(file=_Patient(progress))  # type: ignore[arg-type]  # as much of a file as Rich asks for
        self._output = output
        self._state = Progression()
        self._live: Live | None = None
        self._bar = Progress(TextColumn("search"), BarColumn(bar_width=None), TextColumn("{task.percentage:>3.0f} %"), expand=True)
        self._task = self._bar.add_task("search", total=1.0)

    def stage(self, name: str, **facts: Any) -> None:
        self._stop_live()
        self._console.print(Text(name, style="bold"), Text(several(facts.get("text", ""))))
        if name == "search":
            self._state.begin(facts)
            self._live = Live(get_renderable=self._picture, console=self._console, refresh_per_second=4, transient=True)
            self._live.start()

    def epoch(self, number: int, epoch: int, value: float | None, state: str, cause: str = "") -> None:
        self._state.update(number, epoch, value, state)
        if state == "failed":
            self._console.print(Text(one(f"trial {number} failed at epoch {epoch}: {cause}"), style="red"))

    def note(self, text: str) -> None:
        self._console.print(Text(several(text)))

    def forecast(self, expected: Mapping[str, Any]) -> None:
        self._console.print(Text(self._state.expect(expected)))

    def result(self, text: str, facts: Mapping[str, Any]) -> None:
        self._stop_live()
        hand_over(text, self._output)

    def close(self) -> None:
        self._stop_live()

    def _stop_live(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None
            self._console.print(Text(self._state.summary()))

    def _picture(self) -> Group:
        self._bar.update(self._task, completed=self._state.fraction)
        running = Table.grid(padding=(0, 2))
        for number, (epoch, value) in sorted(self._state.running.items())[:16]:
            shown = "" if value is None else f"{self._state.metric} {value:.4f}"
            running.add_row(*map(Text, (f"  trial {number}", f"epoch {epoch}/{self._state.max_epochs}", one(shown))))
        return Group(self._bar, Text(self._state.summary()), Text(one(self._state.best_text())), running)
