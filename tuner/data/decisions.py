"""What was decided about each column or array and the target, and how it is shown before a search, in a few lines.

Owns the words. Must not decide anything.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

LEFT_OUT = "left out"
SCALED = {
    "standard": "scaled to mean 0 and deviation 1",
    "minmax": "scaled to 0 to 1",
    "unit": "divided by the largest value",
    "none": "left as they are",
}
SHOWN_NAMES, SHOWN_LINES = 8, 12
# How the reason begins for numbers that are taken as such, though they may be codes.
CODES = "few whole numbers"
PLURAL = {"number": "numbers", "boolean": "booleans", "category": "categories", "date": "dates", "bytes": "bytes"}


@dataclass(frozen=True)
class Decision:
    """What was decided about a column or an array.

    Attributes:
        name: of the column or array; of the target for a target.
        kind: `number`, `boolean`, `date`, `category`, `bytes`; `classes` or `numbers` for a target.
        treatment: what is done to it.
        why: what was seen, where that needs saying; empty otherwise.
        key: the key of the spec that decides otherwise; empty where none would.
        target: whether it is to be predicted.
    """

    name: str
    kind: str
    treatment: str
    why: str = ""
    key: str = ""
    target: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)


def key_for(name: str, word: str) -> str:
    """Return the line of the spec that makes a column what it is called here.

    Args:
        name: of the column.
        word: what it is to be, such as `category`.
    """
    bare = name.replace("_", "").replace("-", "")
    return f"dataset.columns.{name if bare.isascii() and bare.isalnum() else quoted(name)} = {quoted(word)}"


def quoted(text: str) -> str:
    """Return a string as TOML has it."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def lines(decisions: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what was decided as a short table: a line for the target, one for all columns of a kind that are treated alike, one for each that stands out.

    Args:
        decisions: as a sweep's facts hold them.
    """
    lines = [f"  {each['name']}: {each['treatment']}{_reason(each)}" for each in decisions if each["target"]]
    codes = [each for each in decisions if each["why"].startswith(CODES) and not each["target"]]
    alike: dict[tuple[str, str], list[str]] = {}
    for each in decisions:
        if not each["target"] and (not each["why"] or each in codes):
            alike.setdefault((each["kind"], each["treatment"]), []).append(each["name"])
    for (kind, treatment), names in alike.items():
        lines.append(f"  {_listed(names)}: {PLURAL.get(kind, kind) if len(names) > 1 else kind}, {treatment}")
    apart = [each for each in decisions if not each["target"] and each["why"] and each not in codes]
    for each in sorted(apart, key=lambda each: each["treatment"] != LEFT_OUT):
        kind = "" if each["treatment"] == LEFT_OUT else f"{each['kind']}, "
        lines.append(f"  {each['name']}: {kind}{each['treatment']}{_reason(each)}")
    if codes:
        spans = _listed([f"{each['name']} ({each['why'].removeprefix(f'{CODES}, ')})" for each in codes])
        lines.append(f"  if these are codes for something else, say so: {spans}; as {codes[0]['key']}")
    if len(lines) > SHOWN_LINES:
        lines = [*lines[: SHOWN_LINES - 1], f"  and {len(lines) - SHOWN_LINES + 1} more, in the record of the sweep"]
    return lines


def _reason(decision: Mapping[str, Any]) -> str:
    parts = [part for part in (decision["why"], f"otherwise: {decision['key']}" if decision["key"] else "") if part]
    return f" ({'; '.join(parts)})" if parts else ""


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN_NAMES]) + (f" and {len(names) - SHOWN_NAMES} more" if len(names) > SHOWN_NAMES else "")
