"""Which direction is better, for every metric and loss that Keras brings: the one table of it.

A name in an epoch report is a class's own ("AUC"), its alias in snake case ("mean_io_u"), or one of the short names below, with "val_" before it, the name
of an output where there are several ("val_digit_accuracy"), and Keras's "_1", "_2" behind a name that is there twice. Any other name may be anything, and
its direction has to be stated.

Source: the classes of `keras.metrics` and `keras.losses`, Keras 3.15.1; a test holds the table against those of the installed Keras.
"""

import re
from typing import Literal

Mode = Literal["max", "min"]

# None: the name alone does not tell. `Dice` and `Tversky` are losses in Keras, and scores in most people's own metrics of that name; the others are no
# measure of anything until something is put into them.
DIRECTIONS: dict[str, Mode | None] = {
    # metrics
    "AUC": "max",
    "Accuracy": "max",
    "BinaryAccuracy": "max",
    "BinaryIoU": "max",
    "CategoricalAccuracy": "max",
    "ConcordanceCorrelation": "max",
    # As a loss it has the sign turned; a string in `metrics` gives the metric.
    "CosineSimilarity": "max",
    "F1Score": "max",
    "FBetaScore": "max",
    "FalseNegatives": "min",
    "FalsePositives": "min",
    "IoU": "max",
    "LogCoshError": "min",
    "Mean": None,
    "MeanIoU": "max",
    "MeanMetricWrapper": None,
    "Metric": None,
    "OneHotIoU": "max",
    "OneHotMeanIoU": "max",
    "PearsonCorrelation": "max",
    "Precision": "max",
    "PrecisionAtRecall": "max",
    "R2Score": "max",
    "Recall": "max",
    "RecallAtPrecision": "max",
    "RootMeanSquaredError": "min",
    "SensitivityAtSpecificity": "max",
    "SparseCategoricalAccuracy": "max",
    "SparseTopKCategoricalAccuracy": "max",
    "SpecificityAtSensitivity": "max",
    "Sum": None,
    "TopKCategoricalAccuracy": "max",
    "TrueNegatives": "max",
    "TruePositives": "max",
    # losses, most of which are metrics too
    "BinaryCrossentropy": "min",
    "BinaryFocalCrossentropy": "min",
    "CTC": "min",
    "CategoricalCrossentropy": "min",
    "CategoricalFocalCrossentropy": "min",
    "CategoricalGeneralizedCrossEntropy": "min",
    "CategoricalHinge": "min",
    "Circle": "min",
    "Dice": None,
    "Hinge": "min",
    "Huber": "min",
    "KLDivergence": "min",
    "LogCosh": "min",
    "Loss": "min",
    "MeanAbsoluteError": "min",
    "MeanAbsolutePercentageError": "min",
    "MeanSquaredError": "min",
    "MeanSquaredLogarithmicError": "min",
    "Poisson": "min",
    "SparseCategoricalCrossentropy": "min",
    "SquaredHinge": "min",
    "Tversky": None,
}
# What Keras takes as a string besides the names of classes.
SHORT: dict[str, Mode] = {
    "acc": "max",
    "crossentropy": "min",
    "ce": "min",
    "bce": "min",
    "kld": "min",
    "mae": "min",
    "mape": "min",
    "mse": "min",
    "msle": "min",
}
# A name that begins so may be that of a metric turned round, or of something about it, and not that of an output.
TURNED = ("anti", "delta", "diff", "gap", "inverse", "minus", "neg", "negated", "negative", "no", "non", "not", "one", "std", "var", "worst")


def direction_of(metric: str) -> Mode | None:
    """Return the direction of a metric of the epoch reports by its name, such as `val_auc_1`; None where the name does not tell."""
    name = re.sub(r"_\d+$", "", metric.removeprefix("val_"))
    if name.endswith("_loss"):  # of one of several outputs
        return "min"
    mode = _BY_KEY.get(_key(name))
    words = name.split("_")
    if mode is not None or words[0].lower() in TURNED:
        return mode
    # Of one of several outputs: its name, then that of the metric.
    return next((_BY_KEY[_key("_".join(words[at:]))] for at in range(1, len(words)) if _key("_".join(words[at:])) in _BY_KEY), None)


def _key(name: str) -> str:
    return name.replace("_", "").lower()


_BY_KEY = {_key(name): mode for name, mode in (DIRECTIONS | SHORT).items()}
