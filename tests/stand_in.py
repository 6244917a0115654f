"""What stands in for a trial's process where nothing is to be trained: whatever a trial asks its process for, in one place."""

from collections.abc import Mapping, Sequence

from tuner.study.failures import Cause
from tuner.training.process import Limits


class StandIn:
    """A process that says of itself what `TrainingProcess` says, and that no other trial gets; who inherits trains, saves and closes as the test needs it."""

    parameters: int = 1
    path: str = "stood in"
    reason: str = ""
    warnings: Sequence[str] = ()
    printed: str = ""
    asked: Mapping[str, Sequence[str]] = {}
    trainings: int = 10**9
    limits: Limits = Limits()
    epoch: int = 0
    stopped: Cause | None = None
