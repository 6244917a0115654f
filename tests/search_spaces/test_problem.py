"""What a builder is told of the data."""

from typing import Any

import pytest

from search_spaces.errors import SearchSpaceError
from search_spaces.problem import Problem


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (("classify", (4,), 2, 1, 1), "task: unknown 'classify'; did you mean 'classification'?"),
        (("regression", (4,), 0, 1, 1), "outputs: got 0; expected at least 1"),
        (("regression", (4, 0), 1, 1, 1), r"input_shape\[1\]: got 0; expected at least 1"),
    ],
)
def test_a_problem_cannot_be_wrong(fields: tuple[Any, ...], message: str) -> None:
    with pytest.raises(SearchSpaceError, match=message.replace("?", r"\?")):
        Problem(*fields)
