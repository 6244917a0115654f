"""The published schema of the JSON report, and with it of every fact of a sweep that a report reads.

This page is the contract between those who record facts (`sweep.py`, `evaluate.py`) and those who show them. `FACTS` may lack any key, unless it
says otherwise, and may hold more: what is not listed is kept, and shown by no format but JSON.
"""

from typing import Any

Schema = dict[str, Any]


def _text(description: str) -> Schema:
    return {"type": "string", "description": description}


def _number(description: str) -> Schema:
    return {"type": "number", "description": description}


def _whole(description: str, *, least: int = 0) -> Schema:
    return {"type": "integer", "minimum": least, "description": description}


def _list(items: Schema, description: str) -> Schema:
    return {"type": "array", "items": items, "description": description}


def _map(values: Schema, description: str) -> Schema:
    return {"type": "object", "additionalProperties": values, "description": description}


def _table(description: str, properties: dict[str, Schema], *, needs: tuple[str, ...] = ()) -> Schema:
    return {"type": "object", "description": description, "properties": properties, "required": list(needs)}


def _or_null(schema: Schema) -> Schema:
    return {**schema, "type": [schema["type"], "null"]}


_SCORES = _map(_number("its value"), "metric (`test_loss`, `test_accuracy`, ...) -> value")
_CONFIGURATION = {"type": "object", "description": "the active hyperparameters: name -> value"}

_INTERVAL = _table(
    "where the value for new data of the same kind is expected",
    {"low": _number("lower end"), "high": _number("upper end"), "level": _number("coverage, 0.95"), "method": _text("how it was computed, in a few words")},
    needs=("low", "high"),
)

_TEST = _table(
    "what the saved model did on the test split, in detail",
    {
        "classes": _list(_text("a class"), "in the order of the model's outputs"),
        "confusion": _list(_list(_whole("rows"), "by predicted class"), "counts by true class; square, in the order of `classes`"),
        "per_class": _list(
            _table(
                "a class",
                {
                    "class": _text("its name"),
                    "precision": _or_null(_number("0 to 1; null: never predicted")),
                    "recall": _or_null(_number("0 to 1")),
                    "f1": _or_null(_number("0 to 1")),
                    "support": _whole("rows"),
                },
            ),
            "in the order of `classes`",
        ),
        "calibration": _list(
            _table(
                "a bin of predictions",
                {"confidence": _number("mean confidence, 0 to 1"), "accuracy": _number("share that was right, 0 to 1"), "count": _whole("rows")},
            ),
            "bins of the predictions by confidence, the lowest first; empty bins are left out",
        ),
        "mistakes": _list(
            _table(
                "a wrong prediction",
                {
                    "row": _whole("row in the test split"),
                    "truth": _text("true class"),
                    "predicted": _text("predicted class"),
                    "confidence": _number("0 to 1"),
                    "image": {
                        "description": "where the data are images: rows of pixels, each 0 to 255 (grey) or [red, green, blue]; null or missing otherwise",
                        "type": ["array", "null"],
                    },
                },
                needs=("truth", "predicted", "confidence"),
            ),
            "the most confident mistakes, the most confident first; some 24 are enough",
        ),
        "intervals": _map(_INTERVAL, "metric -> interval of the saved model's score; without one, an accuracy gets Wilson's from `confusion`"),
        "scatter": _list(_list(_number("target"), "[truth, predicted]"), "regression: up to 2,000 rows, of the first target"),
        "errors": _map(_number("its value"), "regression: named measures of the residuals (`mean`, `standard deviation`, `worst`, ...)"),
    },
)

_FINAL = _table(
    "the winner, trained again on train + validation and evaluated once on the test split",
    {
        "trial": _whole("number of the trial whose configuration it is"),
        "configuration": _CONFIGURATION,
        "epochs": _whole("epochs of each run", least=1),
        "parameters": _whole("trainable parameters"),
        "runs": _list(
            _table("one seed", {"seed": _whole("seed"), "metrics": _SCORES, "seconds": _number("s, of training")}, needs=("seed", "metrics")), "one per seed"
        ),
        "mean": _map(_number("its mean"), "metric -> mean over the runs"),
        "spread": _map(_or_null(_number("its spread")), "metric -> sample standard deviation over the runs; null for one run"),
        "saved_seed": _whole("seed of the run whose model was saved"),
        "saved": _SCORES,
        "model": _text("file name of the saved model, in the sweep's folder"),
        "layers": _list(
            _table("a layer", {"name": _text("name"), "type": _text("class"), "shape": _text("shape of its output"), "parameters": _whole("of its own")}),
            "from input to output",
        ),
        "test": _TEST,
    },
)

_CONFIRMED = _table(
    "one of the best, trained again from scratch on fresh seeds and scored on validation data",
    {
        "trial": _whole("number"),
        "search_score": _number("the score that the search saw"),
        "epochs": _whole("of each run; the best epoch of the search", least=1),
        "runs": _list(_number("score of one seed"), "one per fresh seed"),
        "mean": _number("mean of the runs"),
        "low": _number("lower end of its 95 % interval"),
        "high": _number("upper end"),
        "rank_low": _whole("best rank that is not excluded", least=1),
        "rank_high": _whole("worst rank that is not excluded", least=1),
        "tied": {"type": "boolean", "description": "it cannot be told from the first"},
        "near": {"type": "boolean", "description": "tied, and within one standard error of the first: the smallest of these is the winner"},
        "shrinkage": _number("confirmed mean minus search score, signed so that a loss is negative whatever the mode"),
        "chosen": {"type": "boolean", "description": "it is the winner"},
    },
    needs=("trial", "mean"),
)

FACTS = _table(
    "what is known of the sweep as a whole",
    {
        "tuner": _text("version of Tuner"),
        "name": _text("name of the sweep"),
        "seed": _whole("the sweep's seed"),
        "spec": {"type": "object", "description": "sweep.toml as it was checked, defaults included"},
        "objective": _table("what was optimised", {"metric": _text("a key of the epoch reports"), "mode": {"enum": ["max", "min"]}}, needs=("metric", "mode")),
        "space": _map(
            _table(
                "a hyperparameter",
                {
                    "low": _number("lower end of a range"),
                    "high": _number("upper end"),
                    "log": {"type": ["boolean", "null"], "description": "drawn on a logarithmic scale"},
                    "step": {"type": ["number", "null"], "description": "distance of its values; null: any"},
                    "choices": {"type": "array", "description": "its values, where it is a list"},
                    "value": {"description": "its value, where it is fixed"},
                    "when": {"description": "when it is active; missing or empty: always"},
                    "help": _text("what it is"),
                },
            ),
            "name -> hyperparameter, in the space's order",
        ),
        "dataset": _table(
            "the data",
            {
                "source": _text("where they came from"),
                "content_hash": _text("sha256 of the content"),
                "task": _text("classification or regression"),
                "split_hash": _text("sha256 of the row numbers of every split"),
                "rows": _whole("rows in all"),
                "train_rows": _list(_whole("rows"), "per fold"),
                "validation_rows": _list(_whole("rows"), "per fold"),
                "test_rows": _whole("rows of the test split"),
                "test_given": {"type": "boolean", "description": "the data brought their test split"},
                "scaling": _text("how inputs are scaled"),
                "classes": _map(_whole("rows outside the test split"), "class, in the order of the outputs -> rows"),
                "input_shape": _list(_whole("size"), "of one example, without the batch axis"),
            },
        ),
        "versions": _map(_text("its version"), "package (python, ray, keras, ...) -> version"),
        "platform": _text("operating system and architecture"),
        "hardware": _text("the machine or cluster in words"),
        "started_at": _text("start of the sweep, ISO 8601"),
        "seconds": _number("s, the whole sweep; without it, the stages together"),
        "stages": _list(
            _table("a stage", {"name": _text("search, confirm, retrain, ..."), "seconds": _number("s"), "epochs": _whole("trained in it")}, needs=("name",)),
            "in order",
        ),
        "search_ended": _text("why the search came to its end, in words"),
        "audit": _table(
            "what early stopping cost and saved: trials that it would have stopped, and that ran on to the end by lot",
            {
                "stopped": _whole("trials that early stopping ended"),
                "audited": _whole("trials that ran on by lot"),
                "better": _whole("of those, the ones that ended better than the winner"),
                "interval": _list(_number("0 to 1"), "exact 95 % interval for the share of stopped trials that would have beaten the winner"),
                "epochs_saved": _whole("epochs that were not trained"),
                "epochs_audited": _whole("epochs that the check cost"),
            },
        ),
        "scheduler": _table(
            "early stopping",
            {
                "name": _text("asha, fifo, ..."),
                "grace_period": _whole("epochs that every trial gets"),
                "reduction_factor": _number("one of so many goes on at a rung"),
                "milestones": _list(_whole("epoch"), "the rungs"),
                "max_epochs": _whole("epochs of a trial that nobody stops; without it, `training.max_epochs` of the spec", least=1),
            },
        ),
        "test_openings": _list(_table("an opening of the test split", {"at": _text("ISO 8601"), "reason": _text("why")}), "every one, in order"),
        "baselines": _list(_text("name"), "hand-tuned networks that were entered"),
        "confirmed": _list(_CONFIRMED, "the best trials on fresh seeds, best first"),
        "final": _FINAL,
    },
)

_TRIAL = _table(
    "a trial; see tuner/leaderboard.py for units",
    {
        "rank": {"type": ["integer", "null"], "minimum": 1, "description": "1 is the best; null: not ranked"},
        "number": _whole("from 0 in the order of creation"),
        "state": {"enum": ["complete", "pruned", "failed", "waiting", "running"]},
        "score": _or_null(_number("the objective at its best epoch")),
        "best_epoch": _or_null(_whole("earliest epoch with the best objective", least=1)),
        "epochs": _whole("trained"),
        "seconds": _or_null(_number("s at work")),
        "parameters": _or_null(_whole("trainable parameters")),
        "seed": _or_null({"type": "integer", "description": "seed of its own random draws"}),
        "baseline": _or_null(_text("the hand-tuned network that it is")),
        "source": _or_null(_text("how it was proposed")),
        "gain": _or_null(_number("beyond the best baseline's score; positive is better")),
        "cause": _or_null(
            _table("why it ended otherwise than at its last epoch", {"kind": _text("one word"), "message": _text("one line"), "details": _text("a traceback")})
        ),
        "started_at": _or_null(_number("s since the start of the sweep")),
        "worker": _or_null(_text("host/slot")),
        "audited": _or_null(_whole("epoch at which early stopping would have ended it", least=1)),
        "configuration": _CONFIGURATION,
        "curves": _map(_list({"type": ["number", "null"]}, "one value per epoch, from epoch 1"), "metric -> learning curve"),
    },
    needs=("rank", "number", "state", "score", "best_epoch", "epochs", "configuration", "curves"),
)

_BRIEF = _or_null(
    _table(
        "a trial in brief",
        {
            "trial": _whole("number"),
            "name": _text("what people call it"),
            "score": _number("the objective at its best epoch"),
            "spread": _or_null(_number("sample standard deviation over the folds")),
            "best_epoch": _whole("from 1", least=1),
            "parameters": _or_null(_whole("trainable")),
        },
    )
)

_SUMMARY = _table(
    "the sweep for a hurried reader",
    {
        "name": _or_null(_text("name of the sweep")),
        "metric": _text("what was optimised"),
        "mode": {"enum": ["max", "min"]},
        "trials": _whole("all of them"),
        "states": _map(_whole("trials", least=1), "state -> trials"),
        "epochs": _whole("trained by all trials"),
        "epochs_saved": _or_null(_whole("left untrained by early stopping")),
        "trial_seconds": _or_null(_number("s, all trials together")),
        "seconds": _or_null(_number("s, the whole sweep")),
        "search_ended": _or_null(_text("why the search came to its end; null: it has not")),
        "best": _BRIEF,
        "winner": _or_null(
            _table(
                "whom the confirmation on fresh seeds chose; null: there was none, and the best of the search won",
                {
                    "trial": _whole("number"),
                    "name": _text("what people call it"),
                    "mean": _number("of the objective over its fresh seeds"),
                    "low": _or_null(_number("lower end of its 95 % interval")),
                    "high": _or_null(_number("upper end")),
                    "runs": _whole("fresh seeds"),
                    "near": _whole("how many are tied with the first and within one standard error of it, itself included"),
                },
            )
        ),
        "best_baseline": _BRIEF,
        "gain": _or_null(_number("of the best over the best baseline")),
        "test": _or_null(
            _table(
                "the retrained winner on the test split",
                {
                    "metric": _text("name"),
                    "mean": _number("over the seeds"),
                    "spread": _or_null(_number("sample standard deviation over the seeds")),
                    "runs": _whole("seeds"),
                    "saved": _or_null(_number("of the saved model")),
                    "interval": _or_null(_INTERVAL),
                },
            )
        ),
        "warnings": _list(_text("one sentence or two"), "what should make a reader careful, the gravest first"),
    },
    needs=("metric", "mode", "trials", "states", "epochs", "best", "test", "warnings"),
)

_IMPORTANCES = _table(
    "which hyperparameters mattered, by a forest on trials compared in pairs at equal epochs",
    {
        "fit": _number("share of the variance of unseen trials that the forest explains, at most 1"),
        "trials": _whole("how many took part"),
        "shares": _list(
            _table(
                "a hyperparameter",
                {
                    "name": _text("its name"),
                    "value": _number("rise of the squared error when it is shuffled, as a share of the variance"),
                    "spread": _number("sample standard deviation over folds and repetitions"),
                    "active": _whole("trials in which it was active"),
                },
                needs=("name", "value"),
            ),
            "the greatest first",
        ),
        "why_not": _text("where they could not be measured, the reason; else empty"),
    },
    needs=("fit", "trials", "shares", "why_not"),
)

SCHEMA: Schema = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "$id": "urn:keras-sweep-tuner:report:1",
    "title": "The report of a hyperparameter sweep",
    **_table(
        "`tuner report DIR --format json`",
        {
            "schema": {"const": "urn:keras-sweep-tuner:report:1"},
            "summary": _SUMMARY,
            "worth": _list(
                _table(
                    "a question",
                    {"question": _text("in plain words"), "answer": _text("with what it compares and how sure it is")},
                    needs=("question", "answer"),
                ),
                "was it worth it; questions that the facts cannot answer are left out",
            ),
            "importances": _IMPORTANCES,
            "facts": FACTS,
            "trials": _list(_TRIAL, "ranked ones first, by rank; then the others by number"),
        },
        needs=("schema", "summary", "worth", "importances", "facts", "trials"),
    ),
}
