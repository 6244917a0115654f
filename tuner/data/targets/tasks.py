"""What is to be predicted where it is more than a class or a number per row: labels, one-hot classes, and what the builder alone knows (`custom`).

Owns which task targets mean where the spec does not say; single columns of classes and numbers are the business of `single.py`. Must not see a feature.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tuner.data.arrays.inputs import Leaf, named, stored
from tuner.data.arrays.structure import Structure, described, leaves, paths, rebuild, skeleton
from tuner.data.decisions import Decision
from tuner.data.targets import single
from tuner.data.targets.single import Targets
from tuner.errors import DatasetError

TASKS = ("classification", "multilabel", "regression", "custom")
# How far the probabilities of a row may miss 1.
ROUNDING = 1e-3


@dataclass(frozen=True)
class OneHot:
    """Classes with a column each.

    Attributes:
        classes: their names, in the order of the columns.
        kept: the columns stay as they are (float32), as a loss of probabilities wants them; else they become class numbers.
    """

    classes: tuple[str, ...]
    kept: bool
    task: str = "classification"

    def encode(self, y: Structure, where: str) -> np.ndarray:
        """Return (n,) int32 class numbers, or (n, k) float32.

        Args:
            y: as the source gives them.
            where: what they are, for messages, such as `test labels`.

        Raises:
            DatasetError: the columns are others, or a row is no choice of one class.
        """
        y = _columns(y, where, len(self.classes))
        wrong = ~(np.isclose(y.sum(axis=1), 1, atol=ROUNDING) & (y >= 0).all(axis=1))
        if not self.kept:
            wrong |= (y.max(axis=1) != 1) | ((y != 0).sum(axis=1) != 1)
        if wrong.any():
            row = int(np.argmax(wrong))
            raise DatasetError(f"{where}: row {row} holds {_shown(y[row])}; expected {'shares that sum to 1' if self.kept else 'a single 1 among zeros'}")
        return y if self.kept else y.argmax(axis=1).astype(np.int32)


@dataclass(frozen=True)
class Labels:
    """Any number of labels per row, a column of 0 and 1 each.

    Attributes:
        classes: their names, in the order of the columns.
    """

    classes: tuple[str, ...]
    task: str = "multilabel"

    def encode(self, y: Structure, where: str) -> np.ndarray:
        """Return (n, k) float32, 0 or 1.

        Args:
            y: as the source gives them.
            where: what they are, for messages, such as `test labels`.

        Raises:
            DatasetError: the columns are others, or hold other numbers.
        """
        y = _columns(y, where, len(self.classes))
        wrong = ~np.isin(y, (0, 1)).all(axis=1)
        if wrong.any():
            row = int(np.argmax(wrong))
            raise DatasetError(f'{where}: row {row} holds {_shown(y[row])}; expected 0 or 1 for each label, because the task is "multilabel"')
        return y


@dataclass(frozen=True)
class Free:
    """Targets that the builder alone knows what to do with: of any rank, several, or none.

    Attributes:
        bones: their structure, see `structure.skeleton`; None: there are none.
        leaves: in their order.
        classes: names that the user gave, for the builder.
    """

    bones: Any
    leaves: tuple[Leaf, ...]
    classes: tuple[str, ...] = ()
    task: str = "custom"

    def encode(self, y: Structure, where: str) -> Structure:
        """Return the targets as they are stored.

        Args:
            y: as the source gives them.
            where: what they are, for messages, such as `test labels`.

        Raises:
            DatasetError: their structure, a shape or a type is another.
        """
        arrays = [stored(leaf, named(where, path)) for path, leaf in zip(paths(y), leaves(y), strict=True)]
        given = [(each["path"], tuple(each["shape"]), each["dtype"]) for each in described(rebuild(skeleton(y), arrays))]
        wanted = [(leaf.path, leaf.shape, leaf.dtype) for leaf in self.leaves]
        if given != wanted:
            raise DatasetError(f"{where}: got {_listed(given)}; expected {_listed(wanted)}, as in the rows to train on")
        return rebuild(self.bones, arrays)


@dataclass(frozen=True)
class Several:
    """Targets by name, each classes or numbers by itself; the builder compiles its model.

    Attributes:
        parts: name -> how its labels become numbers.
    """

    parts: Mapping[str, Targets]
    task: str = "custom"
    classes: tuple[str, ...] = ()

    def encode(self, y: Structure, where: str) -> dict[str, np.ndarray]:
        """Return name -> (n,) int32 class numbers, or float32.

        Args:
            y: as the source gives them.
            where: what they are, for messages, such as `test labels`.

        Raises:
            DatasetError: a label is missing or unknown, or a number is not finite.
        """
        return {name: part.encode(y[name], f"{where}: {name}") for name, part in self.parts.items()}


AnyTargets = Targets | OneHot | Labels | Free | Several


def several(y: Mapping[str, np.ndarray]) -> Several:
    """Return how several targets of a table become what a network learns, each as if it were the only one.

    Args:
        y: name -> (n,) strings, booleans, integers or floats.

    Raises:
        DatasetError: one of them has nothing to learn.
    """
    parts = {}
    for name, values in y.items():
        try:
            parts[name] = single.fit(values, None)
        except DatasetError as error:
            raise DatasetError(f"target {name!r}: {error}") from error
    return Several(parts)


def fit(y: Structure, task: str | None, *, names: Sequence[str] = (), one_hot: bool = False) -> AnyTargets:
    """Return how these targets become what a network learns.

    Args:
        y: an array, or a structure of arrays; None: there are none.
        task: one of `TASKS`; None: the one that the values show.
        names: of the classes or labels, in the order of their numbers or columns, if any.
        one_hot: classes with a column each stay so.

    Raises:
        DatasetError: there is nothing to learn, or the targets do not fit the task.
    """
    names = tuple(names)
    if not isinstance(y, np.ndarray):
        if task not in (None, "custom"):
            what = "there are no targets" if y is None else f"there are {len(leaves(y))} targets ({', '.join(paths(y))})"
            raise DatasetError(f'targets: {what}; the task {task!r} has one array of them; expected task = "custom", where the builder compiles its model')
        return _free(y, names)
    shape = f"targets: got shape {y.shape}"
    if task == "custom" or (task is None and y.ndim > 2):
        return _free(y, names)
    if y.ndim > 2:
        raise DatasetError(f'{shape}; the task {task!r} has a row of them for each example; expected task = "custom", where the builder compiles its model')
    kind = _columns_kind(y)
    if task is None and kind in ("one-hot", "labels"):  # only the user can say whether shares are of classes or were measured
        task = "multilabel" if kind == "labels" else "classification"
    if task == "multilabel":
        if y.ndim != 2:
            raise DatasetError(f"{shape}; expected a column of 0 and 1 for each label")
        labels = Labels(_names(names, y.shape[1]))
        _check_varied(labels.encode(y, "targets"))
        return labels
    if task == "classification" and y.ndim == 2 and kind in ("one-hot", "shares"):
        return OneHot(_names(names, y.shape[1]), one_hot or kind == "shares")
    if one_hot:
        raise DatasetError(f"{shape}, which is not one-hot; expected a column for each class with a single 1 in each row, or leave one_hot out")
    targets = single.fit(y, task, names)
    if names and targets.task == "classification" and targets.classes != names:
        raise DatasetError(f"classes: got {len(names)} names; expected one for each of the {len(targets.classes)} labels, which are the numbers from 0 on")
    return targets


def decision(targets: AnyTargets, y: Structure, name: str, *, asked: str | None) -> Decision:
    """Return what was decided about the targets.

    Args:
        targets: as fitted.
        y: as the source gives them.
        name: of the target.
        asked: the task, where the spec or the source knows it.
    """
    if isinstance(targets, Targets):
        return single.decision(targets, y, name, asked=asked)
    if isinstance(targets, Several):
        held = ", ".join(f"{part}: {f'{len(each.classes)} classes' if each.classes else 'a number'}" for part, each in targets.parts.items())
        return Decision(name, "targets", f'{held}; the builder compiles its model (task = "custom")', target=True)
    if isinstance(targets, Free):
        if y is None:
            return Decision("targets", "none", 'none: the builder compiles its model (task = "custom")', target=True)
        held = ", ".join(f"{leaf.path + ': ' if leaf.path else ''}{leaf.dtype} {list(leaf.shape)}" for leaf in targets.leaves)
        return Decision(name, "targets", f'{held}; the builder compiles its model (task = "custom")', target=True)
    count = f"{len(targets.classes)} {'labels' if isinstance(targets, Labels) else 'classes'}"
    why, key = ("", "") if asked is not None else ("columns of 0 and 1", 'dataset.task = "regression"')
    if isinstance(targets, Labels):
        return Decision(name, "labels", f"{count}, any number of them in a row", why, key, target=True)
    if targets.kept:
        return Decision(name, "classes", f"{count}, a column for each", target=True)
    return Decision(name, "classes", f"{count}, one-hot columns become class numbers", why or "one-hot", "dataset.one_hot = true", target=True)


def strata_of(targets: AnyTargets, y: Structure) -> np.ndarray | None:
    """Return what splits are balanced by: (n,) int32 class numbers, (n, k) float32 labels; None where nothing is.

    Args:
        targets: as fitted.
        y: as encoded.
    """
    if targets.task == "classification":
        return y.argmax(axis=1).astype(np.int32) if y.ndim == 2 else y
    return y if targets.task == "multilabel" else None


def _free(y: Structure, names: tuple[str, ...]) -> Free:
    arrays = [stored(leaf, named("y", path)) for path, leaf in zip(paths(y), leaves(y), strict=True)]
    specs = described(rebuild(skeleton(y), arrays))
    return Free(None if y is None else skeleton(y), tuple(Leaf(each["path"], tuple(each["shape"]), each["dtype"]) for each in specs), names)


def _columns_kind(y: np.ndarray) -> str | None:
    """Return whether the columns of targets are `one-hot` classes, `labels`, or `shares` of classes; None where they are something else."""
    if y.ndim != 2 or y.shape[1] < 2 or y.dtype.kind not in "biuf":
        return None
    ones = np.isclose(y.sum(axis=1, dtype=np.float64), 1, atol=ROUNDING).all()
    if np.isin(y, (0, 1)).all():
        return "one-hot" if ones else "labels"
    return "shares" if ones and (y >= 0).all() else None


def _columns(y: Structure, where: str, count: int) -> np.ndarray:
    if not isinstance(y, np.ndarray) or y.ndim != 2 or y.shape[1] != count or y.dtype.kind not in "biuf":
        what = f"{y.dtype} of shape {y.shape}" if isinstance(y, np.ndarray) else f"{len(leaves(y))} arrays"
        raise DatasetError(f"{where}: got {what}; expected {count} columns of numbers, one for each class or label")
    return y.astype(np.float32)


def _names(names: tuple[str, ...], count: int) -> tuple[str, ...]:
    if names and len(names) != count:
        raise DatasetError(f"classes: got {len(names)} names; expected {count}, one for each column of the targets")
    return names or tuple(map(str, range(count)))


def _check_varied(y: np.ndarray) -> None:
    same = np.ptp(y, axis=0) == 0
    if same.all():
        raise DatasetError("targets: every row has the same labels; there is nothing to learn")


def _shown(row: np.ndarray) -> str:
    return f"[{', '.join(f'{value:g}' for value in row[:8])}{', ...' if len(row) > 8 else ''}]"


def _listed(specs: Sequence[tuple[str, tuple[int, ...], str]]) -> str:
    return ", ".join(f"{path + ': ' if path else ''}{dtype} {('n', *shape)}".replace("'", "") for path, shape, dtype in specs) or "no targets"
