"""How texts and times are written for people."""

import pytest

from cluster.wording import duration, one_line


@pytest.mark.parametrize(
    ("said", "line"),
    [
        ("two\nlines\r\n", "two lines"),
        ("\x1b[31mred\x07", "[31mred"),
        ("a\u2028b\tc", "a b c"),
        (ValueError("what\n  arrived"), "what arrived"),
        (KeyError(), "KeyError"),
        ("", ""),
    ],
)
def test_nothing_breaks_out_of_its_line(said: str | BaseException, line: str) -> None:
    assert one_line(said) == line


def test_long_texts_are_cut_where_a_limit_is_given() -> None:
    assert one_line("x" * 400) == "x" * 297 + "..."
    assert one_line("x" * 400, 10) == "x" * 7 + "..."
    assert one_line("x" * 400, None) == "x" * 400


def test_durations_read_as_people_say_them() -> None:
    told = [duration(value) for value in (0.0, 4.21, 9.97, 42.4, 59.97, 192, 3900, 360000, None)]
    assert told == ["0.0 s", "4.2 s", "10 s", "42 s", "1 min 00 s", "3 min 12 s", "1 h 05 min", "100 h 00 min", "–"]
