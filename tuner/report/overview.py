"""The section that a report begins with: the number that counts, what it stands against, what to be careful of, and the winner."""

from collections.abc import Mapping
from typing import Any

from tuner.report.blocks import Material
from tuner.report.markup import Markup, element, join
from tuner.report.numbers import count, duration, number, scatter, setting, signed
from tuner.report.scoreline import scoreline
from tuner.report.summary import ends_in_words
from tuner.report.tables import better
from tuner.results.leaderboard import TrialRecord


def overview(material: Material) -> Markup:
    """Return the number that counts beside the others, the warnings, the winner's configuration and what the sweep took."""
    summary, leaderboard = material.summary, material.leaderboard
    warnings = summary["warnings"]
    notes = (
        element("aside", element("h3", "Before you rely on this"), element("ul", [element("li", text) for text in warnings]), class_="notes")
        if warnings
        else None
    )
    winner = leaderboard.winner if leaderboard.ranked else None
    stands = scoreline(material)
    counts = _counts(summary)
    top = element("div", counts, stands, class_="top") if counts and stands else join(counts, stands)
    return join(top, notes, _winner(winner) if winner else None, element("div", _tiles(summary), class_="tiles"))


def _counts(summary: Mapping[str, Any]) -> Markup | None:
    """Return the one score that counts: on test data, else on fresh seeds, else of the search; with its interval, and what doing nothing would score."""
    test, winner, best, nothing = summary["test"], summary["winner"], summary["best"], summary["doing_nothing"]
    if test:
        name, value, ends = test["metric"].replace("_", " "), test["mean"], test["interval"]
        how = f"mean of {count(test['runs'], 'seed')}" + (f" ± {scatter(test['spread'])} from seed to seed" if test["spread"] is not None else "")
        how += "; on data that the search never saw"
        within = (
            f"{100 * ends.get('level', 0.95):.0f} % interval {number(ends['low'])} to {number(ends['high'])} for the saved model on new rows" if ends else None
        )
        within = within or "no interval: it is no mean over rows that was recorded row by row"
        without = nothing["test"] if nothing else None
    elif winner:
        name, value = f"confirmed {summary['metric']}", winner["mean"]
        how = f"mean of {count(winner['runs'], 'fresh seed')} of {winner['name']}, on validation data; there is no test score"
        ends = winner["interval"]
        within = f"95 % interval {number(ends['low'])} to {number(ends['high'])}: {ends['method']}" if ends else None
        without = nothing["score"] if nothing else None
    elif best:
        name, value, within = f"best {summary['metric']}", best["score"], None
        how = f"{best['name']}, the best of {count(summary['trials'], 'trial')} on validation data: partly luck"
        how += f"; ± {scatter(best['spread'])} over the folds" if best["spread"] is not None else ""
        without = nothing["score"] if nothing else None
    else:
        return None
    beside = f"Doing nothing ({nothing['name']}) scores {number(without)}." if nothing and without is not None else None
    return element(
        "div",
        element("p", name, class_="label"),
        element("p", number(value), class_="figure"),
        element("p", within) if within else None,
        element("p", beside, class_="strong") if beside else None,
        element("p", f"{how}. {better(summary['mode']).capitalize()}." if not test else f"{how}.", class_="quiet"),
        class_="counts",
    )


def _tiles(summary: Mapping[str, Any]) -> list[Markup]:
    tiles = []
    if baseline := summary["best_baseline"]:
        tiles.append(_tile("gain over hand-tuning", signed(summary["gain"]), f"over {baseline['name']}, {number(baseline['score'])}; positive is better"))
    tiles.append(_tile("trials", f"{summary['trials']:,}", ends_in_words(summary)))
    saved = f"{summary['epochs_saved']:,} more saved by early stopping" if summary["epochs_saved"] else "trained in all trials"
    tiles.append(_tile("epochs", f"{summary['epochs']:,}", saved))
    if summary["seconds"] is not None:
        work = f"{duration(summary['trial_seconds'])} of work in the trials" if summary["trial_seconds"] is not None else ""
        tiles.append(_tile("time", duration(summary["seconds"]), work))
    return tiles


def _tile(label: str, value: str, small: str) -> Markup:
    return element("div", element("p", label, class_="label"), element("p", value, class_="value"), element("p", small, class_="small"), class_="tile")


def _winner(record: TrialRecord) -> Markup:
    size = f", {record.parameters:,} parameters" if record.parameters is not None else ""
    items = [element("div", element("dt", name), element("dd", setting(value))) for name, value in record.configuration.items()]
    return element(
        "div",
        element("h3", f"The winner: {record.name}, epoch {record.best_epoch}{size}"),
        element("dl", items, class_="settings"),
        class_="winner",
    )
