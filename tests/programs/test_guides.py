"""What people have written for KerasTuner, unchanged: builders as its guides have them, and its own applications."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("keras_tuner")

import tuner
from search_spaces.define_by_run.building import asker, call, difference_of
from search_spaces.define_by_run.discovery import discover
from tests.programs import guides

ONCE: dict[str, Any] = {"trials": 1, "max_epochs": 1, "sampler": "random", "scheduler": {"name": "fifo"}, "cluster": {"target": "in-process"}, "quiet": True}


@pytest.mark.parametrize(
    ("builder", "data", "metric", "when"),
    [
        (guides.layered, partial(guides.images, columns=True), "val_accuracy", {"units_1": {"num_layers": {"at_least": 2}}, "activation": None}),
        (guides.of_existing_code, partial(guides.images, columns=True), "val_auc", {"units": None, "lr": None}),
        (guides.regressor, guides.numbers, "val_mean_absolute_error", {"units": None}),
        (guides.regressor, guides.numbers, "val_own_error", {"units": None}),
        (guides.convolutional, guides.images, "val_accuracy", {"pooling1": {"conv_layers": {"at_least": 2}}, "optimizer": None}),
        (guides.either_kind, guides.images, "val_accuracy", {"filters_0": {"model_type": ["cnn"]}, "mlp_layers": {"model_type": ["mlp"]}}),
    ],
)
def test_a_builder_of_a_guide_is_searched_as_it_is(tmp_path: Path, builder: Any, data: Any, metric: str, when: dict[str, Any]) -> None:
    mode = "min" if "error" in metric else "max"
    result = tuner.run(builder, data=data(), objective={"metric": metric, "mode": mode}, evaluation={"enabled": False}, folder=str(tmp_path / "s"), **ONCE)
    (record,) = result.leaderboard.records
    assert record.state == "complete"
    assert np.isfinite(record.score)
    space = result.facts["space"]
    assert {name: space[name].get("when") for name in when} == when
    asked = {name for name, table in space.items() if all(_holds(wanted, record.configuration.get(parent)) for parent, wanted in table.get("when", {}).items())}
    assert set(record.configuration) == asked, "what is not asked for stands in no configuration"


def _holds(wanted: Any, value: Any) -> bool:
    return value is not None and (value >= wanted["at_least"] if isinstance(wanted, dict) else value in wanted)


def test_a_loss_that_wants_columns_has_them_as_if_the_data_had_kept_theirs(tmp_path: Path) -> None:
    x, y = guides.images(columns=True)
    given = tuner.Data(train=(x[:80], y[:80]), validation=(x[80:100], y[80:100]), test=(x[100:], y[100:]))
    space = {"units": 16, "activation": "relu", "dropout": False, "lr": 0.01}
    kept, numbered = (
        tuner.run(guides.of_existing_code, data=given, space=space, one_hot=one_hot, seeds=1, confirm=0, folder=str(tmp_path / str(one_hot)), **ONCE)
        for one_hot in (True, False)
    )
    assert numbered.best.curves["loss"] == pytest.approx(kept.best.curves["loss"], rel=1e-5)
    assert numbered.best.curves["val_auc"] == pytest.approx(kept.best.curves["val_auc"], rel=1e-5)
    # By hand, from what it predicts: the cross-entropy with smoothed targets.
    p = numbered.predict(x[100:], probabilities=True)
    smoothed = 0.9 * y[100:] + 0.1 / guides.CLASSES
    assert numbered.test is not None
    assert numbered.test["test_loss"] == pytest.approx(float(-(smoothed * np.log(p)).sum(axis=1).mean()), rel=1e-4)


def test_outputs_that_only_the_builder_understands_are_told_and_trained_as_a_task_of_its_own(tmp_path: Path) -> None:
    asked = {**ONCE, "data": guides.images(), "evaluation": {"enabled": False}, "metric": "val_accuracy"}
    with pytest.raises(tuner.NothingToRank):
        tuner.run(guides.without_a_last_layer, folder=str(tmp_path / "s"), **asked)
    (record,) = tuner.load(tmp_path / "s").leaderboard.records
    assert record.cause["message"].endswith('; or dataset.task = "custom", where the builder alone knows what its outputs mean')
    result = tuner.run(guides.without_a_last_layer, folder=str(tmp_path / "own"), task="custom", **asked)
    assert result.leaderboard.records[0].state == "complete"


def test_some_hyperparameters_are_searched_and_the_rest_are_fixed_without_a_change_of_the_builder(tmp_path: Path) -> None:
    narrowed = {"units_0": 16, "num_layers": 1, "dropout": False, "activation": "tanh"}
    several = {**ONCE, "trials": 3, "evaluation": {"enabled": False}}
    result = tuner.run(guides.layered, data=guides.images(columns=True), space=narrowed, folder=str(tmp_path / "s"), **several)
    assert len({record.configuration["lr"] for record in result.leaderboard.records}) == 3
    assert all(record.configuration.items() >= narrowed.items() for record in result.leaderboard.records)


def test_a_trial_that_its_builder_gives_up_is_a_row_and_a_fatal_error_ends_the_search(tmp_path: Path) -> None:
    several = {**ONCE, "trials": 6, "metric": "val_loss", "evaluation": {"enabled": False}}
    result = tuner.run(guides.small_or_not, data=guides.numbers(), folder=str(tmp_path / "rows"), **several)
    failed = [record for record in result.leaderboard.records if record.state == "failed"]
    assert 0 < len(failed) < 6
    assert all("FailedTrialError: too large" in record.cause["message"] for record in failed)
    said = r"trial \d ended the search: FatalValueError: too large: \d+ parameters; expected a builder that raises no FatalError"
    with pytest.raises(tuner.SweepError, match=said) as caught:
        tuner.run(guides.small_or_nothing, data=guides.numbers(), folder=str(tmp_path / "none"), **several)
    assert "raise error(f" in str(caught.value), "the user's line"


def applications(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return KerasTuner's applications; those that would download weights begin with random ones."""
    import keras_tuner
    from keras_tuner.src.applications import efficientnet

    random_ones = {name: lambda made=made, **given: made(**{**given, "weights": None}) for name, made in efficientnet.EFFICIENTNET_MODELS.items()}
    monkeypatch.setattr(efficientnet, "EFFICIENTNET_MODELS", random_ones)
    kinds = ("HyperXception", "HyperResNet", "HyperEfficientNet")
    return {kind: getattr(keras_tuner.applications, kind)(input_shape=(32, 32, 1), classes=guides.CLASSES) for kind in kinds}


def test_an_application_is_trained_in_the_part_of_its_space_that_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = guides.images(columns=True)
    x = np.kron(x, np.ones((1, 4, 4, 1), np.float32))
    small = {"conv2d_num_filters": 32, "sep_num_filters": 128, "num_residual_blocks": 2, "kernel_size": 3, "activation": "relu", "pooling": "avg"}
    result = tuner.run(applications(monkeypatch)["HyperXception"], data=(x, y), space=small, folder=str(tmp_path / "s"), evaluation={"enabled": False}, **ONCE)
    (record,) = result.leaderboard.records
    assert (record.state, record.epochs) == ("complete", 1)
    assert record.configuration.items() >= small.items()
    assert {"num_dense_layers", "dropout_rate", "dense_use_bn", "learning_rate", "initial_strides"} <= record.configuration.keys()


@pytest.mark.parametrize(
    ("kind", "small", "names"),
    [
        ("HyperResNet", {"version": "v1", "conv3_depth": 4, "conv4_depth": 6}, {"pooling", "optimizer", "learning_rate"}),
        ("HyperEfficientNet", {"version": "B0"}, {"top_dropout_rate", "learning_rate", "pooling"}),
    ],
)
def test_a_large_application_shows_its_space_and_builds(kind: str, small: dict[str, Any], names: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    hypermodel = applications(monkeypatch)[kind]
    found = discover(asker(hypermodel, kind), f"mine:{kind}", max_runs=1)
    assert names | set(small) <= set(found.space.parameters)
    configuration = found.space.narrow(small).default()
    assert configuration is not None
    model = call(hypermodel, configuration, kind)
    assert difference_of(model).to_json() == {"found": [], "unasked": []}
    assert model.output_shape == (None, guides.CLASSES)
