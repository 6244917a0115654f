"""The programs of this folder: what each shows, how it is run, and the score by which it is compared with plain Keras."""

from dataclasses import dataclass, field
from typing import Any

CUSTOM = {"task": "custom", "scaling": "none"}
LEAST_LOSS = {"metric": "val_loss", "mode": "min"}


@dataclass(frozen=True)
class Kind:
    """A program.

    Attributes:
        what: it shows, in a few words.
        score: of the test split, as the report names it.
        near: how far Tuner's score and plain Keras's may lie apart: both are of one seed, and their seeds differ.
        dataset: keys of `[dataset]`; without `source`, that is the program's `load`; a path is of what its `write` writes beside the sweep's folder.
        sections: of sweep.toml, instead of the rig's.
        space: what is searched besides the builder; None: the rig's.
    """

    what: str
    score: str
    near: float
    dataset: dict[str, Any] = field(default_factory=dict)
    sections: dict[str, Any] = field(default_factory=dict)
    space: dict[str, Any] | None = None


def _epochs(count: int) -> dict[str, Any]:
    return {"training": {"max_epochs": count}}


KINDS: dict[str, Kind] = {
    "imbalanced": Kind("two classes, one of them rare; AUC", "test_auc", 0.1, sections={"objective": {"metric": "val_auc"}, **_epochs(12)}),
    "labels": Kind("several labels for each row", "test_binary_accuracy", 0.1, sections=_epochs(8)),
    "bags": Kind("several inputs, by name", "test_accuracy", 0.1, sections=_epochs(8)),
    "masks": Kind("a class for every pixel", "test_accuracy", 0.05, sections={"objective": {"metric": "val_accuracy"}, **_epochs(8)}),
    "autoencoder": Kind("a train_step of its own, no targets", "test_error", 1.0, CUSTOM, {"objective": LEAST_LOSS, **_epochs(8)}),
    "siamese": Kind("two inputs, one network, a contrastive loss", "test_loss", 0.1, CUSTOM, {"objective": LEAST_LOSS, **_epochs(6)}),
    "tokens": Kind("whole numbers into an Embedding", "test_accuracy", 0.12, sections=_epochs(20)),
    "windows": Kind("a forecast of several steps, split by time with a gap", "test_mae", 0.2, {"split": "time", "gap": 26}, _epochs(12)),
    "two_heads": Kind(
        "two outputs, weighted losses",
        "test_digit_accuracy",
        0.06,
        {"task": "custom"},
        {"objective": {"metric": "val_digit_accuracy"}, **_epochs(10)},
    ),
    "unfreeze": Kind(
        "pretrained, frozen, then unfrozen: a fit of its own",
        "test_accuracy",
        0.1,
        sections={"training": {"max_epochs": 8, "fit": "unfreeze:fit"}},
    ),
    "pictures": Kind(
        "pictures in folders, augmentation layers",
        "test_accuracy",
        0.15,
        {"source": "images", "path": "pictures"},
        _epochs(15),
    ),
    "columns": Kind(
        "a table with words and holes, keras.utils.FeatureSpace",
        "test_accuracy",
        0.08,
        {
            "source": "table",
            "path": "columns.csv",
            "target": "sold",
            "encode": False,
            "missing": "mean",
            "split": "column",
            "split_column": "part",
            "columns": {"age": "number"},
        },
        _epochs(10),
    ),
    "pipeline": Kind(
        "a tf.data pipeline, confirmed on fresh seeds",
        "test_accuracy",
        0.08,
        {"task": "classification", "classes": list("0123456789")},
        {"evaluation": {"seeds": 1, "confirm_budget": 2.0}, **_epochs(6)},
    ),
}
