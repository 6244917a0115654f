"""What the view is told of reports while Ray Tune runs them."""

from typing import Any

from tests.rig import Rig
from tuner.search.dispatch import _Watcher
from tuner.study.epoch_report import EpochReport


class View:
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def epoch(self, *told: Any) -> None:
        pass


def test_what_the_first_trial_that_prints_prints_is_shown_once() -> None:
    rig, view = Rig(), View()
    watcher = _Watcher(view, rig.accounts)  # type: ignore[arg-type]  # as much of a view as is asked for
    for text in ("", "units = 8\n\x1b[31m", "units = 16\n"):
        name, configuration = rig.suggest()
        number = configuration["number"] if "number" in configuration else rig.accounts.study.trials()[-1].number
        rig.report(name, 1, 0.5)
        facts = {"printed": text} if text else {"parameters": 3}
        watcher.on_trial_result(1, [], None, EpochReport(number, 1, {"val_accuracy": 0.5}, facts=facts).to_json())  # type: ignore[arg-type]
    assert [note.partition("\n")[2] for note in view.notes] == ["units = 8\n\x1b[31m"]
    assert view.notes[0].startswith("trial 1 printed")
