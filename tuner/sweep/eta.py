"""What a running search will still take, by the model of `tuner plan`: forecast once, from the first epochs that its own trials have trained.

Owns when there is enough to go by, and the process that computes it: one of its own, of low priority, so that it takes no time from trials. What it
finds is a fact of the sweep (`forecast`), which the views show while the sweep runs and the report holds against what came of it. Must not know how
costs follow from measurements (costs.py).
"""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from itertools import pairwise
from statistics import median
from typing import Any

from optuna.trial import FrozenTrial

from search_spaces.space import described_space
from tuner.monitor import background
from tuner.monitor.console import View
from tuner.search.accounts import Accounts
from tuner.spec import sweep_spec as specs
from tuner.study.record import FOUND
from tuner.sweep.costs import LEVEL, CostInputs, Measured, expect

# Trials drawn from the space that must have trained two epochs: the first one also compiles. As many as `tuner plan` measures.
MEASURED = 4
# Seconds of searching before it is worth the processor time that it takes: a search that is over by then needs none.
EARLIEST_S = 30.0
# Where a trial may come from that tells nothing of how fast networks of the space are: somebody's word, often a small network.
_GIVEN = ("default", "enqueued")


class Eta:
    """The forecast of one search, made while it runs.

    Args:
        spec: of the sweep.
        accounts: of the search.
        slots: trials at a time.
        pool_share: rows of a final training by rows of a trial's.
        networks: that a trial trains at a time: one per fold.
        view: shows the forecast.
    """

    def __init__(self, spec: specs.SweepSpec, accounts: Accounts, *, slots: int, pool_share: float, networks: int, view: View) -> None:
        self._accounts = accounts
        self._view = view
        self._asked = {"spec": specs.to_json(spec), "slots": slots, "pool_share": pool_share, "networks": networks}
        self._asked["space"] = accounts.study.facts.get(FOUND)
        self._asked["objective"] = asdict(accounts.study.objective)
        self._process: subprocess.Popen[str] | None = None
        self._made: Mapping[str, Any] = accounts.study.facts.get("forecast") or {}
        if self._made:
            view.forecast(self._made)

    def look(self) -> None:
        """Begin the forecast once there is enough to go by, and show it once it is there; quick, and called often."""
        if self._process is not None and self._process.poll() is not None:
            self._take(self._process)
            self._process = None
        elif not self._made and self._process is None and self._accounts.seconds >= EARLIEST_S:
            begun = [trial for trial in self._accounts.study.trials() if len(trial.intermediate_values) > 1 and "epoch_2" in trial.user_attrs]
            if sum(_drawn(trial) for trial in begun) >= MEASURED:
                self._begin(begun)

    def close(self) -> None:
        """End the process, whatever it has come to."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _begin(self, begun: Sequence[FrozenTrial]) -> None:
        measured, waited_s = measure(begun, self._accounts.seconds)
        self._made = {"at_s": round(self._accounts.seconds, 3), "measured": len(measured), "waited_s": round(waited_s, 3), "level": LEVEL}
        asked = {**self._asked, "measured": [asdict(each) for each in measured], "waited_s": waited_s}
        with suppress(OSError):  # no process can be had: then there is no forecast
            # In this process, the simulation would hold up the trials' reports.
            self._process = background.begin("tuner.sweep.eta", text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            if self._process.stdin is not None:
                self._process.stdin.write(json.dumps(asked))
                self._process.stdin.close()
                self._process.stdin = None  # else `communicate` would flush it

    def _take(self, process: subprocess.Popen[str]) -> None:
        said = process.stdout.read() if process.stdout is not None else ""
        if process.stdout is not None:
            process.stdout.close()
        if process.returncode == 0:
            self._made |= json.loads(said)
            self._accounts.study.set_facts({"forecast": self._made})
            self._view.forecast(self._made)


def measure(begun: Sequence[FrozenTrial], elapsed_s: float) -> tuple[list[Measured], float]:
    """Return what trials so far took, and how long the search waited for the first of them: for Ray's workers, and for TensorFlow.

    Args:
        begun: trials with two epochs or more; those that nobody drew tell of the waiting only.
        elapsed_s: since the search began.
    """
    seconds = {trial.number: [trial.user_attrs[f"epoch_{epoch}"]["seconds"] for epoch in sorted(trial.intermediate_values)] for trial in begun}
    steady = {number: median(each[1:]) for number, each in seconds.items()}
    lanes: dict[str, list[FrozenTrial]] = {}
    for trial in sorted(begun, key=lambda trial: trial.user_attrs.get("started_at", 0.0)):
        lanes.setdefault(trial.user_attrs.get("worker", ""), []).append(trial)
    # From the start of one trial to that of the next on the same worker: what is no epoch is its start.
    gaps = [
        later.user_attrs["started_at"] - one.user_attrs["started_at"] - sum(seconds[one.number])
        for lane in lanes.values()
        for one, later in pairwise(lane)
        if "started_at" in one.user_attrs and "started_at" in later.user_attrs
    ]
    start_s = max(0.0, median(gaps)) if gaps else 0.0
    measured = [Measured(steady[trial.number], start_s + max(0.0, seconds[trial.number][0] - steady[trial.number])) for trial in begun if _drawn(trial)]
    busiest = max(sum(start_s + sum(seconds[trial.number]) for trial in lane) for lane in lanes.values())
    return measured, max(0.0, elapsed_s - busiest)


def _drawn(trial: FrozenTrial) -> bool:
    return trial.user_attrs.get("source") not in _GIVEN


def _forecast(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return the forecast of what `Eta` asks."""
    from tuner.study.objective import Objective

    spec = specs.check(asked["spec"])
    sweep = CostInputs.of(
        spec,
        spec.search_space(described_space(asked["space"]) if asked["space"] else None),
        Objective(**asked["objective"]),
        slots=asked["slots"],
        pool_share=asked["pool_share"],
        networks=asked["networks"],
        waited_s=asked["waited_s"],
    )
    stages, total = expect(sweep, [Measured(**each) for each in asked["measured"]], seed=spec.seed)
    return {"stages": [stage.to_json() for stage in stages], "total": total.to_json()}


if __name__ == "__main__":
    print(json.dumps(_forecast(json.load(sys.stdin))))
