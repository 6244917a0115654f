"""The default sampler, and the forecast that it shares with the default scheduler: what each trial will have reached at its last epoch.

Under early stopping most trials have a few epochs only, and a sampler that takes those values for final ones prefers what learns fast early. Here
every observation keeps its epoch: one Gaussian process over configuration and epoch learns how far early epochs can be trusted on this very problem, and
is asked about the last epoch only. Early stopping is then a forecast too.

Source: the idea of one process over configurations and epochs is freeze-thaw's (Swersky, Snoek and Adams, 2014); Wistuba, Kadra and Grabocka, DyHPO,
NeurIPS 2022, use it to allocate epochs. Falkner, Klein and Hutter, BOHB, ICML 2018, interleave a share of random draws.
Snoek, Larochelle and Adams, NeurIPS 2012, divide expected improvement by expected time.
"""

import math
import threading
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState
from scipy.special import ndtr
from threadpoolctl import ThreadpoolController

from search_spaces.space import SearchSpace
from tuner.search.samplers.encoding import Encoding
from tuner.search.samplers.gaussian import CurveProcess, fit
from tuner.search.samplers.plain import SOURCE, SpaceSampler, even_points
from tuner.study.objective import Objective

# Matrices of a few hundred rows are slower on several threads, all the more beside trials that use every core.
_ONE_THREAD = ThreadpoolController()

# Numbers that bound the time of a suggestion.
MOST_OBSERVATIONS = 240
MOST_FOR_FITTING = 150
ITERATIONS = 25
RANDOM_CANDIDATES = 300
LOCAL_CANDIDATES = 150

# This share of all suggestions is drawn without the model: where it is wrong, it learns so; where it is right, little is lost. The report compares both.
DRAWN_BY_LOT = 0.2

# Where time is what a search may spend, an improvement counts by its cost to this power: at 1, a network that takes ten times as long has to promise ten times
# as much. Less, because how long a configuration takes is itself only guessed, and some of the best are slow.
COST_WEIGHT = 0.5

# Where the sampler proposes what it proposed before, it draws at random after so many attempts.
ATTEMPTS = 5

# With a second objective: the largest weight that it is given against the first.
MOST_FOR_SECOND = 0.8

# A forecast says nothing before this number of trials has reported.
LEAST_TRIALS = 2
# This many trials can always be compared with each other.
ENOUGH = 8
# The process sees the logarithm of the distance to the best value, in units of the distance from the best to the median: differences among the good
# count, however bad the bad are. The distance is shifted by NEAREST, so that the best has a logarithm, and ends at FARTHEST.
NEAREST, FARTHEST = 0.2, 8.0


@dataclass(frozen=True)
class _Record:
    """A trial as the forecast sees it.

    `costs` are what it reached after some of its epochs, less is better, the last epoch among them; `epochs` is how many it reported, and `seconds` how long
    its last one took, None where nobody knows.
    """

    number: int
    point: np.ndarray
    costs: Mapping[int, float]
    last: int
    epochs: int
    state: TrialState
    seconds: float | None

    @property
    def cost(self) -> float:
        return self.costs[self.last]


@dataclass(frozen=True)
class Posterior:
    """What a forecast says at one moment. It does not change any more, and may be asked from any thread.

    Attributes:
        records: the trials that tell something, in their order; those of earlier sweeps have numbers below 0.
        process: a Gaussian process over configuration and epoch.
    """

    records: list[_Record]
    process: CurveProcess

    def rival_points(self, without: int | None = None) -> np.ndarray:
        """Return the points of the trials that run, wait, or have run to their end: those whose forecast may become, or is, a fact.

        Args:
            without: a trial that is not counted, and that earlier sweeps' trials are no rivals of: this sweep is to have a best trial of its own.

        Returns:
            float64 of shape (n, dimensions).
        """
        alive = (TrialState.RUNNING, TrialState.COMPLETE, TrialState.WAITING)
        rivals = [record for record in self.records if record.state in alive and (without is None or record.number >= 0)]
        return np.array([record.point for record in rivals if record.number != without])

    @_ONE_THREAD.wrap(limits=1)
    def chance(self, number: int) -> float | None:
        """Return the probability that a trial ends better than every rival is expected to; None where there is no rival."""
        rivals = self.rival_points(without=number)
        own = [record.point for record in self.records if record.number == number]
        if not len(rivals) or not own:
            return None
        mean, deviation = self.process.predict(np.array(own))
        return float(ndtr((self.process.mean(rivals).min() - mean[0]) / deviation[0]))

    def enough(self, epoch: int) -> bool:
        """Say whether as many trials have reached an epoch as run at a time, or ENOUGH: before, a trial has hardly anyone to be compared with."""
        own = [record for record in self.records if record.number >= 0]
        running = sum(record.state == TrialState.RUNNING for record in own)
        return sum(record.last >= epoch and record.state != TrialState.FAIL for record in own) >= min(ENOUGH, running)

    def best_points(self, count: int) -> np.ndarray:
        """Return the points with the best expected ends among the trials with the best values, float64 of shape (at most count, dimensions)."""
        best = sorted((record for record in self.records if record.state != TrialState.FAIL), key=lambda record: record.cost)
        points = np.array([record.point for record in best[: 5 * count]])
        return points[np.argsort(self.process.mean(points))[:count]]

    def seconds(self, points: np.ndarray) -> np.ndarray:
        """Return about how long an epoch takes, by a quadratic of each coordinate for the logarithm; within what trials have taken, or 1 before any has.

        Args:
            points: float64 of shape (n, dimensions).
        """
        timed = [(record.point, record.seconds) for record in self.records if record.seconds]
        if not timed:
            return np.ones(len(points))

        def features(points: np.ndarray) -> np.ndarray:
            away = points - 0.5
            return np.hstack([np.ones((len(points), 1)), away, away**2])

        measured, logarithms = features(np.array([point for point, _ in timed])), np.log([seconds for _, seconds in timed])
        dimensions = points.shape[1]
        # A ridge keeps it flat where there is little to go by; the constant is free.
        ridge = np.diag([1e-6, *[0.1] * dimensions, *[0.3] * dimensions])
        weights = np.linalg.solve(measured.T @ measured + ridge, measured.T @ logarithms)
        return np.exp(np.clip(features(points) @ weights, logarithms.min(), logarithms.max()))

    def with_fantasies(self, points: np.ndarray) -> CurveProcess:
        """Return the process as if trials without a single epoch ended as expected, so that the next one is tried elsewhere.

        Args:
            points: of those trials, float64 of shape (n, dimensions).
        """
        if not len(points):
            return self.process
        return self.process.extended(points, np.ones(len(points)), self.process.mean(points))


class Forecast:
    """What trials and configurations will reach at the last epoch. Threads take turns.

    Args:
        encoding: of the space.
        objective: what is optimised.
        max_epochs: number of epochs of a full training.
    """

    def __init__(self, encoding: Encoding, objective: Objective, max_epochs: int) -> None:
        self._encoding = encoding
        self._objective = objective
        self._max_epochs = max_epochs
        self._kept = _kept_epochs(max_epochs)
        self._records: dict[int, _Record] = {}
        self._state: tuple[int, int] | None = None
        self._parameters: np.ndarray | None = None
        self._fitted = 0
        self._process: CurveProcess | None = None
        self._turn = threading.Lock()

    @_ONE_THREAD.wrap(limits=1)
    def update(self, study: optuna.Study) -> Posterior | None:
        """Take note of what the study has, and return what is to be believed; None while that is too little for a forecast."""
        with self._turn:
            records = self._read(study)
            if sum(record.state != TrialState.FAIL for record in records) < LEAST_TRIALS:
                return None
            state = len(records), sum(record.last for record in records)
            if self._process is None or state != self._state:
                self._state, self._process = state, self._fit(records)
            return Posterior(records, self._process)

    def _fit(self, records: list[_Record]) -> CurveProcess:
        costs = np.array([record.cost for record in records])
        finite = costs[np.isfinite(costs)]
        best, median = float(finite.min()), float(np.median(finite))
        span = max(median - best, 1e-9 * max(1.0, abs(best)))
        used = _representative(records, costs)
        x, t, y = self._observations(used)
        y = np.log(NEAREST + np.clip((y - best) / span, 0.0, FARTHEST))
        y = (y - y.mean()) / max(float(y.std()), 1e-6)
        if self._parameters is None or len(y) >= min(1.2 * self._fitted, self._fitted + 30):
            some = np.random.default_rng(len(y)).permutation(len(y))[:MOST_FOR_FITTING]
            self._parameters = fit(x[some], t[some], y[some], start=self._parameters, iterations=ITERATIONS)
            self._fitted = len(y)
        return CurveProcess(x, t, y, self._parameters)

    def _read(self, study: optuna.Study) -> list[_Record]:
        """Return the trials that tell something, in their order; only those that changed are read again."""
        trials = study.get_trials(deepcopy=False)
        records = self._records
        news = [trial for trial in trials if trial.params and (trial.intermediate_values or trial.state == TrialState.FAIL) and self._is_news(trial)]
        unseen = [trial for trial in news if trial.number not in records]
        points = dict(zip((trial.number for trial in unseen), self._encoding.encode_all([trial.params for trial in unseen]), strict=True))
        for trial in news:
            point = points[trial.number] if trial.number in points else records[trial.number].point
            records[trial.number] = self._record(trial, point)
        return [records[trial.number] for trial in trials if trial.number in records]

    def _is_news(self, trial: FrozenTrial) -> bool:
        record = self._records.get(trial.number)
        return record is None or record.state != trial.state or record.epochs != len(trial.intermediate_values)

    def _record(self, trial: FrozenTrial, point: np.ndarray) -> _Record:
        history = trial.intermediate_values
        if trial.state == TrialState.FAIL:
            # As bad as can be at its end, so that a region that keeps failing is avoided.
            return _Record(trial.number, point, {self._max_epochs: math.inf}, self._max_epochs, len(history), trial.state, None)
        last = max(history)
        kept = {epoch: self._objective.cost(history[epoch]) for epoch in (*self._kept, last) if epoch in history}
        return _Record(trial.number, point, kept, last, len(history), trial.state, trial.user_attrs.get(f"epoch_{last}", {}).get("seconds"))

    def _observations(self, records: list[_Record]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return points, times and costs: the last epoch of every record, then earlier ones of the best records while there is room."""
        chosen = [(record, record.last) for record in records]
        for record in sorted(records, key=lambda record: record.cost):
            chosen += [(record, epoch) for epoch in record.costs if 2 * epoch <= record.last]
        chosen = chosen[:MOST_OBSERVATIONS]
        x = np.array([record.point for record, _ in chosen])
        t = np.log([epoch for _, epoch in chosen]) / math.log(max(2, self._max_epochs))
        return x, t, np.array([record.costs[epoch] for record, epoch in chosen])


class ForecastSampler(SpaceSampler):
    """Tries what is expected to improve most on the best expected end.

    The first configurations cover the space evenly. Later ones maximise expected improvement at the last epoch over random configurations and
    neighbours of the best, but for a share that is drawn evenly from the whole space. Trials without an epoch count as if they ended as expected, failed
    ones as if they ended as badly as can be.

    Args:
        space: what is searched.
        objective: what is optimised.
        max_epochs: number of epochs of a full training.
        seed: of every draw.
        warm_up: number of configurations that cover the space evenly.
        in_time: whether the search may spend time, not trials or epochs: what takes long has to promise more.
        also_minimize: a fact of the trials that is to be small as well: each suggestion weighs it against the objective by lot, so that the
            trials spread along the Pareto front.
    """

    def __init__(
        self, space: SearchSpace, *, objective: Objective, max_epochs: int, seed: int, warm_up: int = 8, in_time: bool = False, also_minimize: str | None = None
    ) -> None:
        super().__init__(space, seed=seed)
        self.forecast = Forecast(self.encoding, objective, max_epochs)
        self._warm_up = warm_up
        self._in_time = in_time
        self._also_minimize = also_minimize
        self._second_parameters: np.ndarray | None = None

    @_ONE_THREAD.wrap(limits=1)
    def choose(self, study: optuna.Study, trial: FrozenTrial, attempt: int) -> np.ndarray:
        """Return the point of the next configuration.

        Args:
            study: what has been tried.
            trial: the next trial.
            attempt: how often it was asked for before.

        Returns:
            float64 of shape (dimensions,).
        """
        random = self.generator(trial, attempt)
        by_lot = random.random() < DRAWN_BY_LOT
        posterior = None if trial.number < self._warm_up or by_lot or attempt > ATTEMPTS else self.forecast.update(study)
        if posterior is None:
            return even_points(self.encoding.dimensions, trial.number + 1, seed=self._seed)[-1] if attempt == 0 else random.random(self.encoding.dimensions)
        study._storage.set_trial_system_attr(trial._trial_id, SOURCE, "model")
        candidates = self._candidates(posterior, random)
        begun = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        silent = [self.encoding.encode(other.params) for other in begun if not other.intermediate_values and other.number != trial.number]
        process = posterior.with_fantasies(np.array(silent))
        mean, deviation = process.predict(candidates)
        rivals = posterior.rival_points()
        if not len(rivals):
            rivals = posterior.best_points(1)
        ends = process.mean(rivals)
        if self._also_minimize is not None and (second := self._second(study)) is not None:
            weight = random.uniform(0.0, MOST_FOR_SECOND)
            mean = (1 - weight) * mean + weight * second.predict(candidates)[0]
            ends = (1 - weight) * ends + weight * second.mean(rivals)
            deviation = (1 - weight) * deviation
        improvement = _expected_improvement(float(ends.min()), mean, deviation)
        if self._in_time:
            improvement /= posterior.seconds(candidates) ** COST_WEIGHT
        return candidates[int(np.argmax(improvement))]

    def _second(self, study: optuna.Study) -> CurveProcess | None:
        """Return a process over the second objective, by its ranks; None while there is hardly anything to go by."""
        assert self._also_minimize is not None
        measured = [
            (self.encoding.encode(trial.params), float(trial.user_attrs[self._also_minimize]))
            for trial in study.get_trials(deepcopy=False)
            if trial.params and self._also_minimize in trial.user_attrs
        ][-MOST_FOR_FITTING:]
        if len(measured) < LEAST_TRIALS:
            return None
        x, values = np.array([point for point, _ in measured]), np.array([value for _, value in measured])
        ranks = np.searchsorted(np.sort(values), values) / len(values)
        y, t = (ranks - ranks.mean()) / max(float(ranks.std()), 1e-6), np.ones(len(values))
        self._second_parameters = fit(x, t, y, start=self._second_parameters, iterations=5 if self._second_parameters is not None else ITERATIONS)
        return CurveProcess(x, t, y, self._second_parameters)

    def _candidates(self, posterior: Posterior, random: np.random.Generator) -> np.ndarray:
        """Return settled points: random ones, and the best ones with some of their coordinates moved a little."""
        everywhere = random.random((RANDOM_CANDIDATES, self.encoding.dimensions))
        best = posterior.best_points(8)
        near = best[random.integers(len(best), size=LOCAL_CANDIDATES)]
        moved = random.random(near.shape) < 0.5
        step = random.normal(size=near.shape) * random.choice([0.02, 0.05, 0.15], size=(len(near), 1))
        return self.encoding.settle(np.clip(np.vstack([everywhere, near + moved * step]), 0.0, 1.0))


def _kept_epochs(max_epochs: int) -> tuple[int, ...]:
    """Return the early epochs that a record keeps beside its last: two points tell the shape of a curve, and each costs an observation."""
    return tuple(epoch for epoch in (2, 6) if epoch < max_epochs)


def _representative(records: list[_Record], costs: np.ndarray) -> list[_Record]:
    """Return at most three quarters of MOST_OBSERVATIONS records: all that run, the best, and an even choice of the others."""
    most = MOST_OBSERVATIONS * 3 // 4
    if len(records) <= most:
        return records
    order = sorted(range(len(records)), key=lambda index: (records[index].state != TrialState.RUNNING, costs[index]))
    others = order[most // 2 :]
    step = len(others) / (most - most // 2)
    return [records[index] for index in order[: most // 2] + [others[int(position * step)] for position in range(most - most // 2)]]


def _expected_improvement(target: float, mean: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """Return how far below the target values should fall on average, counting those above it as 0."""
    away = (target - mean) / deviation
    return deviation * (away * ndtr(away) + np.exp(-0.5 * away * away) / math.sqrt(2 * math.pi)) + 1e-300
