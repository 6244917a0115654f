"""The networks of several folds: their seeds, and one report of all."""

from collections.abc import Sequence

import numpy as np


def fold_seed(seed: int, fold: int) -> int:
    """Return the seed of a fold's network: the recipe's own for the first.

    Args:
        seed: of the training, from 0 to 2**32 - 1.
        fold: from 0.
    """
    return seed if fold == 0 else int(np.random.SeedSequence([seed, fold]).generate_state(1)[0])


def over_folds(reports: Sequence[dict[str, float]]) -> dict[str, float]:
    """Return the means of what each fold reports of an epoch, and `<metric>_spread`, the sample standard deviations; of one fold its own report.

    Args:
        reports: metric -> value, of each fold.
    """
    if len(reports) == 1:
        return dict(reports[0])
    values = {name: [report[name] for report in reports] for name in reports[0]}
    means = {name: float(np.mean(each)) for name, each in values.items()}
    return means | {f"{name}_spread": float(np.std(each, ddof=1)) for name, each in values.items()}
