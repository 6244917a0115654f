import io
import json

import pytest

from tuner.monitor.console import JsonView, LiveView, PlainView, Progression, QuietView


def progression(**facts: object) -> Progression:
    now = [0.0]
    state = Progression(clock=lambda: now[0])
    state.begin({"metric": "val_accuracy", "max_epochs": 4, "maximise": True, **facts})
    state.at = lambda seconds: now.__setitem__(0, seconds)  # type: ignore[attr-defined]
    return state


def test_only_a_better_value_is_a_new_best() -> None:
    state = progression()
    assert state.update(0, 1, 0.5, "running")
    assert not state.update(1, 1, 0.5, "running")
    assert not state.update(1, 2, None, "failed")
    assert state.update(0, 2, 0.6, "running")
    assert state.best_text() == "best val_accuracy 0.6000 (trial 0)"
    losses = progression(maximise=False)
    losses.update(0, 1, 0.5, "running")
    assert losses.update(0, 2, 0.4, "running")


def test_running_trials_count_by_their_epochs() -> None:
    state = progression(trials=2)
    state.update(0, 2, 0.5, "running")
    assert state.fraction == 0.25
    state.update(0, 4, 0.5, "complete")
    assert state.fraction == 0.5


def test_tightest_budget_gives_the_estimated_end() -> None:
    state = progression(trials=100, seconds=10.0)
    state.update(0, 1, 0.5, "running")
    state.at(4.0)  # type: ignore[attr-defined]
    assert state.fraction == pytest.approx(0.4)
    assert state.remaining_s == pytest.approx(6.0)


FORECAST = {
    "stages": [
        {"name": "search", "seconds": {"low": 80.0, "middle": 100.0, "high": 130.0}},
        {"name": "retrain", "seconds": {"low": 15.0, "middle": 20.0, "high": 25.0}},
    ],
    "total": {"name": "in all", "seconds": {"low": 95.0, "middle": 120.0, "high": 155.0}},
}


def test_forecast_counts_less_and_less_as_the_search_goes_on_and_what_follows_it_counts_always() -> None:
    state = progression(trials=10)
    assert state.expect(FORECAST) == "forecast: 1 min 35 s to 2 min 35 s in all, of which retrain 20 s after the search"
    assert state.remaining_s == pytest.approx(120.0)
    for number in range(5):
        state.update(number, 4, 0.5, "complete")
    state.at(40.0)  # type: ignore[attr-defined]
    # At its pace the search would take 40 s more, by the forecast 60 s.
    assert state.remaining_s == pytest.approx(50.0 + 20.0)


def test_each_view_takes_a_forecast() -> None:
    for view, said in ((PlainView, "forecast: "), (JsonView, '"forecast"'), (QuietView, "")):
        out = io.StringIO()
        view(*([out, out] if view is PlainView else [out])).forecast(FORECAST)
        assert said in out.getvalue()


def test_sweep_that_goes_on_counts_what_its_earlier_runs_did() -> None:
    state = progression(trials=4, ended={0: "complete", 1: "pruned"}, done_epochs=6, gone_s=30.0)
    assert state.fraction == 0.5
    assert state.elapsed_s == 30.0
    assert state.summary().startswith("2/4 trials · 1 complete · 1 pruned · 6 epochs, 0.2/s · 30 s gone")


def tell(view: PlainView | JsonView | QuietView) -> None:
    view.stage("search", text="mlp", metric="val_accuracy", trials=2)
    view.epoch(0, 1, 0.5, "running")
    view.epoch(1, 1, None, "failed", "loss is nan")
    view.note("a note")
    view.result("the table", {"best": {"score": 0.5}})
    view.close()


def test_plain_view_keeps_progress_and_result_apart() -> None:
    progress, output = io.StringIO(), io.StringIO()
    tell(PlainView(progress, output))
    assert output.getvalue() == "the table\n"
    lines = progress.getvalue().splitlines()
    assert lines[:2] == ["search: mlp", "trial 0 epoch 1: best val_accuracy 0.5000 (trial 0)"]
    assert "trial 1 failed at epoch 1: loss is nan" in lines
    assert lines[-1] == "a note"


def test_json_view_is_one_object_a_line_and_ends_with_the_result() -> None:
    output = io.StringIO()
    tell(JsonView(output))
    events = [json.loads(line) for line in output.getvalue().splitlines()]
    assert [event["event"] for event in events] == ["stage", "epoch", "epoch", "note", "result"]
    assert events[-1]["best"] == {"score": 0.5}


def test_quiet_view_prints_the_result_only() -> None:
    output = io.StringIO()
    tell(QuietView(output))
    assert output.getvalue() == "the table\n"


VIEWS = {
    "plain": lambda progress, output: PlainView(progress, output),
    "quiet": lambda progress, output: QuietView(output),
    "json": lambda progress, output: JsonView(output),
    "live": lambda progress, output: LiveView(progress, output),
}


@pytest.mark.parametrize("name", VIEWS)
def test_every_view_takes_a_whole_sweep_in_the_order_of_a_journey_and_ends_with_its_result(name: str) -> None:
    progress, output = io.StringIO(), io.StringIO()
    view = VIEWS[name](progress, output)
    view.stage("data", text="digits")
    view.stage("search", text="mlp", metric="val_accuracy", maximise=True, trials=3, max_epochs=4)
    for number, epoch, value, state, cause in [
        (0, 1, 0.5, "running", ""),
        (1, 1, None, "failed", "loss is nan"),
        (2, 1, 0.4, "waiting", ""),
        (0, 4, 0.6, "complete", ""),
        (2, 2, 0.3, "pruned", ""),
    ]:
        view.epoch(number, epoch, value, state, cause)
    view.forecast(FORECAST)
    view.note("a note\nof two lines")
    view.stage("report")
    view.result("the table", {"best": {"score": 0.6}})
    view.close()
    last = output.getvalue().splitlines()[-1]
    assert (json.loads(last) == {"event": "result", "best": {"score": 0.6}}) if name == "json" else last == "the table"
    # What is not for machines says which trial failed, and why.
    assert name in ("quiet", "json") or "trial 1 failed at epoch 1: loss is nan" in progress.getvalue()
