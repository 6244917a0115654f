"""Weights & Biases: a project per sweep's name, one run per trial, written when the trial ends, and one with the test scores.

Nothing leaves the machine unless WANDB_MODE says `online`: runs are kept in the folder `wandb` of the sweep, and `wandb sync` uploads them.
WANDB_PROJECT and W&B's other variables count as they always do.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tuner.monitor.trackers.tracker import Sweep, Tracker

FOLDER = "wandb"


class WandbRuns(Tracker):
    """The runs of one sweep."""

    def __init__(self, sweep: Sweep) -> None:
        self._sweep = sweep
        self._begun: dict[int, tuple[str, dict[str, Any], dict[str, Any]]] = {}
        self._epochs: dict[int, list[tuple[int, Mapping[str, float]]]] = {}

    def trial(self, number: int, name: str, configuration: Mapping[str, Any], facts: Mapping[str, Any], at: float) -> None:
        """See `Tracker`."""
        self._begun[number] = (name, dict(configuration), dict(facts))
        self._epochs[number] = []

    def epoch(self, number: int, epoch: int, metrics: Mapping[str, float], at: float) -> None:
        """See `Tracker`."""
        self._epochs[number].append((epoch, metrics))

    def end(self, number: int, state: str, facts: Mapping[str, Any], at: float) -> None:
        """See `Tracker`."""
        name, configuration, first_facts = self._begun.pop(number)
        reports = self._epochs.pop(number)
        self._write(str(number), name, "trial", {**configuration, **first_facts}, reports, {"state": state, **facts}, failed=state == "failed")

    def final(self, trial: int, epochs: int, configuration: Mapping[str, Any], metrics: Mapping[str, float], at: float) -> None:
        """See `Tracker`."""
        config = {**configuration, "trial": trial, "epochs": epochs}
        self._write(f"final-{trial}-{epochs}", f"final: trial {trial}", "final", config, [], dict(metrics))

    def over(self) -> None:
        """See `Tracker`. Runs of trials say nothing of it."""

    def close(self) -> None:
        """See `Tracker`. A trial that waits is written once it has ended."""

    def _write(
        self,
        key: str,
        name: str,
        kind: str,
        configuration: dict[str, Any],
        reports: list[tuple[int, Mapping[str, float]]],
        summary: dict[str, Any],
        *,
        failed: bool = False,
    ) -> None:
        import wandb

        key = f"{self._sweep.key}-{key}"
        if any(Path(self._sweep.folder, FOLDER).glob(f"*run-*-{key}")):
            return
        run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", self._sweep.name),
            id=key,
            name=name,
            group=self._sweep.name,
            job_type=kind,
            dir=self._sweep.folder,
            mode=os.environ.get("WANDB_MODE", "offline"),  # type: ignore[arg-type]
            config=configuration,
            # No console output, host name, user name, code or load of the machine: only what the trial says.
            settings=wandb.Settings(silent=True, console="off", disable_git=True, save_code=False, x_disable_stats=True, x_disable_meta=True),
        )
        for epoch, metrics in reports:
            run.log(dict(metrics), step=epoch)
        run.summary.update(summary)
        run.finish(exit_code=int(failed))


def open_tracker(sweep: Sweep) -> WandbRuns:
    """Return the tracker of a sweep."""
    return WandbRuns(sweep)
