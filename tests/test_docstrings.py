"""The counter of what docstrings leave unsaid (docstrings.py) sees it; how much may be left is in test_architecture.py."""

from collections.abc import Callable
from pathlib import Path

from tests.docstrings import Function, arguments_unsaid, arrays_unsaid, functions, raises_unsaid

SAMPLE = '''
class Base:
    def add(self, x, n): "Add."

class Sum(Base):
    """A sum.

    Attributes:
        x: what.
    """
    def __init__(self, x, n):
        raise ValueError("told by nobody")
    def add(self, x, n): "Its class's base explains it."
    def _private(self, x, n): "Nobody asks."

@cli.command()
def run(spec, seed): "Run."

def good(x: np.ndarray, n: int) -> np.ndarray:
    """Do it.

    Args:
        x: rows, `(n, 3)` float32,
            and more on a second line.
        n: how many.

    Returns:
        As many, `(n,)` int64.

    Raises:
        KeyError: no.
    """
    def inner(): raise OSError
    try:
        raise ValueError
    except (OSError, ValueError):
        raise SystemExit(2)
    raise errors.KeyError(x)

def bad(x: np.ndarray, n: int) -> np.ndarray:
    """Do it to float32 rows."""
    raise KeyError

def vague(x: np.ndarray) -> None:
    """Take float32 rows."""
'''


def test_what_is_left_unsaid_is_seen(tmp_path: Path) -> None:
    (tmp_path / "sample.py").write_text(SAMPLE)
    sample = list(functions([tmp_path / "sample.py"], tmp_path))

    def named(rule: Callable[[Function], list[str]]) -> list[str]:
        return [words.split(" ", 1)[1] for function in sample for words in rule(function)]

    assert named(arguments_unsaid) == ["Base.add", "bad"]
    assert named(arrays_unsaid) == ["bad: x", "bad: what it returns", "vague: x"]
    assert named(raises_unsaid) == ["Sum.__init__: ValueError", "bad: KeyError"]
