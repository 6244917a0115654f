"""Configurations that are drawn ahead: when, in which thread, and from what."""

import math
import threading
from collections.abc import Callable, Iterator
from typing import Any

import optuna
import pytest
from optuna.samplers import RandomSampler

from tests.rig import EPOCHS, SMALL, SPACE, Rig, value_of
from tuner.search import prefetch as room
from tuner.search.configurations import key_of
from tuner.search.samplers.named import SAMPLERS, build_sampler

ALWAYS = {"noticeable": 0.0}


class Held(RandomSampler):
    """Draws at random, but in a thread only once it is let; notes which thread asked it."""

    def __init__(self) -> None:
        super().__init__(seed=0)
        self.let = threading.Event()
        self.asked: list[str] = []

    def before_trial(self, study: optuna.Study, trial: Any) -> None:
        self.asked.append("driver" if threading.current_thread() is threading.main_thread() else "ahead")
        if self.asked[-1] == "ahead":
            assert self.let.wait(60)


@pytest.fixture
def rig() -> Iterator[Callable[..., Rig]]:
    made: list[Rig] = []

    def make(drawn_by: Any = None, **arguments: Any) -> Rig:
        made.append(Rig(**arguments))
        if drawn_by is not None:
            made[-1].study.optuna.sampler = drawn_by
        return made[-1]

    yield make
    for one in made:
        if one.ahead is not None:
            one.ahead.close()


def test_share_of_the_time_decides(rig: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(room.time, "monotonic", lambda: now[0])
    sampler = Held()
    sampler.let.set()
    one = rig(sampler, ahead={})
    slow = [0.1]
    before = sampler.before_trial

    def takes_a_while(study: optuna.Study, trial: Any) -> None:
        before(study, trial)
        now[0] += slow[0]

    monkeypatch.setattr(sampler, "before_trial", takes_a_while)
    for _ in range(4):  # a tenth of a second of every ten
        one.suggest()
        now[0] += 9.9
    assert sampler.asked == ["driver"] * 4
    slow[0] = 1.0
    for _ in range(4):  # a second of every ten: over all seven, a twentieth
        one.suggest()
        now[0] += 9.0
    assert sampler.asked[:8] == ["driver"] * 7 + ["ahead"]


def test_draw_that_is_not_done_keeps_nobody_waiting(rig: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "PATIENCE_S", 0.0)
    sampler = Held()
    one = rig(sampler, ahead=ALWAYS)
    first, _ = one.suggest()
    assert [one.suggest() for _ in range(3)] == [None] * 3
    one.report(first, 1, 0.5)  # the driver hears its workers meanwhile
    sampler.let.set()
    while (suggested := one.suggest()) is None:
        pass
    assert suggested[1]["number"] == 1
    assert one.states() == ["running"] * 2
    assert sampler.asked[:2] == ["driver", "ahead"]


def test_where_nothing_runs_the_draw_is_waited_for(rig: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "PATIENCE_S", 0.0)
    sampler = Held()
    one = rig(sampler, ahead=ALWAYS)
    one.run(one.suggest()[0])
    threading.Timer(0.1, sampler.let.set).start()
    assert one.suggest()[1]["number"] == 1


@pytest.mark.parametrize("name", [name for name in SAMPLERS if name not in ("grid", "gp")])
def test_snapshot_is_all_that_a_sampler_needs(name: str) -> None:
    one = Rig(sampler=name)
    for _ in range(14):
        ray_id, suggestion = one.suggest()
        one.run(ray_id, value_of(suggestion["configuration"]))
    one.suggest()
    found = []
    for noticeable in (0.0, math.inf):
        one.study.optuna.sampler = build_sampler(one.section, SPACE, study=one.study, max_epochs=EPOCHS, seed=7)
        ahead = room.Prefetcher(one.study, SPACE, noticeable=noticeable, at_once=True)
        ahead.begin(15)
        drawn = ahead.take(15, wait=False)
        assert drawn is not None
        found.append((drawn.configuration, drawn.draft.frozen.params, drawn.draft.frozen.system_attrs))
    assert found[0] == found[1]
    assert one.study.count() == 15


def test_draw_ahead_knows_the_trials_as_they_were_when_it_began(rig: Callable[..., Rig]) -> None:
    seen: list[int] = []

    class Counting(RandomSampler):
        def before_trial(self, study: optuna.Study, trial: Any) -> None:
            trials = study.get_trials(deepcopy=False)
            seen.append(sum(len(trial.intermediate_values) for trial in trials))

    one = rig(Counting(), ahead={**ALWAYS, "at_once": True})
    for value in (0.1, 0.2, 0.3):
        one.run(one.suggest()[0], value)
    assert seen == [0, 0, 9, 18]


def test_sampler_that_writes_to_the_study_is_asked_in_time(rig: Callable[..., Rig]) -> None:
    class Writing(Held):
        def before_trial(self, study: optuna.Study, trial: Any) -> None:
            super().before_trial(study, trial)
            study._storage.set_study_system_attr(study._study_id, "mine", trial.number)

    sampler = Writing()
    sampler.let.set()
    one = rig(sampler, ahead=ALWAYS)
    for _ in range(4):
        one.run(one.suggest()[0])
    assert sampler.asked == ["driver", "ahead", "driver", "driver", "driver"]  # once in vain
    assert one.study.optuna._storage.get_study_system_attrs(one.study.optuna._study_id)["mine"] == 3


def test_sampler_that_fails_ahead_fails_the_search(rig: Callable[..., Rig]) -> None:
    class Faulty(Held):
        def before_trial(self, study: optuna.Study, trial: Any) -> None:
            super().before_trial(study, trial)
            if self.asked[-1] == "ahead":
                raise ZeroDivisionError("in the sampler")

    sampler = Faulty()
    sampler.let.set()
    one = rig(sampler, ahead=ALWAYS)
    one.run(one.suggest()[0])
    with pytest.raises(ZeroDivisionError, match="in the sampler"):
        one.suggest()


@pytest.mark.parametrize("name", ["random", "forecast"])
def test_no_configuration_is_run_twice(name: str, rig: Callable[..., Rig]) -> None:
    one = rig(sampler=name, space=SMALL, ahead={**ALWAYS, "at_once": True}, epochs=10_000)
    keys = []
    while isinstance(suggested := one.suggest(), tuple):
        keys.append(key_of(suggested[1]["configuration"]))
        one.run(suggested[0], 0.1 * len(keys))
    assert suggested == "FINISHED"
    assert len(keys) == len(set(keys)) == 6


def test_trials_that_wait_come_first(rig: Callable[..., Rig]) -> None:
    one = rig(ahead={**ALWAYS, "at_once": True})
    first, _ = one.suggest()
    one.searcher.on_trial_complete(first, error=True)  # its worker was lost: it is tried again
    assert one.suggest()[1]["number"] == 0
    assert one.suggest()[1]["number"] == 1


def test_draw_for_a_number_that_somebody_else_took_is_made_again(rig: Callable[..., Rig]) -> None:
    sampler = Held()
    sampler.let.set()
    one = rig(sampler, ahead={**ALWAYS, "at_once": True})
    one.suggest()
    queued = SPACE.check({"kind": "plain", "rate": 0.5, "size": 2, "fixed": 5})
    one.study.enqueue(SPACE.parameters_of(queued), {"configuration": queued})
    assert one.suggest()[1]["configuration"] == queued
    assert one.suggest()[1]["number"] == 2
    assert [trial.number for trial in one.study.trials()] == [0, 1, 2]
    assert len(sampler.asked) == 5  # for 0, in vain for 1, for 2, and ahead for 3
