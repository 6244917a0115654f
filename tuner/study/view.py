"""What samplers see of a study: its trials, those of earlier sweeps before them, and the trial that they are asked about.

Optuna's samplers read a study through its storage. This is the one place where another storage is put in: in it earlier sweeps' trials are there without
being trials of the study, a trial exists as a draft before it is recorded, and a snapshot can be looked at from another thread.
"""

import copy
from collections.abc import Container, Sequence
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState


class NotInSnapshot(Exception):
    """A sampler asked a snapshot for more than trials."""


class StudyView:
    """A study for one draw of a sampler. Nothing that the sampler notes about the draft reaches the study.

    Attributes:
        study: what a sampler is handed.
        draft: the trial that it is asked about; None until there is one.

    Args:
        study: the sweep's.
        earlier: trials of other sweeps, with numbers below 0.
        snapshot: read the trials now, and touch the study no more: for another thread.
    """

    def __init__(self, study: optuna.Study, earlier: Sequence[FrozenTrial] = (), *, snapshot: bool = False) -> None:
        self._id, self._earlier, self._storage, self._trials = study._study_id, list(earlier), study._storage, None
        if snapshot:
            # They are not copies: storages put a changed trial in the place of the old one.
            self._trials = study._storage.get_all_trials(study._study_id, deepcopy=False)
        self._directions = study._storage.get_study_directions(study._study_id)
        self.draft: FrozenTrial | None = None
        self.study = copy.copy(study)  # without Optuna's cache of trials
        self.study._storage = self  # type: ignore[assignment]

    def get_all_trials(self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None) -> list[FrozenTrial]:
        """Return the trials as Optuna's storages do, earlier sweeps' before the study's own."""
        if study_id != self._id:
            return self._beyond("get_all_trials").get_all_trials(study_id, deepcopy=deepcopy, states=states)
        if self._trials is None:
            own = self._storage.get_all_trials(study_id, deepcopy=False, states=states)
        else:
            own = [trial for trial in self._trials if states is None or trial.state in states]
        trials = [trial for trial in self._earlier if states is None or trial.state in states] + own
        return copy.deepcopy(trials) if deepcopy else trials

    def get_study_directions(self, study_id: int) -> list[Any]:
        """Return the study's directions."""
        return self._directions

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Put what a sampler notes about the draft into the draft."""
        if self.draft is not None and trial_id == self.draft._trial_id:
            self.draft.system_attrs[key] = value
        else:
            self._beyond("set_trial_system_attr").set_trial_system_attr(trial_id, key, value)

    def _beyond(self, name: str) -> Any:
        if self._trials is not None:
            raise NotInSnapshot(name)
        return self._storage

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # of copy and pickle, which ask before there is anything
            raise AttributeError(name)
        return getattr(self._beyond(name), name)
