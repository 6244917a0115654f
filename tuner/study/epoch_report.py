"""What a trial tells after each epoch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tuner.study.failures import Cause


@dataclass(frozen=True)
class EpochReport:
    """One epoch of a trial, or its end, as it travels through Ray in a result.

    Metrics and facts have places of their own in a result, so that no name of theirs can be one of Ray's keys or of ours.

    Attributes:
        number: the trial's number in the study.
        epoch: from 1; None where a trial ended before its first.
        metrics: name -> value; NaN where a metric is undefined.
        seconds: how long the epoch took; None where nobody measured.
        last: whether the trial has run to its end.
        stopped: why that is before its last epoch, where its own training ended it; it is complete all the same.
        ended: why it failed; None while it has not.
        facts: of the trial, such as the number of its parameters.
    """

    number: int
    epoch: int | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    seconds: float | None = None
    last: bool = False
    ended: Cause | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    stopped: Cause | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the report as Ray carries it."""
        return {
            "number": self.number,
            "epoch": self.epoch,
            "metrics": dict(self.metrics),
            "seconds": self.seconds,
            "last": self.last,
            "ended": _json_of(self.ended),
            "stopped": _json_of(self.stopped),
            "facts": dict(self.facts),
        }

    @classmethod
    def from_json(cls, result: Mapping[str, Any], *, number: int | None = None) -> "EpochReport":
        """Return the report in a result of Ray's, nested as a trial gave it or flattened, as Ray hands it to schedulers; its own keys are passed over.

        Args:
            result: what Ray has of the trial; empty where it has heard nothing.
            number: the trial's, where the result does not hold it.
        """
        metrics = {name: float(value) for name, value in _part(result, "metrics").items() if isinstance(value, int | float) and not isinstance(value, bool)}
        seconds = result.get("seconds")
        return cls(
            number=result.get("number", number),  # type: ignore[arg-type]  # every result of a trial of ours has one
            epoch=result.get("epoch") or None,
            metrics=metrics,
            seconds=None if seconds is None else float(seconds),
            last=bool(result.get("last")),
            ended=_cause_in(result, "ended"),
            stopped=_cause_in(result, "stopped"),
            facts={name: value for name, value in _part(result, "facts").items() if value is not None},
        )


def _json_of(cause: Cause | None) -> dict[str, str] | None:
    return None if cause is None else {"kind": cause.kind, "message": cause.message, "details": cause.details}


def _cause_in(result: Mapping[str, Any], name: str) -> Cause | None:
    part = _part(result, name)
    return Cause(str(part.get("kind", "error")), str(part.get("message", "")), str(part.get("details") or "")) if part else None


def _part(result: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return a dictionary within a result; Ray flattens it to `name/key`, and leaves an empty one as it is."""
    nested = result.get(name)
    if isinstance(nested, Mapping):
        return dict(nested)
    return {key.removeprefix(f"{name}/"): value for key, value in result.items() if key.startswith(f"{name}/")}
