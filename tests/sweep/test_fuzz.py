"""Damaged files, in short: `python -m tests.benchmarks.fuzz` is the long form."""

from pathlib import Path

from tests.benchmarks.fuzz import __main__ as fuzz


def test_damaged_file_gives_an_error_that_names_it_or_the_right_result(tmp_path: Path) -> None:
    counts, found = fuzz.fuzz(tmp_path, 390, seed=3)
    assert not found
    assert all(counts[name, "error"] + counts[name, "right"] > 25 for name, _ in counts)
    assert sum(count for (_, outcome), count in counts.items() if outcome == "error") > 200
