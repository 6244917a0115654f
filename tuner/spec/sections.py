"""The sections of a spec that no single room owns: what is searched, what trials are compared by, how they train, what happens to the best."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from search_spaces.metrics import LOSSES, METRICS, loss_key, metric_key
from search_spaces.spaces import SPACES
from tuner.training import class_weight

# The keys of [training] that name a function of the user's own.
FUNCTIONS = ("fit", "callbacks")


class SpaceSection(BaseModel):
    """`[space]`: what is searched. Every other key narrows a hyperparameter: a table is a range, a list a choice, a bare value fixed."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    name: str | None = Field(None, description=f"A space that comes with Tuner: {', '.join(SPACES)}.")
    builder: str | None = Field(None, description='Your own network instead: "my_module:build_model", beside the spec or among the installed packages.')
    define_by_run: bool | None = Field(
        None,
        description="Whether the builder asks for its hyperparameters itself while it runs: build(hp) with KerasTuner's HyperParameters, or build(trial) with "
        "Optuna's suggest. Its space is then found by running it; keys of this section narrow it. none: by the name of the builder's parameter.",
    )


class ObjectiveSection(BaseModel):
    """`[objective]`: what trials are compared by."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    metric: str | None = Field(
        None,
        description="A metric of the epoch reports. none: val_accuracy for classification, val_loss for regression, where 1 is as good as always answering "
        "with the mean.",
    )
    mode: Literal["max", "min"] | None = Field(None, description="Which direction is better. none: by the name of one of Keras's own metrics.")


class TrainingSection(BaseModel):
    """`[training]`: how a trial trains."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    max_epochs: int = Field(20, ge=1, le=100_000, description="Epochs of a trial that is never stopped; learning-rate schedules span as many.")
    patience: int | None = Field(
        None,
        ge=1,
        description="A trial ends where so many epochs, one after another, brought no better objective than the best before them. It is complete, its cause is "
        "patience, and its kept state has the weights of its best epoch. Confirming and retraining take as many epochs as that was. none: it runs to its end.",
    )
    deterministic: bool = Field(False, description="TensorFlow's deterministic operations: the same bits again for the same seed, 6-10 % slower on a CPU.")
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = Field("float32", description="Keras's dtype policy for the networks.")
    loss: str | None = Field(
        None,
        description=f"What networks learn by, where their builder does not compile them: {', '.join(LOSSES)}. none: crossentropy for classes and labels, the "
        "mean squared error for numbers.",
    )
    metrics: list[str] | None = Field(
        None,
        description=f"What networks are judged by besides, where their builder does not compile them: {', '.join(METRICS)}. Each stands in the reports under "
        "the name that is written here, and with val_ before it may be the objective. For two classes AUC, precision, recall and F1 are of the second one; for "
        "more, precision and recall are over all classes together, and F1 is the mean of the classes' own. none: accuracy, binary_accuracy or mae.",
    )
    class_weight: str | dict[str, float] | None = Field(
        None,
        description='How much a row counts in training by its class: "balanced" (each class as much as any other in all; of each fold\'s training rows), or a '
        "table of weights by the classes' names or numbers, { yes = 5, no = 1 }; a class that is not there has 1. Weights of rows are multiplied by it. "
        "val_loss, by which networks are compared, is without it. none: every row counts the same.",
    )
    fit: str | None = Field(
        None,
        description='How networks train instead of Tuner\'s epochs: "my_module:fit", a function of (model, data, epochs, callbacks) beside the spec; see '
        "tuner/training/README.md. An interrupted trial is then begun again.",
    )
    callbacks: str | None = Field(
        None,
        description='"my_module:callbacks", a function beside the spec that returns a list of keras.callbacks.Callback for each training. Those that listen to '
        "batches make Keras's fit train. An interrupted trial goes on, and its callbacks begin anew.",
    )
    epoch_timeout_s: float | None = Field(
        None, gt=0, description="Seconds after which an epoch is hung and its process ended. none: 20 times the median epoch of the sweep, at least 60."
    )

    checkpoint_gb: float = Field(
        20.0,
        gt=0,
        description="Disk for the states of trials, in GB. The 3 best and the trials that may go on keep theirs; where that is too much, those that rank worst "
        "lose theirs first, and begin again if they are interrupted.",
    )

    @field_validator("class_weight", mode="before")
    @classmethod
    def _by_words(cls, weights: Any) -> Any:
        return {str(name): weight for name, weight in weights.items()} if isinstance(weights, dict) else weights  # numbers, as programs have them

    @field_validator("class_weight")
    @classmethod
    def _are_weights(cls, weights: str | dict[str, float] | None) -> Any:
        return None if weights is None else class_weight.checked(weights)

    @field_validator("loss")
    @classmethod
    def _is_a_loss(cls, loss: str | None) -> str | None:
        if loss is not None:
            loss_key(loss)
        return loss

    @field_validator("metrics")
    @classmethod
    def _are_metrics(cls, metrics: list[str] | None) -> list[str] | None:
        keys = [metric_key(name) for name in metrics or ()]
        for name, key in zip(metrics or (), keys, strict=True):
            if keys.count(key) > 1:
                raise ValueError(f"{name!r} stands there twice; expected each metric once")
        return metrics


class EvaluationSection(BaseModel):
    """`[evaluation]`: what happens to the best configuration after the search."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    seeds: int = Field(3, ge=1, le=100, description="How often the best is retrained, each time on a fresh seed, for the mean and spread of its test score.")
    enabled: bool = Field(True, description="false: search only; the test split stays sealed.")
    confirm: int = Field(
        5,
        ge=0,
        le=100,
        description="How many of the best are trained again on 2 to 5 fresh seeds each, on the training rows, before the winner is chosen by their "
        "validation scores; of those within one standard error of the first, the smallest network wins. 0 or 1: the best of the search wins.",
    )
    confirm_budget: float = Field(
        0.5,
        gt=0,
        le=100,
        description="What confirming may cost at most, as a share of the epochs that the search trained. Where that is not 2 seeds for each of the best, "
        "fewer are confirmed; where it is not 2 seeds for two of them, none is, and the sweep says so.",
    )
