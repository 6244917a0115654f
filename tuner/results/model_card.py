"""The model card as a page for people: what the model is for, what goes in and comes out, how good it is, how it was chosen, and how to load it.

Owns the words and their order; everything in it stands in `model.json` too. Needs nothing beside the standard library.
"""

from collections.abc import Mapping, Sequence
from typing import Any

CARD_PAGE = "MODEL_CARD.md"
TASKS = {
    "classification": "tells one of {count} classes: {names}",
    "multilabel": "tells which of {count} labels hold: {names}",
    "regression": "predicts {target}",
    "custom": "predicts what its builder alone knows",
}
_SHOWN = 12


def page_of(card: Mapping[str, Any]) -> str:
    """Return a card as Markdown.

    Args:
        card: as `read_card` returns it.
    """
    sweep, data = card.get("sweep") or {}, card["dataset"]
    parts = [f"# {sweep.get('name') or 'Model'}\n\nA Keras network that {_task(card)}."]
    parts.append("## How to use it\n\n" + _loading(card))
    if card.get("inputs"):
        parts.append("## What goes in\n\n" + _inputs(card["inputs"]))
    if card.get("outputs"):
        parts.append("## What comes out\n\n" + _outputs(card))
    parts.append("## How good it is\n\n" + _scores(card))
    parts += [_per_class(card), _exports(card.get("exports") or {})]
    parts.append("## How it was chosen\n\n" + _chosen(card))
    parts.append("## The data\n\n" + _data(data))
    parts.append("## What made it\n\n" + _made(card))
    return "\n\n".join(part for part in parts if part) + "\n"


def _task(card: Mapping[str, Any]) -> str:
    names = card["classes"]
    shown = ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
    target = ", ".join(card["dataset"].get("target") or ()) or "a number"
    return TASKS.get(card["dataset"].get("task", ""), TASKS["custom"]).format(count=len(names), names=shown, target=target)


def _loading(card: Mapping[str, Any]) -> str:
    needs = card.get("needs") or ()
    first = [f"# register these first, by importing the module that defines them: {', '.join(needs)}"] if needs else []
    lines = [*first, "import keras", "", f'model = keras.saving.load_model("{card["model"]}")']
    inputs = card.get("inputs") or []
    if card.get("whole") and inputs:
        lines.append(f"answers = model.predict({_call(card, inputs)})")
        said = "It takes rows as they are in their source: filling, scaling and the lookup of words are inside."
        strings = any(each["dtype"] == "string" for each in inputs)
        said += " Words are arrays of Python strings (`dtype=object`) or tensors." if strings else ""
    else:
        said = "It takes rows that are filled and scaled by the numbers in `model.json`; `tuner predict` does that."
        said += f" Nothing could be put around it: {card['not_whole']}" if card.get("not_whole") else ""
    shell = "```\ntuner predict . new_rows.csv -o predictions.csv\n```"
    return "```python\n" + "\n".join(lines) + f"\n```\n\n{said}\n\n{shell}"


def _call(card: Mapping[str, Any], inputs: Sequence[Mapping[str, Any]]) -> str:
    if any("column" in each or each.get("path") for each in inputs):
        return "{" + ", ".join(f'"{each["name"]}": ...' for each in inputs[:3]) + (", ..." if len(inputs) > 3 else "") + "}"
    return "x"


def _inputs(inputs: Sequence[Mapping[str, Any]]) -> str:
    rows = [[_cell(each["name"]), f"`{each['dtype']}`", " x ".join(map(str, each["shape"])) or "1", _cell(each["says"])] for each in inputs]
    return _table(["input", "type", "shape of a row", "what it takes"], rows)


def _outputs(card: Mapping[str, Any]) -> str:
    outputs = card["outputs"]
    names = outputs.get("columns") or ()
    kind = outputs.get("kind")
    if kind == "values":
        return "Numbers in the target's own units." if card["dataset"].get("task") == "regression" else "What the network gives."
    what = {"probabilities": "A probability for each class", "independent": "A probability for each label by itself"}.get(
        str(kind), "A number for each class, the largest of which wins; they are no probabilities"
    )
    lines = [f"{what}{', in this order: ' if names else ''}{', '.join(names)}."]
    if "threshold" in outputs:
        lines.append(f"{'A label holds' if kind == 'independent' else 'A class is predicted'} from a probability of {outputs['threshold']} on.")
    return " ".join(lines)


def _scores(card: Mapping[str, Any]) -> str:
    over, test = card.get("over_seeds") or {}, card.get("test") or {}
    nothing = test.get("baseline") or {}
    rows = []
    for name, value in card["metrics"].items():
        ends = (test.get("intervals") or {}).get(name)
        within = f"{_number(ends['low'])} to {_number(ends['high'])} ({ends['method']})" if ends else "-"
        mean, spread = (over.get(key, {}).get(name) for key in ("mean", "spread"))
        alike = (nothing.get("scores") or {}).get(name.removeprefix("test_"))
        rows.append([name, _number(value), within, _number(mean), _number(spread), _number(alike)])
    heads = ["metric", "this model", "95 % interval", "mean over seeds", "± over seeds", f"doing nothing ({nothing.get('name', 'not measured')})"]
    openings = len((card.get("sweep") or {}).get("test_openings") or ())
    note = f"On test rows that neither the search nor the training saw; the test split was opened {openings} time{'s' if openings != 1 else ''}."
    return f"{_table(heads, rows)}\n\n{note}"


def _per_class(card: Mapping[str, Any]) -> str:
    test = card.get("test") or {}
    entries = [(entry["class"], entry) for entry in test.get("per_class") or ()]
    entries += [(entry["label"], entry) for entry in (test.get("multi_label") or {}).get("labels") or ()]
    if not entries:
        return ""
    keys = [key for key in ("precision", "recall", "f1", "auc", "support") if any(key in entry for _, entry in entries)]
    return "## Class by class\n\n" + _table(["class", *keys], [[_cell(str(name)), *(_number(entry.get(key)) for key in keys)] for name, entry in entries])


def _exports(exports: Mapping[str, Mapping[str, Any]]) -> str:
    if not exports:
        return ""
    rows = [[f"`{name}`", _cell(each["file"]), f"{each['difference']:.2g}", f"{each['rows']:,}", _cell(each.get("note", ""))] for name, each in exports.items()]
    return "## In other formats\n\n" + _table(["format", "file", "largest difference from model.keras", "rows compared", "note"], rows)


def _chosen(card: Mapping[str, Any]) -> str:
    chosen, sweep = card.get("chosen") or {}, card.get("sweep") or {}
    lines = [f"Trial {sweep.get('trial')}"]
    if chosen:
        lines[0] += f" of {chosen['trials']}, by {chosen['metric']} ({'the larger the better' if chosen['mode'] == 'max' else 'the smaller the better'})"
        if chosen.get("search_score") is not None:
            lines[0] += f": {_number(chosen['search_score'])} in the search"
        fresh = chosen.get("confirmed")
        if fresh:
            ends = f" (95 % interval {_number(fresh['low'])} to {_number(fresh['high'])})" if fresh.get("low") is not None else ""
            lines.append(f"on fresh seeds {_number(fresh['mean'])}{ends}")
    text = ", ".join(lines) + f". Then it was trained anew on train and validation rows together, {card['epochs']} epochs"
    return text + f", on {len((card.get('over_seeds') or {}).get('seeds') or [0])} seeds; this is the model of the first, seed {card['seed']}, not of the best."


def _data(data: Mapping[str, Any]) -> str:
    lines = [f"- source: `{data.get('path') or data.get('source')}`"]
    if data.get("rows"):
        each = ", ".join(f"{_count(data[key])} {name}" for key, name in PARTS.items() if data.get(key))
        lines.append(f"- rows: {data['rows']:,}" + (f" ({each})" if each else ""))
    for key, name in (("content_hash", "sha256 of the content"), ("split_hash", "sha256 of the split")):
        if data.get(key):
            lines.append(f"- {name}: `{data[key]}`")
    if data.get("missing") and data["missing"] != "error":
        lines.append(f"- missing values: {data['missing']}")
    return "\n".join(lines)


PARTS = {"train_rows": "to train on", "validation_rows": "to validate on", "test_rows": "to test on"}


def _count(rows: Any) -> str:
    return " / ".join(f"{each:,}" for each in rows) if isinstance(rows, list) else f"{rows:,}"


def _made(card: Mapping[str, Any]) -> str:
    lines = [f"- builder: `{card['recipe']['builder']}`, {card['parameters']:,} parameters"]
    lines += [f"- {name}: {_cell(str(value))}" for name, value in card["configuration"].items()]
    if card.get("git"):
        lines.append(
            f"- git commit of the user's folder: `{card['git']['commit']}`" + (", with changes that were not committed" if card["git"]["changed"] else "")
        )
    versions = ", ".join(f"{name} {version}" for name, version in (card.get("versions") or {}).items())
    return "\n".join([*lines, *([f"- versions: {versions}"] if versions else [])])


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in (heads, ["---"] * len(heads), *rows))


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _number(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}" if abs(value) < 1000 else f"{value:,.1f}"
