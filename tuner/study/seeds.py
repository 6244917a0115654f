"""Seeds: every random draw of a sweep follows from its spec's one number, by name of what it is drawn for."""

import hashlib


def seed_of(sweep_seed: int, number: int, purpose: str = "trial") -> int:
    """Return the seed of a trial: the first 31 bits of SHA-256 over `<purpose>/<sweep seed>/<number>`.

    Args:
        sweep_seed: of the sweep.
        number: of the trial, or of whatever is seeded.
        purpose: what the seed is for; each has seeds of its own.

    Returns:
        From 0 to 2**31 - 1.
    """
    digest = hashlib.sha256(f"{purpose}/{sweep_seed}/{number}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1
