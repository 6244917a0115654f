"""Whole sweeps under fire: real sweeps on tiny data, in which things are killed, torn, filled and hung at random moments, then run until done.

    python -m tests.benchmarks.chaos --rounds 20

After each round the record is checked: every trial number is there once, none ended twice, no epoch that was told is lost or changed, at most one epoch
per death is trained again, the budgets are exact, and the leaderboard equals a recount from the journal. Linux only.
"""

import argparse
import contextlib
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Timer

import numpy as np

from tuner.leaderboard import Leaderboard
from tuner.study import JOURNAL, read_study

ROOT = Path(__file__).parents[2]
TRIALS, EPOCHS = 5, 4
EPOCH_TIMEOUT_S = 8.0
RUNS_AT_MOST = 8
RUN_LIMIT_S = 240.0

NETWORKS = '''
import time
import keras
import numpy as np
import tensorflow as tf

class Slow(keras.layers.Layer):
    """Takes its time over every batch."""

    def __init__(self, seconds):
        super().__init__()
        self.seconds = seconds

    def call(self, x):
        with tf.control_dependencies([tf.numpy_function(self.wait, [], tf.float32)]):
            return tf.identity(x)

    def wait(self):
        time.sleep(self.seconds)
        return np.float32(0)

def build_model(configuration, problem):
    kind = configuration["kind"]
    width = 60_000_000 if kind == "greedy" else configuration["units"]
    layers = [keras.Input(problem.input_shape), Slow(1000.0 if kind == "hangs" else 0.05), keras.layers.Dense(width, activation="relu")]
    model = keras.Sequential([*layers, keras.layers.Dense(problem.outputs, activation="softmax")])
    rate = 1e30 if kind == "diverges" else configuration["rate"]
    model.compile(keras.optimizers.SGD(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model
'''

SPEC = """
name = "chaos"
seed = {seed}
folder = "{folder}/sweep"
[dataset]
source = "npz"
path = "{folder}/blobs.npz"
[space]
builder = "chaos_networks:build_model"
kind = {kinds}
units = [4, 8, 16]
rate = {{low = 0.01, high = 0.3, log = true}}
[search]
sampler = "random"
trials = {trials}
{budget}
[scheduler]
grace_period = 1
[training]
max_epochs = {epochs}
epoch_timeout_s = {timeout}
[resources]
memory_gb = 0.6
[evaluation]
enabled = false
[cluster]
target = "address"
address = "{address}"
"""


@dataclass
class Round:
    """One sweep and what befell it.

    Attributes:
        told: (trial, epoch) -> the values that the driver told, one per telling.
        deaths: how many processes were killed, ours among them.
    """

    folder: Path
    address: str
    draw: random.Random
    events: list[str] = field(default_factory=list)
    told: dict[tuple[int, int], list[float]] = field(default_factory=dict)
    deaths: int = 0
    other: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    epochs_budget: int | None = None
    driver: subprocess.Popen | None = None

    @property
    def sweep(self) -> Path:
        return self.folder / "sweep"


# ---- what can befall a sweep; each returns whether it found something to hit


def kill_driver(round: Round) -> bool:
    round.driver.send_signal(signal.SIGKILL)
    round.deaths += 2  # its trials die with it
    return True


def interrupt_driver(round: Round) -> bool:
    round.driver.send_signal(signal.SIGTERM)
    return True


def kill_trial(round: Round) -> bool:
    return _kill(round, _trial_processes(round))


def kill_worker(round: Round) -> bool:
    return _kill(round, _workers(round))


def tear_journal(round: Round) -> bool:
    kill_driver(round)
    round.driver.wait()
    with (round.sweep / JOURNAL).open("ab") as file:
        file.write(b'{"op_code":8,"worker_id":"torn'[: round.draw.randrange(1, 30)])
    return True


def refuse_records(round: Round) -> bool:
    """The driver's files may not grow for some seconds."""
    with contextlib.suppress(ProcessLookupError):
        before = resource.prlimit(round.driver.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(round.driver.pid, resource.RLIMIT_FSIZE, ((round.sweep / JOURNAL).stat().st_size, before[1]))
        time.sleep(round.draw.uniform(1.0, 4.0))
        resource.prlimit(round.driver.pid, resource.RLIMIT_FSIZE, before)
        return True
    return False


def refuse_checkpoints(round: Round) -> bool:
    """Where checkpoints lie, there is no folder for some seconds."""
    place = round.sweep / "checkpoints"
    aside = round.sweep / "checkpoints.aside"
    if not place.is_dir():
        return False
    place.rename(aside)
    place.write_text("")
    time.sleep(round.draw.uniform(1.0, 4.0))
    place.unlink()
    aside.rename(place)
    round.deaths += 1  # what could not be saved may have to be trained again
    return True


EVENTS: dict[str, Callable[[Round], bool]] = {
    "driver killed": kill_driver,
    "driver terminated": interrupt_driver,
    "trial's process killed": kill_trial,
    "Ray worker killed": kill_worker,
    "journal's tail torn": tear_journal,
    "journal refused": refuse_records,
    "checkpoints refused": refuse_checkpoints,
}
# These come with the configurations that a round draws.
KINDS = {"greedy": "memory exceeded", "hangs": "epoch hung", "diverges": "diverged"}


def _kill(round: Round, pids: list[int]) -> bool:
    if not pids:
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(round.draw.choice(pids), signal.SIGKILL)
    round.deaths += 1
    return True


def _trial_processes(round: Round) -> list[int]:
    """Return the processes that have this sweep's data mapped."""
    with contextlib.suppress(OSError, ValueError):
        scratch = json.loads((round.sweep / "driver.lock").read_text())["scratch"]
        return [pid for pid in _processes() if f"{scratch}/pool/x.npy" in _text(pid, "maps")]
    return []


def _workers(round: Round) -> list[int]:
    """Return the Ray workers of this cluster that hold a trial."""
    port = round.address.rpartition(":")[2]
    raylets = {pid for pid in _processes() if "raylet/raylet" in _text(pid, "cmdline") and f":{port}\0" in _text(pid, "cmdline")}
    parent = {pid: int(_text(pid, "stat").rpartition(")")[2].split()[1]) for pid in _processes() if _text(pid, "cmdline").startswith("ray::Trial")}
    return [pid for pid, above in parent.items() if above in raylets]


def _processes() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").glob("[0-9]*")]


def _text(pid: int, name: str) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/{name}").read_text(errors="replace")
    return ""


# ---- a round


def play(folder: Path, address: str, seed: int, *, hits: int = 2, budget: bool | None = None) -> Round:
    """Run one sweep until it is done, hitting it at random moments, and check its record."""
    draw = random.Random(seed)
    round = Round(folder, address, draw)
    if draw.random() < 0.4 if budget is None else budget:
        round.epochs_budget = draw.randrange(EPOCHS + 2, 3 * EPOCHS)
    rows = np.random.default_rng(0)
    y = np.repeat(np.arange(3), 40)
    np.savez(folder / "blobs.npz", x=(rows.normal(size=(120, 4)) + 3 * np.eye(3, 4)[y]).astype(np.float32), y=y)
    (folder / "chaos_networks.py").write_text(NETWORKS)
    bad = [kind for kind in KINDS if draw.random() < 0.25]
    spec = SPEC.format(
        seed=seed,
        folder=folder,
        kinds=json.dumps(["learns", *bad]),
        trials=TRIALS,
        budget=f"epochs = {round.epochs_budget}" if round.epochs_budget else "",
        epochs=EPOCHS,
        timeout=EPOCH_TIMEOUT_S,
        address=address,
    )
    (folder / "chaos.toml").write_text(spec)
    planned = [draw.choice(list(EVENTS)) for _ in range(draw.randrange(1, hits + 1))]
    for run in range(RUNS_AT_MOST):
        code = _run(round, planned)
        if code in (0, 3):  # 3: not one trial learned
            break
        if code not in (-signal.SIGKILL, 128 + signal.SIGTERM):
            round.violations.append(f"run {run} ended with {code}: {(folder / 'errors.txt').read_text()[-2000:]}")
            return round
    else:
        round.violations.append(f"not done after {RUNS_AT_MOST} runs")
        return round
    _check(round)
    return round


def _run(round: Round, planned: list[str]) -> int:
    """Run the driver once; take what it tells, and hit it after a random number of epochs while something is planned."""
    command = [sys.executable, "-m", "tuner", "run", str(round.folder / "chaos.toml"), "--json"]
    with (round.folder / "errors.txt").open("a") as errors:
        round.driver = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=ROOT)
    began, seen, hit_at = time.monotonic(), 0, round.draw.randrange(0, 2 * EPOCHS)
    watchdog = Timer(RUN_LIMIT_S, round.driver.kill)
    watchdog.start()
    for line in round.driver.stdout:
        try:
            event = json.loads(line)
        except ValueError:
            round.other.append(line.strip())  # Ray's own words, or a line that was cut by a kill
            continue
        if event.get("event") == "epoch" and event.get("value") is not None:
            seen += 1
            round.told.setdefault((event["trial"], event["epoch"]), []).append(event["value"])
        searching = event.get("event") == "epoch" or event.get("name") == "search"
        if planned and searching and seen >= hit_at:
            time.sleep(round.draw.uniform(0.0, 1.0))
            if round.driver.poll() is None and EVENTS[planned[0]](round):
                round.events.append(planned.pop(0))
                hit_at = seen + round.draw.randrange(1, EPOCHS)
    code = round.driver.wait()
    round.driver.stdout.close()
    watchdog.cancel()
    if time.monotonic() - began > RUN_LIMIT_S:
        round.violations.append(f"a run hung for {RUN_LIMIT_S:g} s")
    return code


# ---- the checks


def _check(round: Round) -> None:
    study = read_study(round.sweep)
    trials = study.trials()
    wrong = round.violations.append
    if [trial.number for trial in trials] != list(range(len(trials))):
        wrong(f"numbers {[trial.number for trial in trials]}")
    for trial in trials:
        if not trial.state.is_finished():
            spent = round.epochs_budget is not None and sum(len(each.intermediate_values) for each in trials) >= round.epochs_budget
            if not (spent and trial.state.name == "WAITING"):
                wrong(f"trial {trial.number} is {trial.state.name}")
        if list(trial.intermediate_values) and sorted(trial.intermediate_values) != list(range(1, len(trial.intermediate_values) + 1)):
            wrong(f"trial {trial.number} has epochs {sorted(trial.intermediate_values)}")
    ends = Counter(record["trial_id"] for record in _records(round) if record["op_code"] == 6 and record["state"] in (1, 2, 3))
    wrong_ends = {trial: count for trial, count in ends.items() if count > 1}
    if wrong_ends:
        wrong(f"ended more than once: {wrong_ends}")
    for (number, epoch), values in round.told.items():
        if trials[number].intermediate_values.get(epoch) not in values:
            wrong(f"trial {number}: epoch {epoch} was told as {values}, and is recorded as {trials[number].intermediate_values.get(epoch)}")
    again = sum(len(values) - 1 for values in round.told.values())
    if again > round.deaths:
        twice = {place: values for place, values in round.told.items() if len(values) > 1}
        wrong(f"{again} epochs were trained again after {round.deaths} deaths: {twice}")
    spent = sum(len(trial.intermediate_values) for trial in trials)
    if round.epochs_budget is None and len(trials) != TRIALS:
        wrong(f"{len(trials)} trials; the budget is {TRIALS}")
    if round.epochs_budget is not None and (spent > round.epochs_budget or len(trials) > TRIALS):
        wrong(f"{spent} epochs in {len(trials)} trials; the budget is {round.epochs_budget} in {TRIALS}")
    written = Leaderboard.read(round.sweep)
    if written.records != Leaderboard.of(trials, study.objective, study.facts).records:
        wrong("the leaderboard is not what the journal says")
    for name in ("driver.lock", f"{JOURNAL}.lock"):
        if (round.sweep / name).exists():
            wrong(f"{name} is left behind")
    if any((round.sweep / "checkpoints").glob("*")) and all(trial.state.is_finished() for trial in trials):
        wrong("checkpoints are left behind")


def _records(round: Round) -> list[dict]:
    return [json.loads(line) for line in (round.sweep / JOURNAL).read_text().splitlines()]


def main() -> None:
    from tests.conftest import ray_head

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    events: Counter = Counter()
    violations = 0
    with ray_head() as address:
        for number in range(arguments.seed, arguments.seed + arguments.rounds):
            began = time.monotonic()
            with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
                found = play(Path(folder), address, number)
            events.update(found.events)
            violations += len(found.violations)
            print(f"round {number}: {', '.join(found.events) or 'nothing'}; {time.monotonic() - began:.0f} s; {found.violations or 'all true'}", flush=True)
            if found.other and found.violations:
                print("\n".join(found.other[-20:]), flush=True)
    print(f"{arguments.rounds} rounds, {violations} violations; " + ", ".join(f"{count} x {name}" for name, count in events.most_common()))
    raise SystemExit(1 if violations else 0)


if __name__ == "__main__":
    main()
