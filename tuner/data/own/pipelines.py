"""A pipeline of the user's own: batches that a function of theirs makes in the process that trains on them.

Owns how the function is called there and what an epoch of it is. Must not know who trains on it. TensorFlow and Keras are imported
where the function is called.
"""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from search_spaces import network
from tuner.data.own import returned
from tuner.data.own.returned import Batches
from tuner.errors import DatasetError


@dataclass(frozen=True)
class Part:
    """One split of what a function gives.

    Attributes:
        split: `train`, `validation` or `test`.
        steps: batches of an epoch.
        rows: of an epoch.
        endless: it never ends by itself: an epoch is its next `steps` batches.
    """

    split: str
    steps: int
    rows: int
    endless: bool = False


@dataclass(frozen=True)
class Pipeline:
    """Batches, made anew in each process. Its length is the number of rows of an epoch.

    Attributes:
        function: `module:function`.
        arguments: of the function, but for `split`.
        parts: which splits an epoch goes through; several are mixed batch by batch.
        form: `dataset` (tf.data), `sequence` (keras.utils.PyDataset) or `iterator`.
        asks: the function has a parameter `split`.
        search_path: folders where its module is looked for.

    Raises:
        ValueError: there is no part, or one without a batch.
    """

    function: str
    arguments: Mapping[str, Any]
    parts: tuple[Part, ...]
    form: str
    asks: bool
    search_path: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.parts or any(part.steps < 1 for part in self.parts):
            raise ValueError(f"Pipeline: got {self.parts}; expected at least one part, with at least one batch in each")

    def __len__(self) -> int:
        return sum(part.rows for part in self.parts)

    @property
    def steps(self) -> int:
        """Batches of an epoch."""
        return sum(part.steps for part in self.parts)

    def and_(self, other: "Pipeline") -> "Pipeline":
        """Return a pipeline whose epochs go through this one's and the other's batches."""
        return replace(self, parts=(*self.parts, *other.parts))

    def open(self, done: int = 0) -> "Opened":
        """Call the function, in this process.

        Args:
            done: epochs that a training has gone through already, in another process: the order in which parts are mixed follows from the epoch's number.

        Raises:
            DatasetError: it returned something else than when the sweep began.
        """
        return Opened(self, done)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values; `from_json` gives the same pipeline back."""
        return {**asdict(self), "parts": [asdict(part) for part in self.parts], "search_path": list(self.search_path)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Pipeline":
        return cls(**{**values, "parts": tuple(Part(**part) for part in values["parts"]), "search_path": tuple(values["search_path"])})


@dataclass
class Opened:
    """A pipeline whose function has been called. It goes through epoch after epoch."""

    pipeline: Pipeline
    _epochs: int = 0
    _sources: list[Any] = field(default_factory=list)
    _running: dict[int, Iterator[Any]] = field(default_factory=dict)
    _fresh: bool = True

    def __post_init__(self) -> None:
        self._sources = [self._called(part.split) for part in self.pipeline.parts]

    def epoch(self) -> Any:
        """Return what Keras's `fit` and `evaluate` take for the next epoch: a tf.data.Dataset, a PyDataset or a generator of `Pipeline.steps` batches.

        A function that gives a plain iterator is called anew for each epoch after the first; what never ends goes on where the last epoch stopped.
        """
        self._epochs += 1
        parts = self.pipeline.parts
        if any(part.endless for part in parts) or self.pipeline.form == "iterator":
            batches, self._fresh = self._generated(), False
            return batches
        if len(parts) == 1:
            return self._sources[0]
        return self._mixed_dataset() if self.pipeline.form == "dataset" else _mixed_sequences(self._sources)

    def _called(self, split: str) -> Any:
        pipeline = self.pipeline
        sys.path[:0] = [folder for folder in pipeline.search_path if folder not in sys.path]
        function = network.resolved(pipeline.function)
        given: Any
        if pipeline.asks:
            given = returned.one(function(split=split, **pipeline.arguments), f"{pipeline.function} ({split})")
        else:
            given = returned.by_split(function(**pipeline.arguments), pipeline.function).get(split)
        if not isinstance(given, Batches) or given.form != pipeline.form:
            raise DatasetError(f"{pipeline.function} ({split}): returned no {pipeline.form} now, as it did when the sweep began; expected the same again")
        return given.source

    def _generated(self) -> Iterator[Any]:
        order = np.repeat(np.arange(len(self.pipeline.parts)), [part.steps for part in self.pipeline.parts])
        if len(self.pipeline.parts) > 1:
            order = np.random.default_rng(self._epochs).permutation(order)
        running = [self._iterator(index) for index in range(len(self.pipeline.parts))]

        def batches() -> Iterator[Any]:
            for index in order:
                try:
                    batch = next(running[index])
                except StopIteration:
                    part = self.pipeline.parts[index]
                    ended = f"{self.pipeline.function} ({part.split}): ended before its {part.steps} batches"
                    raise DatasetError(f"{ended}; expected as many in every epoch, or dataset.steps_per_epoch and dataset.validation_steps") from None
                yield batch if isinstance(batch, tuple) else (batch,)  # Keras's adapter for generators takes tuples alone

        return batches()

    def _iterator(self, index: int) -> Iterator[Any]:
        part = self.pipeline.parts[index]
        if part.endless:
            if index not in self._running:
                self._running[index] = iter(self._sources[index])
            return self._running[index]
        source = self._sources[index]
        if not self._fresh and iter(source) is source:
            source = self._called(part.split)
        return iter(source)

    def _mixed_dataset(self) -> Any:
        import tensorflow as tf

        steps = [part.steps for part in self.pipeline.parts]
        weights = [count / sum(steps) for count in steps]
        return tf.data.Dataset.sample_from_datasets(self._sources, weights=weights, seed=self._epochs, stop_on_empty_dataset=False)


def _mixed_sequences(sources: list[Any]) -> Any:
    import keras

    class Mixed(keras.utils.PyDataset):
        """The batches of several; `fit` draws their order."""

        def __len__(self) -> int:
            return sum(source.num_batches or 0 for source in sources)

        def __getitem__(self, index: int) -> Any:
            for source in sources:
                if index < source.num_batches:
                    return source[index]
                index -= source.num_batches
            raise IndexError(index)

        def on_epoch_begin(self) -> None:
            for source in sources:
                source.on_epoch_begin()

        def on_epoch_end(self) -> None:
            for source in sources:
                source.on_epoch_end()

    first = sources[0]
    return Mixed(workers=first.workers, use_multiprocessing=first.use_multiprocessing, max_queue_size=first.max_queue_size)
