"""What a report must not give away: secrets, folders outside the sweep, and user names.

A report travels further than a sweep: into mails, pull requests and slides. Every text of a leaderboard passes through here before a format sees
it. The leaderboard's file itself is left as it is. Must not know any format.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

from tuner.report.lanes import named
from tuner.results.leaderboard import Leaderboard

HIDDEN = "(hidden)"
# Facts for the drivers of a sweep: who holds it, and from where it was begun.
PRIVATE = ("driver", "begun_in")

_SECRET_KEY = re.compile(r"token|secret|passw|api_?key|credential|authorization|private_key", re.IGNORECASE)
# Order matters: credentials inside a URL go first, or the path rule would cut the URL in two.
_RULES = (
    (re.compile(r"(?<=://)[^\s/@]+@"), ""),
    (re.compile(r"(://[^\s?#'\"]*)[?#][^\s'\"]*"), r"\1"),
    (re.compile(r"(?i)\b(bearer\s+|(?:[\w-]*(?:token|secret|password|passwd|api_?key)[\w-]*)\s*[=:]\s*)['\"]?[^\s'\",;]+"), rf"\1{HIDDEN}"),
    (re.compile(r"file://"), ""),
    (re.compile(r"(?<![\w.])(?:/home|/Users|[A-Za-z]:\\Users)[/\\][^/\\\s'\"]+"), "~"),
    # An absolute path keeps its last part only: a whole text that is one, a quoted one (it may hold spaces), and one in running text. Not after a
    # word, a colon or another slash: "and/or", "s3://bucket/x" and "1/2" are no paths.
    (re.compile(r"\A~?/[^\n]*/(?=[^/\n]+\Z)"), "…/"),
    (re.compile(r"(?<=['\"])~?/[^'\"\n]*/(?=[^/'\"\n]+['\"])"), "…/"),
    (re.compile(r"(?<![\w:/.<)…])~?/(?:[\w.@+-]+/)*(?=[\w.@+-])"), "…/"),
    (re.compile(r"(?<!\w)(?:[A-Za-z]:|~)\\(?:[^\\\s'\"]+\\)*"), "…/"),
)


def discreet(leaderboard: Leaderboard) -> Leaderboard:
    """Return the leaderboard without secrets, without folders outside the sweep and without user names.

    Workers are named by their place (`node 1, GPU 0`), an absolute path keeps its last part (`…/data.csv`), a URL loses user, password and query, and
    whatever stands under a key such as `token` is hidden.
    """
    workers = named(leaderboard.records)
    records = tuple(
        replace(record, cause=_clean(record.cause), configuration=_clean(record.configuration), worker=workers.get(record.worker or ""))
        for record in leaderboard.records
    )
    return Leaderboard(records, _clean({name: fact for name, fact in leaderboard.facts.items() if name not in PRIVATE}))


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, Mapping):
        return {name: HIDDEN if _SECRET_KEY.search(str(name)) and isinstance(entry, str) and entry else _clean(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return value if value and isinstance(value[0], int | float) else [_clean(entry) for entry in value]
    return value


# The same few words stand in thousands of trials.
@lru_cache(maxsize=4096)
def clean_text(text: str) -> str:
    """Return one text without secrets, folders and user names."""
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return text
