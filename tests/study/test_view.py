"""What samplers see of a study."""

import copy

import optuna
import pytest
from optuna.trial import TrialState

from tuner.study.objective import Objective
from tuner.study.record import Study
from tuner.study.view import NotInSnapshot


@pytest.fixture
def study() -> Study:
    """Two trials of an earlier sweep, and of this one a complete, a running and a waiting one."""
    made = Study(optuna.create_study(direction="maximize"), Objective("val_accuracy", "max"))
    earlier = [optuna.trial.create_trial(value=value) for value in (0.1, 0.2)]
    for number, trial in enumerate(earlier):
        trial.number = number - 2
    made.earlier = earlier
    for _ in range(3):
        made.ask()
    made.report(0, 1, {"val_accuracy": 0.5})
    made.finish(0, "complete")
    made.release(2)
    return made


def numbers(study: optuna.Study, *states: TrialState) -> list[int]:
    return [trial.number for trial in study.get_trials(deepcopy=False, states=states or None)]


@pytest.mark.parametrize("snapshot", [False, True])
def test_earlier_sweeps_trials_come_before_the_studys_own_in_every_selection(study: Study, snapshot: bool) -> None:
    seen = study.view(snapshot=snapshot).study
    assert numbers(seen) == [-2, -1, 0, 1, 2]
    assert numbers(seen, TrialState.COMPLETE) == [-2, -1, 0]
    assert numbers(seen, TrialState.RUNNING) == [1]
    assert [trial.number for trial in study.trials()] == [0, 1, 2]
    assert seen.direction.name == "MAXIMIZE"


def test_what_happens_later_is_seen_but_not_in_a_snapshot(study: Study) -> None:
    live, still = study.view().study, study.view(snapshot=True).study
    study.report(1, 1, {"val_accuracy": 0.7})
    study.finish(1, "complete")
    study.ask()
    assert numbers(live, TrialState.COMPLETE) == [-2, -1, 0, 1]
    assert numbers(still, TrialState.COMPLETE) == [-2, -1, 0]


@pytest.mark.parametrize("snapshot", [False, True])
def test_notes_about_a_draft_stay_in_the_draft(study: Study, snapshot: bool) -> None:
    view = study.view(snapshot=snapshot)
    view.draft = optuna.trial.create_trial(state=TrialState.RUNNING)
    view.draft._trial_id = -1
    view.set_trial_system_attr(-1, "source", "model")
    assert view.draft.system_attrs == {"source": "model"}
    assert all("source" not in trial.system_attrs for trial in study.trials())


def test_other_questions_go_to_the_study_and_have_no_answer_in_a_snapshot(study: Study) -> None:
    study.view().set_trial_system_attr(study.trial(1)._trial_id, "mine", 7)
    assert study.trial(1).system_attrs == {"mine": 7}
    assert study.view().get_n_trials(study.optuna._study_id) == 3
    still = study.view(snapshot=True)
    for ask in (lambda: still.get_n_trials(0), lambda: still.set_trial_system_attr(0, "mine", 8), lambda: still.get_all_trials(99)):
        with pytest.raises(NotInSnapshot):
            ask()


def test_copies_that_are_asked_for_are_copies(study: Study) -> None:
    view = study.view()
    given = view.study.get_trials()
    given[0].number, given[2].number = 70, 71
    assert numbers(view.study)[0] == -2 and study.trial(0).number == 0
    assert numbers(copy.copy(view.study)) == [-2, -1, 0, 1, 2]
