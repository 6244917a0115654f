"""A finished sweep opened for a replay under other rules: for `tuner simulate` and `tuner.simulate`."""

from pathlib import Path

from search_spaces.spaces import as_recorded
from tuner.search.replay import Replay, replay
from tuner.spec import sweep_spec as specs
from tuner.study.backends import read_study
from tuner.sweep.found_space import space_of_record
from tuner.sweep.reopen import spec_of_record


def replayed(
    folder: Path,
    *,
    sampler: str | None = None,
    scheduler: str | None = None,
    grace_period: int | None = None,
    reduction_factor: float | None = None,
    workers: int = 1,
    seed: int | None = None,
) -> tuple[Replay, specs.SweepSpec]:
    """Return what a sweep would have come to under other rules, and the spec of these rules.

    Args:
        folder: of the sweep.
        sampler: another one; None: the sweep's own order.
        scheduler: another one.
        grace_period: another first epoch at which a trial may be stopped.
        reduction_factor: another factor between rungs.
        workers: how many trials run at a time.
        seed: of the replay; None: the sweep's.

    Raises:
        SpecError: a change is impossible.
        SweepError: there is no sweep.
    """
    study = read_study(folder)
    begun = spec_of_record(study, folder)
    changed = {"name": scheduler, "grace_period": grace_period, "reduction_factor": reduction_factor}
    values = specs.to_json(begun)
    values["scheduler"] |= {name: value for name, value in changed.items() if value is not None}
    if sampler is not None:
        values["search"] |= {"sampler": sampler, "trials": begun.search.trials or len(study.trials())}
    spec = specs.check(values)
    outcome = replay(
        study,
        as_recorded(spec.search_space(space_of_record(study)), study.facts.get("space") or {}),
        search=None if sampler is None else spec.search,
        scheduler=spec.scheduler,
        max_epochs=spec.training.max_epochs,
        workers=workers,
        seed=spec.seed if seed is None else seed,
    )
    return outcome, spec
