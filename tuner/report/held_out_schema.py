"""What is recorded of a model's predictions on the test split, as JSON schema: one group of keys for each kind of targets.

`results/figures.py` computes it. Records of older sweeps have fewer keys.
"""

from tuner.report.json_schema import Schema, listing, mapping, number, or_null, table, whole, words

INTERVAL = table(
    "where the value for new data of the same kind is expected",
    {"low": number("lower end"), "high": number("upper end"), "level": number("coverage, 0.95"), "method": words("how it was computed, in a few words")},
    needs=("low", "high"),
)

BASELINE = table(
    "what one answer for every row scores, learned from the training targets alone",
    {"name": words("the answer, in words"), "scores": mapping(number("its value"), "plain name of a metric (`accuracy`, `auc`, `loss`, `mae`, ...) -> value")},
    needs=("name", "scores"),
)

_POINTS = listing(listing(number("0 to 1"), "[across, up]"), "points of the curve, in order")
_ROC = or_null(
    table(
        "receiver operating characteristic: [share of the others that is called positive, share of the positives that is found]; null: a class is missing",
        {"area": number("0 to 1"), "interval": INTERVAL, "points": _POINTS},
        needs=("area", "points"),
    )
)
_PRECISION_RECALL = or_null(
    table("[recall, precision]; null: nothing is positive", {"area": number("average precision, 0 to 1"), "points": _POINTS}, needs=("area", "points"))
)

_TWO_CLASS = table(
    "two classes",
    {
        "positive": words("the class that is called positive"),
        "share": or_null(number("of the rows that are positive")),
        "roc": _ROC,
        "precision_recall": _PRECISION_RECALL,
        "thresholds": listing(
            table(
                "a threshold",
                {
                    "threshold": number("probability from which on a row is called positive"),
                    "precision": or_null(number("0 to 1; null: nothing is called so")),
                    "recall": or_null(number("0 to 1")),
                    "f1": or_null(number("0 to 1")),
                },
            ),
            "the lowest first",
        ),
        "best_threshold": or_null(table("the one with the best F1 on these very rows", {"threshold": number("0 to 1"), "f1": number("0 to 1")})),
    },
)

_MULTI_LABEL = table(
    "labels of which a row may have several, each called from probability 0.5 on",
    {
        "labels": listing(
            table(
                "a label",
                {
                    "label": words("its name"),
                    "support": whole("rows that have it"),
                    "share": or_null(number("of the rows that have it")),
                    **{key: or_null(number("0 to 1")) for key in ("auc", "average_precision", "precision", "recall", "f1")},
                    "roc": _ROC,
                    "precision_recall": _PRECISION_RECALL,
                },
                needs=("label", "support"),
            ),
            "in the order of the outputs; those with most rows have curves",
        ),
        "exact": or_null(number("share of the rows with every label right")),
        "micro_f1": or_null(number("over all labels of all rows")),
        "macro_f1": or_null(number("mean over the labels")),
    },
)

_KINDS: dict[str, Schema] = {
    "rows": whole("test rows"),
    "classes": listing(words("a class"), "in the order of the model's outputs"),
    "confusion": listing(listing(whole("rows"), "by predicted class"), "counts by true class; square, in the order of `classes`"),
    "per_class": listing(
        table(
            "a class",
            {
                "class": words("its name"),
                "precision": or_null(number("0 to 1; null: never predicted")),
                "recall": or_null(number("0 to 1")),
                "f1": or_null(number("0 to 1")),
                "auc": or_null(number("area under the receiver operating characteristic of this class against the others; null: it does not occur")),
                "support": whole("rows"),
            },
        ),
        "in the order of `classes`",
    ),
    "calibration": listing(
        table(
            "a bin of predictions",
            {"confidence": number("mean confidence, 0 to 1"), "accuracy": number("share that was right, 0 to 1"), "count": whole("rows")},
        ),
        "bins of the predictions by confidence, the lowest first; empty bins are left out",
    ),
    "mistakes": listing(
        table(
            "a wrong prediction",
            {
                "row": whole("row in the test split"),
                "truth": words("true class"),
                "predicted": words("predicted class"),
                "confidence": number("0 to 1"),
                "image": {
                    "description": "where the data are images: rows of pixels, each 0 to 255 (grey) or [red, green, blue]; null or missing otherwise",
                    "type": ["array", "null"],
                },
            },
            needs=("truth", "predicted", "confidence"),
        ),
        "the most confident mistakes, the most confident first; some 24 are enough",
    ),
    "intervals": mapping(INTERVAL, "metric -> interval of the saved model's score; without one, an accuracy gets Wilson's from `confusion`"),
    "scatter": listing(listing(number("target"), "[truth, predicted]"), "regression: up to 2,000 rows, of the first target"),
    "errors": mapping(number("its value"), "regression: named measures of the residuals (`mean`, `standard deviation`, `worst`, ...)"),
    "macro_f1": table("mean F1 over the classes", {"value": number("0 to 1"), **INTERVAL["properties"]}, needs=("value",)),
    "no_probabilities": {"type": "boolean", "description": "the outputs are no probabilities (logits): only the predicted classes are known"},
    "two_class": _TWO_CLASS,
    "multi_label": _MULTI_LABEL,
    "targets": listing(
        table(
            "a target",
            {"target": words("its name"), "mae": number("mean absolute error"), "rmse": number("root mean square error"), "r2": or_null(number("at most 1"))},
        ),
        "regression of several targets, such as the steps of a forecast",
    ),
    "groups": listing(
        table(
            "the rows of one true value",
            {"value": number("the target"), "rows": whole("rows"), "quantiles": listing(number("prediction"), "below which 5, 25, 50, 75 and 95 % lie")},
        ),
        "regression whose targets have but a few values",
    ),
    "baseline": BASELINE,
}

TEST = table(
    "what the saved model did on the test split, in detail",
    {**_KINDS, "heads": mapping(table("one head of a model that has several", _KINDS), "name of the head -> what its predictions say")},
)
