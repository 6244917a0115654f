"""What of a sweep stays in the driver."""

from typing import Any, Self


class NotPickled:
    """Is never copied, and leaves nothing in a pickle.

    Ray 2.60 pickles all that a run is given into a file (`tuner.pkl`) that nobody of ours reads back, and copies searchers and schedulers, which share one
    object for their accounts and a study that holds locks.
    """

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __getstate__(self) -> dict[str, Any]:
        return {}
