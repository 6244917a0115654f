"""Every fact of a sweep that a report reads, as JSON schema.

This page is the contract between those who record facts (`sweep/facts.py`, `results/held_out.py` and others) and those who show them. `FACTS` may lack any
key, unless it says otherwise, and may hold more: what is not listed is kept, and shown by no format but JSON.
"""

from tuner.report.held_out_schema import BASELINE, INTERVAL, TEST
from tuner.report.json_schema import listing, mapping, number, or_null, table, whole, words

__all__ = ["CONFIGURATION", "FACTS", "INTERVAL"]

_SCORES = mapping(number("its value"), "metric (`test_loss`, `test_accuracy`, ...) -> value")
CONFIGURATION = {"type": "object", "description": "the active hyperparameters: name -> value"}

_FINAL = table(
    "the winner, trained again on train + validation and evaluated once on the test split",
    {
        "trial": whole("number of the trial whose configuration it is"),
        "configuration": CONFIGURATION,
        "epochs": whole("epochs of each run", least=1),
        "parameters": whole("trainable parameters"),
        "runs": listing(
            table("one seed", {"seed": whole("seed"), "metrics": _SCORES, "seconds": number("s, of training")}, needs=("seed", "metrics")), "one per seed"
        ),
        "mean": mapping(number("its mean"), "metric -> mean over the runs"),
        "spread": mapping(or_null(number("its spread")), "metric -> sample standard deviation over the runs; null for one run"),
        "saved_seed": whole("seed of the run whose model was saved"),
        "saved": _SCORES,
        "model": words("file name of the saved model, in the sweep's folder"),
        "layers": listing(
            table("a layer", {"name": words("name"), "type": words("class"), "shape": words("shape of its output"), "parameters": whole("of its own")}),
            "from input to output",
        ),
        "test": TEST,
    },
)

_CONFIRMED = table(
    "one of the best, trained again from scratch on fresh seeds and scored on validation data",
    {
        "trial": whole("number"),
        "search_score": number("the score that the search saw"),
        "epochs": whole("of each run; the best epoch of the search", least=1),
        "runs": listing(number("score of one seed"), "one per fresh seed"),
        "mean": number("mean of the runs"),
        "low": number("lower end of its 95 % interval"),
        "high": number("upper end"),
        "rank_low": whole("best rank that is not excluded", least=1),
        "rank_high": whole("worst rank that is not excluded", least=1),
        "tied": {"type": "boolean", "description": "it cannot be told from the first"},
        "near": {"type": "boolean", "description": "tied, and within one standard error of the first: the smallest of these is the winner"},
        "shrinkage": number("confirmed mean minus search score, signed so that a loss is negative whatever the mode"),
        "chosen": {"type": "boolean", "description": "it is the winner"},
    },
    needs=("trial", "mean"),
)

_FORESEEN = table("where it is expected", {part: number(part) for part in ("low", "middle", "high")}, needs=("low", "middle", "high"))

_STAGE_FORESEEN = table(
    "a stage, or all of them together", {"name": words("its name"), "epochs": _FORESEEN, "seconds": _FORESEEN}, needs=("name", "epochs", "seconds")
)

_FORECAST = table(
    "what the sweep was expected to take, from the first epochs of its own trials",
    {
        "at_s": number("s of searching after which it was made"),
        "measured": whole("trials that it was made from"),
        "waited_s": number("s from the start of the search to that of its first trials"),
        "level": number("chance with which a range is expected to hold, 0.8"),
        "stages": listing(_STAGE_FORESEEN, "in order"),
        "total": _STAGE_FORESEEN,
    },
)

FACTS = table(
    "what is known of the sweep as a whole",
    {
        "tuner": words("version of Tuner"),
        "name": words("name of the sweep"),
        "seed": whole("the sweep's seed"),
        "spec": {"type": "object", "description": "sweep.toml as it was checked, defaults included"},
        "objective": table("what was optimised", {"metric": words("a key of the epoch reports"), "mode": {"enum": ["max", "min"]}}, needs=("metric", "mode")),
        "space": mapping(
            table(
                "a hyperparameter",
                {
                    "low": number("lower end of a range"),
                    "high": number("upper end"),
                    "log": {"type": ["boolean", "null"], "description": "drawn on a logarithmic scale"},
                    "step": {"type": ["number", "null"], "description": "distance of its values; null: any"},
                    "choices": {"type": "array", "description": "its values, where it is a list"},
                    "value": {"description": "its value, where it is fixed"},
                    "default": {"description": "its value in the configuration that is tried first"},
                    "when": {"description": "when it is active; missing or empty: always"},
                    "help": words("what it is"),
                },
            ),
            "name -> hyperparameter, in the space's order",
        ),
        "dataset": table(
            "the data",
            {
                "source": words("where they came from"),
                "content_hash": words("sha256 of the content"),
                "task": words("classification or regression"),
                "split_hash": words("sha256 of the row numbers of every split"),
                "rows": whole("rows in all"),
                "train_rows": listing(whole("rows"), "per fold"),
                "validation_rows": listing(whole("rows"), "per fold"),
                "test_rows": whole("rows of the test split"),
                "test_given": {"type": "boolean", "description": "the data brought their test split"},
                "scaling": words("how inputs are scaled"),
                "classes": or_null(mapping(whole("rows outside the test split"), "class, in the order of the outputs -> rows")),
                "input_shape": listing(whole("size"), "of one example, without the batch axis"),
                "target": {"type": ["array", "string", "null"], "description": "names of the target columns"},
                "baseline": or_null(BASELINE),
                "decisions": listing(
                    table(
                        "how a column or file was taken",
                        {
                            "name": words("the column or file"),
                            "kind": words("what it holds"),
                            "treatment": words("what was made of it"),
                            "why": words("what decided"),
                            "key": words("key of the spec that has it otherwise"),
                        },
                        needs=("name",),
                    ),
                    "what was decided about the data because nobody said otherwise",
                ),
            },
        ),
        "versions": mapping(words("its version"), "package (python, ray, keras, ...) -> version"),
        "builder": words("module:function of what builds the networks"),
        "builder_sources": table(
            "the source of a builder of one's own, as trials were built by it",
            {
                "folder": words("where its copy is kept, in the sweep's folder"),
                "files": mapping(words("sha256"), "file -> hash of its text"),
                "from_trial": whole("number of the first trial that was built by it"),
                "earlier": {"type": "array", "description": "the same of what it was before"},
            },
        ),
        "platform": words("operating system and architecture"),
        "hardware": words("the machine or cluster in words, and what a trial gets of it"),
        "ways": mapping(whole("trials", least=1), "how epochs were run: `compiled epoch`, or `fit` (Keras's own) and why -> trials"),
        "python_warnings": mapping(whole("trials", least=1), "what Python or a package warned of while trials trained -> trials"),
        "forecast": _FORECAST,
        "held": table("what all trials at a time hold", {"cpus": number("CPUs"), "gpus": number("GPUs")}),
        "started_at": words("start of the sweep, ISO 8601"),
        "seconds": number("s, the whole sweep; without it, the stages together"),
        "stages": listing(
            table(
                "a stage",
                {
                    "name": words("search, confirm, retrain, ..."),
                    "seconds": number("s"),
                    "epochs": whole("trained in it"),
                    "cpu_seconds": number("s that CPUs were held for it: their number times its seconds, busy or not"),
                    "gpu_seconds": number("s that GPUs were held for it, likewise"),
                },
                needs=("name",),
            ),
            "in order",
        ),
        "search_ended": words("why the search came to its end, in words"),
        "audit": table(
            "what early stopping cost and saved: trials that it would have stopped, and that ran on to the end by lot",
            {
                "stopped": whole("trials that early stopping ended"),
                "audited": whole("trials that ran on by lot"),
                "better": whole("of those, the ones that ended better than the winner"),
                "interval": listing(number("0 to 1"), "exact 95 % interval for the share of stopped trials that would have beaten the winner"),
                "epochs_saved": whole("epochs that were not trained"),
                "epochs_audited": whole("epochs that the check cost"),
            },
        ),
        "scheduler": table(
            "early stopping",
            {
                "name": words("asha, fifo, ..."),
                "grace_period": whole("epochs that every trial gets"),
                "reduction_factor": number("one of so many goes on at a rung"),
                "milestones": listing(whole("epoch"), "the rungs"),
                "max_epochs": whole("epochs of a trial that nobody stops; without it, `training.max_epochs` of the spec", least=1),
            },
        ),
        "test_openings": listing(table("an opening of the test split", {"at": words("ISO 8601"), "reason": words("why")}), "every one, in order"),
        "earlier_finals": listing(
            table(
                "a final evaluation that another winner has taken the place of",
                {
                    "trial": whole("number"),
                    "epochs": whole("of each run", least=1),
                    "mean": _SCORES,
                    "spread": mapping(or_null(number("its spread")), "metric -> sample standard deviation over the runs"),
                    "saved": _SCORES,
                },
            ),
            "the earliest first",
        ),
        "extensions": listing(
            table("an extension of the budgets", {"at": words("ISO 8601"), "changes": listing(words("key: before -> after"), "what changed")}), "in order"
        ),
        "spec_as_begun": {"type": "object", "description": "the spec that an extended sweep was begun with"},
        "warm_start": table(
            "earlier sweeps whose trials the sampler knew from the start",
            {"sweeps": listing(words("name of its folder"), "in order"), "trials": whole("that it knew")},
        ),
        "baselines": listing(words("name"), "hand-tuned networks that were entered"),
        "confirmed": listing(_CONFIRMED, "the best trials on fresh seeds, best first"),
        "final": _FINAL,
    },
)
