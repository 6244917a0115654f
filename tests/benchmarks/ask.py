"""What a suggestion costs: `python -m tests.benchmarks.ask [--trials 100 1000 10000] [--samplers forecast tpe]`.

A study with so many trials under ASHA, over the space `mlp` and made-up learning curves, is searched on: a suggestion, two epochs of it, its end, and so
on. `first` is the first suggestion of a driver that opens this study, which reads and fits all of it; `median` and `slowest` are of those that follow,
each after the news of the one before. All in milliseconds of wall clock, in the searcher that Ray Tune asks, the study in memory.
"""

import argparse
import time
from collections.abc import Mapping
from statistics import median
from typing import Any

import numpy as np

from search_spaces.space import SearchSpace
from search_spaces.spaces import SPACES
from tuner.search.accounts import Accounts
from tuner.search.rules.named import SchedulerSection, build_rule
from tuner.search.samplers.encoding import Encoding
from tuner.search.samplers.named import SAMPLERS, SearchSection, build_sampler
from tuner.search.samplers.plain import even_points
from tuner.search.searcher import StudySearcher
from tuner.search.simulate import Curve, Problem, search
from tuner.study.objective import Objective

OBJECTIVE = Objective("val_accuracy", "max")
EPOCHS = 20
SUGGESTIONS = 30


def curves(space: SearchSpace) -> Any:
    """Return made-up learning curves: a bowl over the space, approached at a rate that differs, with noise."""
    encoding = Encoding(space)
    center = np.random.default_rng(0).random(encoding.dimensions)

    def curve(configuration: Mapping[str, Any], seed: int) -> Curve:
        random = np.random.default_rng(seed)
        away = float(((encoding.encode(space.parameters_of(configuration)) - center) ** 2).mean())
        values = 1.0 - away - 0.5 * np.exp(-random.uniform(0.1, 0.6) * np.arange(1, EPOCHS + 1)) + 0.003 * random.normal(size=EPOCHS)
        return Curve([float(value) for value in values], [1.0] * EPOCHS)

    return curve


def asked(sampler: str, trials: int) -> list[float]:
    """Return the milliseconds of suggestions over a study of so many trials."""
    space = SPACES["mlp"]
    curve = curves(space)
    before, scheduler = SearchSection(sampler="random", trials=trials), SchedulerSection(name="asha")
    study, _ = search(Problem(space, OBJECTIVE, curve, EPOCHS), search=before, scheduler=scheduler, workers=8, seed=0)
    section = SearchSection(sampler=sampler, trials=trials + SUGGESTIONS)
    study.optuna.sampler = build_sampler(section, space, study=study, max_epochs=EPOCHS, seed=1)
    rule = build_rule(SchedulerSection(name="fifo"), study, space, max_epochs=EPOCHS, seed=1)
    searcher = StudySearcher(Accounts(study, max_epochs=EPOCHS, budget=section.budget), space, section=section, rule=rule, seed=1)
    taken = []
    for number in range(SUGGESTIONS):
        began = time.perf_counter()
        suggestion = searcher.suggest(str(number))
        taken.append(1e3 * (time.perf_counter() - began))
        told = curve(suggestion["configuration"], suggestion["seed"])
        for epoch in (1, 2):
            study.report(suggestion["number"], epoch, {OBJECTIVE.metric: told.values[epoch - 1], "seconds": 1.0})
        study.finish(suggestion["number"], "pruned")
    return taken


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, nargs="+", default=[100, 1000, 10_000])
    parser.add_argument("--samplers", nargs="+", choices=list(SAMPLERS), default=["forecast", "tpe"])
    given = parser.parse_args()
    even_points(1, 1, seed=0)  # imports what a sweep has imported by then
    print(f"{'sampler':<10}{'trials':>8}{'first, ms':>11}{'median, ms':>12}{'slowest, ms':>13}")
    for sampler in given.samplers:
        for trials in given.trials:
            first, *others = asked(sampler, trials)
            print(f"{sampler:<10}{trials:>8}{first:>11.0f}{median(others):>12.1f}{max(others):>13.1f}", flush=True)


if __name__ == "__main__":
    main()
