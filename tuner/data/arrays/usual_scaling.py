"""How an array of examples is scaled where the spec leaves it open: bytes, flags, the numbers of words, measured numbers.

Owns the rules, which look at values of the rows to train and validate on. Must not know files or networks.
"""

from dataclasses import replace

import numpy as np

from tuner.data.decisions import SCALED, Decision

# Bytes beyond this are taken to reach 255, whatever the largest of these rows is.
HALF = 127
# An array of at least so many columns may be pixels, one after the other; or numbers of words (or letters, of which four make a language).
LEAST_PIXELS, LEAST_WORDS, LEAST_LENGTH = 16, 4, 8
ROWS_LOOKED_AT = 2000
# So many channels an image may have.
CHANNELS = (1, 2, 3, 4)
KEY = 'dataset.scaling = "{}"'


def decide(x: np.ndarray, asked: str, largest: float | None, name: str = "x") -> tuple[str, float, Decision]:
    """Decide how an array is scaled.

    Args:
        x: (n, ...) uint8 or float32, NaN where missing.
        asked: `dataset.scaling`.
        largest: the largest value that bytes can take, where the source knows it.
        name: what the array is called.

    Returns:
        The method (`none`, `unit`, `standard` or `minmax`), the largest value for `unit`, and what people read of it.
    """
    method, reach, decision = _decide(x, asked, largest, name)
    if x.ndim == 4 and x.shape[1] in CHANNELS and x.shape[3] not in CHANNELS:
        order = f"shape {x.shape[1:]} is read as height, width, channels; if channels come first, save np.moveaxis({name}, 1, -1)"
        decision = replace(decision, why="; ".join(filter(None, (decision.why, order))))
    return method, reach, decision


def _decide(x: np.ndarray, asked: str, largest: float | None, name: str) -> tuple[str, float, Decision]:
    if x.dtype == np.uint8:
        return _bytes(x, asked, largest, name)
    whole = whole_numbers(x)
    if asked != "auto":
        return asked, 255.0, Decision(name, "numbers", SCALED[asked])
    if whole is not None and _are_names(x, whole):
        return "none", 255.0, _names(name, whole)
    if whole is None or whole[1] - whole[0] <= 1:
        return "standard", 255.0, Decision(name, "numbers", SCALED["standard"])
    seen = f"all are whole, from {whole[0]} to {whole[1]}; the numbers of words or classes, for an Embedding, want to be left as they are"
    return "standard", 255.0, Decision(name, "numbers", SCALED["standard"], seen, KEY.format("none"))


def _bytes(x: np.ndarray, asked: str, largest: float | None, name: str) -> tuple[str, float, Decision]:
    most = float(x.max(initial=0))
    reach = largest or (255.0 if most > HALF else max(1.0, most))
    if asked in ("none", "standard", "minmax"):
        return asked, reach, Decision(name, "bytes", SCALED[asked])
    if asked == "auto" and largest is None:
        if most <= 1:
            return "none", reach, Decision(name, "bytes", SCALED["none"], "none is larger than 1", KEY.format("standard"))
        if x.ndim == 2 and not _are_pixels(x):
            whole = (int(x.min(initial=255)), int(most))
            if _are_names(x, whole):
                return "none", reach, _names(name, whole)
            return "standard", reach, Decision(name, "bytes", SCALED["standard"], f"columns of bytes up to {most:g}", KEY.format("unit"))
    seen = "" if reach == 255 else f"the largest is {most:g}"
    return "unit", reach, Decision(name, "bytes", f"divided by {reach:g}", seen, KEY.format("standard") if seen else "")


def _names(name: str, bounds: tuple[int, int]) -> Decision:
    seen = f"whole numbers from {bounds[0]} to {bounds[1]} in any order, as the numbers of words are"
    return Decision(name, "numbers", SCALED["none"], seen, KEY.format("standard"))


def _are_pixels(x: np.ndarray) -> bool:
    """Say whether columns of bytes are pixels: many of them, of which most reach far up."""
    return x.shape[1] >= LEAST_PIXELS and float(np.median(x.max(axis=0, initial=0))) > HALF


def whole_numbers(x: np.ndarray) -> tuple[int, int] | None:
    """Return the bounds of an array of whole numbers; None where one is none, or missing, or all are alike.

    Args:
        x: (n, ...) numbers of any type.
    """
    step = max(1, 2**22 // max(1, int(np.prod(x.shape[1:]))))
    low, high = np.inf, -np.inf
    for start in range(0, len(x), step):
        part = x[start : start + step]
        if not (part == np.round(part)).all():  # NaN equals nothing
            return None
        low, high = min(low, float(part.min(initial=np.inf))), max(high, float(part.max(initial=-np.inf)))
    return (int(low), int(high)) if np.isfinite(low) and np.isfinite(high) and high > low else None


def _are_names(x: np.ndarray, bounds: tuple[int, int]) -> bool:
    """Say whether whole numbers are the numbers of words.

    These are never negative; every place of an example takes them from the same list, and one says little about the next: neither holds for measured
    numbers or pixels. 0 fills examples up, and is not looked at; where much of it lies between other numbers, these are counts. The
    mistake to avoid is to scale words: an Embedding then sees none of them, and small counts hardly need it.
    """
    if x.ndim != 2 or x.shape[1] < LEAST_LENGTH or bounds[0] < 0 or bounds[1] - bounds[0] + 1 < LEAST_WORDS:
        return False
    part = x[:: max(1, len(x) // ROWS_LOOKED_AT)].astype(np.float64)
    if _are_counts(part):
        return False
    part[part == 0] = np.nan
    filled = part[:, (~np.isnan(part)).sum(axis=0) >= 10]
    if filled.shape[1] < LEAST_LENGTH:
        return False
    spread = float(np.nanstd(filled))
    if spread == 0 or float(np.median(np.abs(np.nanmean(filled, axis=0) - np.nanmean(filled)))) > 0.25 * spread:
        return False
    alike = []
    for left, right in zip(filled.T[:-1], filled.T[1:], strict=True):
        both = ~np.isnan(left) & ~np.isnan(right)
        if both.sum() >= 10 and np.std(left[both]) > 0 and np.std(right[both]) > 0:
            alike.append(abs(float(np.corrcoef(left[both], right[both])[0, 1])))
    return bool(alike) and float(np.median(alike)) < 0.2 + 2 / np.sqrt(len(part))


def _are_counts(rows: np.ndarray) -> bool:
    """Say whether more than a third of what lies between the first and the last number above 0 is 0, which is more than any word is of a text."""
    other = rows != 0
    inside = np.logical_or.accumulate(other, axis=1) & np.logical_or.accumulate(other[:, ::-1], axis=1)[:, ::-1]
    return bool(inside.any()) and float(1 - other[inside].mean()) > 1 / 3
