"""What the calls of a program get back: a sweep, a plan, a comparison, a replay; each with a plain face and a rich one."""

import html
from collections.abc import Mapping, Sequence
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search_spaces.errors import nearest
from tuner.errors import SpecError, SweepError
from tuner.report import compare as report_compare
from tuner.report.curve_figures import curves
from tuner.report.ending import ending
from tuner.report.formats import render
from tuner.report.tables import columns, text
from tuner.results.leaderboard import Leaderboard, TrialRecord

if TYPE_CHECKING:
    import keras
    import pandas
    import pyarrow

MOST_ROWS = 10


class Result:
    """A sweep, read from its folder.

    Attributes:
        folder: where everything of it lies.
    """

    def __init__(self, folder: str | Path, code: bytes = b"", search_path: Sequence[str] = ()) -> None:
        """Open a sweep.

        Args:
            folder: of the sweep.
            code: its builder, packed, where that is in no module and this program has it.
            search_path: folders in which its builder's module is looked for.

        Raises:
            SweepError: there is no sweep.
        """
        self.folder = Path(folder)
        self._code = code
        self._search_path = tuple(search_path)
        self._board = Leaderboard.read(self.folder)

    @property
    def best(self) -> TrialRecord:
        """The trial that won: chosen on fresh seeds, or the best of the search; its `configuration`, `score`, `epochs`, `curves`.

        Raises:
            NothingToRank: no trial has a score.
        """
        return self._board.winner

    @property
    def leaderboard(self) -> "Table":
        """Every trial, ranked: `to_pandas()`, `to_arrow()`, or `records` one by one."""
        return Table(self._board)

    @property
    def facts(self) -> Mapping[str, Any]:
        """The facts of the sweep as a whole, as report/facts_schema.py lists it."""
        return self._board.facts

    @property
    def test(self) -> Mapping[str, float] | None:
        """The means of the winner's metrics on the test split, over its seeds; None where it was not evaluated."""
        final = self._board.facts.get("final")
        return None if final is None else final["mean"]

    def model(self) -> "keras.Model":
        """Return the retrained winner, loaded in this process: it imports Keras.

        Raises:
            SweepError: there is none, or it has layers that this process does not know.
        """
        from tuner.results.loading import load_model

        return load_model(self.folder, code=self._code, search_path=self._search_path)

    def predict(self, x: Any, *, probabilities: bool = False) -> Any:
        """Predict new rows, in a process beside this one.

        Args:
            x: rows as the sweep's own inputs, before any scaling: `(rows, ...)`, or a structure of arrays; after a table a data frame, an Arrow table or a
                dictionary of columns; or the path of a file, as `tuner predict` reads it.
            probabilities: of each class, instead of the likeliest.

        Returns:
            `(rows,)` class names, strings or int64 where they are whole numbers; `(rows, classes)` probabilities, float32; targets as the sweep's own,
            `(rows,)` or `(rows, targets)` float32; or of several outputs a structure of arrays.

        Raises:
            SweepError: there is no model.
            DatasetError: the rows are not like those that it was trained on.
        """
        from tuner.results.prediction import predict_rows

        return predict_rows(self.folder, x, probabilities=probabilities, code=self._code, search_path=self._search_path)

    def report(self) -> "Report":
        """Return the report: it shows itself in a notebook, and `path` is its file."""
        return Report(self._board, self.folder / "report.html")

    def __repr__(self) -> str:
        return f"{ending(self._board, self.folder)}\n" if self._board.ranked else f"<tuner sweep in {self.folder}: no trial has a score>"

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(repr(self).strip())}</pre>{self.leaderboard._repr_html_()}{_framed(self._board)}"


class Table:
    """A leaderboard as a table.

    Attributes:
        records: the ranked trials by rank, then the others by number.
    """

    def __init__(self, board: Leaderboard) -> None:
        """Show a leaderboard."""
        self._board = board
        self.records = board.records

    def to_arrow(self) -> "pyarrow.Table":
        """Return every trial with every column, as leaderboard.parquet holds them."""
        return self._board.table()

    def to_pandas(self) -> "pandas.DataFrame":
        """Return the same as a data frame.

        Raises:
            SweepError: pandas is not installed.
        """
        try:
            return self.to_arrow().to_pandas()
        except ModuleNotFoundError as error:
            raise SweepError("to_pandas: pandas is not installed; expected `pip install pandas`, or use to_arrow()") from error

    def __len__(self) -> int:
        return len(self.records)

    def __repr__(self) -> str:
        return text(self._board)

    def _repr_html_(self) -> str:
        shown = columns(self._board)
        head = "".join(f"<th>{html.escape(column.heading)}</th>" for column in shown)
        rows = ["".join(f"<td>{html.escape(column.shown(record))}</td>" for column in shown) for record in self.records[:MOST_ROWS]]
        more = f"<p>{len(self.records) - MOST_ROWS} more</p>" if len(self.records) > MOST_ROWS else ""
        return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(f'<tr>{row}</tr>' for row in rows)}</tbody></table>{more}"


class Report:
    """The report of a sweep.

    Attributes:
        path: its HTML file.
    """

    def __init__(self, board: Leaderboard, path: Path) -> None:
        """Show the report of a leaderboard, which lies at a path."""
        self._board = board
        self.path = path

    def __repr__(self) -> str:
        return render(self._board, "md")

    def _repr_html_(self) -> str:
        return _frame(render(self._board, "html"), 720)


class Plan:
    """What a sweep would take; `facts` holds it as JSON."""

    def __init__(self, facts: Mapping[str, Any]) -> None:
        """Show a plan, as `make_plan` returns it."""
        self.facts = facts

    def __repr__(self) -> str:
        from tuner.sweep import plan  # with Ray

        return plan.text(self.facts)

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(repr(self))}</pre>"


class Comparison:
    """Several sweeps side by side; `facts` holds it as JSON."""

    def __init__(self, folders: Sequence[Path]) -> None:
        """Lay sweeps side by side.

        Args:
            folders: of the sweeps.

        Raises:
            SweepError: one of them is none, or they are ranked by different metrics.
        """
        if len({folder.resolve() for folder in folders}) < len(folders):
            raise SweepError("compare: a folder is named twice; expected different sweeps")
        self.facts = report_compare.compare({str(folder): Leaderboard.read(folder) for folder in folders})

    def __repr__(self) -> str:
        return report_compare.text(self.facts)

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(repr(self))}</pre>"


class Replay:
    """A sweep replayed under other rules; `facts` holds what came of it."""

    CHANGES = ("sampler", "scheduler", "grace_period", "reduction_factor", "workers", "seed")

    def __init__(self, facts: Mapping[str, Any]) -> None:
        """Show a replay."""
        self.facts = facts

    @classmethod
    def of(cls, folder: Path, changes: Mapping[str, Any]) -> "Replay":
        """Replay a sweep.

        Args:
            folder: of the sweep.
            changes: what is to be otherwise, by the names in `CHANGES`.

        Raises:
            SpecError: an unknown change.
            SweepError: there is no sweep.
        """
        from tuner.sweep.replaying import replayed

        for name in changes:
            if name not in cls.CHANGES:
                raise SpecError(f"simulate: unknown change {name!r}; {nearest(name, cls.CHANGES)}")
        return cls(vars(replayed(folder, **changes)[0]))

    @cached_property
    def _text(self) -> str:
        return "\n".join(f"{name:<10}{value}" for name, value in self.facts.items())

    def __repr__(self) -> str:
        return self._text


def _framed(board: Leaderboard) -> str:
    drawn = curves(board)
    if drawn is None:
        return ""
    style = files("tuner.report").joinpath("style.css").read_text(encoding="utf-8")
    return _frame(f"<!doctype html><html><head><meta charset='utf-8'><style>{style}</style></head><body><main>{drawn}</main></body></html>", 520)


def _frame(page: str, height: int) -> str:
    # In a frame of its own, so that neither its style nor its script touches the notebook.
    return f'<iframe srcdoc="{html.escape(page, quote=True)}" sandbox="allow-scripts" style="width:100%;height:{height}px;border:0"></iframe>'
