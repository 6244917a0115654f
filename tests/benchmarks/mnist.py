"""What a search finds in the same time on real data: the default, stock Ray and random + ASHA, all on Tuner's own trials.

    python -m tests.benchmarks.mnist --data mnist.npz [--seconds 120] [--seeds 3] [--first-seed 0] [--out FILE]

Three searches over the mlp space with the same budget of wall clock, one after the other, seed by seed:
forecast        Tuner's default
random-asha     random configurations, ASHA with grace 2 and factor 3
stock-ray       Ray Tune's OptunaSearch and ASHAScheduler, wired as in Ray's documentation, with their defaults

Printed is the best validation accuracy of any epoch so far after a quarter, a half and the whole of the budget: mean and range over the seeds. The
clock starts when the search does: Ray is up, TensorFlow is loaded, and the data are read. With --out the runs are appended to a file, and the table is
made of all that the file holds.
"""

import argparse
import json
import os
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
from ray import tune
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.optuna import OptunaSearch

from cluster import targets
from search_spaces.space import SearchSpace
from search_spaces.spaces import SPACES
from tests.benchmarks import sides
from tests.benchmarks.sides import METRIC
from tuner.data import dataset as data
from tuner.monitor.console import QuietView
from tuner.spec import sweep_spec as spec
from tuner.study.assignment import Assignment
from tuner.study.epoch_report import EpochReport
from tuner.sweep import journey as sweep
from tuner.training import starting
from tuner.training.trial import Trial, TrialContext

ARMS = ("forecast", "random-asha", "stock-ray")
MAX_EPOCHS = 15
SHARES = (0.25, 0.5, 1.0)


class Clock(QuietView):
    """Notes every value, and when it came, from the beginning of the search on."""

    def __init__(self) -> None:
        super().__init__(open(os.devnull, "w"))  # noqa: SIM115  # as long as the process
        self.began = 0.0
        self.values: list[tuple[float, float]] = []
        self.trials: set[int] = set()

    def stage(self, name: str, **facts: Any) -> None:
        if name == "search":
            self.began = time.monotonic()

    def epoch(self, number: int, epoch: int, value: float | None, state: str, cause: str = "") -> None:
        self.trials.add(number)
        if value is not None:
            self.values.append((time.monotonic() - self.began, value))


class StockTrial(Trial):
    """Tuner's trial, told its configuration as Ray's OptunaSearch tells it."""

    def setup(self, config: dict[str, Any], *, context: TrialContext, space: SearchSpace, seed: int) -> None:  # type: ignore[override]
        self._space, self._stock_seed = space, seed
        super().setup(self._told(config), context=context)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        return super().reset_config(self._told(new_config))

    def step(self) -> dict[str, Any]:
        report = EpochReport.from_json(super().step())
        # As a user's function would report a network that diverges.
        return {METRIC: 0.0, **report.metrics, "epoch": report.epoch, "done": report.last or report.ended is not None}

    def _told(self, config: Mapping[str, Any]) -> dict[str, Any]:
        configuration = self._space.suggest(optuna.trial.FixedTrial(dict(config)))
        number = int(self.trial_id, 16)
        return Assignment(number, configuration, self._stock_seed + number % 10_000).to_json()


def ours(folder: Path, arm: str, checked: spec.SweepSpec) -> Clock:
    """Run one of Tuner's own searches."""
    clock = Clock()
    rules = {"sampler": "random"} if arm == "random-asha" else {}
    values = {"search": checked.search.model_copy(update=rules), "folder": str(folder / "sweep")}
    if arm == "random-asha":
        values["scheduler"] = checked.scheduler.model_copy(update={"name": "asha", "grace_period": 2, "reduction_factor": 3})
    sweep.run_sweep(checked.model_copy(update=values), view=clock, interrupted=threading.Event(), telling=False)
    return clock


def propose(trial: optuna.Trial) -> None:
    """Ask a trial of Ray's searcher for a configuration, define-by-run."""
    SPACES["mlp"].suggest(trial)


def stock(folder: Path, checked: spec.SweepSpec) -> Clock:
    """Run Ray Tune as its documentation shows it, over the same space, data and trials."""
    clock, space = Clock(), SPACES["mlp"]
    dataset, _ = data.load(checked.dataset, checked.seed)
    with starting.ahead(), targets.connect(checked.cluster) as cluster:
        config = checked.training_config(dataset.task, dataset.outputs, ())
        folds = tuple(replace(fold, scaling=dataset.scalings(fold.train)) for fold in dataset.folds)
        context = TrialContext(dataset.pool, folds, config, cluster.scratch, str(folder / "checkpoints"))
        trainable = tune.with_parameters(StockTrial, context=context, space=space, seed=checked.seed * 10_000)
        clock.stage("search")
        sides.stock(
            str(folder),
            trainable,
            lambda name, report: clock.epoch(int(name, 16), report["epoch"], report.get(METRIC), "running"),
            cpus=1,
            search_alg=OptunaSearch(propose, metric=METRIC, mode="max", seed=checked.seed),
            scheduler=ASHAScheduler(max_t=MAX_EPOCHS),
            num_samples=-1,
            time_budget_s=checked.search.seconds,
            reuse_actors=True,
        )
    return clock


def run(arm: str, seed: int, *, data_file: Path | None, seconds: float) -> dict[str, Any]:
    """Run one search and say what it found, and when."""
    source = {"source": "npz", "path": str(data_file.resolve()), "validation": 6000} if data_file else {"source": "digits"}
    with tempfile.TemporaryDirectory(prefix="mnist-") as name:
        values = {"name": "mnist", "seed": seed, "folder": f"{name}/sweep", "dataset": source, "training": {"max_epochs": MAX_EPOCHS}}
        checked = spec.check({**values, "search": {"seconds": seconds}, "evaluation": {"enabled": False}})
        clock = stock(Path(name), checked) if arm == "stock-ray" else ours(Path(name), arm, checked)
    in_time = [(at, value) for at, value in clock.values if at <= seconds]
    best = [max((value for at, value in in_time if at <= share * seconds), default=0.0) for share in SHARES]
    return {"arm": arm, "seed": seed, "seconds": seconds, "best": best, "epochs": len(in_time), "trials": len(clock.trials), "load": os.getloadavg()[0]}


def table(runs: list[dict[str, Any]]) -> str:
    """Return the table of all runs, and ours against each other arm, seed by seed."""
    lines = [f"{'search':<14}{'runs':>5}{'trials':>8}{'epochs':>8}  " + "".join(f"best after {share * runs[0]['seconds']:.0f} s".ljust(28) for share in SHARES)]
    for arm in ARMS:
        mine = [run for run in runs if run["arm"] == arm]
        if not mine:
            continue
        cells = []
        for index in range(len(SHARES)):
            values = [run["best"][index] for run in mine]
            cells.append(f"{sum(values) / len(values):.4f} ({min(values):.4f} to {max(values):.4f})".ljust(28))
        means = [sum(run[key] for run in mine) / len(mine) for key in ("trials", "epochs")]
        lines.append(f"{arm:<14}{len(mine):>5}{means[0]:>8.0f}{means[1]:>8.0f}  {''.join(cells)}".rstrip())
    found = {(run["arm"], run["seed"]): run["best"][-1] for run in runs}
    for arm in ARMS[1:]:
        pairs = [found[ARMS[0], seed] - value for (other, seed), value in found.items() if other == arm and (ARMS[0], seed) in found]
        if pairs:
            lines.append(f"{ARMS[0]} - {arm}: {', '.join(f'{pair:+.4f}' for pair in pairs)}; better in {sum(pair > 0 for pair in pairs)} of {len(pairs)}")
    lines.append(f"load average while they ran: {min(run['load'] for run in runs):.1f} to {max(run['load'] for run in runs):.1f}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="an npz with x_train, y_train, ...; without it: scikit-learn's small digits, and the result says little")
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--out", type=Path, help="append the runs to this file, one JSON object a line")
    arguments = parser.parse_args()
    runs = [json.loads(line) for line in arguments.out.read_text().splitlines()] if arguments.out and arguments.out.exists() else []
    for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds):
        for arm in arguments.arms:
            runs.append(run(arm, seed, data_file=arguments.data, seconds=arguments.seconds))
            print(json.dumps(runs[-1]), flush=True)
            if arguments.out:
                with arguments.out.open("a") as file:
                    file.write(json.dumps(runs[-1]) + "\n")
    print(table(runs))


if __name__ == "__main__":
    main()
