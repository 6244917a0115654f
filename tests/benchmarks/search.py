"""How good a search is for its budget: searchers and schedulers side by side on the LCBench development tasks, or on curves of our own.

    python -m tests.benchmarks.search --lcbench FOLDER [--seeds 3] [--workers 8] [--metric val_accuracy] [--rows forecast random-asha]
    python -m tests.benchmarks.search --digits FILE      (900 networks trained to the end, see digits.py; FILE is made where it is missing)
    python -m tests.benchmarks.search --made-up          (quadratic bowls whose curves agree, cross, or tell nothing early)

A full comparison takes a second to ten per task, seed and row; with `--record FILE` runs are kept there, and a comparison can be made in pieces.
Each row is simulated with the objects that Ray drives. Printed is the normalised regret (0: the best final value among 20,000 random configurations
and of all runs compared, 1: the median random configuration) of the final value of the configuration that a sweep would pick, the one with the
best epoch so far, after 0.5, 1, 2 and 4 mean full trainings per worker; and its ratio to random + ASHA with a paired bootstrap interval.
`forecast-ahead` is Tuner's default with every configuration drawn one ahead, as by a driver that has much to do.
"""

import argparse
import copy
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from search_spaces.space import Parameter, SearchSpace
from tests.benchmarks import digits, lcbench
from tuner.search.rules.named import SchedulerSection
from tuner.search.samplers import named
from tuner.search.samplers.named import SearchSection
from tuner.search.simulate import Curve, Problem, search
from tuner.study.objective import Objective

BUDGETS = (0.5, 1.0, 2.0, 4.0)
BASE = "random-asha"
OURS = "forecast"
ROWS: dict[str, tuple[str, dict[str, Any]]] = {
    "stock-ray": ("stock-tpe", {"name": "asha", "grace_period": 1, "reduction_factor": 4}),
    "tpe-asha": ("tpe", {"name": "asha"}),
    "tpe-fifo": ("tpe", {"name": "fifo"}),
    "random-fifo": ("random", {"name": "fifo"}),
    BASE: ("random", {"name": "asha"}),
    "random-forecast": ("random", {"name": "forecast"}),
    "forecast-asha": ("forecast", {"name": "asha"}),
    OURS: ("forecast", {"name": "forecast"}),
    "forecast-ahead": ("forecast", {"name": "forecast"}),
}


class Retold:
    """A study's storage as Ray's OptunaSearch would have filled it: what ASHA stopped is complete, with its last value."""

    def __init__(self, storage: Any) -> None:
        self._storage = storage
        self._known: dict[int, FrozenTrial] = {}

    def get_all_trials(self, study_id: int, deepcopy: bool = True, states: Any = None) -> list[FrozenTrial]:
        trials = [self._retold(trial) for trial in self._storage.get_all_trials(study_id, deepcopy=False)]
        return [trial for trial in trials if states is None or trial.state in states]

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Drop what TPE notes for its constant liar about parameters that are not suggested yet: here they all are at once."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)

    def _retold(self, trial: FrozenTrial) -> FrozenTrial:
        if trial.state != TrialState.PRUNED:
            return trial
        if trial.number not in self._known:
            told = copy.copy(trial)
            told.state = TrialState.COMPLETE
            told.values = [trial.intermediate_values[max(trial.intermediate_values)]]
            self._known[trial.number] = told
        return self._known[trial.number]


class StockTpe(BaseSampler):
    """Optuna's TPE, with its defaults, over a study that is told as stock Ray tells it."""

    def __init__(self, seed: int) -> None:
        self._sampler = optuna.samplers.TPESampler(seed=seed)
        self._storage: Any = None

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self._sampler.infer_relative_search_space(self._retold(study), trial)

    def sample_relative(self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]) -> dict[str, Any]:
        return self._sampler.sample_relative(self._retold(study), trial, search_space)

    def sample_independent(self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution) -> Any:
        return self._sampler.sample_independent(self._retold(study), trial, param_name, param_distribution)

    def _retold(self, study: optuna.Study) -> optuna.Study:
        self._storage = self._storage or Retold(study._storage)
        view = copy.copy(study)
        view._storage = self._storage
        return view


class Task:
    """A problem with known curves.

    Attributes:
        best: the best known final value, as a cost; raised by better runs.
        median: the median final cost of random configurations.
        full_s: mean seconds of a full training.
    """

    def __init__(
        self,
        name: str,
        space: SearchSpace,
        objective: Objective,
        curve: Callable[[Mapping[str, Any]], Curve],
        *,
        max_epochs: int,
        finals: np.ndarray,
        full_s: float,
    ) -> None:
        self.name, self.space, self.objective, self.max_epochs, self.full_s = name, space, objective, max_epochs, full_s
        costs = np.array([objective.cost(float(value)) for value in finals])
        self.best, self.median = float(costs.min()), float(np.median(costs))
        self._curve = curve
        self._known: dict[tuple[Any, ...], Curve] = {}

    def curve(self, configuration: Mapping[str, Any], seed: int = 0) -> Curve:
        """Return a configuration's curve; the seed changes nothing."""
        key = tuple(configuration.values())
        if key not in self._known:
            self._known[key] = self._curve(configuration)
        return self._known[key]

    def final_costs(self, row: str, *, workers: int, seed: int) -> list[float]:
        """Return the final cost of the pick after each budget; infinite where there is none yet."""
        sampler, scheduler = ROWS[row]
        section = SearchSection(sampler=sampler, seconds=BUDGETS[-1] * self.full_s)
        rule = SchedulerSection(**{"audit": 0.0, **scheduler})
        problem = Problem(self.space, self.objective, self.curve, self.max_epochs)
        study, events = search(problem, search=section, scheduler=rule, workers=workers, seed=seed, ahead=row.endswith("-ahead"))
        trials = study.trials()
        costs, pick, seen, index = [], -1, math.inf, 0
        for budget in BUDGETS:
            while index < len(events) and events[index].seconds <= budget * self.full_s:
                cost = self.objective.cost(events[index].value)
                if cost < seen:
                    pick, seen = events[index].number, cost
                index += 1
            costs.append(math.inf if pick < 0 else self.objective.cost(self.curve(trials[pick].user_attrs["configuration"]).values[-1]))
        ends = [self.objective.cost(self.curve(trial.user_attrs["configuration"]).values[-1]) for trial in trials if trial.state == TrialState.COMPLETE]
        self.best = min([self.best, *ends, *costs])
        return costs


def lcbench_tasks(folder: Path, metric: str) -> list[Task]:
    """Return the development tasks of LCBench."""
    surrogate, objective, tasks = lcbench.Surrogate(folder), Objective.of(metric, "max" if metric == "val_accuracy" else "min"), []
    for name in lcbench.DEVELOPMENT_TASKS:
        finals, full_s = surrogate.sample(name, metric, count=20000, seed=12345)
        curve = lambda configuration, name=name: surrogate.curve(name, configuration, metric)  # noqa: E731
        tasks.append(Task(name, lcbench.SPACE, objective, curve, max_epochs=lcbench.EPOCHS, finals=finals, full_s=full_s))
    return tasks


def made_up_tasks() -> list[Task]:
    """Return problems that share nothing with LCBench: quadratic bowls in six dimensions whose curves agree, cross, or tell nothing early."""
    space = SearchSpace("bowl", {f"x{index}": Parameter(FloatDistribution(0.0, 1.0)) for index in range(6)}, "nowhere:build")
    tasks = []
    for kind, crossing in (("agreeing", 0.0), ("crossing", 1.0), ("late", 2.0)):
        for seed in range(3):
            random = np.random.default_rng([seed, int(crossing)])
            centre, weight = random.random(6), random.random(6) ** 2 + 0.05

            def curve(configuration: Mapping[str, Any], centre: Any = centre, weight: Any = weight, crossing: float = crossing) -> Curve:
                x = np.array(list(configuration.values()))
                end = float((weight * (x - centre) ** 2).sum())
                # Where curves cross, a better end means a slower start; where early epochs tell nothing, an unrelated coordinate sets the pace.
                pace = {0.0: 4.0, 1.0: 4.0 + 12.0 * math.exp(-3.0 * end), 2.0: 2.0 + 20.0 * float(x[0])}[crossing]
                cost = 1.0 + 2.0 * float(x[1])
                return Curve([end + (2.0 - end) * math.exp(-epoch / pace) for epoch in range(1, 41)], [cost] * 40)

            draws = np.random.default_rng(7).random((20000, 6))
            finals = np.array([curve({str(index): value for index, value in enumerate(draw)}).values[-1] for draw in draws[:5000]])
            full_s = 40 * float(1.0 + 2.0 * draws[:, 1].mean())
            tasks.append(Task(f"{kind}-{seed}", space, Objective.of("val_loss"), curve, max_epochs=40, finals=finals, full_s=full_s))
    return tasks


def digits_tasks(path: Path) -> list[Task]:
    """Return one problem: networks on scikit-learn's digits."""
    recorded = digits.Digits(path)
    objective, finals = Objective.of("val_accuracy"), recorded.finals
    return [Task("digits", digits.SPACE, objective, recorded.curve, max_epochs=digits.EPOCHS, finals=finals, full_s=recorded.full_s)]


class Record:
    """The runs so far, in a file of JSON lines, so that a long comparison can be made in pieces.

    Args:
        path: the file; None keeps nothing.
        setting: what the runs have in common.
    """

    def __init__(self, path: Path | None, setting: str) -> None:
        self._path, self._setting = path, setting
        lines = path.read_text(encoding="utf-8").splitlines() if path is not None and path.exists() else []
        self._known = {tuple(entry["run"]): entry for entry in map(json.loads, lines)}

    def costs(self, task: Task, row: str, *, workers: int, seed: int) -> list[float]:
        """Return what `Task.final_costs` does, run where it is not known."""
        run = (self._setting, task.name, row, workers, seed)
        if run not in self._known:
            costs = task.final_costs(row, workers=workers, seed=seed)
            self._known[run] = {"run": run, "costs": costs, "best": task.best}
            if self._path is not None:
                with self._path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(self._known[run]) + "\n")
        task.best = min([task.best, self._known[run]["best"], *self._known[run]["costs"]])
        return self._known[run]["costs"]


def compare(tasks: list[Task], rows: list[str], *, workers: int, seeds: range, record: Record) -> dict[str, np.ndarray]:
    """Return the normalised regrets of each row, float64 of shape (tasks, seeds, budgets); a row that has no pick yet counts as the median."""
    costs = {
        row: np.array(
            [[record.costs(task, row, workers=workers, seed=1000 * seed + index) for seed in seeds] for index, task in enumerate(tasks)]
        )
        for row in rows
    }  # fmt: skip
    best, median = (np.array([getattr(task, name) for task in tasks])[:, None, None] for name in ("best", "median"))
    return {row: (np.where(np.isfinite(cost), cost, median) - best) / (median - best) for row, cost in costs.items()}


def describe(regrets: dict[str, np.ndarray], tasks: list[Task]) -> list[str]:
    """Return the table, paired ratios with 95 % intervals over tasks and seeds (each row to the base row, ours to each other row), wins and losses per task."""
    lines = ["normalised regret after a budget of so many mean full trainings per worker"]
    lines += ["row               " + "".join(f"{budget:>8g}" for budget in BUDGETS) + "   ratio to " + BASE + " (95 %), at each budget"]
    for row, regret in regrets.items():
        told = "" if row == BASE else "   " + _against(regret, regrets[BASE])
        lines.append(f"{row:18s}" + "".join(f"{value:8.3f}" for value in regret.mean((0, 1))) + told)
    if OURS in regrets:
        others = [row for row in regrets if row not in (OURS, BASE)]
        lines += ["", f"ratio of {OURS} to the other rows (95 %), at each budget"] if others else []
        lines += [f"{row:18s}{_against(regrets[OURS], regrets[row])}" for row in others]
    count = next(iter(regrets.values())).shape[1]
    lines += ["", f"regret per task after the last budget, mean over {count} seeds", "task          " + "".join(f"{row:>16s}" for row in regrets)]
    lines += [f"{task.name:14s}" + "".join(f"{regret[index, :, -1].mean():16.3f}" for regret in regrets.values()) for index, task in enumerate(tasks)]
    return lines


def _against(regret: np.ndarray, other: np.ndarray) -> str:
    """Return the ratio of two rows' regrets, of shape (tasks, seeds, budgets), at each budget, and on how many tasks the first is better or worse by 0.01."""
    random = np.random.default_rng(0)
    tasks, seeds = regret.shape[:2]
    picks = [(random.integers(tasks, size=tasks).repeat(seeds), random.integers(seeds, size=tasks * seeds)) for _ in range(2000)]
    with np.errstate(divide="ignore", invalid="ignore"):  # where few runs all reach the best, some draws have no regret at all
        draws = np.array([regret[chosen].mean(0) / other[chosen].mean(0) for chosen in picks])
    ratio, (low, high) = regret.mean((0, 1)) / other.mean((0, 1)), np.nanquantile(draws, [0.025, 0.975], axis=0)
    difference = regret.mean(1) - other.mean(1)
    told = "  ".join(f"{r:.2f} ({lo:.2f}-{hi:.2f})" for r, lo, hi in zip(ratio, low, high, strict=True))
    return f"{told}   tasks better {(difference < -0.01).sum(0)} worse {(difference > 0.01).sum(0)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--lcbench", type=Path, help="folder with model.onnx and task_encoding.json")
    source.add_argument("--digits", type=Path, help="file of the recorded networks; made where it is missing, in about four minutes")
    source.add_argument("--made-up", action="store_true")
    parser.add_argument("--metric", default="val_accuracy", choices=["val_accuracy", "val_cross_entropy"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0, help="seeds below 20 were looked at when the defaults were chosen")
    parser.add_argument("--record", type=Path, help="file that keeps the runs")
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--rows", nargs="*", default=list(ROWS), choices=list(ROWS))
    given = parser.parse_args()
    named.SAMPLERS["stock-tpe"] = named.Row(lambda config: StockTpe(config.seed), "")
    if given.lcbench:
        setting, tasks = f"lcbench {given.metric}", lcbench_tasks(given.lcbench, given.metric)
    else:
        setting, tasks = ("digits", digits_tasks(given.digits)) if given.digits else ("made up", made_up_tasks())
    seeds = range(given.first_seed, given.first_seed + given.seeds)
    regrets = compare(tasks, list(dict.fromkeys([BASE, *given.rows])), workers=given.workers, seeds=seeds, record=Record(given.record, setting))
    print(*describe(regrets, tasks), sep="\n")


if __name__ == "__main__":
    main()
