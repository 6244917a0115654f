"""Running a define-by-run builder: on the way to a trial's model, and again and again while its space is sought.

Runs in a trial's process. A builder gets fresh hyperparameters each time, which hold the assigned values and nothing else.
"""

import traceback
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from search_spaces import ranges
from search_spaces.define_by_run import keras_tuner_asks
from search_spaces.define_by_run.asked import Ask, Asked, Run
from search_spaces.define_by_run.optuna_asks import AskedTrial
from search_spaces.define_by_run.styles import HP, is_hypermodel, style_of
from search_spaces.errors import SearchSpaceError
from search_spaces.ranges import Value


@dataclass(frozen=True)
class Difference:
    """How what a builder asked for differs from what it was assigned.

    Attributes:
        found: what it asked for and was not assigned: it got its defaults.
        unasked: names that it was assigned and did not ask for.
    """

    found: tuple[Asked, ...] = ()
    unasked: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON: `found`, each a table as `SearchSpace.describe` has it with its `name`, and `unasked`."""
        found = [{"name": asked.name, **ranges.described(asked.distribution), "default": asked.default} for asked in self.found]
        return {"found": found, "unasked": list(self.unasked)}


def instance_of(builder: Any) -> Any:
    """Return a builder as it is called: an instance where it is the class of a `HyperModel`."""
    return builder() if isinstance(builder, type) and is_hypermodel(builder) else builder


def call(builder: Any, values: Mapping[str, Value], name: str) -> Any:
    """Build one model; `difference_of` tells how what was asked for differs from the configuration.

    Args:
        builder: `build(hp)`, `build(trial)`, a `HyperModel` or its class.
        values: the configuration.
        name: of the builder, for messages.

    Returns:
        What it returned.

    Raises:
        SearchSpaceError: it asked for a name twice in different ways, or its dialect is not installed.
    """
    builder = instance_of(builder)
    if style_of(builder, name) == HP:
        hp = keras_tuner_asks.hyperparameters(values)
        model = (builder.build if is_hypermodel(builder) else builder)(hp)
        asked, _ = keras_tuner_asks.asked_of(hp)
    else:
        hp = None
        trial = AskedTrial(values)
        model = builder(trial)
        asked = list(trial.asked.values())
    names = {each.name for each in asked}
    # What a `fit` of its own asks for, it asks for later.
    later = is_hypermodel(builder) and type(builder).fit is not _plain_fit()
    unasked = () if later else tuple(key for key in values if key not in names)
    _built[id(model)] = _Built(weakref.ref(model), Difference(tuple(each for each in asked if each.name not in values), unasked), hp, builder)
    return model


def pass_on(model: Any, wrapped: Any) -> None:
    """Let what is known of how a model was built be known of the one that it has become a part of.

    Args:
        model: that was built.
        wrapped: the one around it.
    """
    built = _built_of(model)
    if built is not None:
        _built[id(wrapped)] = replace(built, model=weakref.ref(wrapped))


def difference_of(model: Any) -> Difference:
    """Return how what a model's builder asked for differs from the configuration; nothing for one that was built otherwise."""
    built = _built_of(model)
    return Difference() if built is None else built.difference


def own_fit_of(model: Any) -> Callable[..., Any] | None:
    """Return the `fit` that a model's `HyperModel` has written itself; None where it has none.

    It is called as KerasTuner calls it, but for what is known already: `fit(model, x, y, validation_data=..., callbacks=[...], **more)`, and returns a
    History, a number, a dictionary, or a list of these.
    """
    built = _built_of(model)
    if built is None or built.hp is None or not is_hypermodel(built.builder) or type(built.builder).fit is _plain_fit():
        return None
    return partial(built.builder.fit, built.hp)


@dataclass(frozen=True)
class _Built:
    model: "weakref.ref[Any]"
    difference: Difference
    hp: Any
    builder: Any


# By the model's id, as long as it lives: a model says two that are equal by their values, and is no key.
_built: dict[int, _Built] = {}


def _built_of(model: Any) -> _Built | None:
    for key in [key for key, built in _built.items() if built.model() is None]:
        del _built[key]
    built = _built.get(id(model))
    return built if built is not None and built.model() is model else None


def asker(builder: Any, name: str) -> Ask:
    """Return what runs a builder and says what it asked for; its own `fit`, where it has one, is begun as well, on nothing.

    Args:
        builder: as in `call`.
        name: of the builder, for messages.

    Raises:
        SearchSpaceError: it is called in none of the ways that define a space by running.
    """
    style = style_of(builder, name)
    if style not in (HP, "trial"):
        raise SearchSpaceError(f"{name}: takes (configuration, problem); expected (hp) or (trial), or its hyperparameters in the spec")

    def ask(values: Mapping[str, Value]) -> Run:
        import keras

        failed = details = ""
        asked: list[Asked] = []
        dormant: list[Asked] = []
        held: dict[str, Value] = {}
        hp = keras_tuner_asks.hyperparameters(values) if style == HP else None
        trial = None if style == HP else AskedTrial(values)
        try:
            made = instance_of(builder)
            model = (made.build if is_hypermodel(made) else made)(hp if style == HP else trial)
            if is_hypermodel(made) and hp is not None:
                _begin_to_fit(made, hp, model)
        except SearchSpaceError:
            raise
        except Exception as error:
            failed = f"{type(error).__name__}: {error}".splitlines()[0]
            details = _traceback(error)
        if hp is not None:
            asked, dormant = keras_tuner_asks.asked_of(hp)
            held = {each.name: hp.values[each.name] for each in asked}
        elif trial is not None:
            asked, held = list(trial.asked.values()), dict(trial.given)
        keras.backend.clear_session(free_memory=False)
        return Run(tuple(asked), tuple(dormant), held, failed, details)

    return ask


class _Begun(Exception):
    pass


class _NotTrained:
    """Stands for a model in a `fit` that is only asked for its hyperparameters."""

    def __init__(self, model: Any) -> None:
        self._model = model

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        raise _Begun

    def __getattr__(self, name: str) -> Any:
        # Raised by the call, not here: its arguments, which may ask for hyperparameters, are worked out in between.
        return self if name in ("fit", "train_on_batch", "test_on_batch", "predict", "evaluate") else getattr(self._model, name)


def _begin_to_fit(hypermodel: Any, hp: Any, model: Any) -> None:
    """Let an own `fit` ask for what it asks for before it trains. Without data it cannot go further, and need not: what it asks for later joins then."""
    if type(hypermodel).fit is _plain_fit():
        return
    try:
        hypermodel.fit(hp, _NotTrained(model), None, None, validation_data=None, callbacks=[])
    except SearchSpaceError:
        raise
    except Exception:
        pass


def _plain_fit() -> Any:
    import keras_tuner

    return keras_tuner.HyperModel.fit


def _traceback(error: BaseException) -> str:
    """Return the traceback from the builder on."""
    shown = traceback.TracebackException.from_exception(error)
    shown.stack = traceback.StackSummary.from_list([frame for frame in shown.stack if frame.filename != __file__])
    return "".join(shown.format())
