"""The HTML report: one file that loads nothing and says everything without scripts."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from importlib.resources import files
from typing import Any

import jsonschema
import pytest

from tests.report.test_formats import HOSTILE, hostile
from tests.sweeps_made_up import changed, sweep
from tuner.report.axes import Scale, focused
from tuner.report.board_section import STATIC_ROWS
from tuner.report.formats import render
from tuner.report.markup import Markup, data_island, element, join, picture
from tuner.report.numbers import number, signed
from tuner.report.schema import SCHEMA
from tuner.report.sections import SECTIONS
from tuner.report.tables import columns
from tuner.results.leaderboard import Leaderboard

STYLE = files("tuner.report").joinpath("style.css").read_text(encoding="utf-8")
SCRIPT = files("tuner.report").joinpath("script.js").read_text(encoding="utf-8")
LARGE = 1500
EMPTY = {"meta", "link", "img", "br", "hr", "input"}


class Page(HTMLParser):
    """A page as a browser without scripts takes it: tags, attributes, table cells and text. Elements that do not fit into each other are an error."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.tables: list[list[list[str]]] = []
        self.raw: dict[str, str] = {}
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert not self._open, self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in EMPTY:
            self._open.append(tag)
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open and self._open.pop() == tag, tag

    def handle_data(self, data: str) -> None:
        inside = self._open[-1] if self._open else ""
        if inside in ("script", "style"):
            self.raw[inside + str(sum(name == inside for name, _ in self.tags))] = data
            return
        self.text += data
        if "td" in self._open or "th" in self._open:
            self.tables[-1][-1][-1] += data

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def board() -> Leaderboard:
    return sweep(60)


@pytest.fixture(scope="module")
def page(board: Leaderboard) -> str:
    return render(board, "html")


@pytest.fixture(scope="module")
def large() -> str:
    return render(sweep(LARGE), "html")


# ---- without a browser


def test_the_page_is_well_formed_and_holds_every_section(page: str) -> None:
    found = Page(page)
    assert [attributes["id"] for attributes in found.of("section")] == [key for key in SECTIONS if key not in ("confirmed", "trade-off")]
    assert {f"#{attributes['id']}" for attributes in found.of("section")} == {attributes["href"] for attributes in found.of("a")} - {None}
    identities = [attributes["id"] for _, attributes in found.tags if "id" in attributes]
    assert len(identities) == len(set(identities))


def test_the_table_without_scripts_has_the_numbers_of_all_other_formats(board: Leaderboard, page: str) -> None:
    head, *rows = Page(page).tables[0]
    told = json.loads(render(board, "json"))["trials"]
    assert len(rows) == len(told)
    assert head == [column.heading for column in columns(board)]
    for row, trial in zip(rows, told, strict=True):
        cells = dict(zip(head, row, strict=True))
        assert cells["rank"] == number(trial["rank"]) and cells["trial"] == str(trial["number"]) and cells["state"] == trial["state"]
        assert cells["val_accuracy"] == number(trial["score"]) and cells["gain"] == signed(trial["gain"])
        assert cells["best epoch"] == number(trial["best_epoch"]) and cells["parameters"] == number(trial["parameters"])


def test_the_summary_stands_first_and_tells_the_test_score_with_its_interval(board: Leaderboard, page: str) -> None:
    said = Page(page).text
    summary = json.loads(render(board, "json"))["summary"]
    start = said.index("Summary", said.index("Reproducibility"))
    first = said[start : said.index("Leaderboard", start)]
    for value in (summary["test"]["mean"], summary["test"]["interval"]["low"], summary["best"]["score"], summary["gain"]):
        assert number(value) in first
    for entry in summary["warnings"]:
        assert entry in first


def test_only_our_own_style_and_script_may_run(page: str) -> None:
    found = Page(page)
    policy = next(attributes["content"] for attributes in found.of("meta") if attributes.get("http-equiv") == "Content-Security-Policy")
    digests = {name: "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for name, text in (("style", STYLE), ("script", SCRIPT))}
    assert policy is not None and policy.split("; ") == [
        "default-src 'none'",
        f"style-src '{digests['style']}'",
        f"script-src '{digests['script']}'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
    ]
    assert found.raw["style1"] == STYLE and SCRIPT in found.raw.values()
    assert not [name for tag, attributes in found.tags for name in attributes if name == "style" or name.startswith("on")]


def test_nothing_is_loaded_from_anywhere(page: str) -> None:
    found = Page(page)
    loading = ("src", "href", "srcset", "action", "data", "xlink:href")
    addresses = [value or "" for _, attributes in found.tags for name, value in attributes.items() if name in loading]
    assert addresses and all(address.startswith(("#", "data:image/png;base64,")) or address == "data:," for address in addresses)
    assert not re.search(r"url\((?!#)|@import", STYLE) and not re.search(r"fetch|XMLHttpRequest|import\(|innerHTML|eval", SCRIPT)


def test_every_picture_has_words_and_every_scrolling_part_can_be_reached_by_keyboard(page: str) -> None:
    found = Page(page)
    pictures = found.of("svg")
    assert len(pictures) >= 10
    assert all(attributes["role"] == "img" and len(attributes["aria-label"] or "") > 30 for attributes in pictures)
    assert found.of("img") and all(attributes["alt"] for attributes in found.of("img"))
    scrolling = [attributes for _, attributes in found.tags if "scroll" in (attributes.get("class") or "").split()]
    assert scrolling and all(attributes["tabindex"] == "0" and attributes["aria-label"] for attributes in scrolling)


def _luminance(color: str) -> float:
    digits = color if len(color) == 7 else "#" + "".join(2 * digit for digit in color[1:])
    channels = [int(digits[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("theme", [0, 1, 2], ids=["light", "dark", "print"])
def test_text_stands_out_from_its_ground(theme: str) -> None:
    block = re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)[theme]
    colors = dict(re.findall(r"--([\w-]+): (#\w+);", block))
    pairs = [(text, ground) for text in ("ink", "muted", "accent") for ground in ("paper", "surface", "raised", "accent-soft")]
    pairs += [("ink", "note"), ("paper", "ink"), ("ink", "hit1"), ("ink", "hit2"), ("paper", "hit4"), ("ink", "miss1"), ("ink", "miss2"), ("paper", "miss4")]
    for text, ground in pairs:
        lighter, darker = sorted((_luminance(colors[text]), _luminance(colors[ground])), reverse=True)
        assert (lighter + 0.05) / (darker + 0.05) >= 4.5, f"{text} on {ground}"
    for shape in ("complete", "pruned", "failed", "baseline", "top1", "top2", "top3", "top4", "top5"):
        lighter, darker = sorted((_luminance(colors[shape]), _luminance(colors["paper"])), reverse=True)
        assert (lighter + 0.05) / (darker + 0.05) >= 3, shape


def test_two_hundred_trials_stay_under_the_limit() -> None:
    assert len(render(sweep(200), "html").encode()) < 500_000


def test_what_was_left_out_of_large_sweeps_is_said(large: str) -> None:
    said = Page(large).text
    assert len(large.encode()) < 900_000
    assert f"the first {STATIC_ROWS:,}; {LARGE - STATIC_ROWS:,} more are shown with scripts on" in said
    assert "Drawn: 200 of" in said and "Drawn: 250 of" in said and "Drawn: 500 of" in said


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_stay_text_in_the_page(name: str) -> None:
    harmless, attacked = Page(render(hostile("harmless"), "html")), Page(render(hostile(name), "html", revealing=True))
    scripts = [attributes for attributes in attacked.of("script")]
    assert len(scripts) == 2 and scripts[0] == {"type": "application/json", "id": "data"} and scripts[1] == {}
    assert [tag for tag, _ in attacked.tags if tag not in ("text", "line", "path", "circle", "rect", "title")] == [
        tag for tag, _ in harmless.tags if tag not in ("text", "line", "path", "circle", "rect", "title")
    ]
    assert {name for _, attributes in attacked.tags for name in attributes} == {name for _, attributes in harmless.tags for name in attributes}


def test_the_same_leaderboard_gives_the_same_page(board: Leaderboard, page: str) -> None:
    assert render(board, "html") == page


def test_confirmed_trials_get_their_table() -> None:
    board = sweep(20)
    first, second = board.ranked[:2]
    winner = {"trial": second.number, "search_score": second.score, "runs": [0.97, 0.98], "mean": 0.975, "low": 0.97, "high": 0.98, "chosen": True}
    confirmed = [
        {**winner, "rank_low": 1, "rank_high": 2},
        {"trial": first.number, "search_score": first.score, "runs": [0.96], "mean": 0.96, "tied": True, "shrinkage": -0.0132},
    ]
    found = Page(render(changed(board, confirmed=confirmed), "html"))
    table = next(table for table in found.tables if "lost since" in table[0])
    assert table[1] == [second.name, "0.9750", "0.9526 to 0.9878", "2", number(second.score), "–", "1 to 2", "winner"]
    assert "An interval holds the luck of the seeds and 359 validation rows." in found.text
    assert table[2][5:] == ["-0.0132", "–", "tied with #1"]


# ---- the parts


def test_what_the_study_knows_of_its_making_is_told() -> None:
    board = sweep(14)
    facts: dict[str, Any] = {
        "extensions": [{"at": "2026-02-01T00:00:00+00:00", "changes": ["search.trials: 14 -> 20"]}],
        "warm_start": {"sweeps": ["before"], "trials": 12},
        "earlier_finals": [{"trial": 3, "epochs": 7, "mean": {"test_accuracy": 0.8125}, "spread": {"test_accuracy": None}, "saved": {"test_accuracy": 0.8125}}],
    }
    board = Leaderboard(board.records, {**board.facts, **facts})
    jsonschema.Draft202012Validator(SCHEMA).validate(json.loads(render(board, "json")))
    said = Page(render(board, "html")).text
    for words in (
        "compiled epoch (57 trials); fit: the builder gave it a train_step of its own (3 trials)",
        "UserWarning: the kernel is larger than the image (2 trials)",
        "12 trials of before",
        "search.trials: 14 -> 20",
        "Earlier winners",
        "0.8125",
    ):
        assert words in said


def test_text_is_escaped_and_markup_is_not() -> None:
    assert element("p", "<b>", Markup("<i>x</i>"), None, ["&", "é"]) == "<p>&lt;b&gt;<i>x</i>&amp;é</p>"
    assert element("td", class_="n", data_trial=3, title='"', hidden=True, skip=None, off=False) == '<td class="n" data-trial="3" title="&quot;" hidden></td>'
    assert element("circle", cx=1.25, r=3.0) == '<circle cx="1.2" r="3"/>'
    assert join("a\x00b\u202e") == "a\ufffdb\ufffd"
    with pytest.raises(TypeError, match="got a int; expected text, markup, None or a list of them"):
        join(3)


def test_a_data_island_cannot_be_ended_from_within() -> None:
    told = data_island("data", {"name": "</script><!--&\u2028\ud800"})
    inside = told.removeprefix('<script type="application/json" id="data">').removesuffix("</script>")
    assert "<" not in inside and "&" not in inside
    assert json.loads(inside) == {"name": "</script><!--&\u2028\ufffd"}


def test_pixels_become_a_png() -> None:
    grey, color = picture([[0, 255], [300, -5]]), picture([[[255, 0, 0], [0, 255, 0]]])
    for address, kind in ((grey, 0), (color, 2)):
        content = base64.b64decode(address.removeprefix("data:image/png;base64,"))
        assert content.startswith(b"\x89PNG\r\n\x1a\n") and content[25] == kind
    with pytest.raises(ValueError, match="differ in length"):
        picture([[1, 2], [3]])


def test_scales_hold_their_values_and_round_their_ticks() -> None:
    scale = Scale.around([1e-5, 1e-1], 0, 100, log=True, room=0)
    assert [label for _, label in scale.ticks()] == ["1e-05", "0.0001", "0.001", "0.01", "0.1"]
    assert scale(1e-3) == pytest.approx(50)
    assert [label for _, label in Scale(0, 1, 0, 100).ticks(5)] == ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]
    assert [label for _, label in Scale(0.5, 3.2, 0, 100).ticks(6, whole=True)] == ["1", "2", "3"]
    assert Scale(0, 1, 0, 100)(5) == 100, "what lies beyond stands at the edge"
    assert Scale.around([], 0, 1)(0.5) == 0.5 and Scale.around([0.3], 0, 1)(0.3) == pytest.approx(0.5)
    with pytest.raises(ValueError, match="expected low < high"):
        Scale(1, 1, 0, 100)


def test_the_axis_gives_its_room_to_the_better_scores() -> None:
    objective = sweep(0).objective
    scores = [0.98, 0.97, 0.975, 0.96] * 5
    assert focused([*scores, 0.1], objective, 0, 100).low > 0.9
    assert focused([*scores[:8], 0.1], objective, 0, 100).low < 0.1, "few scores are all worth their room"
