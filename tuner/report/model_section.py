"""The section on the final model: its test scores with intervals and beside what doing nothing scores, its mistakes, its layers.

Shows what the evaluation recorded, kind by kind of targets, and nothing else.
"""

from collections.abc import Mapping
from typing import Any

from tuner.report import class_figures, model_figures
from tuner.report.blocks import Material, figures, plain_table
from tuner.report.markup import Markup, element, join
from tuner.report.numbers import MISSING, count, number, percent, scatter, seconds
from tuner.report.scores import interval, plain


def final_model(material: Material) -> Markup | None:
    """Return how the retrained winner did on the test split."""
    final = material.leaderboard.facts.get("final")
    if not final:
        return element("p", "The winner was not retrained, and the test split was not opened.") if material.leaderboard.ranked else None
    test = final.get("test") or {}
    return join(element("p", _how(final, test)), _scores(final), _seeds(final), _parts(test), _layers(final))


def _how(final: Mapping[str, Any], test: Mapping[str, Any]) -> str:
    epochs = f" for {count(final['epochs'], 'epoch')}" if final.get("epochs") else ""
    rows = test.get("rows") or sum(map(sum, test.get("confusion") or ()))
    evaluated = f"evaluated on {count(rows, 'test row')}" if rows else "evaluated on the test split"
    words = f"Trained again on train and validation together{epochs}, on {count(len(final.get('runs') or ()), 'seed')}, and {evaluated}."
    if "saved_seed" in final:
        words += f" The saved model, {final.get('model', 'model.keras')}, is the one of seed {final['saved_seed']}; what follows below is about it."
    return words


def _scores(final: Mapping[str, Any]) -> Markup | None:
    """Return every metric: its mean and spread over the seeds, the saved model's with its interval, and what doing nothing scores."""
    metrics, nothing = list(final.get("mean") or {}), (final.get("test") or {}).get("baseline") or {}
    if not metrics:
        return None
    rows = []
    for metric in metrics:
        ends = interval(final, metric)
        within = f"{number(ends['low'])} to {number(ends['high'])} ({ends.get('method', 'as evaluated')})" if ends else MISSING
        values = number(final["mean"][metric]), scatter((final.get("spread") or {}).get(metric)), number((final.get("saved") or {}).get(metric))
        rows.append([metric, *values, within, number((nothing.get("scores") or {}).get(plain(metric)))])
    heads = ["metric", "mean over seeds", "± spread", "saved model", "95 % interval of the saved model", f"doing nothing ({nothing.get('name')})"]
    shown = range(len(heads) if nothing else len(heads) - 1)
    note = "± is the sample standard deviation over the seeds. The interval says where the score of the saved model lies on new rows of the same kind."
    if any(row[4] == MISSING for row in rows):
        note += " Without one: the metric is no mean over rows that was recorded row by row."
    table = plain_table([heads[place] for place in shown], [[row[place] for place in shown] for row in rows], numeric=set(range(1, len(heads))))
    return join(table, element("p", note, class_="quiet"))


def _seeds(final: Mapping[str, Any]) -> Markup | None:
    metrics = list(final.get("mean") or {})
    rows = [[str(run["seed"]), *(number(run["metrics"].get(metric)) for metric in metrics), seconds(run.get("seconds"))] for run in final.get("runs") or ()]
    if not rows:
        return None
    table = plain_table(["seed", *metrics, "seconds"], rows, numeric=set(range(len(metrics) + 2)))
    return element("details", element("summary", "Every seed"), table)


def _parts(test: Mapping[str, Any]) -> Markup | None:
    """Return what was recorded for the kinds of targets that there are; of several heads, each under its name."""
    two, labels = test.get("two_class") or {}, (test.get("multi_label") or {}).get("labels") or ()
    positive = str(two.get("positive", "1"))
    roc = two.get("roc") or {}
    ends = roc.get("interval")
    areas = {positive: f"{number(roc['area'])} (95 % interval {number(ends['low'])} to {number(ends['high'])})"} if ends else None
    frequent = sorted(labels, key=lambda entry: -entry["support"])
    unsure = "The network's outputs are no probabilities (logits, perhaps), so nothing is said of how sure it was." if test.get("no_probabilities") else None
    heads = [join(element("h3", f"Head {name}"), _parts(head)) for name, head in (test.get("heads") or {}).items()]
    return join(
        element("p", unsure, class_="quiet") if unsure else None,
        figures(
            class_figures.confusion(test),
            model_figures.operating({positive: two.get("roc")}, areas=areas) if two else None,
            model_figures.precision_recall({positive: two.get("precision_recall")}, share=two.get("share")) if two else None,
            model_figures.thresholds(two) if two else None,
            class_figures.calibration(test),
            model_figures.operating({entry["label"]: entry["roc"] for entry in frequent if entry.get("roc")}),
            model_figures.precision_recall({entry["label"]: entry["precision_recall"] for entry in frequent if entry.get("precision_recall")}),
            model_figures.scatter(test),
            class_figures.mistakes(test),
        ),
        _per_class(test),
        _per_label(test.get("multi_label") or {}),
        _per_target(test),
        _named_numbers("Residuals", test.get("errors") or {}),
        heads,
    )


def _per_class(test: Mapping[str, Any]) -> Markup | None:
    entries = test.get("per_class")
    if not entries:
        return None
    total = sum(entry.get("support") or 0 for entry in entries)
    heads, keys = ["class", "precision", "recall", "F1", "area (ROC)"], ["precision", "recall", "f1", "auc"]
    if not any("auc" in entry for entry in entries):
        heads, keys = heads[:-1], keys[:-1]
    rows = [[entry["class"], *(number(entry.get(key)) for key in keys), _of(entry.get("support"), total)] for entry in entries]
    return join(
        element("h3", "Per class"),
        plain_table([*heads, "test rows"], rows, numeric=set(range(1, len(heads) + 1))),
        _macro(test.get("macro_f1")),
    )


def _of(rows: int | None, total: int) -> str:
    return MISSING if rows is None else f"{rows:,} ({percent(rows / total)})" if total else f"{rows:,}"


def _macro(score: Mapping[str, Any] | None) -> Markup | None:
    if not score:
        return None
    within = f"95 % interval {number(score['low'])} to {number(score['high'])}, {score['method']}"
    return element("p", f"Mean F1 over the classes: {number(score['value'])} ({within}). A dash: the class was never predicted.", class_="quiet")


def _per_label(multi_label: Mapping[str, Any]) -> Markup | None:
    entries = multi_label.get("labels")
    if not entries:
        return None
    keys = ("auc", "average_precision", "precision", "recall", "f1")
    rows = [[entry["label"], *(number(entry.get(key)) for key in keys), f"{entry['support']:,} ({percent(entry.get('share'))})"] for entry in entries]
    over = [("rows with every label right", "exact"), ("F1 over all labels (micro)", "micro_f1"), ("mean F1 of the labels (macro)", "macro_f1")]
    words = "; ".join(f"{name} {number(multi_label[key])}" for name, key in over if multi_label.get(key) is not None)
    heads = ["label", "area (ROC)", "average precision", "precision", "recall", "F1", "test rows that have it"]
    note = element("p", f"Called from probability 0.5 on. {words[:1].upper()}{words[1:]}.", class_="quiet")
    return join(element("h3", "Per label"), plain_table(heads, rows, numeric=set(range(1, len(heads)))), note)


def _per_target(test: Mapping[str, Any]) -> Markup | None:
    entries = test.get("targets")
    if not entries:
        return None
    rows = [[entry["target"], *(number(entry.get(key)) for key in ("mae", "rmse", "r2"))] for entry in entries]
    return join(element("h3", "Per target"), plain_table(["target", "mean absolute error", "root mean square error", "R2"], rows, numeric={1, 2, 3}))


def _named_numbers(title: str, values: Mapping[str, Any]) -> Markup | None:
    if not values:
        return None
    table = plain_table(["measure", "value"], [[name, number(value)] for name, value in values.items()], numeric={1})
    return join(element("h3", title), table)


def _layers(final: Mapping[str, Any]) -> Markup | None:
    layers = final.get("layers")
    if not layers:
        return None
    rows = [[layer.get("name", ""), layer.get("type", ""), str(layer.get("shape", "")), number(layer.get("parameters"))] for layer in layers]
    total = f"Layers ({final['parameters']:,} trainable parameters)" if final.get("parameters") is not None else "Layers"
    return element("details", element("summary", total), plain_table(["layer", "type", "output", "parameters"], rows, numeric={3}))
