"""Plays a round: draws a sweep and what befalls it, runs its driver again and again until it is done, and lets the checks see what is left."""

import json
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

from tests.benchmarks.chaos import checks, events, stock
from tests.benchmarks.chaos.round import EPOCHS, RUN_LIMIT_S, Cluster, Driver, Round, tuner_runs, write_sweep

RUNS_AT_MOST = 8
# How long a driver that is asked to stop may take on a busy machine, while the storage refuses.
STOPPED_WITHIN_S = 45.0
STOCK_EVENTS = ("driver killed", "driver terminated", "Ray worker killed", "node killed", "journal's tail torn", "journal refused", "checkpoints refused")


def play(folder: Path, cluster: Cluster, seed: int, *, stack: str = "tuner", own: bool | None = None) -> Round:
    """Run one sweep until it is done, hitting it at random moments, and check its record.

    Args:
        folder: empty, for this round.
        cluster: where it runs.
        seed: of all that is drawn.
        stack: `tuner` or `stock`.
        own: in Tuner's own Ray instead of on the cluster; None: one in ten.
    """
    draw = random.Random(seed)
    own_drawn = draw.random() < 0.1
    round = Round(folder, cluster.home, cluster.address, draw, shared=cluster, own=stack == "tuner" and (own_drawn if own is None else own))
    before = checks.temporary(cluster.home)
    if stack == "stock":
        (folder / "sweep").mkdir()
        hangs = draw.random() < 0.15
        run, known = stock.runs(round, hangs), {name: stock.EVENTS.get(name, events.EVENTS[name]) for name in STOCK_EVENTS}
    else:
        run, known = tuner_runs(write_sweep(round, seed)), events.OWN_EVENTS if round.own else events.EVENTS
    planned = [draw.choice(list(known)) for _ in range(draw.randrange(1, 3))]
    if until_done(round, run, known, planned, RUN_LIMIT_S if stack == "tuner" else stock.RUN_LIMIT_S):
        (checks.check if stack == "tuner" else stock.check)(round)
    if stack == "tuner":
        checks.check_left(round, before)
    return round


def until_done(round: Round, run: Callable[[], None] | list[str], known: dict[str, Callable], planned: list[str], limit_s: float) -> bool:
    """Run the driver again and again until the sweep is done, hitting it with what is planned; say whether it came to an end."""
    for round.runs in range(1, RUNS_AT_MOST + 1):
        hits = len(round.events)
        code, took_s = _run(round, run, known, planned, limit_s)
        if took_s > limit_s:
            round.wrong(checks.HUNG, f"run {round.runs} hung for {limit_s:g} s")
            return False
        if code in (0, 3):  # 3: not one trial learned
            return True
        hit = set(round.events[hits:])
        if code not in (-signal.SIGKILL, 128 + signal.SIGTERM) and "own Ray killed" not in hit:
            said = (round.folder / "errors.txt").read_text().strip()[-1500:] if (round.folder / "errors.txt").exists() else ""
            round.wrong(checks.BROKE, f"run {round.runs} ended with {code}: {said}")
            if not hit:
                return False
    round.wrong(checks.BROKE, f"not done after {RUNS_AT_MOST} runs")
    return False


def _run(round: Round, run: Callable[[], None] | list[str], known: dict[str, Callable], planned: list[str], limit_s: float) -> tuple[int, float]:
    """Run the driver once; take what it tells, and hit it after a random number of lines while something is planned."""
    driver = round.driver = Driver(run, round.folder / "errors.txt")
    began, seen, reached, stopping_since = time.monotonic(), 0, False, None
    after, hit_at = "data", round.draw.randrange(0, 7)
    if round.evaluated:
        after, hit_at = round.draw.choice(["search", "confirm", "retrain", "test"]), round.draw.randrange(0, 3)
    for line in driver.lines(until=began + limit_s):
        try:
            event = json.loads(line or "{}")
        except ValueError:
            round.other.append(line.strip())  # Ray's own words, or a line that was cut by a kill
            continue
        if event.get("event") == "epoch" and event.get("value") is not None:
            round.told.setdefault((event["trial"], event["epoch"]), []).append(event["value"])
        reached = reached or event.get("name") == after
        seen += bool(event) and reached
        if planned and reached and seen >= hit_at and stopping_since is None:
            time.sleep(round.draw.uniform(0.0, 1.0))
            if driver.poll() is None and known[planned[0]](round):
                stopping_since = time.monotonic() if planned[0] == "driver terminated" else None
                round.events.append(planned.pop(0))
                hit_at = seen + round.draw.randrange(1, EPOCHS)
    took_s = time.monotonic() - began
    if took_s > limit_s:
        driver.send_signal(signal.SIGKILL)
    code = driver.wait()
    if stopping_since is not None and (stopped_s := time.monotonic() - stopping_since) > STOPPED_WITHIN_S:
        round.wrong(checks.HUNG, f"asked to stop, the driver took {stopped_s:.0f} s")
    return code, took_s
