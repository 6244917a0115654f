"""Why trials end early, and which of them are tried again: one row of CAUSES per kind.

Infrastructure is tried again, a few times and after a pause; what a configuration or its code did would only happen again. The deadline of an epoch stands
here too, and the sign that no trial of a sweep can work.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from optuna.trial import FrozenTrial

# After so many trials that all failed alike the search ends: what they lack, by their cause.
ALIKE = 4
EXPECTED = {"error": "a builder that works", "crash": "a process that starts"}
# An epoch may take so many times as long as the median epoch of the sweep, and as the slowest one, and never less than the least.
TIMES_MEDIAN, TIMES_SLOWEST, LEAST_S = 20.0, 5.0, 60.0
LEAST_EPOCHS = 5
LONGEST_PAUSE_S = 30.0


@dataclass(frozen=True)
class Cause:
    """Why a trial ended otherwise than at its last epoch.

    Attributes:
        kind: a key of CAUSES.
        message: one line for people.
        details: a traceback, or nothing.
    """

    kind: str
    message: str
    details: str = ""


@dataclass(frozen=True)
class Rule:
    """What follows from a kind of failure.

    Attributes:
        retries: how often a trial goes on from its checkpoint after it.
        help: one line for people.
        forgiven: earlier ones count no more once the trial has got on since: a machine that is taken away again and again is no fault of the trial.
    """

    retries: int
    help: str
    forgiven: bool = False


CAUSES: dict[str, Rule] = {
    "scheduler": Rule(0, "the scheduler stopped it"),
    "budget": Rule(0, "a budget was spent"),
    "diverged": Rule(0, "its loss is no number any more"),
    "patience": Rule(0, "its objective had not improved for as many epochs as training.patience allows; it is complete"),
    "itself": Rule(0, "its own training came to an end before its last epoch; it is complete"),
    "undefined": Rule(0, "the objective's metric was no number in any of its epochs"),
    "error": Rule(0, "its code raised an exception"),
    "fatal": Rule(0, "its code asked for the end of the search, by keras_tuner's FatalError"),
    "memory": Rule(0, "it needs more memory than a trial has"),
    "share": Rule(1, "it needs more memory than its share of a GPU; it is tried again with a larger one"),
    "crash": Rule(1, "its process was killed, or broke in native code"),
    "deadline": Rule(1, "an epoch did not end in time"),
    "storage": Rule(4, "the disk that it worked on was full or refused", forgiven=True),
    "lost": Rule(2, "its worker or node went away", forgiven=True),
}


def is_retried(kind: str, earlier: Sequence[str]) -> bool:
    """Say whether a trial is tried again after a failure.

    Args:
        kind: of the failure.
        earlier: the kinds that it was tried again after before.
    """
    return kind in CAUSES and list(earlier).count(kind) < CAUSES[kind].retries


def counted(retried: Sequence[Mapping[str, Any]], epoch: int) -> list[str]:
    """Return the kinds of earlier failures that count against a trial.

    Args:
        retried: kind and epoch of each that it was tried again after.
        epoch: the last one that is recorded now.
    """
    return [entry["kind"] for entry in retried if not CAUSES[entry["kind"]].forgiven or entry["epoch"] >= epoch]


def pause_s(retries: int) -> float:
    """Return how long a trial waits before it is tried again, in seconds: 1, 2, 4, ... after 1, 2, 3, ... failures; 0 before any."""
    return min(LONGEST_PAUSE_S, 2.0 ** (retries - 1)) if retries else 0.0


def deadline_s(epochs_s: Sequence[float]) -> float | None:
    """Return the seconds after which an epoch is taken as hung; None while too few epochs say how long one takes.

    Args:
        epochs_s: seconds of each epoch so far, over all trials.
    """
    if len(epochs_s) < LEAST_EPOCHS:
        return None
    return max(LEAST_S, TIMES_MEDIAN * median(epochs_s), TIMES_SLOWEST * max(epochs_s))


class Watch:
    """How long the next epoch of one training may take, from its own epochs and those of others.

    Args:
        stated_s: what the user says; None leaves it to the epochs.
        others_s: what `deadline_s` says of others' epochs.
    """

    def __init__(self, stated_s: float | None, others_s: float | None) -> None:
        self._stated_s, self._others_s = stated_s, others_s
        self._epochs_s: list[float] = []

    @property
    def timeout_s(self) -> float | None:
        """Seconds after which the next epoch is taken as hung; None while it is too early to say."""
        if self._stated_s is not None:
            return self._stated_s
        own = deadline_s(self._epochs_s)
        return own if self._others_s is None else max(self._others_s, own or 0.0)

    def note(self, seconds: float) -> None:
        """Take note of an epoch that is done."""
        self._epochs_s.append(seconds)


def broken(trials: Sequence[FrozenTrial]) -> FrozenTrial | None:
    """Return the first trial if all that have ended failed alike and none ever reported an epoch: the builder is broken, or no process starts."""
    if any(trial.intermediate_values for trial in trials):
        return None
    causes = [trial.user_attrs.get("cause", {}) for trial in trials if trial.state.is_finished()]
    alike = {(cause.get("kind"), cause.get("message", "").partition(":")[0]) for cause in causes}
    if len(causes) < ALIKE or len(alike) > 1 or causes[0].get("kind") not in EXPECTED:
        return None
    return next(trial for trial in trials if trial.state.is_finished())
