"""Networks for tables and for sequences, and what a convolutional network was before it had all of today's hyperparameters."""

from typing import Any

import numpy as np
import pytest

from search_spaces.choice_coverage import branches
from search_spaces.errors import SearchSpaceError
from search_spaces.graph_equality import graphs_equal
from search_spaces.network import build
from search_spaces.problem import ArraySpec, Problem
from search_spaces.spaces import SPACES, as_recorded

TABULAR, SEQUENCE, CNN = SPACES["tabular"], SPACES["sequence"], SPACES["cnn"]
SMALL = {"width": 8, "optimizer": "adam", "schedule": "constant", "regularizer": ["none", "l2"], "activation": ["relu", "glu"]}
STRUCTURE = ("depth", "residual_connections", "batch_normalization", "sequence_layer", "bidirectional", "pooling", "activation", "regularizer")


def problem(shape: tuple[int, ...], *, names: int = 0, task: str = "classification") -> Problem:
    return Problem(task, shape, 3, 10, 5, inputs=ArraySpec(shape, "float32", names))


def configurations(space: Any, **choices: Any) -> list[dict[str, Any]]:
    """Return one configuration at both ends of the ranges for each choice of a space, without those that only say how a network is trained."""
    kept = [branch for branch in branches(space.narrow({**SMALL, **choices})) if branch.name.split(" = ")[0] in STRUCTURE]
    return [dict(each) for branch in kept for each in (branch.largest, branch.smallest)]


@pytest.mark.parametrize("task", ["classification", "multilabel", "regression"])
def test_every_branch_of_the_tabular_space_learns_from_rows_of_numbers(task: str) -> None:
    chosen = configurations(TABULAR, depth={"low": 1, "high": 2})
    assert len(chosen) >= 12
    for configuration in chosen if task == "classification" else chosen[:2]:
        model = build(TABULAR.builder, configuration, problem((4,), task=task))
        assert model(np.ones((2, 4), "float32")).shape == (2, 3)


def test_residual_blocks_that_answer_nothing_leave_their_input_as_it_is() -> None:
    plain = {"residual_connections": True, "batch_normalization": False, "dropout": 0.0, "dropout_input": 0.0, "depth": 3}
    model = build(TABULAR.builder, TABULAR.narrow({**SMALL, **plain, "regularizer": "none"}).default(), problem((4,)))
    for number in (1, 2, 3):
        model.get_layer(f"back_{number}").kernel.assign(np.zeros((8, 8)))
    x = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
    first, last = model.get_layer("projection"), model.get_layer("output")
    expected = np.maximum(x @ first.kernel.numpy() + first.bias.numpy(), 0) @ last.kernel.numpy() + last.bias.numpy()
    powers = np.exp(expected - expected.max(axis=1, keepdims=True))
    np.testing.assert_allclose(model(x), powers / powers.sum(axis=1, keepdims=True), rtol=1e-4)


# Keras 3.15 saves variables by numpy.array(..., copy=False), which numpy 2.4 deprecates for them.
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning")
def test_columns_of_words_are_embedded_and_numbers_normalised_and_the_model_opens_by_itself(tmp_path: Any) -> None:
    import keras

    inputs = {"age": ArraySpec((1,), "int64"), "size": ArraySpec((), "float32"), "colour": ArraySpec((1,), "string")}
    table = Problem("classification", {"age": (1,), "size": (), "colour": (1,)}, 3, 10, 5, inputs=inputs)
    model = build(TABULAR.builder, TABULAR.narrow({**SMALL, "embedding_size": 4}).default(), table)
    colours = np.array([[b"red"], [b"blue"], [b"red"]])
    rows = {"age": np.array([[1], [2], [1]]), "size": np.array([1.0, 2.0, 1.0], "float32"), "colour": colours}
    rows = {name: keras.ops.convert_to_tensor(column) for name, column in rows.items()}
    told = np.asarray(model(rows))
    assert np.array_equal(told[0], told[2]) and not np.allclose(told[0], told[1])
    assert model.get_layer("normalization_numbers").output.shape == (None, 2)
    assert [layer.name for layer in model.layers if layer.name.startswith("embedding")] == ["embedding_2"]
    model.compiled, model.optimizer = False, None  # as Tuner saves models: for inference
    model.save(tmp_path / "model.keras")
    np.testing.assert_allclose(keras.models.load_model(tmp_path / "model.keras")(rows), told, rtol=1e-5)


@pytest.mark.parametrize(("shape", "names"), [((12,), 20), ((12,), 0), ((12, 2), 0), ((3, 2, 2), 0), ((1,), 0)])
def test_every_branch_of_the_sequence_space_reads_names_and_series(shape: tuple[int, ...], names: int) -> None:
    chosen = configurations(SEQUENCE, depth={"low": 1, "high": 2}, attention_heads=2)
    assert len(chosen) >= 20
    x = np.random.default_rng(0).integers(0, names or 2, (2, *shape)).astype("float32")
    for configuration in chosen if names else chosen[::7]:
        model = build(SEQUENCE.builder, configuration, problem(shape, names=names))
        assert model(x).shape == (2, 3)
        assert bool([layer for layer in model.layers if layer.name == "embedding"]) == bool(names)


def test_names_that_nobody_has_seen_share_one_embedding() -> None:
    model = build(SEQUENCE.builder, SEQUENCE.narrow(SMALL).default(), problem((6,), names=5))
    assert model.get_layer("embedding").embeddings.shape == (6, 8)
    told = [np.asarray(model(np.full((1, 6), name, "float32"))) for name in (4, 5, 6, 7000)]
    assert np.array_equal(told[1], told[2]) and np.array_equal(told[1], told[3]) and not np.allclose(told[0], told[1])


def test_an_attention_layer_is_told_the_order_by_its_neighbours() -> None:
    model = build(SEQUENCE.builder, SEQUENCE.narrow({**SMALL, "sequence_layer": "transformer", "pooling": "average"}).default(), problem((6,), names=9))
    assert not np.allclose(model(np.array([[1, 2, 3, 4, 5, 6]], "float32")), model(np.array([[6, 1, 4, 2, 5, 3]], "float32")))


@pytest.mark.parametrize("space", ["tabular", "sequence"])
def test_what_they_are_not_made_for_is_refused_in_one_line(space: str) -> None:
    configuration = SPACES[space].default()
    several = Problem("custom", (4,), {"a": 1, "b": 1}, 10, 5, targets={"a": ArraySpec(()), "b": ArraySpec(())})
    with pytest.raises(SearchSpaceError, match=f"{space}: got targets of the task 'custom', several of them; expected one array in, and a class"):
        build(SPACES[space].builder, configuration, several)
    pictures = Problem("classification", {"image": (4, 4)}, 2, 10, 5, inputs={"image": ArraySpec((4, 4))}, targets=ArraySpec((), "int32"))
    with pytest.raises(SearchSpaceError, match=rf"{space}: got (an input of shape \(4, 4\)|several inputs)"):
        build(SPACES[space].builder, configuration, pictures)


# ---- the convolutional network, deeper, and as older records have it


def test_blocks_are_deeper_add_to_what_they_get_and_change_images_in_training_alone() -> None:
    choices = {"blocks": 2, "convolutions": 2, "residual_connections": True, "augmentation": "shift_and_flip", "filters": 8, "batch_normalization": False}
    model = build(CNN.builder, CNN.narrow(choices).default(), problem((8, 8, 1)))
    names = [layer.name for layer in model.layers]
    assert {"flip", "shift", "convolution_1", "convolution_1_2", "projection_1", "sum_1", "convolution_2_2", "sum_2"} <= set(names)
    x = np.random.default_rng(0).normal(size=(4, 8, 8, 1)).astype("float32")
    assert np.array_equal(model(x, training=False), model(x, training=False))
    assert not np.allclose(model(x, training=True), model(x, training=True))


def test_configuration_of_an_older_record_is_the_network_that_it_was() -> None:
    today = CNN.narrow({"convolutions": 1, "residual_connections": False, "augmentation": "none"}).default()
    older = {name: value for name, value in today.items() if name not in ("convolutions", "residual_connections", "augmentation")}
    assert graphs_equal(build(CNN.builder, today, problem((8, 8))), build(CNN.builder, older, problem((8, 8))))
    recorded = {name: {} for name in CNN.parameters if name not in ("convolutions", "residual_connections", "augmentation")}
    space = as_recorded(CNN, recorded)
    assert space.contains(today) and set(space.searched()) == set(CNN.searched()) - {"convolutions", "residual_connections"}
    assert as_recorded(CNN, CNN.describe()["parameters"]) is CNN
    assert as_recorded(SPACES["mlp"], {"depth": {}}) is SPACES["mlp"]
