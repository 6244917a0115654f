"""Reports by format: one row of FORMATS each, a function from a leaderboard to text.

Every number has one way of being written for people (`numbers.py`), and every text passes `discretion.py` on its way in, so that a report reveals
neither secrets nor folders nor user names.
"""

from collections.abc import Callable

from search_spaces.errors import nearest
from tuner.errors import SweepError
from tuner.report.discretion import discreet
from tuner.report.document import as_json
from tuner.report.html import as_html
from tuner.report.tables import as_csv, latex, markdown
from tuner.results.leaderboard import Leaderboard

FORMATS: dict[str, Callable[[Leaderboard], str]] = {
    "html": as_html,
    "md": markdown,
    "csv": as_csv,
    "json": as_json,
    "latex": latex,
}


def render(leaderboard: Leaderboard, form: str, *, revealing: bool = False) -> str:
    """Return the report in a format.

    Args:
        leaderboard: what it is a view of.
        form: a key of `FORMATS`.
        revealing: keep folders, user names and whatever else `discretion.py` hides.

    Raises:
        SweepError: there is no such format.
    """
    if form not in FORMATS:
        raise SweepError(f"report format {form!r}: unknown; {nearest(form, FORMATS)}")
    return FORMATS[form](leaderboard if revealing else discreet(leaderboard))
