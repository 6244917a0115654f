"""MLflow: an experiment per sweep's name; in it one run per sweep, which gets the test scores, and below it one run per trial.

The server is the environment's (MLFLOW_TRACKING_URI, MLFLOW_TRACKING_TOKEN, ...), and so is the experiment, if MLFLOW_EXPERIMENT_NAME names one;
without a server, everything goes into mlflow.db in the sweep's folder (`mlflow ui --backend-store-uri sqlite:///DIR/mlflow.db`).
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tuner.monitor.trackers.tracker import Sweep, Tracker

SWEEP, TRIAL, STATE = "tuner.sweep", "tuner.trial", "tuner.state"
PARAMS_AT_A_TIME = 100  # more are refused by MLflow's API
PARAM_LENGTH = 6000


@dataclass
class _Run:
    id: str
    ended: bool = False
    epochs: int = 0


class MlflowRuns(Tracker):
    """The runs of one sweep."""

    def __init__(self, sweep: Sweep) -> None:
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")  # a server that is away must show while the sweep runs
        from mlflow import MlflowClient

        self._sweep = sweep
        address = os.environ.get("MLFLOW_TRACKING_URI")
        self._client = MlflowClient(tracking_uri=address or f"sqlite:///{sweep.folder}/mlflow.db")
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", sweep.name)
        experiment = self._client.get_experiment_by_name(name)
        place = None if address else f"file://{sweep.folder}/mlflow"
        self._experiment = experiment.experiment_id if experiment else self._client.create_experiment(name, artifact_location=place)
        self._runs = self._earlier_runs()
        # The sweep itself stands among its trials as None.
        self._whole = self._runs.get(None) or self._create(None, sweep.name, None)
        self._client.update_run(self._whole.id, status="RUNNING")

    def trial(self, number: int, name: str, configuration: Mapping[str, Any], facts: Mapping[str, Any], at: float) -> None:
        """See `Tracker`."""
        from mlflow.entities import Param

        run = self._runs.get(number)
        if run is not None:
            if not run.ended:
                history = self._client.get_metric_history(run.id, _key(self._sweep.metric))
                run.epochs = max((metric.step for metric in history), default=0)
                self._client.update_run(run.id, status="RUNNING")
            return
        run = self._create(number, name, at)
        values = {**configuration, **facts}
        params = [Param(_key(key), str(value)[:PARAM_LENGTH]) for key, value in values.items()]
        for first in range(0, len(params), PARAMS_AT_A_TIME):
            self._client.log_batch(run.id, params=params[first : first + PARAMS_AT_A_TIME])

    def epoch(self, number: int, epoch: int, metrics: Mapping[str, float], at: float) -> None:
        """See `Tracker`."""
        run = self._runs[number]
        if not run.ended and epoch > run.epochs:
            run.epochs = epoch
            self._log(run, metrics, epoch, at)

    def end(self, number: int, state: str, facts: Mapping[str, Any], at: float) -> None:
        """See `Tracker`."""
        run = self._runs[number]
        if run.ended:
            return
        self._log(run, {name: value for name, value in facts.items() if name != "cause"}, facts.get("epochs", 0), at)
        self._client.set_tag(run.id, STATE, state)
        if "cause" in facts:
            self._client.set_tag(run.id, "tuner.cause", facts["cause"])
        self._client.set_terminated(run.id, "FAILED" if state == "failed" else "FINISHED", end_time=_ms(at))
        run.ended = True

    def final(self, trial: int, epochs: int, configuration: Mapping[str, Any], metrics: Mapping[str, float], at: float) -> None:
        """See `Tracker`."""
        recorded = self._client.get_run(self._whole.id).data
        winner = {"tuner.winner": str(trial), "tuner.winner_epochs": str(epochs)}
        if not winner.items() <= recorded.tags.items():
            self._log(self._whole, metrics, 0, at)
            # Tags, not parameters, which MLflow never changes: an extended sweep may have another winner.
            for name, value in (winner | {f"tuner.winner.{_key(name)}": str(value) for name, value in configuration.items()}).items():
                self._client.set_tag(self._whole.id, name, value[:PARAM_LENGTH])
        self._whole.ended = True

    def over(self) -> None:
        """See `Tracker`."""
        self._whole.ended = True

    def close(self) -> None:
        """See `Tracker`."""
        for number, run in self._runs.items():
            if number is not None and not run.ended:
                self._client.update_run(run.id, status="SCHEDULED")
        if self._whole.ended:
            self._client.set_terminated(self._whole.id, "FINISHED")
        else:
            self._client.update_run(self._whole.id, status="SCHEDULED")

    def _earlier_runs(self) -> dict[int | None, _Run]:
        """Return the runs that an earlier part of this sweep has left there."""
        runs: dict[int | None, _Run] = {}
        token = None
        while True:
            page = self._client.search_runs([self._experiment], f"tags.`{SWEEP}` = '{self._sweep.key}'", page_token=token)
            for run in page:
                number = run.data.tags.get(TRIAL)
                runs[None if number is None else int(number)] = _Run(run.info.run_id, ended=number is not None and STATE in run.data.tags)
            token = page.token
            if not token:
                return runs

    def _create(self, number: int | None, name: str, at: float | None) -> _Run:
        tags = {SWEEP: self._sweep.key}
        if number is not None:
            tags |= {TRIAL: str(number), "mlflow.parentRunId": self._whole.id}
        made = self._client.create_run(self._experiment, start_time=None if at is None else _ms(at), tags=tags, run_name=name)
        self._runs[number] = _Run(made.info.run_id)
        return self._runs[number]

    def _log(self, run: _Run, metrics: Mapping[str, float], epoch: int, at: float) -> None:
        from mlflow.entities import Metric

        self._client.log_batch(run.id, metrics=[Metric(_key(name), float(value), _ms(at), epoch) for name, value in metrics.items()])


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _key(name: str) -> str:
    """Return a name as MLflow takes it."""
    return re.sub(r"[^\w\-. ]", "_", name)[:250] or "_"


def open_tracker(sweep: Sweep) -> MlflowRuns:
    """Return the tracker of a sweep."""
    return MlflowRuns(sweep)
