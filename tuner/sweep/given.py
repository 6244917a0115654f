"""What a sweep is given beside its spec: where its code is looked for, and what a program holds in memory."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tuner.data import dataset as data
from tuner.sweep.sources import sources_of

# Loads the data when it is called.
Load = Callable[[], tuple[data.Dataset, data.SealedTest]]


@dataclass(frozen=True)
class Given:
    """Code and data that no spec can hold.

    Attributes:
        search_path: folders in which the builder's module is looked for.
        code: the builder itself, where it is in no module (`search_spaces.code`); empty: its name says where it is.
        source: the text of that builder and of what it uses; empty where its module has it.
        load: gives the data where they are in memory; None: they are where the spec says.
    """

    search_path: tuple[str, ...] = ()
    code: bytes = b""
    source: str = ""
    load: Load | None = None

    def files(self, functions: Sequence[str]) -> dict[str, str]:
        """Return the source files of the functions that trials call, as `sources_of` does; of a builder in memory a single file of that name.

        Args:
            functions: `module:function` each, the builder first; see `SweepSpec.functions`.
        """
        files: dict[str, str] = {}
        for number, function in enumerate(functions):
            if number == 0 and self.source:
                files[f"{function.replace(':', '.')}.py"] = self.source
            else:
                files |= sources_of(function, self.search_path)
        return files


NOTHING = Given()
