"""What the benchmarks against other stacks share: how each side is run, and how it is listened to.

Each side runs in a process of its own, so that neither finds the other's Ray, memory or warm files, and imports Ray itself. Must not know what is
measured.
"""

import json
import logging
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

METRIC = "val_accuracy"


def asked() -> dict[str, Any] | None:
    """Return the question that this process was started for by `apart`; None where a user started it."""
    return json.loads(os.environ["BENCHMARK_ASKED"]) if "BENCHMARK_ASKED" in os.environ else None


def answer(found: Mapping[str, Any]) -> None:
    """Hand over what was found."""
    Path(os.environ["BENCHMARK_ANSWER"]).write_text(json.dumps(found))


def apart(module: str, question: Mapping[str, Any], **environment: str) -> dict[str, Any]:
    """Ask a benchmark in a fresh process, with an empty folder of its own under `folder`, and return the answer.

    Raises:
        RuntimeError: the process failed.
    """
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        place = Path(folder) / "answer.json"
        told = {"BENCHMARK_ASKED": json.dumps({**question, "folder": folder}), "BENCHMARK_ANSWER": str(place)}
        ended = subprocess.run(
            [sys.executable, "-m", module],
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "RAY_AIR_NEW_OUTPUT": "0", "PYTHONPATH": os.getcwd(), **told, **environment},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        if ended.returncode:
            raise RuntimeError(f"{module}, asked {dict(question)}: exit code {ended.returncode}\n{ended.stderr[-3000:]}")
        return json.loads(place.read_text())


def nothing_trained(folder: str, trial: type, hear: Callable[[int], None], **sections: Mapping[str, Any]) -> None:
    """Run `tuner run`'s whole journey, from the spec to the leaderboard, on trials that train nothing.

    Args:
        folder: an empty one.
        trial: what Ray runs instead of `tuner.training.trial.Trial`.
        hear: is told the number of the trial of each report.
        sections: of the spec.

    Raises:
        RuntimeError: a trial is missing or failed.
    """
    from tuner.monitor.console import QuietView
    from tuner.spec import sweep_spec as spec
    from tuner.sweep import journey as sweep

    class View(QuietView):
        def epoch(self, number: int, epoch: int, value: float | None, state: str, cause: str = "") -> None:
            hear(number)

    checked = spec.check({"name": "nothing", "folder": f"{folder}/sweep", "dataset": {"source": "digits"}, "evaluation": {"enabled": False}, **sections})
    sweep.Trial = trial  # type: ignore[misc]
    with open(os.devnull, "w") as nowhere:
        board = sweep.run_sweep(checked, view=View(nowhere), interrupted=threading.Event(), telling=False)
    states = {record.state for record in board.records}
    if len(board.records) != checked.search.trials or not states <= {"complete", "pruned"}:
        raise RuntimeError(f"the sweep has {len(board.records)} trials, {', '.join(sorted(states))}; expected {checked.search.trials}, complete or pruned")


def stock(folder: str, trainable: Any, hear: Callable[[str, Mapping[str, Any]], None], *, cpus: int, param_space: Any = None, **rules: Any) -> Any:
    """Run Ray Tune as its documentation shows it, in the Ray at hand or one of its own, with its output turned off; return its results.

    Args:
        folder: an empty one.
        trainable: of Ray Tune; each trial has one CPU.
        hear: is told the Ray id and the report of each result.
        cpus: that a Ray of its own is told of.
        param_space: of the trials.
        rules: of `TuneConfig`.
    """
    import ray
    from ray import tune

    from tuner.search.not_pickled import NotPickled

    class Heard(NotPickled, tune.Callback):
        def on_trial_result(self, iteration: int, trials: list, trial: Any, result: dict[str, Any], **info: Any) -> None:
            hear(trial.trial_id, result)

    own = not ray.is_initialized()
    if own:
        ray.init(address="local", num_cpus=cpus, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    results = tune.Tuner(
        tune.with_resources(trainable, {"cpu": 1}),
        param_space=param_space,
        tune_config=tune.TuneConfig(metric=METRIC, mode="max", **rules),
        run_config=tune.RunConfig(
            name="stock",
            storage_path=f"{folder}/ray",
            callbacks=[Heard()],
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            verbose=0,
        ),
    ).fit()
    if own:
        ray.shutdown()
    return results


def random_draws(folder: str, trainable: Any, hear: Callable[[str, Mapping[str, Any]], None], *, cpus: int, trials: int, scheduler: Any = None) -> None:
    """Run Ray Tune's random search over the parameters of Tuner's `mlp` space, actors reused.

    Raises:
        RuntimeError: a trial is missing or failed.
    """
    from ray import tune

    from search_spaces.spaces import SPACES

    space = {name: tune.uniform(0, 1) for name in SPACES["mlp"].parameters}
    results = stock(folder, trainable, hear, cpus=cpus, param_space=space, num_samples=trials, reuse_actors=True, scheduler=scheduler)
    if len(results) != trials or results.errors:
        raise RuntimeError(f"Ray Tune ran {len(results)} trials, {len(results.errors)} with errors; expected {trials} and none")
