"""The notebooks' networks: their configurations, parameter counts and layers, with real Keras."""

import sys

import pytest

from search_spaces.errors import SearchSpaceError
from search_spaces.network import build
from search_spaces.notebooks import BASELINES, GRID_SEARCH, Baseline
from search_spaces.problem import Problem
from search_spaces.space import key
from search_spaces.spaces import SPACES

NAMES = "dense-512 dense-300-200 dense-500-300-200 mlp-256-dropout mlp-256-l2 small-tanh deep-200x5 tanh-500x3 big-deep big-deep-no-dropout dense-400-100 cnn"


def built(name: str):  # type: ignore[no-untyped-def]
    baseline = BASELINES[name]
    input_shape = (28, 28) if baseline.space == "cnn" else (784,)
    return build(SPACES[baseline.space].builder, baseline.configuration, Problem("classification", input_shape, 10, 469, baseline.epochs))


def test_all_twelve_networks_are_there_and_differ() -> None:
    assert list(BASELINES) == NAMES.split()
    assert len({key(baseline.configuration) for baseline in BASELINES.values()}) == 12


@pytest.mark.parametrize("name", BASELINES)
def test_a_baseline_is_a_configuration_in_the_full_language_of_its_space(name: str) -> None:
    baseline = BASELINES[name]
    assert SPACES[baseline.space].widest().check(baseline.configuration) == baseline.configuration
    assert all(0.9 < score < 1 for score in baseline.published)


@pytest.mark.parametrize("name", BASELINES)
def test_a_baseline_has_the_parameters_that_its_notebook_printed(name: str) -> None:
    # Where a notebook printed none, the sum over its layers by hand.
    by_hand = {"deep-200x5": 319_810, "big-deep": 1_111_460, "big-deep-no-dropout": 1_111_460, "dense-400-100": 355_110, "cnn": 111_210}
    assert built(name).count_params() == (BASELINES[name].parameters or by_hand[name])
    assert (BASELINES[name].parameters is None) == (name in by_hand)


def test_the_cnn_has_the_layers_of_its_notebook() -> None:
    model = built("cnn")
    assert [layer.name for layer in model.layers] == [
        "input",
        "channel",
        *("convolution_1", "activation_1", "pooling_1"),
        *("convolution_2", "activation_2", "dropout_convolution", "pooling_2"),
        *("flatten", "dense", "activation_dense", "dropout", "output"),
    ]
    assert model.get_layer("activation_1").output.shape == (None, 24, 24, 10)
    assert model.get_layer("pooling_2").output.shape == (None, 4, 4, 20)


def test_big_deep_drops_where_its_notebook_drops() -> None:
    dropped = {layer.name: layer.rate for layer in built("big-deep").layers if "dropout" in layer.name}
    assert dropped == {"dropout_input": 0.2, "dropout_1": 0.2, "dropout_4": 0.1, "dropout_7": 0.1}
    assert not [layer for layer in built("big-deep-no-dropout").layers if "dropout" in layer.name]
    assert built("big-deep").get_layer("activation_8").activation.__name__ == "sigmoid"


def test_small_tanh_decays_its_learning_rate_as_keras_then_did() -> None:
    optimizer = built("small-tanh").optimizer
    optimizer.iterations.assign(500_000)
    assert float(optimizer.learning_rate) == pytest.approx(0.001 / (1 + 1e-6 * 500_000))
    assert optimizer.momentum == 0.9


def test_the_grid_search_has_one_configuration_per_optimizer() -> None:
    space = SPACES[GRID_SEARCH.space].narrow(GRID_SEARCH.choices)
    configurations = list(space.grid())
    assert list(space.searched()) == ["optimizer"]
    assert [configuration["optimizer"] for configuration in configurations] == list(GRID_SEARCH.published)
    network = {name: value for name, value in BASELINES["dense-400-100"].configuration.items() if name.startswith(("depth", "width", "activation", "dropout"))}
    assert all(network.items() <= configuration.items() for configuration in configurations)
    assert all(configuration["batch_size"] == 64 for configuration in configurations)


def test_a_baseline_that_its_space_cannot_express_is_refused() -> None:
    with pytest.raises(SearchSpaceError, match="depth: got 11; expected an integer from 1 to 10"):
        Baseline("mlp", {**BASELINES["dense-512"].configuration, "depth": 11}, epochs=1)
    with pytest.raises(SearchSpaceError, match="space: unknown 'rnn'"):
        Baseline("rnn", {}, epochs=1)


def test_the_data_of_the_notebooks_can_be_read_without_keras() -> None:
    import subprocess

    code = "import sys, search_spaces.notebooks; sys.exit('keras' in sys.modules or 'tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
