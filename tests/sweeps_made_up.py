"""Made-up sweeps for the tests of the leaderboard and its reports: realistic in shape, simulated in every number.

`sweep()` draws configurations of a made-up space with conditional hyperparameters, lets a formula be the truth, stops trials by an ASHA of its
own on two made-up workers per host, and lets some trials fail. `python -m tests.sweeps_made_up FILE [TRIALS or KIND]` writes its HTML report, to look at.
"""

import math
import sys
from pathlib import Path
from typing import Any

import numpy as np

from tuner.results import figures
from tuner.results.leaderboard import Leaderboard, TrialRecord, rank_trials
from tuner.study.objective import Objective

SPACE: dict[str, dict[str, Any]] = {
    "depth": {"low": 1, "high": 5, "log": False, "step": 1, "help": "hidden layers"},
    "width": {"low": 32, "high": 1024, "log": True, "step": 1, "help": "units of every hidden layer"},
    "activation": {"choices": ["relu", "tanh", "gelu", "sigmoid"], "help": "of the hidden layers"},
    "dropout": {"low": 0.0, "high": 0.6, "log": False, "help": "share of units that is dropped"},
    "optimizer": {"choices": ["adam", "sgd", "rmsprop"], "help": "by its name in Keras"},
    "learning_rate": {"low": 1e-5, "high": 0.1, "log": True, "help": "at the start"},
    "momentum": {"low": 0.0, "high": 0.99, "log": False, "when": {"optimizer": ["sgd"]}, "help": "of SGD"},
    "nesterov": {"choices": [True, False], "when": {"optimizer": ["sgd"]}, "help": "look ahead"},
    "batch_size": {"choices": [64, 128, 256], "help": "examples per step"},
    "epsilon": {"value": 1e-7, "help": "of the optimizer"},
}
BASELINES: dict[str, dict[str, Any]] = {
    "dense-512": {
        "depth": 1, "width": 512, "activation": "relu", "dropout": 0.0, "optimizer": "rmsprop", "learning_rate": 1e-3, "batch_size": 128, "epsilon": 1e-7,
    },
    "small-tanh": {
        "depth": 1, "width": 100, "activation": "tanh", "dropout": 0.0, "optimizer": "sgd", "learning_rate": 1e-3, "momentum": 0.9, "nesterov": False,
        "batch_size": 128, "epsilon": 1e-7,
    },
}  # fmt: skip
DIGITS = tuple("0123456789")
FULL, MILESTONES = 24, (3, 6, 12)
CAUSES = (
    {"kind": "memory", "message": "needed more than 2.0 GB of memory", "details": ""},
    {"kind": "crash", "message": "the process ended by signal 11", "details": ""},
    {
        "kind": "error",
        "message": "InvalidArgumentError: shapes (64, 10) and (64,) do not fit",
        "details": 'Traceback (most recent call last):\n  File "/home/alice/code/net.py", line 31, in build_model\n    raise InvalidArgumentError\n',
    },
)


def sweep(trials: int = 60, *, seed: int = 0, task: str = "classification", baselines: bool = True, folds: bool = False, final: bool = True) -> Leaderboard:
    """Return a simulated sweep."""
    random = np.random.default_rng(seed)
    objective = Objective("val_accuracy", "max") if task == "classification" else Objective("val_loss", "min")
    named = list(BASELINES) if baselines else []
    free = {f"worker-{host}/{slot}": 0.0 for host in (1, 2) for slot in (0, 1)}
    rungs: dict[int, list[float]] = {milestone: [] for milestone in MILESTONES}
    records = []
    for number in range(trials):
        name = named[number] if number < len(named) else None
        model_based = number > 20 and random.random() < 0.6
        configuration = dict(BASELINES[name]) if name else draw(random, good=model_based)
        worker = min(free, key=lambda slot: free[slot])
        record = run(
            number, configuration, random=random, rungs=rungs, objective=objective, started_at=free[worker], folds=folds, worker=worker, protected=bool(name)
        )
        source = None if name else "model" if model_based else "random"
        records.append(TrialRecord(**{**vars(record), "baseline": name, "source": source}))
        free[worker] += (record.seconds or 0.0) + 0.4
    leaderboard = Leaderboard(rank_trials(records, objective), facts(objective, task, named, max(free.values())))
    if final and leaderboard.ranked:
        leaderboard.facts["final"] = final_of(leaderboard, random, task)  # type: ignore[index]
        leaderboard.facts["test_openings"].append({"at": "2026-01-15T10:42:11+00:00", "reason": "final evaluation of trial " + str(leaderboard.best.number)})
    return leaderboard


def draw(random: np.random.Generator, *, good: bool = False) -> dict[str, Any]:
    """Return a configuration of `SPACE`, nearer to the best ones if `good`."""
    configuration: dict[str, Any] = {
        "depth": int(random.integers(1, 6)),
        "width": int(2 ** random.uniform(8 if good else 5, 10)),
        "activation": str(random.choice(["relu", "gelu"] if good else ["relu", "tanh", "gelu", "sigmoid"])),
        "dropout": float(random.uniform(0, 0.4 if good else 0.6)),
        "optimizer": str(random.choice(["adam", "rmsprop"] if good else ["adam", "sgd", "rmsprop"])),
        "learning_rate": float(10 ** random.uniform(*((-3.7, -2.6) if good else (-5, -1)))),
    }
    if configuration["optimizer"] == "sgd":
        configuration |= {"momentum": float(random.uniform(0, 0.99)), "nesterov": bool(random.integers(2))}
    return {**configuration, "batch_size": int(random.choice([64, 128, 256])), "epsilon": 1e-7}


def truth(configuration: dict[str, Any]) -> float:
    """Return the error that a configuration ends with: a smooth bowl with an optimizer-dependent best learning rate."""
    rate = math.log10(configuration["learning_rate"])
    best_rate = -1.2 - 1.2 * configuration.get("momentum", 0.0) if configuration["optimizer"] == "sgd" else -3.1
    return (
        0.016
        + 0.011 * (rate - best_rate) ** 2
        + 0.004 * (10 - math.log2(configuration["width"]))
        + 0.02 * (configuration["dropout"] - 0.2) ** 2
        + {"relu": 0.0, "gelu": 0.001, "tanh": 0.006, "sigmoid": 0.02}[configuration["activation"]] * configuration["depth"] ** 0.5
        + 0.003 * abs(configuration["depth"] - 2)
    )


def run(
    number: int, configuration: dict[str, Any], *, random: np.random.Generator, rungs: dict[int, list[float]], objective: Objective,
    started_at: float, folds: bool, worker: str, protected: bool,
) -> TrialRecord:  # fmt: skip
    """Return one simulated trial, still without a rank."""
    error = min(0.9, truth(configuration))
    speed = 1.1 - 0.12 * abs(math.log10(configuration["learning_rate"]) + 3) + 0.02 * configuration["depth"]
    dies_at = int(random.integers(1, 6)) if not protected and random.random() < 0.06 else None
    diverges = not protected and configuration["learning_rate"] > 0.05 and random.random() < 0.5
    curves: dict[str, list[float | None]] = {name: [] for name in ("loss", "accuracy", "val_loss", "val_accuracy", *(["val_accuracy_spread"] if folds else []))}
    state, cause, audited = "complete", None, None
    for epoch in range(1, FULL + 1):
        if dies_at == epoch:
            state, cause = "failed", dict(CAUSES[int(random.integers(len(CAUSES)))])
            break
        if diverges and epoch == 3:
            for values in curves.values():
                values.append(None)
            state, cause = "failed", {"kind": "diverged", "message": "loss is nan in epoch 3", "details": ""}
            break
        reached = error + (0.9 - error) * math.exp(-speed * epoch**0.7)
        overfit = 0.002 * max(0, epoch - 12) * (1 - configuration["dropout"])
        val_error = float(np.clip(reached + overfit + random.normal(0, 0.002), 0.005, 0.95))
        curves["loss"].append(float(2.5 * reached))
        curves["accuracy"].append(float(1 - 0.8 * reached))
        curves["val_loss"].append(3.1 * val_error)
        curves["val_accuracy"].append(1 - val_error)
        if folds:
            curves["val_accuracy_spread"].append(abs(float(random.normal(0.003, 0.001))))
        if epoch in rungs and not protected:
            value = objective.cost(curves[objective.metric][-1] or math.nan)
            rungs[epoch].append(value)
            behind = value > np.quantile(rungs[epoch], 1 / 2) and len(rungs[epoch]) > 1
            if behind and random.random() < 0.1:
                audited = audited or epoch
            elif behind and audited is None:
                state, cause = "pruned", {"kind": "scheduler", "message": f"asha: not among the better half at epoch {epoch}", "details": ""}
                break
    epochs = len(curves["loss"])
    history = {epoch: value for epoch, value in enumerate(curves[objective.metric], start=1) if value is not None}
    best_epoch = objective.best_epoch(history) if history else None
    width, depth = configuration["width"], configuration["depth"]
    return TrialRecord(
        number=number,
        state=state,
        score=history[best_epoch] if best_epoch else None,
        best_epoch=best_epoch,
        epochs=epochs,
        seconds=0.3 + epochs * (0.4 + 1.5e-6 * width * width * depth) * 64 / configuration["batch_size"],
        parameters=785 * width + (depth - 1) * width * (width + 1) + (width + 1) * 10,
        seed=int(random.integers(2**31)),
        cause=cause,
        audited=audited,
        started_at=started_at,
        worker=worker,
        configuration=configuration,
        curves={name: tuple(values) for name, values in curves.items()} if epochs else {},
    )


def facts(objective: Objective, task: str, baselines: list[str], seconds: float) -> dict[str, Any]:
    """Return the facts of a simulated sweep."""
    return {
        "tuner": "0.1.0",
        "name": "simulated-digits",
        "seed": 20260115,
        "spec": {
            "name": "simulated-digits",
            "seed": 20260115,
            "dataset": {"source": "npz", "path": "/home/alice/data/digits.npz", "validation": 0.2, "test": 0.2},
            "space": {"name": "mlp"},
            "search": {"sampler": "model", "trials": 60, "baselines": bool(baselines)},
            "scheduler": {"name": "asha", "grace_period": 3, "reduction_factor": 2},
        },
        "objective": {"metric": objective.metric, "mode": objective.mode},
        "space": SPACE,
        "dataset": {
            "source": "/home/alice/data/digits.npz",
            "content_hash": "9f2c1a7be04d5c6688ab13f09d72e4415be3a2c0d1f64e7788990a1b2c3d4e5f",
            "task": task,
            "split_hash": "51ab13f09d72e4415be3a2c0d1f64e7788990a1b2c3d4e5f9f2c1a7be04d5c66",
            "rows": 1797,
            "train_rows": [1078],
            "validation_rows": [359],
            "test_rows": 360,
            "test_given": False,
            "scaling": "unit",
            **({"classes": dict.fromkeys(DIGITS, 143)} if task == "classification" else {}),
            "baseline": {"name": "always 3", "scores": {"accuracy": 0.1003, "auc": 0.5, "loss": 2.3025}}
            if task == "classification"
            else {"name": "always the mean", "scores": {"loss": 1.02, "mae": 48.5, "r2": 0.0}},
            "input_shape": [8, 8],
        },
        "versions": {"python": "3.11.9", "ray": "2.60.0", "optuna": "5.0.0", "keras": "3.15.1", "tensorflow": "2.21.0"},
        "hardware": "simulated: two hosts of two slots",
        "ways": {"compiled epoch": 57, "fit: the builder gave it a train_step of its own": 3},
        "python_warnings": {"UserWarning: the kernel is larger than the image": 2},
        "forecast": {
            "at_s": 21.5,
            "measured": 4,
            "waited_s": 9.0,
            "level": 0.8,
            "stages": [foreseen("search", 600, seconds), foreseen("retrain", 60, 60.0)],
            "total": foreseen("in all", 660, seconds + 60),
        },
        "started_at": "2026-01-15T10:17:03+00:00",
        "stages": [
            {"name": "search", "seconds": seconds, "epochs": 0, "cpu_seconds": 4 * seconds, "gpu_seconds": 0.0},
            {"name": "retrain", "seconds": 95.0, "epochs": 48, "cpu_seconds": 380.0, "gpu_seconds": 0.0},
        ],
        "search_ended": "the budget of trials is spent",
        "scheduler": {"name": "asha", "grace_period": 3, "reduction_factor": 2, "milestones": list(MILESTONES), "max_epochs": FULL},
        "test_openings": [],
        "baselines": baselines,
    }


def foreseen(name: str, epochs: float, seconds: float) -> dict[str, Any]:
    """Return the forecast of a stage, with ranges of a fifth to both sides."""
    return {"name": name, **{what: {"low": 0.8 * value, "middle": value, "high": 1.2 * value} for what, value in (("epochs", epochs), ("seconds", seconds))}}


def final_of(leaderboard: Leaderboard, random: np.random.Generator, task: str) -> dict[str, Any]:
    """Return a simulated final evaluation of the best trial."""
    best = leaderboard.best
    metric = "test_accuracy" if task == "classification" else "test_mae"
    level = (best.score or 0.0) - 0.008 if task == "classification" else 4.1
    runs = [
        {"seed": int(random.integers(2**31)), "metrics": {"test_loss": 0.05 + 0.004 * index, metric: round(level + 0.001 * index, 4)}, "seconds": 31.0 + index}
        for index in range(3)
    ]
    found = {
        "trial": best.number,
        "configuration": dict(best.configuration),
        "epochs": best.best_epoch,
        "parameters": best.parameters,
        "runs": runs,
        "mean": {name: float(np.mean([run["metrics"][name] for run in runs])) for name in runs[0]["metrics"]},
        "spread": {name: float(np.std([run["metrics"][name] for run in runs], ddof=1)) for name in runs[0]["metrics"]},
        "saved_seed": runs[0]["seed"],
        "saved": runs[0]["metrics"],
        "model": "model.keras",
        "layers": [
            {"name": "flatten", "type": "Flatten", "shape": "(64,)", "parameters": 0},
            {"name": "hidden_1", "type": "Dense", "shape": f"({best.configuration['width']},)", "parameters": 65 * best.configuration["width"]},
            {"name": "softmax", "type": "Dense", "shape": "(10,)", "parameters": 10 * (best.configuration["width"] + 1)},
        ],
    }
    if task == "regression":
        targets = random.normal(150, 60, 120)
        found["test"] = {
            "scatter": [[float(target), float(target * 0.9 + 14 + random.normal(0, 15))] for target in targets],
            "errors": {"mean": 0.4, "standard deviation": 15.2, "worst": 51.0},
            "intervals": {"test_mae": {"low": level - 0.4, "high": level + 0.5, "level": 0.95, "method": "bootstrap over the test rows"}},
            "baseline": {"name": "always the mean", "scores": {"mae": 47.9, "r2": -0.01}},
        }
        return found
    confusion = np.diag(random.integers(33, 37, 10))
    for truth_index, predicted in random.integers(0, 10, (9, 2)):
        confusion[truth_index, predicted] += 1
    runs[0]["metrics"][metric] = found["mean"][metric] = float(np.trace(confusion) / confusion.sum())
    found["test"] = {
        "baseline": {"name": "always 3", "scores": {"accuracy": 0.1, "auc": 0.5}},
        "classes": list(DIGITS),
        "confusion": confusion.tolist(),
        "per_class": [
            {
                "class": name,
                "precision": float(confusion[index, index] / confusion[:, index].sum()),
                "recall": float(confusion[index, index] / confusion[index].sum()),
                "f1": float(2 * confusion[index, index] / (confusion[:, index].sum() + confusion[index].sum())),
                "support": int(confusion[index].sum()),
            }
            for index, name in enumerate(DIGITS)
        ],
        "calibration": [{"confidence": 0.35 + 0.1 * bin_, "accuracy": min(1.0, 0.3 + 0.105 * bin_), "count": 3 + 4**bin_ // 16} for bin_ in range(7)],
        "mistakes": [
            {
                "row": int(random.integers(360)),
                "truth": DIGITS[index],
                "predicted": DIGITS[(index + 5) % 10],
                "confidence": 0.99 - 0.04 * index,
                "image": scribble(index),
            }
            for index in range(9)
        ],
    }
    return found


def scribble(digit: int) -> list[list[int]]:
    """Return an 8 x 8 picture of a real handwritten digit (scikit-learn's digits), grey values 0 to 255."""
    from sklearn.datasets import load_digits

    return (load_digits().images[digit] * 15.9).astype(int).tolist()


def changed(board: Leaderboard, **facts: Any) -> Leaderboard:
    """Return a sweep with other facts."""
    return Leaderboard(board.records, {**board.facts, **facts})


def told_of(kind: str, *, trials: int = 40) -> Leaderboard:
    """Return a simulated sweep whose network was tested on targets of another kind, with made-up predictions.

    Args:
        kind: a key of `KINDS`.
        trials: how many.
    """
    board = sweep(trials, seed=8)
    test, metric, score = KINDS[kind](np.random.default_rng(5))
    names = ("test_loss", metric)
    final = {
        **board.facts["final"],
        "runs": [{"seed": seed, "metrics": {"test_loss": 0.3, metric: score + 0.002 * seed}, "seconds": 9.0} for seed in range(3)],
        "mean": {"test_loss": 0.3, metric: score + 0.002},
        "spread": dict.fromkeys(names, 0.002),
        "saved": {"test_loss": 0.3, metric: score},
        "test": {"intervals": {}, **test},
    }
    dataset = {**board.facts["dataset"], "baseline": None, "classes": None}
    return changed(board, final=final, dataset=dataset)


def _two_classes(random: np.random.Generator, *, share: float = 0.12, signal: float = 2.0) -> tuple[dict[str, Any], str, float]:
    y = (random.random(900) < share).astype(int)
    p = 1 / (1 + np.exp(-(random.normal(size=900) + signal * y - 2.5)))
    columns = np.column_stack([1 - p, p])
    found = {**figures.multi_class(y, columns, ("no", "yes")), "two_class": figures.two_class(y, p, positive="yes")}
    found["baseline"] = {"name": "always no", "scores": {"accuracy": float(1 - y.mean()), "auc": 0.5}}
    return found, "test_accuracy", float(((p > 0.5) == y).mean())


def _blind(random: np.random.Generator) -> tuple[dict[str, Any], str, float]:
    return _two_classes(random, share=0.03, signal=0.0)


def _labels(random: np.random.Generator) -> tuple[dict[str, Any], str, float]:
    y = (random.random((500, 7)) < np.linspace(0.05, 0.5, 7)).astype(int)
    p = 1 / (1 + np.exp(-(random.normal(size=y.shape) + 2.2 * y - 1.2)))
    names = ("sky", "sea", "boat", "person", "dog", "a very long name of a label that goes on and on", "tree")
    return {"multi_label": figures.multi_label(y, p, names)}, "test_auc", 0.91


def _targets(random: np.random.Generator) -> tuple[dict[str, Any], str, float]:
    y = random.normal(size=(400, 3)).cumsum(axis=1) * 20
    return figures.regression(y, y + random.normal(size=y.shape) * [2, 4, 8], names=("1 h", "2 h", "3 h")), "test_mae", 3.9


def _flags(random: np.random.Generator) -> tuple[dict[str, Any], str, float]:
    y = (random.random(300) < 0.4).astype(float)
    return figures.regression(y, 0.3 + 0.3 * y + random.normal(0, 0.1, 300)), "test_mae", 0.21


def _heads(random: np.random.Generator) -> tuple[dict[str, Any], str, float]:
    return {"heads": {"kind": _two_classes(random)[0], "age": _targets(random)[0]}}, "test_kind_accuracy", 0.9


def _custom(random: np.random.Generator) -> tuple[dict[str, Any], str, float]:
    dice = float(random.uniform(0.8, 0.82))
    return {"intervals": {"test_dice": {"low": dice - 0.02, "high": dice + 0.02, "level": 0.95, "method": "bootstrap over 300 test rows"}}}, "test_dice", dice


KINDS = {"two classes": _two_classes, "blind": _blind, "labels": _labels, "targets": _targets, "flags": _flags, "heads": _heads, "custom": _custom}


if __name__ == "__main__":
    from tuner.report.formats import render

    Path(sys.argv[1]).write_text(
        render(told_of(sys.argv[2]) if sys.argv[2:] and sys.argv[2] in KINDS else sweep(int(sys.argv[2]) if len(sys.argv) > 2 else 60), "html"),
        encoding="utf-8",
    )
