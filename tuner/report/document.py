"""The report as JSON: summary, facts and every trial, in full precision, as `schema.py` publishes it.

Must not compute anything of its own: what it says comes from the leaderboard and from what all formats share.
"""

import json
from dataclasses import asdict, fields
from typing import Any

from tuner.report.importance import Importances, measure
from tuner.report.schema import SCHEMA
from tuner.report.summary import summarise
from tuner.report.worth import verdicts
from tuner.results.leaderboard import Leaderboard, TrialRecord


def document(leaderboard: Leaderboard) -> dict[str, Any]:
    """Return the report as JSON values."""
    return {
        "schema": SCHEMA["$id"],
        "summary": summarise(leaderboard),
        "worth": verdicts(leaderboard),
        "importances": _importances(measure(leaderboard)),
        "facts": dict(leaderboard.facts),
        "trials": [_trial(record) for record in leaderboard.records],
    }


def _importances(measured: Importances) -> dict[str, Any]:
    return {
        "fit": measured.fit,
        "trials": len(measured.standings),
        "shares": [asdict(share) for share in measured.shares],
        "why_not": measured.why_not,
    }


def _trial(record: TrialRecord) -> dict[str, Any]:
    values = {field.name: getattr(record, field.name) for field in fields(record)}
    return {**values, "configuration": dict(record.configuration), "curves": {metric: list(curve) for metric, curve in record.curves.items()}}


def as_json(leaderboard: Leaderboard) -> str:
    """Return the report as a JSON text."""
    return json.dumps(document(leaderboard), allow_nan=False, ensure_ascii=False, indent=1) + "\n"
