"""The default sampler: it forecasts what each configuration will reach at its last epoch, and tries what may beat the best forecast."""

import math
from typing import Any
import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState
from scipy.special import ndtr

from search_spaces.space import SearchSpace
from tuner.objective import Objective
from tuner.samplers.encoding import Encoding
from tuner.samplers.gaussian import CurveProcess, fit
from tuner.samplers.plain import SpaceSampler, even_points

OPT = dict(limit=240, warp="clip", eps=0.05, init=8, rand=0, ncand=300, nlocal=150, inc="obs", alive=True, target="best", hyper=150, iters=25, growth=1.2, acq="ei", believer=True, cost=0.0)


class Forecaster:
    def __init__(self, encoding: Encoding, objective: Objective, max_epochs: int, opt=None) -> None:
        self.encoding, self.objective, self.max_epochs = encoding, objective, max_epochs
        self.o = {**OPT, **(opt or {})}
        self._points: dict[int, np.ndarray] = {}
        self._parameters = None
        self._fitted = 0
        self._key = None
        self.process = None

    def time(self, epoch):
        return math.log(epoch) / math.log(max(2, self.max_epochs))

    def value(self, h, m):
        if self.o["target"] == "best": return min(self.objective.cost(v) for e, v in h.items() if e <= m)
        if self.o["target"] == "mix": return 0.5 * self.objective.cost(h[m]) + 0.5 * min(self.objective.cost(v) for e, v in h.items() if e <= m)
        return self.objective.cost(h[m])

    def observations(self, trials, focus=None):
        rows = []   # number, point, epoch, cost(best so far), weight
        for trial in trials:
            h = trial.intermediate_values
            if not h or trial.state == TrialState.FAIL: continue
            if trial.number not in self._points:
                self._points[trial.number] = self.encoding.encode(trial.params)
            last = max(h)
            best = self.value(h, last)
            rows.append((trial.number, last, best, h))
        return rows

    def update(self, study, focus=None):
        trials = study._storage.get_all_trials(study._study_id, deepcopy=False)
        rows = self.observations(trials)
        if len(rows) < 3: self.process = None; return
        key = (len(trials), sum(r[1] for r in rows))
        if key == self._key: return
        self._key = key
        costs = np.array([r[2] for r in rows])
        best, med = costs.min(), np.median(costs)
        span = max(med - best, 1e-9 * max(1.0, abs(best)))
        if self.o["warp"] == "log": warp = lambda c: np.log(np.maximum((c - best) / span, 0) + self.o["eps"])
        elif self.o["warp"] == "clip": warp = lambda c: np.minimum((c - best) / span, 2.0)
        else:
            from scipy.special import ndtri
            ref = np.sort(costs); warp = lambda c: ndtri(np.clip((np.searchsorted(ref, c) + 0.5) / (len(ref) + 1), 1e-3, 1 - 1e-3))
        self.warp = warp
        order = np.argsort(costs)
        limit = self.o["limit"]
        if len(rows) > limit * 0.75:
            n = int(limit * 0.75)
            keep = set(order[: n // 2].tolist()); rest = [i for i in order[n // 2:].tolist()]
            step = max(1, len(rest) / (n - len(keep)))
            keep |= {rest[int(i * step)] for i in range(n - len(keep))}
            rows_used = [rows[i] for i in sorted(keep)]
        else: rows_used = rows
        X, T, Y = [], [], []
        for number, last, b, h in rows_used:
            X.append(self._points[number]); T.append(self.time(last)); Y.append(b)
        extra = sorted(rows_used, key=lambda r: r[2])
        grace = self.o.get("grace", 2)
        for number, last, b, h in extra:
            if len(X) >= limit: break
            for m in (grace, 3 * grace):
                if last >= 2 * m and m in h and len(X) < limit:
                    X.append(self._points[number]); T.append(self.time(m)); Y.append(self.value(h, m))
        X, T, Y = np.array(X), np.array(T), warp(np.array(Y))
        self.mean, self.scale = Y.mean(), max(Y.std(), 1e-6)
        Y = (Y - self.mean) / self.scale
        if self._parameters is None or len(X) >= self._fitted * self.o["growth"] or len(X) >= self._fitted + 30:
            H = self.o["hyper"]
            if len(X) > H:
                pick = np.random.default_rng(len(trials)).choice(len(X), H, replace=False)
            else: pick = slice(None)
            self._parameters = fit(X[pick], T[pick], Y[pick], start=self._parameters, iterations=self.o["iters"])
            self._fitted = len(X)
        self.X, self.T, self.Y = X, T, Y
        self.process = CurveProcess(X, T, Y, self._parameters)
        self.rows = rows
        self.observed = float((warp(best) - self.mean) / self.scale)
        top = [rows[i] for i in order[:40]]
        self.top_points = np.array([self._points[r[0]] for r in top])
        m, s = self.process.predict(self.top_points)
        self.top_mean = m
        self.incumbent = min(float(m.min()), self.observed) if self.o.get("inc", "mean") == "mean" else self.observed
        alive = [r[0] for r in rows if trials[r[0]].state in (TrialState.RUNNING, TrialState.COMPLETE)]
        if not alive: alive = [rows[order[0]][0]]
        self.alive = dict(zip(alive, self.process.predict(np.array([self._points[n] for n in alive]))[0]))
        if self.o["inc"] == "fin": self.observed = self.incumbent = float(min(self.alive.values()))

    def forecast(self, numbers):
        pts = np.array([self._points[n] for n in numbers])
        return self.process.predict(pts)

    def believe(self, points):
        """Condition on what is expected of configurations without a single epoch."""
        if not len(points): return self.process
        m, _ = self.process.predict(points)
        return CurveProcess(np.vstack([self.X, points]), np.concatenate([self.T, np.ones(len(points))]), np.concatenate([self.Y, m]), self._parameters)


class ForecastSampler(SpaceSampler):
    def __init__(self, space: SearchSpace, *, objective: Objective, max_epochs: int, seed: int, warm_up=None, opt=None) -> None:
        super().__init__(space, seed=seed)
        self.f = Forecaster(self.encoding, objective, max_epochs, opt)
        self.o = self.f.o
        self._attempts = {}
        self.warm = self.o["init"] if warm_up is None else warm_up

    def choose(self, study, trial):
        attempt = self._attempts.get(trial.number, 0)
        self._attempts = {trial.number: attempt + 1}
        g = self.generator(trial, attempt)
        d = self.encoding.dimensions
        if attempt > 5: return g.random(d)
        if trial.number < self.warm:
            return even_points(d, trial.number + 1, seed=self._seed)[-1] if not attempt else g.random(d)
        if self.o["rand"] and g.random() < self.o["rand"]: return g.random(d)
        self.f.update(study)
        if self.f.process is None: return g.random(d)
        f = self.f
        running = [t for t in study._storage.get_all_trials(study._study_id, deepcopy=False, states=(TrialState.RUNNING,)) if not t.intermediate_values]
        process = f.believe(np.array([self.encoding.encode(t.params) for t in running])) if self.o["believer"] else f.process
        C = g.random((self.o["ncand"], d))
        order = np.argsort(f.top_mean)[:8]
        base = f.top_points[order[g.integers(len(order), size=self.o["nlocal"])]]
        mask = g.random(base.shape) < 0.5
        L = np.clip(base + mask * g.normal(size=base.shape) * g.choice([0.02, 0.05, 0.15], size=(len(base), 1)), 0, 1)
        C = self.encoding.settle(np.vstack([C, L]))
        m, s = process.predict(C)
        z = (f.incumbent - m) / s
        if self.o["acq"] == "ei":
            score = s * (z * ndtr(z) + np.exp(-0.5 * z * z) / math.sqrt(2 * math.pi))
        elif self.o["acq"] == "lcb":
            score = -m + 1.0 * s
        elif self.o["acq"] == "pi":
            score = z
        if self.o["cost"]:
            score = np.log(np.maximum(score, 1e-12)) - self.o["cost"] * self.log_cost(study, C)
        return C[int(np.argmax(score))]

    def log_cost(self, study, C):
        rows = [(self.f._points[r[0]], r[0]) for r in self.f.rows]
        trials = study._storage.get_all_trials(study._study_id, deepcopy=False)
        X = []; Y = []
        for p, n in rows:
            a = trials[n].user_attrs.get("epoch_1", {})
            if "seconds" in a: X.append(p); Y.append(math.log(max(a["seconds"], 1e-6)))
        X = np.array(X); Y = np.array(Y)
        F = lambda P: np.column_stack([np.ones(len(P)), P, P * P])
        A = F(X); w = np.linalg.solve(A.T @ A + 0.1 * np.eye(A.shape[1]), A.T @ Y)
        c = F(C) @ w
        return c - np.median(Y)


class ForecastRule:
    """ASHA's rung or too small a chance to beat the incumbent."""
    def __init__(self, given, opt=None):
        from tuner.scheduler import Asha
        self.o = {**OPT, **dict(delta=0.1, least=8, mode="or", factor=3.0), **(opt or {})}
        self.asha = Asha(given.objective, max_epochs=given.max_epochs, grace_period=given.section.grace_period, reduction_factor=self.o["factor"])
        self.given = given; self.study = given.accounts.study.optuna; self.n = 0
        self.f = None
        self.grace = given.section.grace_period
        e = float(self.grace); self.checks = set()
        while e < given.max_epochs: self.checks.add(round(e)); e = max(e * 1.4, e + 1)

    def decide(self, number, epoch, history):
        reason = self.asha.decide(number, epoch, history)
        if self.o["mode"] == "or" and reason: return reason
        if epoch not in self.checks or not hasattr(self.study.sampler, "f"): return reason if self.o["mode"] == "asha" else None
        if epoch == self.grace: self.n += 1
        if self.n < self.o["least"]: return None
        f = self.f = self.study.sampler.f
        f.update(self.study)
        if f.process is None: return None
        m, s = f.forecast([number])
        others = [v for n, v in f.alive.items() if n != number]
        if f.o["inc"] != "fin": others.append(f.observed)
        elif not others: return None
        rival = min(others)
        p = float(ndtr((rival - m[0]) / s[0]))
        if p < self.o["delta"]:
            return f"chance {p:.2f} to beat"
        return None
