"""The section on the final model: its test scores with intervals, its mistakes, its layers.

Shows what `evaluate.py` recorded and computes nothing of its own but an interval where none was recorded. Must not know the search.
"""

from collections.abc import Mapping
from typing import Any

from tuner.report import model_figures
from tuner.report.blocks import Material, figures, plain_table
from tuner.report.markup import Markup, element, join
from tuner.report.numbers import MISSING, count, number, scatter, seconds
from tuner.report.summary import interval


def final_model(material: Material) -> Markup | None:
    """Return how the retrained winner did on the test split."""
    final = material.leaderboard.facts.get("final")
    if not final:
        return element("p", "The winner was not retrained, and the test split was not opened.") if material.leaderboard.ranked else None
    test = final.get("test") or {}
    metrics = list(final.get("mean") or {})
    rows = []
    for metric in metrics:
        found = interval(final, metric)
        within = f"{number(found['low'])} to {number(found['high'])} ({found.get('method', 'as evaluated')})" if found else MISSING
        rows.append(
            [metric, number(final["mean"][metric]), scatter((final.get("spread") or {}).get(metric)), number((final.get("saved") or {}).get(metric)), within]
        )
    runs = final.get("runs") or ()
    words = (
        f"Trained again on train and validation together for {count(final['epochs'], 'epoch')}, "
        if final.get("epochs")
        else "Trained again on train and validation together, "
    )
    words += f"on {count(len(runs), 'seed')}, and evaluated on the test split."
    saved = (
        f" The saved model, {final.get('model', 'model.keras')}, is the one of seed {final['saved_seed']}; what follows below is about it."
        if "saved_seed" in final
        else ""
    )
    per_seed = [[str(run["seed"]), *(number(run["metrics"].get(metric)) for metric in metrics), seconds(run.get("seconds"))] for run in runs]
    return join(
        element("p", words + saved),
        plain_table(["metric", "mean over seeds", "± spread", "saved model", "95 % interval of the saved model"], rows, numeric={1, 2, 3, 4}),
        element("details", element("summary", "Every seed"), plain_table(["seed", *metrics, "seconds"], per_seed, numeric=set(range(len(metrics) + 2))))
        if per_seed
        else None,
        figures(model_figures.confusion(test), model_figures.calibration(test), model_figures.scatter(test), model_figures.mistakes(test)),
        _per_class(test),
        _named_numbers("Residuals", test.get("errors") or {}),
        _layers(final),
    )


def _per_class(test: Mapping[str, Any]) -> Markup | None:
    entries = test.get("per_class")
    if not entries:
        return None
    rows = [[entry["class"], *(number(entry.get(key)) for key in ("precision", "recall", "f1", "support"))] for entry in entries]
    return join(element("h3", "Per class"), plain_table(["class", "precision", "recall", "F1", "test rows"], rows, numeric={1, 2, 3, 4}))


def _named_numbers(title: str, values: Mapping[str, Any]) -> Markup | None:
    return (
        join(element("h3", title), plain_table(["measure", "value"], [[name, number(value)] for name, value in values.items()], numeric={1}))
        if values
        else None
    )


def _layers(final: Mapping[str, Any]) -> Markup | None:
    layers = final.get("layers")
    if not layers:
        return None
    rows = [[layer.get("name", ""), layer.get("type", ""), str(layer.get("shape", "")), number(layer.get("parameters"))] for layer in layers]
    total = f"Layers ({final['parameters']:,} trainable parameters)" if final.get("parameters") is not None else "Layers"
    return element("details", element("summary", total), plain_table(["layer", "type", "output", "parameters"], rows, numeric={3}))
