"""The published schema of the JSON report: `tuner report DIR --format json`. Its facts are described in `facts_schema.py`."""

from tuner.report.facts_schema import CONFIGURATION, FACTS
from tuner.report.held_out_schema import INTERVAL
from tuner.report.json_schema import Schema, listing, mapping, number, or_null, table, whole, words

__all__ = ["FACTS", "SCHEMA"]

_TRIAL = table(
    "a trial; see tuner/results/leaderboard.py for units",
    {
        "rank": {"type": ["integer", "null"], "minimum": 1, "description": "1 is the best; null: not ranked"},
        "number": whole("from 0 in the order of creation"),
        "state": {"enum": ["complete", "pruned", "failed", "waiting", "running"]},
        "score": or_null(number("the objective at its best epoch")),
        "best_epoch": or_null(whole("earliest epoch with the best objective", least=1)),
        "epochs": whole("trained"),
        "seconds": or_null(number("s at work")),
        "parameters": or_null(whole("trainable parameters")),
        "seed": or_null({"type": "integer", "description": "seed of its own random draws"}),
        "baseline": or_null(words("the hand-tuned network that it is")),
        "source": or_null(words("how it was proposed")),
        "gain": or_null(number("beyond the best baseline's score; positive is better")),
        "cause": or_null(
            table("why it ended otherwise than at its last epoch", {"kind": words("one word"), "message": words("one line"), "details": words("a traceback")})
        ),
        "started_at": or_null(number("s since the start of the sweep")),
        "worker": or_null(words("where it ran: node, GPU and worker")),
        "pareto": {"type": ["boolean", "null"], "description": "on the front of both objectives; null: there is one objective"},
        "audited": or_null(whole("epoch at which early stopping would have ended it", least=1)),
        "configuration": CONFIGURATION,
        "curves": mapping(listing({"type": ["number", "null"]}, "one value per epoch, from epoch 1"), "metric -> learning curve"),
    },
    needs=("rank", "number", "state", "score", "best_epoch", "epochs", "configuration", "curves"),
)

_BRIEF = or_null(
    table(
        "a trial in brief",
        {
            "trial": whole("number"),
            "name": words("what people call it"),
            "score": number("the objective at its best epoch"),
            "spread": or_null(number("sample standard deviation over the folds")),
            "best_epoch": whole("from 1", least=1),
            "parameters": or_null(whole("trainable")),
        },
    )
)

_SUMMARY = table(
    "the sweep for a hurried reader",
    {
        "name": or_null(words("name of the sweep")),
        "metric": words("what was optimised"),
        "mode": {"enum": ["max", "min"]},
        "trials": whole("all of them"),
        "states": mapping(whole("trials", least=1), "state -> trials"),
        "complete_early": mapping(whole("trials", least=1), "why -> complete trials whose training ended before its last epoch, such as `patience`"),
        "epochs": whole("trained by all trials"),
        "epochs_saved": or_null(whole("left untrained by early stopping")),
        "trial_seconds": or_null(number("s, all trials together")),
        "seconds": or_null(number("s, the whole sweep")),
        "search_ended": or_null(words("why the search came to its end; null: it has not")),
        "best": _BRIEF,
        "winner": or_null(
            table(
                "whom the confirmation on fresh seeds chose; null: there was none, and the best of the search won",
                {
                    "trial": whole("number"),
                    "name": words("what people call it"),
                    "mean": number("of the objective over its fresh seeds"),
                    "low": or_null(number("lower end of its 95 % interval over seeds, which compares trials on the same rows")),
                    "high": or_null(number("upper end")),
                    "interval": or_null(INTERVAL),
                    "runs": whole("fresh seeds"),
                    "near": whole("how many are tied with the first and within one standard error of it, itself included"),
                },
            )
        ),
        "best_baseline": _BRIEF,
        "gain": or_null(number("of the best over the best baseline")),
        "front": or_null(
            table(
                "the Pareto front; null: there is one objective",
                {
                    "trials": whole("on it", least=1),
                    "against": words("what is to be small beside the objective"),
                    "best": _BRIEF,
                    "least": _BRIEF,
                },
            )
        ),
        "test": or_null(
            table(
                "the retrained winner on the test split",
                {
                    "metric": words("name"),
                    "mean": number("over the seeds"),
                    "spread": or_null(number("sample standard deviation over the seeds")),
                    "runs": whole("seeds"),
                    "saved": or_null(number("of the saved model")),
                    "interval": or_null(INTERVAL),
                },
            )
        ),
        "doing_nothing": or_null(
            table(
                "what one answer for every row scores",
                {
                    "name": words("the answer"),
                    "score": or_null(number("the objective on validation rows; null: not known")),
                    "test": or_null(number("the metric of `test` on test rows")),
                },
            )
        ),
        "warnings": listing(words("one sentence or two"), "what should make a reader careful, the gravest first"),
    },
    needs=("metric", "mode", "trials", "states", "epochs", "best", "test", "warnings"),
)

_IMPORTANCES = table(
    "which hyperparameters mattered, by a forest on trials compared in pairs at equal epochs",
    {
        "fit": number("share of the variance of unseen trials that the forest explains, at most 1"),
        "trials": whole("how many took part"),
        "shares": listing(
            table(
                "a hyperparameter",
                {
                    "name": words("its name"),
                    "value": number("rise of the squared error when it is shuffled, as a share of the variance"),
                    "spread": number("sample standard deviation over folds and repetitions"),
                    "active": whole("trials in which it was active"),
                },
                needs=("name", "value"),
            ),
            "the greatest first",
        ),
        "why_not": words("where they could not be measured, the reason; else empty"),
    },
    needs=("fit", "trials", "shares", "why_not"),
)

SCHEMA: Schema = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "$id": "urn:keras-sweep-tuner:report:1",
    "title": "The report of a hyperparameter sweep",
    **table(
        "`tuner report DIR --format json`",
        {
            "schema": {"const": "urn:keras-sweep-tuner:report:1"},
            "summary": _SUMMARY,
            "worth": listing(
                table(
                    "a question",
                    {"question": words("in plain words"), "answer": words("with what it compares and how sure it is")},
                    needs=("question", "answer"),
                ),
                "was it worth it; questions that the facts cannot answer are left out",
            ),
            "importances": _IMPORTANCES,
            "facts": FACTS,
            "trials": listing(_TRIAL, "ranked ones first, by rank; then the others by number"),
        },
        needs=("schema", "summary", "worth", "importances", "facts", "trials"),
    ),
}
