"""The HTML report in a real browser: what its script and its style do."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import browser
from tests.report.test_formats import HOSTILE, hostile
from tests.report.test_html import LARGE, Page
from tests.sweeps_made_up import sweep, told_of
from tuner.report.formats import render
from tuner.report.numbers import number
from tuner.report.tables import columns
from tuner.results.leaderboard import Leaderboard


@pytest.fixture(scope="module")
def board() -> Leaderboard:
    return sweep(60)


@pytest.fixture(scope="module")
def window() -> Iterator[browser.Browser]:
    found = browser.find()
    if isinstance(found, str):
        pytest.skip(found)
    opened = browser.Browser(*found)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def saved(board: Leaderboard, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(render(board, "html"), encoding="utf-8")
    return path


def test_the_browser_shows_it_without_errors_or_requests(window: browser.Browser, saved: Path) -> None:
    for dark in (False, True):
        window.open(saved, dark=dark)
        assert window.console() == []
        assert window.requests() == [saved.as_uri()]


def test_it_says_the_same_without_scripts(window: browser.Browser, saved: Path, board: Leaderboard) -> None:
    window.open(saved, scripts=False)
    shown = Page(window.outer_html())
    assert len(shown.tables[0]) == len(board.records) + 1
    assert not [attributes for attributes in shown.of("div") if attributes.get("id") == "controls" and "hidden" not in attributes]
    window.open(saved)
    everything = "while (!document.getElementById('more').hidden) document.querySelector('#more button').click();"
    assert window.run(everything + "return document.querySelectorAll('#trials tbody tr').length") == len(board.records)


def test_columns_sort_both_ways_with_what_is_missing_last(window: browser.Browser, saved: Path, board: Leaderboard) -> None:
    window.open(saved)
    window.run("while (!document.getElementById('more').hidden) document.querySelector('#more button').click()")
    column = [entry.name for entry in columns(board)].index("config.momentum")
    sort = f"document.querySelectorAll('#trials th button')[{column}].click();"
    read = f"return [...document.querySelectorAll('#trials tbody tr')].map(row => row.cells[{column}].textContent)"
    up, down = window.run(sort + read), window.run(sort + read)
    known = [float(value) for value in up if value != "–"]
    assert known == sorted(known) and [float(value) for value in down if value != "–"] == sorted(known, reverse=True)
    assert up[-1] == down[-1] == "–" and 2 < len(known) < len(up)
    assert window.run(f"return document.querySelectorAll('#trials th')[{column}].getAttribute('aria-sort')") == "descending"


def test_the_filter_finds_words_and_states(window: browser.Browser, saved: Path, board: Leaderboard) -> None:
    window.open(saved)
    typed = "const box = document.querySelector('input[type=search]'); box.value = %s; box.dispatchEvent(new Event('input'));"
    read = "return [document.querySelectorAll('#trials tbody tr').length, document.querySelector('[role=status]').textContent]"
    expected = sum("sgd" in record.configuration.values() and "tanh" in record.configuration.values() for record in board.records)
    assert window.run(typed % "'SGD tanh'" + read) == [expected, f"{expected} of 60 trials"]
    failed = sum(record.state == "failed" for record in board.records)
    choose = "const state = document.getElementById('state'); state.value = 'failed'; state.dispatchEvent(new Event('change'));"
    assert window.run(typed % "''" + choose + read) == [failed, f"{failed} of 60 trials"]


def test_a_trial_opens_by_keyboard_and_closes_again(window: browser.Browser, saved: Path, board: Leaderboard) -> None:
    window.open(saved)
    window.run("document.querySelector('#trials button.open').focus()")
    window.press("\ue007")
    said = window.run("const one = document.querySelector('dialog'); return one.open ? one.innerText : ''")
    assert board.best.name in said and number(board.best.score) in said and str(board.best.seed) in said
    assert window.run("return document.querySelectorAll('dialog svg path.line-a').length") >= 2
    window.press("\ue00c")
    assert window.run("return document.querySelector('dialog').open") is False
    assert window.run("return document.activeElement.className") == "open", "the focus returns to where it came from"
    assert window.console() == []


def test_pointing_at_a_mark_names_its_trial_and_marks_it_everywhere(window: browser.Browser, saved: Path, board: Leaderboard) -> None:
    window.open(saved)
    point = (
        f"const mark = document.querySelector('#progress [data-trial=\"{board.best.number}\"]');"
        "mark.dispatchEvent(new PointerEvent('pointermove', {bubbles: true, clientX: 100, clientY: 100}));"
        "return [document.getElementById('tip').textContent, document.querySelectorAll('[data-trial].chosen').length]"
    )
    said, marked = window.run(point)
    assert said.startswith(f"{board.best.name}: {number(board.best.score)}")
    assert marked >= 4


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
def test_no_width_needs_sideways_scrolling(window: browser.Browser, saved: Path, width: int) -> None:
    window.open(saved, width=width, height=800)
    assert window.run("return document.documentElement.scrollWidth") <= width


def test_hostile_names_run_nothing_in_the_browser(window: browser.Browser, tmp_path: Path) -> None:
    target = tmp_path / "hostile.html"
    for name in HOSTILE:
        target.write_text(render(hostile(name), "html", revealing=True), encoding="utf-8")
        window.open(target)
        window.run("window.alert = () => { throw new Error('an alert'); }; document.querySelector('#trials button.open').click()")
        assert window.run("return document.querySelectorAll('dialog script, dialog img').length") == 0
        assert window.console() == [] and window.requests() == [target.as_uri()]


def test_thousands_of_trials_can_be_sorted_and_paged(window: browser.Browser, tmp_path: Path) -> None:
    target = tmp_path / "large.html"
    target.write_text(render(sweep(LARGE), "html"), encoding="utf-8")
    window.open(target)
    rows = "return document.querySelectorAll('#trials tbody tr').length"
    assert window.run(rows) == 25
    assert window.run("document.querySelector('#more button').click();" + rows) == 125
    first = "return document.querySelector('#trials tbody tr').cells[1].textContent"
    assert window.run("document.querySelectorAll('#trials th button')[1].click();" + first) == "0"


def test_views_of_a_figure_are_switched_by_keyboard_and_without_scripts(window: browser.Browser, saved: Path) -> None:
    window.open(saved)
    seen = "return [...document.querySelectorAll('#progress .pane')].map(pane => getComputedStyle(pane).display)"
    assert window.run(seen) == ["block", "none"]
    window.run("document.getElementById('progress-axis-0').focus()")
    window.press("\ue014")
    assert window.run(seen) == ["none", "block"]
    assert "script" not in window.run("return document.querySelector('.switch').innerHTML")


def test_part_of_an_axis_leaves_the_trials_within_it(window: browser.Browser, saved: Path, board: Leaderboard) -> None:
    window.open(saved)
    window.run("document.querySelector('.brush[data-axis=width]').focus()")
    window.press("\ue013")
    said, out, of = window.run(
        "return [document.querySelector('[role=status]').textContent, document.querySelectorAll('.thread.out').length, "
        "document.querySelectorAll('.threads .thread').length]"
    )
    assert 0 < out < of
    shown = window.run("return [...document.querySelectorAll('#trials tbody tr')].map(row => row.cells[1].textContent)")
    assert said == f"{of - out} of 60 trials, by the axes below" and len(shown) == min(25, of - out)
    widths = [board.find(int(trial)).configuration["width"] for trial in shown]
    assert min(widths) > 300, "the upper quarter of a logarithmic axis from 32 to 1,024"
    window.press("\ue00c")
    assert window.run("return document.querySelectorAll('.thread.out').length") == 0


def test_what_is_filtered_and_sorted_is_saved_as_a_table(window: browser.Browser, tmp_path: Path) -> None:
    target = tmp_path / "hostile.html"
    target.write_text(render(hostile("=HYPERLINK(1)"), "html", revealing=True), encoding="utf-8")
    window.open(target)
    window.run("window.saved = []; URL.createObjectURL = (blob) => { blob.text().then((text) => saved.push(text)); return 'data:,'; };")
    window.run("document.getElementById('save').click()")
    lines = window.run("return window.saved")[0].splitlines()
    heads = window.run("return [...document.querySelectorAll('#trials th')].map(head => head.textContent)")
    assert lines[0].split(",")[:4] == heads[:4] and len(lines) == 15
    assert not any(cell.startswith("=") for line in lines for cell in line.split(","))
    assert lines[1].split(",")[0] == "1"


def test_on_a_phone_every_value_of_a_trial_is_on_its_card(window: browser.Browser, saved: Path, board: Leaderboard) -> None:
    window.open(saved, width=390, height=844)
    cells = window.run(
        "return [...document.querySelectorAll('#trials tbody tr:first-child td')].map(cell => [cell.dataset.head, cell.textContent, "
        "cell.getBoundingClientRect().right, getComputedStyle(cell).display])"
    )
    shown = {head: words for head, words, right, display in cells if display != "none" and right <= 390}
    for name in ("width", "learning_rate", "batch_size"):
        assert shown[name]
    assert shown["val_accuracy"] == number(board.best.score)


@pytest.mark.parametrize("kind", ["two classes", "labels", "heads", "targets"])
def test_every_kind_of_targets_fits_every_screen(window: browser.Browser, kind: str, tmp_path: Path) -> None:
    target = tmp_path / "report.html"
    target.write_text(render(told_of(kind), "html"), encoding="utf-8")
    for width in (320, 1280):
        window.open(target, width=width, height=800, dark=width == 320)
        assert window.console() == []
        assert window.run("return document.documentElement.scrollWidth") <= width
