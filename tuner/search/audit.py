"""What early stopping cost and saved: the control arm of trials that a rule would have stopped, and that ran on by lot."""

from collections.abc import Sequence
from typing import Any

from optuna.trial import FrozenTrial, TrialState
from scipy.special import betaincinv

from tuner.study.objective import Objective


def audit_of(trials: Sequence[FrozenTrial], objective: Objective, *, max_epochs: int, level: float = 0.95) -> dict[str, Any]:
    """Return how often a stopped trial would have beaten the winner, and how many epochs stopping saved.

    The winner is the best of the trials that are not in the control arm; one of the arm beats it with its best epoch.

    Args:
        trials: of the study.
        objective: what is optimised.
        max_epochs: number of epochs of a full training.
        level: of the interval.

    Returns:
        `stopped` (number of trials that the rule stopped), `audited` (size of the control arm), `better` (of the arm, those that beat the winner),
        `interval` (exact binomial, for the share of stopped trials that would have beaten it; [0, 1] without an arm), `epochs_saved`,
        `epochs_audited` (what the arm cost).

    Source: Clopper and Pearson, Biometrika 1934.
    """
    measured = [trial for trial in trials if trial.intermediate_values]
    arm = [trial for trial in measured if "audit" in trial.user_attrs and trial.state == TrialState.COMPLETE]
    others = [trial for trial in measured if "audit" not in trial.user_attrs and trial.state != TrialState.FAIL]
    stopped = [trial for trial in measured if trial.state == TrialState.PRUNED and trial.user_attrs.get("cause", {}).get("kind") == "scheduler"]
    winner = min((_best(trial, objective) for trial in others), default=float("inf"))
    better = sum(_best(trial, objective) < winner for trial in arm)
    low = 0.0 if better == 0 else float(betaincinv(better, len(arm) - better + 1, (1 - level) / 2))
    high = 1.0 if better == len(arm) else float(betaincinv(better + 1, len(arm) - better, (1 + level) / 2))
    return {
        "stopped": len(stopped),
        "audited": len(arm),
        "better": better,
        "interval": [low, high],
        "epochs_saved": sum(max_epochs - max(trial.intermediate_values) for trial in stopped),
        "epochs_audited": sum(max(trial.intermediate_values) - trial.user_attrs["audit"]["epoch"] for trial in arm),
    }


def _best(trial: FrozenTrial, objective: Objective) -> float:
    return min(objective.cost(value) for value in trial.intermediate_values.values())
