import inspect
import math

import pytest

from tuner.errors import SpecError
from tuner.spec.sweep_spec import check
from tuner.study.directions import DIRECTIONS, direction_of
from tuner.study.objective import Objective

# Names as Keras logs them: the string as it was written, or the alias of a metric's object.
SCORES = """val_auc val_AUC val_auc_1 val_f1_score val_F1Score val_iou val_io_u val_mean_io_u val_MeanIoU val_r2_score val_precision_2 val_cosine_similarity
val_acc accuracy val_sparse_top_k_categorical_accuracy val_recall val_true_positives""".split()  # noqa: SIM905


def test_mode_follows_from_the_name_of_the_metric() -> None:
    assert Objective.of("val_accuracy").mode == "max"
    assert Objective.of("val_loss").mode == "min"
    assert Objective.of("val_mae").mode == "min"
    assert Objective.of("val_loss", "max").mode == "max"


@pytest.mark.parametrize("metric", SCORES)
def test_scores_of_keras_are_maximised_under_every_name_that_they_are_logged_by(metric: str) -> None:
    assert Objective.of(metric).mode == "max"


@pytest.mark.parametrize("metric", ["loss", "val_digit_loss", "val_mse", "val_MAE_1", "val_kl_divergence", "val_root_mean_squared_error", "val_huber"])
def test_losses_of_keras_are_minimised(metric: str) -> None:
    assert Objective.of(metric).mode == "min"


@pytest.mark.parametrize(
    ("metric", "mode"),
    [("val_digit_accuracy", "max"), ("val_sex_auc_1", "max"), ("val_left_eye_mean_absolute_error", "min"), ("val_age_mae", "min"), ("val_age_r2_score", "max")],
)
def test_metrics_of_one_of_several_outputs_have_the_direction_of_their_class(metric: str, mode: str) -> None:
    assert Objective.of(metric).mode == mode


@pytest.mark.parametrize(
    "metric", ["val_auc_pr", "val_dice", "val_mcc", "val_f1", "val_mean", "inaccuracy", "val_accuracy_spread", "val_tversky", "recall_ratio", "val_neg_mae"]
)
def test_direction_that_a_name_does_not_tell_has_to_be_stated(metric: str) -> None:
    with pytest.raises(SpecError, match=rf"objective\.mode: missing; expected 'max' or 'min': '{metric}' is none of Keras's own metrics"):
        Objective.of(metric)
    assert Objective.of(metric, "max").mode == "max"


def test_spec_whose_metric_has_no_direction_is_refused_before_anything_starts() -> None:
    with pytest.raises(SpecError, match=r"^objective\.mode: missing; expected 'max' or 'min': 'val_auc_pr' is none of Keras's own"):
        check({"name": "s", "objective": {"metric": "val_auc_pr"}})
    assert check({"name": "s", "objective": {"metric": "val_auc_pr", "mode": "max"}}).objective_for("classification").mode == "max"
    assert check({"name": "s", "objective": {"metric": "val_AUC"}}).objective_for("classification").mode == "max"


def test_every_metric_and_loss_of_keras_has_its_row() -> None:
    import keras

    public = {name for room in (keras.metrics, keras.losses) for name in dir(room) if inspect.isclass(getattr(room, name))}
    assert public == DIRECTIONS.keys()


def test_strings_that_keras_takes_for_metrics_and_losses_have_a_direction_where_their_class_has() -> None:
    from keras.src import losses, metrics

    taken = {name: found for table in (metrics.ALL_OBJECTS_DICT, losses.ALL_OBJECTS_DICT) for name, found in table.items()}
    unknown = {name for name in taken if direction_of(f"val_{name}") is None}
    assert {taken[name].__name__.lower() for name in unknown} == {"mean", "meanmetricwrapper", "metric", "sum", "dice", "tversky", "lossfunctionwrapper"}


def test_unknown_mode_is_refused_with_the_two_that_exist() -> None:
    with pytest.raises(SpecError, match="got 'up'; expected 'max' or 'min'"):
        Objective("val_loss", "up")


def test_nan_is_never_better() -> None:
    objective = Objective("val_loss", "min")
    assert not objective.better(math.nan, 1.0)
    assert objective.better(1.0, math.nan)
    assert not objective.better(math.nan, math.nan)


@pytest.mark.parametrize(("mode", "epoch"), [("max", 2), ("min", 1)])
def test_best_epoch_is_the_earliest_of_the_best_and_ignores_nan(mode: str, epoch: int) -> None:
    history = {1: 0.1, 2: 0.9, 3: 0.9, 4: math.nan, 5: 0.1}
    assert Objective("m", mode).best_epoch(history) == epoch


def test_best_epoch_of_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="history is empty"):
        Objective("m", "max").best_epoch({})
