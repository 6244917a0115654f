"""How a network is trained: batch size, optimizer, learning rate and its schedule, common to every built-in space.

Owns the table of optimizers, the hyperparameters of training and what they become in Keras. Must not know any layer.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from search_spaces.parameter import Condition, Parameter, choice, integer, real

if TYPE_CHECKING:
    import keras

    from search_spaces.problem import Problem


@dataclass(frozen=True)
class Optimizer:
    """One row of the table.

    Attributes:
        keras_class: the class in `keras.optimizers`.
        learning_rate: the name under which `TRAINING` declares its learning rate.
        arguments: the names under which `TRAINING` declares its other hyperparameters.
    """

    keras_class: str
    learning_rate: str
    arguments: tuple[str, ...] = ()


OPTIMIZERS: dict[str, Optimizer] = {
    "sgd": Optimizer("SGD", "learning_rate_sgd", ("momentum", "nesterov")),
    "rmsprop": Optimizer("RMSprop", "learning_rate_adam", ("rho",)),
    "adagrad": Optimizer("Adagrad", "learning_rate_adagrad"),
    "adadelta": Optimizer("Adadelta", "learning_rate_adadelta", ("rho_adadelta",)),
    "adam": Optimizer("Adam", "learning_rate_adam", ("beta_1", "beta_2")),
    "adamw": Optimizer("AdamW", "learning_rate_adam", ("beta_1", "beta_2", "weight_decay")),
    "adamax": Optimizer("Adamax", "learning_rate_adamax", ("beta_1", "beta_2")),
    "nadam": Optimizer("Nadam", "learning_rate_adamax", ("beta_1", "beta_2")),
    "lion": Optimizer("Lion", "learning_rate_lion", ("beta_1", "beta_2_lion", "weight_decay")),
}

SCHEDULES = ("constant", "inverse_time_decay", "exponential", "cosine")

# Any learning rate that float32 can use at all.
_RATES = (1e-10, 100.0)


def _used_by(name: str) -> tuple[Condition, ...]:
    """Return the condition that the optimizer is one of those whose row names this parameter."""
    return (Condition("optimizer", tuple(row for row, optimizer in OPTIMIZERS.items() if name in (optimizer.learning_rate, *optimizer.arguments))),)


def _rate(low: float, high: float, name: str, default: float) -> Parameter:
    # One key for all, so that specs, configurations and reports say learning_rate; a range for each family, because a range wide enough for SGD and
    # Lion alike would spend half of all trials where the optimizer at hand diverges or stands still.
    rate = real(low, high, log=True, limits=_RATES, default=default, when=_used_by(name), help="the learning rate, the highest of its schedule")
    return replace(rate, key="learning_rate")


TRAINING: dict[str, Parameter] = {
    # Below 64 an epoch on a CPU is overhead, not arithmetic; above 512 too few steps are left in a dozen epochs.
    "batch_size": integer(64, 512, log=True, limits=(1, 65536), default=128, help="examples per step"),
    # What the notebooks tuned by hand, and AdamW, whose weight decay does not fight its step sizes. Adamax and Nadam follow Adam closely; Lion, Adagrad and
    # Adadelta lose to it on networks of this kind: a spec can name them.
    "optimizer": choice("adam", "adamw", "rmsprop", "sgd", among=tuple(OPTIMIZERS), default="adam", help="the rule that turns gradients into steps"),
    # Around Keras's default of 1e-3: a third of it is slow in a dozen epochs, ten times it diverges without batch normalisation.
    "learning_rate_adam": _rate(3e-4, 1e-2, "learning_rate_adam", 1e-3),
    # Twice Adam's: both were published with 2e-3. Source: Kingma & Ba 2015; Dozat 2016.
    "learning_rate_adamax": _rate(6e-4, 2e-2, "learning_rate_adamax", 2e-3),
    # With momentum 0.9 a step is ten times the rate: the notebooks' 1e-3 left the network at 0.92, and 0.3 is the edge of stability.
    "learning_rate_sgd": _rate(5e-3, 0.3, "learning_rate_sgd", 0.05),
    # Lion steps by signs, so by the whole rate in every weight: a third to a tenth of Adam's. Source: Chen et al. 2023.
    "learning_rate_lion": _rate(3e-5, 1e-3, "learning_rate_lion", 2e-4),
    # Its steps shrink with the sum of all past gradients; it starts where SGD does.
    "learning_rate_adagrad": _rate(5e-3, 0.3, "learning_rate_adagrad", 0.05),
    # 1 is the rule as published (Zeiler 2012); Keras's default of 1e-3 hardly moves.
    "learning_rate_adadelta": _rate(0.1, 5.0, "learning_rate_adadelta", 1.0),
    # 0.9 is the usual value; less than 0.5 is as good as none, above 0.98 a dozen epochs end before the oscillations do.
    "momentum": real(0.5, 0.98, limits=(0.0, 0.9999), default=0.9, when=_used_by("momentum"), help="the share of the last step that SGD keeps"),
    "nesterov": choice(True, False, default=True, when=_used_by("nesterov"), help="whether SGD looks ahead before it takes the gradient"),
    # Averages of gradients: Keras's defaults, which the learning rate's range is chosen for. They matter little next to it; a spec can open them.
    "rho": real(0.9, 0.9, limits=(0.0, 0.9999), when=_used_by("rho"), help="how slowly the mean of squared gradients forgets"),
    "rho_adadelta": replace(
        real(0.95, 0.95, limits=(0.0, 0.9999), when=_used_by("rho_adadelta"), help="how slowly the means of squares forget"), key="rho"
    ),
    "beta_1": real(0.9, 0.9, limits=(0.0, 0.9999), when=_used_by("beta_1"), help="how slowly the mean gradient forgets"),
    "beta_2": real(0.999, 0.999, limits=(0.0, 0.99999), when=_used_by("beta_2"), help="how slowly the mean of squared gradients forgets"),
    "beta_2_lion": replace(real(0.99, 0.99, limits=(0.0, 0.99999), when=_used_by("beta_2_lion"), help="how slowly the momentum forgets"), key="beta_2"),
    # Weights shrink by rate x decay per step: over 5,000 steps of 1e-3, 1e-3 is nothing and 0.5 a factor of twelve.
    "weight_decay": real(
        1e-3, 0.5, log=True, limits=(0.0, 100.0), default=4e-3, when=_used_by("weight_decay"), help="the share of a weight that a step of rate 1 takes"
    ),
    # Cosine and inverse-time decay end with small steps, which is worth more than any other single choice here; constant is what the notebooks used.
    # Exponential lies between the two: a spec can name it.
    "schedule": choice("constant", "cosine", "inverse_time_decay", among=SCHEDULES, default="cosine", help="how the learning rate falls over the epochs"),
    # Over 5,000 steps: from a fall to two thirds, to a fall to a fiftieth. The notebooks' 1e-6 is as good as constant.
    "decay": real(
        1e-4,
        1e-2,
        log=True,
        limits=(0.0, 1.0),
        default=1e-3,
        when=(Condition("schedule", ("inverse_time_decay",)),),
        help="d in: learning rate / (1 + d x steps so far)",
    ),
    # Small enough for the last epochs to settle; not 0, so that a sweep that is extended beyond its horizon still learns.
    "final_fraction": real(
        0.01,
        0.01,
        log=True,
        limits=(1e-6, 1.0),
        when=(Condition("schedule", ("cosine", "exponential")),),
        help="the learning rate at the last epoch, as a share of the first",
    ),
    # Networks this shallow start well without one, and early stopping compares first epochs, which a warm-up makes look slow.
    "warmup": real(0.0, 0.0, limits=(0.0, 1000.0), help="epochs in which the learning rate rises from 0; the schedule begins after them"),
}


def optimizer_of(configuration: Mapping[str, Any], problem: "Problem") -> "keras.optimizers.Optimizer":
    """Return the optimizer that a configuration describes.

    Args:
        configuration: may come from a user's own space: what it leaves out of `optimizer` (adam), its arguments, `learning_rate`, `schedule` and so
            on is left to Keras.
        problem: its steps are the horizon of the schedule.
    """
    import keras

    row = OPTIMIZERS[configuration.get("optimizer", "adam")]
    keys = {TRAINING[name].key or name for name in row.arguments}
    arguments = {key: configuration[key] for key in sorted(keys) if key in configuration}
    if "learning_rate" in configuration:
        arguments["learning_rate"] = learning_rate_of(configuration, problem)
    return getattr(keras.optimizers, row.keras_class)(**arguments)


def learning_rate_of(configuration: Mapping[str, Any], problem: "Problem") -> Any:
    """Return the learning rate of a configuration: a number where it is constant, else one of Keras's own schedules.

    Keras's own wherever there is one, so that a saved model opens without this package; only a warm-up before inverse-time or exponential decay needs ours.

    Args:
        configuration: hyperparameter -> value, active ones only.
        problem: says how many steps an epoch has, and how many epochs a schedule spans.
    """
    import keras

    peak, kind = configuration["learning_rate"], configuration.get("schedule", "constant")
    warmup_steps = round(configuration.get("warmup", 0.0) * problem.steps_per_epoch)
    steps = max(1, problem.epochs * problem.steps_per_epoch - warmup_steps)
    final = configuration.get("final_fraction", 0.01)
    schedules = keras.optimizers.schedules
    if kind in ("constant", "cosine"):
        if kind == "constant" and not warmup_steps:
            return peak
        if not warmup_steps:
            return schedules.CosineDecay(peak, steps, alpha=final)
        return schedules.CosineDecay(0.0, steps, alpha=1.0 if kind == "constant" else final, warmup_target=peak, warmup_steps=warmup_steps)
    if kind == "inverse_time_decay":
        after = schedules.InverseTimeDecay(peak, decay_steps=1, decay_rate=configuration["decay"])
    else:
        after = schedules.ExponentialDecay(peak, decay_steps=steps, decay_rate=final)
    if not warmup_steps:
        return after
    from search_spaces.warmup import Warmup

    return Warmup(after, warmup_steps)
