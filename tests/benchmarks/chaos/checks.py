"""What must be true of a sweep that was hit and then run until done. Must not know how it was hit."""

import json
import time
from collections import Counter
from pathlib import Path

from tests.benchmarks.chaos.round import TRIALS, Round, processes, text
from tuner.results.leaderboard import Leaderboard
from tuner.study.backends import JOURNAL, read_study
from tuner.study.retention import BEST_KEPT

# The kinds of violations, and what each means.
MISSING = "trials missing, doubled or beyond the budget"
OPEN = "trials left open"
LOST = "epochs that were told, lost or changed"
AGAIN = "epochs trained again"
FAILED = "trials failed by a kill"
BOARD = "leaderboard other than the record"
LEFT = "processes or files left behind"
BROKE = "runs broken, or never done"
HUNG = "runs hung"
KINDS = (BROKE, HUNG, MISSING, OPEN, LOST, AGAIN, FAILED, BOARD, LEFT)

# What a configuration itself does, by the cause in the record; a round counts each once.
BEFELL = {"memory": "memory exceeded", "deadline": "epoch hung", "diverged": "diverged"}
GONE_WITHIN_S = 10.0


def check(round: Round) -> None:
    """Compare the record with what the drivers told, and with what was asked for."""
    study = read_study(round.sweep)
    trials = study.trials()
    if [trial.number for trial in trials] != list(range(len(trials))):
        round.wrong(MISSING, f"numbers {[trial.number for trial in trials]}")
    for trial in trials:
        if not trial.state.is_finished():
            round.wrong(OPEN, f"trial {trial.number} is {trial.state.name}")
        if sorted(trial.intermediate_values) != list(range(1, len(trial.intermediate_values) + 1)):
            round.wrong(LOST, f"trial {trial.number} has epochs {sorted(trial.intermediate_values)}")
        kind = trial.user_attrs.get("cause", {}).get("kind")
        hits = sum(round.events.count(name) for name in ("trial's process killed", "fork server killed"))
        if kind in ("lost", "storage") or (kind == "crash" and hits < 2) or kind == "error":
            round.wrong(FAILED, f"trial {trial.number}: {trial.user_attrs['cause']}")
    met = {trial.user_attrs.get("cause", {}).get("kind") for trial in trials} | {e["kind"] for trial in trials for e in trial.user_attrs.get("retried", [])}
    round.events += [name for kind, name in BEFELL.items() if kind in met]
    ends = Counter(record["trial_id"] for record in _records(round) if record["op_code"] == 6 and record["state"] in (1, 2, 3))
    for trial_id, count in ends.items():
        if count > 1:
            round.wrong(MISSING, f"trial {trial_id} ended {count} times")
    for (number, epoch), values in round.told.items():
        if trials[number].intermediate_values.get(epoch) not in values:
            round.wrong(LOST, f"trial {number}: epoch {epoch} was told as {values}, and is recorded as {trials[number].intermediate_values.get(epoch)}")
    check_again(round)
    spent = sum(len(trial.intermediate_values) for trial in trials)
    if len(trials) > TRIALS or (len(trials) < TRIALS and spent != round.epochs_budget):
        round.wrong(MISSING, f"{len(trials)} trials of {TRIALS} with {spent} epochs of {round.epochs_budget}")
    if round.epochs_budget is not None and spent > round.epochs_budget:
        round.wrong(MISSING, f"{spent} epochs; the budget is {round.epochs_budget}")
    if Leaderboard.read(round.sweep).records != Leaderboard.of(trials, study.objective, study.facts).records:
        round.wrong(BOARD, "the leaderboard is not what the journal says")
    if round.evaluated and any(trial.state.name in ("COMPLETE", "PRUNED") for trial in trials):
        card = round.sweep / "model.json"
        if not study.facts.get("final") or not card.exists() or json.loads(card.read_text())["metrics"] != study.facts["final"]["saved"]:
            round.wrong(BROKE, "no final evaluation, or another than the model's card tells")
        if len(study.facts.get("test_openings", [])) > round.runs:
            round.wrong(MISSING, f"the test split was opened {len(study.facts['test_openings'])} times in {round.runs} runs")
    for name in ("driver.lock", f"{JOURNAL}.lock"):
        if (round.sweep / name).exists():
            round.wrong(LEFT, f"{name} is left behind")
    if "checkpoints refused" in round.events:
        return  # while it refuses, nothing can be removed either
    kept = [int(path.name) for path in (round.sweep / "checkpoints").glob("*")]
    if not set(kept) <= {record.number for record in Leaderboard.read(round.sweep).ranked[:BEST_KEPT]}:
        round.wrong(LEFT, f"checkpoints of trials {kept}")


def check_again(round: Round) -> None:
    """At most one epoch per process that was lost."""
    again = sum(len(values) - 1 for values in round.told.values())
    if again > round.excused:
        twice = {f"{trial}/{epoch}": len(values) for (trial, epoch), values in round.told.items() if len(values) > 1}
        round.wrong(AGAIN, f"{again} epochs were trained again, {round.excused} are excused: {twice}")


def check_left(round: Round, before: set[Path]) -> None:
    """Nothing that ran for the sweep runs on, and no temporary file of it is left."""
    until = time.monotonic() + GONE_WITHIN_S
    while (left := _left(round, before)) and time.monotonic() < until:
        time.sleep(0.1)
    for what in left:
        round.wrong(LEFT, what)


def temporary(home: Path) -> set[Path]:
    """Return the temporary files and folders of everything that runs."""
    return {path for path in home.glob("*") if not path.name.startswith("ray")}


def _left(round: Round, before: set[Path]) -> list[str]:
    found = [f"file {path.name}" for path in temporary(round.home) - before if path != round.folder and not path.name.startswith("tuner-0")]
    for pid in processes():
        words = text(pid, "cmdline")
        if words and (f"{round.home}/tuner-ray-" in words or f"{round.home}/tuner-" in text(pid, "maps")):
            found.append(f"process {pid}: {words[:80]}")
    return found


def _records(round: Round) -> list[dict]:
    return [json.loads(line) for line in (round.sweep / JOURNAL).read_text().splitlines()]
