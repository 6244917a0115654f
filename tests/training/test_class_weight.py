"""Rows that count by their class: what they weigh, against scikit-learn, and what is trained, against Keras's fit(class_weight=...)."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight

from tests.training.test_pipelines import CONFIG, pipelines, rows
from tests.training.test_trainer import BYTES, FOLD, TRAIN, VALIDATION, config, images, weights_of  # noqa: F401
from tuner.data.pool import Pool
from tuner.data.splits.drawing import Fold
from tuner.errors import SpecError
from tuner.spec.sweep_spec import check
from tuner.training.class_weight import by_number, of_classes
from tuner.training.config import TrainingConfig
from tuner.training.trainer import Training

CLASSES = ("no", "yes", "2")
TABLE = (0.5, 3.0, 1.25)


def test_balanced_weights_are_scikit_learns_of_the_rows_that_are_trained_on() -> None:
    y = np.random.default_rng(0).choice(4, 300, p=[0.7, 0.2, 0.07, 0.03]).astype(np.int32)
    for chosen in (np.arange(100), np.arange(50, 300)):
        expected = compute_class_weight("balanced", classes=np.unique(y[chosen]), y=y[chosen])
        assert of_classes("balanced", y, chosen, 4) == pytest.approx(expected, rel=1e-6)
        assert of_classes("balanced", np.eye(4, dtype=np.float32)[y], chosen, 4) == pytest.approx(expected, rel=1e-6)


def test_a_class_without_a_row_to_train_on_takes_no_part_in_the_balance() -> None:
    y = np.array([0, 0, 0, 2], np.int32)
    assert of_classes("balanced", y, np.arange(4), 3) == pytest.approx([4 / 6, 1, 2])


def test_classes_are_called_by_their_names_or_numbers_and_the_others_have_one() -> None:
    assert by_number({"yes": 5}, task="classification", classes=CLASSES, in_memory=True) == (1.0, 5.0, 1.0)
    assert by_number({"2": 4, "0": 2}, task="classification", classes=CLASSES, in_memory=False) == (2.0, 1.0, 4.0)
    assert by_number({"1": 4}, task="classification", classes=("1", "2"), in_memory=True) == (4.0, 1.0)  # a name before a number
    assert check({"name": "s", "training": {"class_weight": {0: 1.0, 1: 5}}}).training.class_weight == {"0": 1.0, "1": 5.0}


@pytest.mark.parametrize(
    ("asked", "task", "message"),
    [
        ({"yess": 5.0}, "classification", r"^training\.class_weight: no row has the class 'yess'; did you mean 'yes'\?"),
        ({"7": 5.0}, "classification", r"no row has the class '7'"),
        ({"yes": 5.0, "1": 2.0}, "classification", r"'yes' and '1' are the same class; expected each once"),
        ({"yes": 5.0}, "regression", r"^training\.class_weight: got it for the task 'regression'; expected classification"),
        ("balanced", "multilabel", r"got it for the task 'multilabel'"),
    ],
)
def test_class_weights_that_the_data_do_not_have_are_refused(asked: Any, task: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        by_number(asked, task=task, classes=CLASSES, in_memory=True)


def test_rows_that_nobody_holds_are_not_balanced() -> None:
    with pytest.raises(SpecError, match='"balanced" counts rows, and these are not in memory; expected a table of weights'):
        by_number("balanced", task="classification", classes=CLASSES, in_memory=False)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("balance", r'^training\.class_weight: got \'balance\'; expected "balanced" or a table of weights'),
        ({"yes": -1.0}, r"^training\.class_weight: got -1 for the class 'yes'; expected a finite number of at least 0$"),
        ({"yes": float("nan")}, r"got nan for the class 'yes'"),
        ({"yes": 0}, r"no class has a weight above 0"),
        ({"yes": "much"}, r"^training\.class_weight"),
        (["yes"], r"^training\.class_weight"),
    ],
)
def test_class_weights_that_are_none_are_refused_in_the_spec(asked: Any, message: str) -> None:
    with pytest.raises(SpecError, match=message) as refused:
        check({"name": "s", "training": {"class_weight": asked}})
    assert "\n" not in str(refused.value)


def fitted(training: Training, x: np.ndarray, y: np.ndarray, table: dict[int, float]) -> tuple[list[np.ndarray], dict[str, float]]:
    """Train the network of a fresh Training for two epochs by plain Keras with class weights, on the same batches; return its weights and last figures."""
    model = training._runners[0].model
    scaled = x.astype(np.float32) * BYTES.factor
    history: dict[str, float] = {}
    for epoch in range(2):
        order = np.random.default_rng([training.config.seed, 0, epoch]).permutation(TRAIN)
        held_out = {"validation_data": (scaled[VALIDATION], y[VALIDATION]), "validation_batch_size": 40}
        fit = model.fit(scaled[order], y[order], batch_size=32, shuffle=False, verbose=0, class_weight=table, **held_out)
        history = {name: value for name, (value,) in fit.history.items()}
    return model.get_weights(), history


@pytest.mark.parametrize("builder", ["network", "last_in_eager_mode"])
@pytest.mark.parametrize("asked", [TABLE, "balanced"], ids=["table", "balanced"])
def test_training_equals_keras_fit_with_class_weights(builder: str, asked: Any, images: tuple[np.ndarray, np.ndarray]) -> None:  # noqa: F811
    x, y = images
    recipe = config({"optimizer": "SGD"}, builder=builder, class_weight=asked)
    training = Training(recipe, Pool(x, y), [FOLD])
    reports = [training.run_epoch() for _ in range(2)]
    assert training.path == ("compiled epoch" if builder == "network" else "fit")
    weights = TABLE if asked == TABLE else compute_class_weight("balanced", classes=np.arange(3), y=y[TRAIN])
    expected, history = fitted(Training(config({"optimizer": "SGD"}, builder=builder), Pool(x, y), [FOLD]), x, y, dict(enumerate(map(float, weights))))
    for name, value in history.items():
        assert reports[-1][name] == pytest.approx(value, rel=2e-4, abs=2e-5), name
    for ours, theirs in zip(weights_of(training), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=2e-5)


def test_what_is_compared_is_not_weighted(images: tuple[np.ndarray, np.ndarray]) -> None:  # noqa: F811
    x, y = images
    training = Training(config(class_weight=(1.0, 50.0, 1.0)), Pool(x, y), [FOLD])
    report = training.run_epoch()
    answers = training.predict(x[VALIDATION])
    assert report["val_loss"] == pytest.approx(-np.mean(np.log(answers[np.arange(len(VALIDATION)), y[VALIDATION]])), rel=1e-4)


def test_row_weights_and_class_weights_are_multiplied(images: tuple[np.ndarray, np.ndarray]) -> None:  # noqa: F811
    x, y = images
    of_rows = np.random.default_rng(2).uniform(0.1, 3, len(y)).astype(np.float32)
    both = Training(config(class_weight=TABLE), Pool(x, y, of_rows), [FOLD])
    alone = Training(config(), Pool(x, y, of_rows * np.array(TABLE, np.float32)[y]), [FOLD])
    assert both.run_epoch()["loss"] == pytest.approx(alone.run_epoch()["loss"], rel=1e-5)


def test_each_fold_is_balanced_by_its_own_rows(images: tuple[np.ndarray, np.ndarray]) -> None:  # noqa: F811
    x, y = images
    order = TRAIN[np.argsort(y[TRAIN], kind="stable")]
    folds = [Fold(order[:70], VALIDATION, (BYTES,)), Fold(order[25:], VALIDATION, (BYTES,))]
    training = Training(config(class_weight="balanced"), Pool(x, y), folds)
    for weights, fold in zip(training._class_weights, folds, strict=True):
        assert weights is not None
        expected = compute_class_weight("balanced", classes=np.unique(y[fold.train]), y=y[fold.train])
        assert weights[np.unique(y[fold.train])] == pytest.approx(expected, rel=1e-6)
    assert training.run_epoch()["loss"] > 0


@pytest.mark.parametrize("form", ["dataset", "sequence", "iterator"])
def test_batches_of_a_pipeline_count_by_their_classes_too(form: str) -> None:
    train, validation = pipelines(form)
    x, y = rows("train")
    recipe = dataclasses.replace(CONFIG, configuration={"optimizer": "SGD"}, class_weight=TABLE)
    piped = Training(recipe, Pool(x, y), [Fold(train, validation, (None,))])
    report = piped.run_epoch()
    model = Training(recipe, Pool(x, y), [Fold(TRAIN, None, (None,))])._runners[0].model
    expected = model.fit(x, y, batch_size=30, shuffle=False, verbose=0, class_weight=dict(enumerate(TABLE)))
    assert report["loss"] == pytest.approx(expected.history["loss"][0], rel=0.02 if form == "sequence" else 1e-4)


def test_a_recipe_with_class_weights_survives_json() -> None:
    for asked in (TABLE, "balanced", None):
        recipe = config(class_weight=asked)
        assert TrainingConfig.from_json(recipe.to_json()) == recipe
