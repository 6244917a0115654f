"""The built-in networks, their optimizers and schedules, and a user's own builder, with real Keras on tiny shapes."""

import sys
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest

from search_spaces.errors import SearchSpaceError
from search_spaces.layers import ACTIVATIONS
from search_spaces.network import batch_size, build, find
from search_spaces.optimizers import OPTIMIZERS, SCHEDULES, learning_rate_of, optimizer_of
from search_spaces.problem import Problem
from search_spaces.spaces import SPACES

MLP, CNN = SPACES["mlp"], SPACES["cnn"]
IMAGES = Problem("classification", (8, 8), 3, steps_per_epoch=10, epochs=5)
TABLE = Problem("regression", (4,), 2, steps_per_epoch=10, epochs=5)


@pytest.fixture(scope="module")
def keras() -> Any:
    import keras

    return keras


def configuration(space: Any, **choices: object) -> dict[str, Any]:
    """Return a random configuration of a space that is narrowed to some choices."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return space.narrow(choices).suggest(optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0)).ask())


def small(**choices: object) -> dict[str, Any]:
    """Return a small, plain configuration of the MLP with some choices of one's own."""
    plain = {"depth": 2, "dropout_input": 0.0, "batch_normalization": False, "regularizer": "none", "optimizer": "adam", "schedule": "constant"}
    if choices.get("layers", "same") == "same":
        plain |= {"width": 6, "activation": "relu", "dropout": 0.0}
    return configuration(MLP, **{**plain, **choices})


def names(model: Any) -> list[str]:
    return [layer.name for layer in model.layers if layer.name != "input"]


def weights(model: Any) -> list[np.ndarray]:
    return [weight.numpy() for weight in model.trainable_weights]


def rates(configured: dict[str, Any], steps: list[int]) -> list[float]:
    """Return the learning rates at some steps."""
    rate = learning_rate_of(configured, IMAGES)
    return [float(rate(step)) if callable(rate) else rate for step in steps]


# ---- tables against Keras


def test_activations_are_all_that_keras_knows_by_name_and_that_need_no_argument(keras: Any) -> None:
    known = {name for name in dir(keras.activations) if name[0] != "_"} - {"get", "serialize", "deserialize", "threshold"}
    assert set(ACTIVATIONS) == known
    with pytest.raises(TypeError):
        keras.activations.threshold(np.ones((1, 2), "float32"))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_builds_and_gives_out_the_width_that_was_asked_for(keras: Any, activation: str) -> None:
    model = build(MLP.builder, small(activation=activation, width=5), IMAGES)
    assert [model.get_layer(name).input.shape for name in ("hidden_2", "output")] == [(None, 5), (None, 5)]
    assert np.isfinite(model(np.full((2, 8, 8), 0.5, "float32"))).all()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_gets_its_own_hyperparameters_and_takes_a_step(keras: Any, name: str) -> None:
    configured = configuration(MLP, optimizer=name, depth=1, width=4, schedule="constant")
    model = build(MLP.builder, configured, TABLE)
    assert type(model.optimizer).__name__ == OPTIMIZERS[name].keras_class
    settings = model.optimizer.get_config()
    arguments = set(configured) & {"momentum", "nesterov", "rho", "beta_1", "beta_2", "weight_decay"}
    assert len(arguments) == len(OPTIMIZERS[name].arguments)
    for argument in (*arguments, "learning_rate"):
        assert settings[argument] == pytest.approx(configured[argument], rel=1e-6)
    before = weights(model)
    model.run_eagerly = True  # one step is not worth a compilation
    model.train_on_batch(np.ones((4, 4), "float32"), np.ones((4, 2), "float32"))
    assert any((after != old).any() for after, old in zip(weights(model), before, strict=True))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_fixed_hyperparameters_of_an_optimizer_are_keras_defaults(keras: Any, name: str) -> None:
    default = getattr(keras.optimizers, OPTIMIZERS[name].keras_class)().get_config()
    configured = configuration(MLP, optimizer=name)
    for argument in {"rho", "beta_1", "beta_2"} & set(configured):
        assert configured[argument] == default[argument]


# ---- learning rates


def test_a_constant_rate_is_a_number_and_the_other_schedules_are_keras_own(keras: Any) -> None:
    assert learning_rate_of(small(learning_rate=0.01), IMAGES) == 0.01
    for schedule, expected in [("cosine", "CosineDecay"), ("exponential", "ExponentialDecay"), ("inverse_time_decay", "InverseTimeDecay")]:
        rate = learning_rate_of(small(schedule=schedule), IMAGES)
        assert type(rate) is getattr(keras.optimizers.schedules, expected)


def test_schedules_fall_from_the_rate_as_their_hyperparameters_say(keras: Any) -> None:
    steps = [0, 25, 50]
    assert rates(small(schedule="cosine", learning_rate=0.1, final_fraction=0.1), steps) == pytest.approx([0.1, 0.055, 0.01])
    assert rates(small(schedule="exponential", learning_rate=0.1, final_fraction=0.01), steps) == pytest.approx([0.1, 0.01, 0.001])
    assert rates(small(schedule="inverse_time_decay", learning_rate=0.1, decay=0.02), steps) == pytest.approx([0.1, 0.1 / 1.5, 0.05])


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_warm_up_rises_to_the_rate_and_every_schedule_begins_after_it(keras: Any, schedule: str) -> None:
    found = rates(small(schedule=schedule, learning_rate=0.1, warmup=1.5), [0, 6, 15, 50])
    assert found[:3] == pytest.approx([0.0, 0.04, 0.1])
    plain = {"constant": 0.1, "cosine": 0.001, "exponential": 0.001}
    assert found[3] == pytest.approx(plain.get(schedule, found[3]))
    assert found[3] < 0.1 or schedule == "constant"


# Keras 3.15 saves variables by numpy.array(..., copy=False), which numpy 2.4 deprecates for them.
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning")
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_model_with_a_warm_up_opens_again_with_the_same_rates(keras: Any, schedule: str, tmp_path: Path) -> None:
    model = build(MLP.builder, small(schedule=schedule, warmup=1.0), IMAGES)
    model.optimizer.build(model.trainable_variables)
    model.save(tmp_path / "model.keras")
    opened = keras.models.load_model(tmp_path / "model.keras")
    for step in (0, 5, 10, 30):
        model.optimizer.iterations.assign(step)
        opened.optimizer.iterations.assign(step)
        assert float(opened.optimizer.learning_rate) == float(model.optimizer.learning_rate)


def test_a_space_that_leaves_training_open_gets_adam_as_keras_has_it(keras: Any) -> None:
    assert type(optimizer_of({}, IMAGES)) is keras.optimizers.Adam
    settings = optimizer_of({"optimizer": "sgd", "learning_rate": 0.3, "units": 3}, IMAGES).get_config()
    assert (settings["learning_rate"], settings["momentum"]) == (pytest.approx(0.3), 0.0)
    assert batch_size({}) == 128 and batch_size({"batch_size": 7}) == 7


# ---- the MLP


def test_the_mlp_stacks_what_the_configuration_says_in_this_order(keras: Any) -> None:
    model = build(MLP.builder, small(batch_normalization=True, dropout=0.25, dropout_input=0.1, depth=1), IMAGES)
    assert names(model) == ["flatten", "dropout_input", "hidden_1", "normalization_1", "activation_1", "dropout_1", "output"]
    assert (model.get_layer("dropout_input").rate, model.get_layer("dropout_1").rate) == (0.1, 0.25)
    assert not model.get_layer("hidden_1").use_bias


def test_layers_of_their_own_have_their_own_width_activation_and_dropout(keras: Any) -> None:
    layers = {"width_1": 7, "activation_1": "tanh", "dropout_1": 0.0, "width_2": 5, "activation_2": "relu", "dropout_2": 0.5}
    model = build(MLP.builder, small(layers="each", **layers), TABLE)
    assert names(model) == ["hidden_1", "activation_1", "hidden_2", "activation_2", "dropout_2", "output"]
    assert [model.get_layer(f"hidden_{number}").units for number in (1, 2)] == [7, 5]
    assert model.get_layer("activation_1").activation is keras.activations.tanh


@pytest.mark.parametrize(("regularizer", "l1", "l2"), [("l1", 0.5, 0.0), ("l2", 0.0, 0.25), ("l1_l2", 0.5, 0.25)])
def test_penalties_fall_on_the_kernels_of_hidden_layers_only(keras: Any, regularizer: str, l1: float, l2: float) -> None:
    factors = {name: value for name, value in (("l1", l1), ("l2", l2)) if value}
    model = build(MLP.builder, small(regularizer=regularizer, **factors), TABLE)
    kernels = [model.get_layer(f"hidden_{number}").kernel.numpy() for number in (1, 2)]
    assert float(sum(model.losses)) == pytest.approx(sum(l1 * abs(kernel).sum() + l2 * (kernel**2).sum() for kernel in kernels), rel=1e-5)


def test_a_network_is_compiled_for_its_task(keras: Any) -> None:
    classifier = build(MLP.builder, small(), IMAGES)
    assert (classifier.loss, classifier.output_shape) == ("sparse_categorical_crossentropy", (None, 3))
    assert np.allclose(np.sum(classifier(np.ones((2, 8, 8), "float32")), axis=1), 1)
    scores = classifier.evaluate(np.ones((4, 8, 8), "float32"), np.zeros(4, "int32"), verbose=0, return_dict=True)
    assert set(scores) == {"loss", "accuracy"}
    regressor = build(MLP.builder, small(), TABLE)
    assert regressor.loss == "mean_squared_error" and regressor.get_layer("output").activation is keras.activations.linear
    assert set(regressor.evaluate(np.ones((4, 4), "float32"), np.zeros((4, 2), "float32"), verbose=0, return_dict=True)) == {"loss", "mae"}


def test_the_caller_seeds_the_weights(keras: Any) -> None:
    def kernel(seed: int) -> np.ndarray:
        keras.utils.set_random_seed(seed)
        return build(MLP.builder, small(), TABLE).get_layer("hidden_1").kernel.numpy()

    assert (kernel(1) == kernel(1)).all()
    assert (kernel(1) != kernel(2)).any()


def test_the_output_stays_float32_in_mixed_precision(keras: Any) -> None:
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = build(MLP.builder, small(), TABLE)
        assert model.get_layer("hidden_1").compute_dtype == "bfloat16"
        assert model.get_layer("output").compute_dtype == "float32"
    finally:
        keras.config.set_dtype_policy("float32")


def test_an_mlp_learns_what_is_easy(keras: Any) -> None:
    keras.utils.set_random_seed(0)
    labels = np.arange(120, dtype="int32") % 3
    x = np.eye(64, dtype="float32")[labels * 7].reshape(-1, 8, 8)
    model = build(MLP.builder, small(width=16, learning_rate=0.01, schedule="cosine", warmup=0.5), IMAGES)
    model.fit(x, labels, batch_size=12, epochs=5, verbose=0)
    assert model.evaluate(x, labels, verbose=0, return_dict=True)["accuracy"] == 1.0


# ---- the convolutional network


def test_the_cnn_halves_the_image_and_multiplies_the_filters_block_by_block(keras: Any) -> None:
    choices = {"blocks": 2, "convolutions": 1, "residual_connections": False}
    choices |= {"filters": 3, "kernel_size": 3, "width": 5, "batch_normalization": True, "dropout_convolution": 0.2, "dropout": 0.3}
    model = build(CNN.builder, configuration(CNN, regularizer="none", **choices), IMAGES)
    block = ["convolution_{0}", "normalization_{0}", "activation_{0}"]
    first, second = ([name.format(number) for name in block] for number in (1, 2))
    dense = ["dense", "normalization_dense", "activation_dense", "dropout"]
    assert names(model) == ["channel", *first, "pooling_1", *second, "dropout_convolution", "pooling_2", "flatten", *dense, "output"]
    assert model.get_layer("activation_1").output.shape == (None, 8, 8, 3)
    assert model.get_layer("activation_2").output.shape == (None, 4, 4, 6)


@pytest.mark.parametrize("activation", ["glu", "relu"])
def test_the_cnn_takes_colour_images_without_pooling_and_averages_too(keras: Any, activation: str) -> None:
    colour = Problem("classification", (8, 8, 3), 4, steps_per_epoch=1, epochs=1)
    model = build(CNN.builder, configuration(CNN, blocks=2, filters=2, width=4, pooling="none", activation=activation), colour)
    assert model.get_layer("convolution_2").input.shape == (None, 8, 8, 2)
    assert model.get_layer("flatten").input.shape == (None, 8, 8, 4)
    averaged = build(CNN.builder, configuration(CNN, blocks=1, filters=2, width=4, pooling="average"), colour)
    assert type(averaged.get_layer("pooling_1")) is keras.layers.AveragePooling2D


def test_every_default_depth_of_the_cnn_fits_any_image(keras: Any) -> None:
    tiny = Problem("classification", (2, 3), 2, steps_per_epoch=1, epochs=1)
    assert build(CNN.builder, configuration(CNN, blocks=3, filters=8, width=32), tiny).output_shape == (None, 2)


def test_the_cnn_refuses_what_is_no_image_and_images_too_small(keras: Any) -> None:
    with pytest.raises(SearchSpaceError, match=r"cnn: got examples of shape \(4,\); expected images"):
        build(CNN.builder, configuration(CNN), TABLE)
    with pytest.raises(SearchSpaceError, match="block 2 gets images of 2 x 2 and needs 6 x 6; use fewer blocks or padding = 'same'"):
        build(CNN.builder, configuration(CNN, blocks=2, convolutions=1, padding="valid", kernel_size=5), IMAGES)


# ---- a user's own builder

MODULE = """
import keras

class Own(keras.Model):
    def __init__(self, units):
        super().__init__()
        self.dense = keras.layers.Dense(units)

    def call(self, x):
        return self.dense(x)

def plain(configuration, problem):
    return keras.Sequential([keras.Input(problem.input_shape), keras.layers.Dense(configuration["units"])])

def unbuilt(configuration, problem):
    return keras.Sequential([keras.layers.Dense(configuration["units"])])

def subclassed(configuration, problem):
    return Own(configuration["units"])

def compiled(configuration, problem):
    model = plain(configuration, problem)
    model.compile(optimizer="rmsprop", loss="mae")
    return model

def other_input(configuration, problem):
    return keras.Sequential([keras.Input((9,)), keras.layers.Dense(2)])

def any_length(configuration, problem):
    return keras.Sequential([keras.Input((None, 4)), keras.layers.GlobalAveragePooling1D(), keras.layers.Dense(2)])

def nothing(configuration, problem):
    return None

if True:
    conditional = plain
NUMBER = 3
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "own_network.py").write_text(MODULE)
    (tmp_path / "needy_network.py").write_text("import a_package_that_is_not_there\ndef build(c, p): ...\n")
    (tmp_path / "broken_network.py").write_text("def build(:\n")
    (tmp_path / "folder_network").mkdir()
    (tmp_path / "folder_network" / "inner.py").write_text("from own_network import *\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "own_network", raising=False)
    return tmp_path


@pytest.mark.parametrize("function", ["plain", "unbuilt", "subclassed"])
def test_an_uncompiled_model_of_any_kind_gets_the_optimizer_of_the_configuration(keras: Any, own: Path, function: str) -> None:
    model = build(f"own_network:{function}", {"units": 2, "optimizer": "lion", "learning_rate": 0.25}, TABLE)
    assert type(model.optimizer) is keras.optimizers.Lion
    assert float(model.optimizer.learning_rate) == 0.25
    assert model.loss == "mean_squared_error" and model.count_params() == 10


def test_a_compiled_model_keeps_its_optimizer_and_loss(keras: Any, own: Path) -> None:
    model = build("own_network:compiled", {"units": 2, "optimizer": "lion"}, TABLE)
    assert (type(model.optimizer), model.loss) == (keras.optimizers.RMSprop, "mae")


def test_a_model_that_takes_inputs_of_any_length_fits(keras: Any, own: Path) -> None:
    assert build("own_network:any_length", {}, Problem("regression", (6, 4), 2, steps_per_epoch=1, epochs=1)).output_shape == (None, 2)


@pytest.mark.parametrize(
    ("builder", "message"),
    [
        ("own_network:nothing", "own_network:nothing: returned NoneType; expected a keras.Model"),
        ("own_network:plian", "own_network:plian: 'own_network' has no function 'plian'; did you mean 'plain'?"),
        ("own_network:NUMBER", "own_network:NUMBER: 'own_network' has no function 'NUMBER'"),
        ("own_netwrok:plain", "own_netwrok:plain: there is no module 'own_netwrok'; expected it beside sweep.toml"),
        ("folder_network.outer:build", "there is no module 'folder_network.outer'"),
        ("own_network", "builder: got 'own_network'; expected 'module:function'"),
        ("own_network:plain", "own_network:plain: the model maps (None, 4) to (None, 3); expected (None, 4) to (None, 2)"),
        ("own_network:subclassed", "own_network:subclassed: the model maps (None, 4) to (None, 3); expected (None, 4) to (None, 2)"),
        ("own_network:other_input", "own_network:other_input: the model maps (None, 9) to (None, 2); expected (None, 4) to (None, 2)"),
    ],
)
def test_a_builder_that_does_not_fit_says_what_is_wrong(keras: Any, own: Path, builder: str, message: str) -> None:
    with pytest.raises(SearchSpaceError) as caught:
        build(builder, {"units": 3}, TABLE)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_a_module_that_the_builder_needs_is_not_taken_for_a_misspelt_builder(keras: Any, own: Path) -> None:
    with pytest.raises(ModuleNotFoundError, match="a_package_that_is_not_there"):
        build("needy_network:build", {}, TABLE)


def test_find_reads_the_builder_without_running_it(own: Path) -> None:
    assert find("needy_network:build", [own]) == own / "needy_network.py"
    assert find("own_network:conditional") == own / "own_network.py"
    assert find("folder_network.inner:whatever", [own]) == own / "folder_network" / "inner.py"
    assert "needy_network" not in sys.modules
    for space in SPACES.values():
        assert find(space.builder).name == f"{space.name}.py"


def test_find_knows_modules_that_an_import_hook_brings_as_editable_installs_do(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Hook:
        @staticmethod
        def find_spec(name: str, path: object = None, target: object = None) -> ModuleSpec | None:
            return spec_from_file_location("hooked_network", own / "own_network.py") if name == "hooked_network" else None

    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Hook])
    assert find("hooked_network:plain") == own / "own_network.py"


@pytest.mark.parametrize(
    ("builder", "message"),
    [
        ("own_network:plian", "own_network:plian: 'own_network' has no 'plian'; did you mean 'plain'?"),
        ("own_netwrok:plain", "own_netwrok:plain: there is no module 'own_netwrok'; expected it in "),
        ("own_network.inner:plain", "there is no module 'own_network.inner'"),
        ("broken_network:build", "is not Python (invalid syntax"),
        ("math:sqrt", "math:sqrt: 'math' has no source; expected a Python file"),
        ("own network:plain", "builder: got 'own network:plain'; expected 'module:function'"),
    ],
)
def test_find_says_what_is_wrong_with_a_builder(own: Path, builder: str, message: str) -> None:
    with pytest.raises(SearchSpaceError) as caught:
        find(builder, [own])
    assert message in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "whose"), [("random", "Python's own"), ("cluster", "one that every trial imports"), ("numpy", "one that every trial imports")]
)
def test_file_with_a_name_that_is_taken_is_refused_before_anything_starts(tmp_path: Path, name: str, whose: str) -> None:
    (tmp_path / f"{name}.py").write_text("def build(configuration, problem):\n    pass\n")
    with pytest.raises(SearchSpaceError, match=f"the name '{name}' is taken by a module that is {whose}; give your file another name"):
        find(f"{name}:build", (str(tmp_path),))


def test_names_of_our_own_that_no_file_of_the_users_takes_are_found() -> None:
    assert find("search_spaces.mlp:build_model").name == "mlp.py"
