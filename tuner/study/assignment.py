"""What the searcher hands to a trial: which it is, what it trains, and where it goes on."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Assignment:
    """One trial's task, as it travels through Ray in `config`.

    Attributes:
        number: the trial's number in the study.
        configuration: the hyperparameters.
        seed: of every draw of the trial.
        epoch: the last one that is recorded; 0 for a new trial.
        pause_s: how long to wait before the trial begins, in seconds: it failed for what may pass.
        deadline_s: how long an epoch may take, in seconds, by the epochs of the sweep; None while there are too few.
        larger_share: whether its usual share of a GPU was too small for it.
    """

    number: int
    configuration: dict[str, Any]
    seed: int
    epoch: int = 0
    pause_s: float = 0.0
    deadline_s: float | None = None
    larger_share: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return the assignment as Ray carries it."""
        return asdict(self)

    @classmethod
    def from_json(cls, config: Mapping[str, Any]) -> "Assignment":
        """Return the assignment in a trial's `config`; keys that Ray adds are passed over."""
        return cls(**{name: config[name] for name in cls.__dataclass_fields__ if name in config})
