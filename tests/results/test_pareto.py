"""The front of two objectives."""

from hypothesis import given
from hypothesis import strategies as st

from tuner.results.pareto import front

PAIRS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=12)


def test_front_keeps_what_nothing_beats_in_both() -> None:
    assert front([(3, 1), (1, 3), (2, 2), (2, 3), (3, 3), (1, 3)]) == [1, 2, 0]
    assert front([]) == []


@given(PAIRS)
def test_front_is_what_the_definition_says(pairs: list[tuple[int, int]]) -> None:
    def beaten(pair: tuple[int, int]) -> bool:
        return any(other != pair and other[0] <= pair[0] and other[1] <= pair[1] for other in pairs)

    assert {pairs[position] for position in front(pairs)} == {pair for pair in pairs if not beaten(pair)}
