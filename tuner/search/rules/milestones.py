"""The epochs at which rules look at a trial."""


def milestones(max_epochs: int, grace_period: int, reduction_factor: float) -> tuple[int, ...]:
    """Return the epochs of the rungs, rising, all before the last epoch.

    Args:
        max_epochs: number of epochs of a full training, at least 1.
        grace_period: the first rung, in epochs.
        reduction_factor: of each rung to the one before, above 1.
    """
    epochs: list[int] = []
    milestone = float(grace_period)
    while round(milestone) < max_epochs:
        if not epochs or round(milestone) > epochs[-1]:
            epochs.append(round(milestone))
        milestone *= reduction_factor
    return tuple(epochs)
