"""Writes expected.json beside a sweep, as the commit that wrote the sweep reads it: `expected.py COMMAND` in finished/, table/, interrupted/ or folds/."""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq


def said(*words):
    return subprocess.run([*sys.argv[1:], *words], check=True, capture_output=True, text=True).stdout


def value(text):
    try:
        return float(text)
    except ValueError:
        return text


report, sweep = json.loads(said("report", "sweep", "--format", "json")), Path("sweep")
assert json.loads(said("leaderboard", "sweep", "--json")) == report
facts, schema = report["facts"], pq.read_schema(sweep / "leaderboard.parquet")
kept = ("rank", "number", "state", "score", "best_epoch", "epochs", "parameters", "seed", "source", "cause", "configuration", "curves")
expected = {
    "commit": "00f4756",
    "versions": facts["versions"],
    "begun_in": json.loads(schema.metadata[b"tuner.facts"])["begun_in"],  # which reports hide
    "objective": facts["objective"],
    "summary": {key: report["summary"][key] for key in ("name", "metric", "mode", "trials", "states", "epochs", "search_ended", "best", "winner", "test")},
    "dataset": {key: facts["dataset"][key] for key in ("content_hash", "split_hash", "task", "pool_rows", "test_rows")},
    "test_openings": len(facts["test_openings"]),
    "confirmed": facts.get("confirmed"),
    "leaderboard": [{key: trial.get(key) for key in kept} for trial in report["trials"]],
    "columns": schema.names,
    "checkpoints": {place.name: json.loads((place / "state.json").read_text())["epoch"] for place in sorted((sweep / "checkpoints").iterdir())},
    "journal_lines": len((sweep / "journal.log").read_bytes().splitlines()),
}
if (sweep / "model.json").exists():
    card = json.loads((sweep / "model.json").read_text())
    expected["model"] = {key: card[key] for key in ("epochs", "seed", "metrics", "over_seeds", "parameters", "classes", "input_shape")}
    expected["model"] |= {"trial": card["sweep"]["trial"], "builder": card["recipe"]["builder"]}
    raw = "raw.csv" if Path("raw.csv").exists() else "rows.npz"
    text = said("predict", "sweep", raw)
    if raw == "raw.csv":
        Path("predictions.csv").write_text(text)
    expected["predictions"] = {"of": raw, "rows": [{name: value(cell) for name, cell in row.items()} for row in csv.DictReader(io.StringIO(text))]}
else:
    waiting = [trial for trial in report["trials"] if trial["state"] == "waiting"]
    expected["waiting"] = {str(trial["number"]): trial["epochs"] for trial in waiting}
    expected["left"] = {"trials": facts["spec"]["search"]["trials"] - len(report["trials"])}
Path("expected.json").write_text(json.dumps(expected, indent=1) + "\n")
