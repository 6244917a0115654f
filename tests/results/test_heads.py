"""What each of several targets is taken for."""

import numpy as np
import pytest

from tuner.results.heads import head_of, heads_of

HALVES = np.full((6, 2), 0.5, np.float32)


@pytest.mark.parametrize(
    ("y", "predictions", "task"),
    [
        (np.array([0, 1, 0, 1, 1, 0]), HALVES, "classification"),
        (np.array([[0], [1], [0], [1], [1], [0]], np.float32), HALVES[:, :1], "classification"),  # one sigmoid unit
        (np.eye(2, dtype=np.float32)[[0, 1, 0, 1, 1, 0]], HALVES, "classification"),  # one-hot
        (np.array([[1, 1], [0, 0], [1, 0]] * 2, np.float32), HALVES, "multilabel"),
        (np.arange(6), np.arange(6, dtype=np.float32)[:, None], "regression"),  # counts
        (np.arange(6) / 7, HALVES[:, 0], "regression"),
        (np.linspace(0, 3, 12).reshape(6, 2), 9 * HALVES, "regression"),
        (np.array([0, 1, 5, 1, 1, 0]), HALVES, None),  # more classes than columns
        (np.zeros((6, 2, 2)), np.zeros((6, 2, 2), np.float32), None),  # pixels
        (np.array([b"a"] * 6), HALVES, None),
    ],
)
def test_a_head_is_what_its_targets_and_its_outputs_allow(y: np.ndarray, predictions: np.ndarray, task: str | None) -> None:
    head = head_of(y, predictions)
    assert (None if head is None else head.task) == task


def test_names_of_classes_are_kept_and_logits_of_two_known_classes_are_classes() -> None:
    logits = np.array([[-3.0], [2.0], [-1.0]], np.float32)
    head = head_of(np.array([0, 1, 0]), logits, ("no", "yes"))
    assert head is not None and (head.task, head.names) == ("classification", ("no", "yes"))


def test_nothing_is_said_of_outputs_that_cannot_be_laid_beside_the_targets() -> None:
    y = {"a": np.arange(6), "b": np.arange(6)}
    assert heads_of(y, [HALVES, HALVES], {}) == {}
    assert heads_of(np.arange(6), HALVES, {}) == {}
    assert set(heads_of(y, {"a": np.eye(6, dtype=np.float32), "b": HALVES[:, :1]}, {})) == {"a", "b"}
