"""`source = "my_module:load"`: a data function of the user's own, called in a process of its own.

The driver's side; the process's is calling.py. Owns what is asked for and when: the test split of a function with a parameter `split` is asked for when it is
opened, and not before.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from search_spaces import network
from search_spaces.code import code_in
from search_spaces.errors import SearchSpaceError
from tuner.data import hashes
from tuner.data.arrays.structure import leaves, paths, rebuild
from tuner.data.files import first_line
from tuner.data.own.pipelines import Part, Pipeline
from tuner.data.own.returned import Arrays
from tuner.errors import DatasetError

_ROOT = Path(__file__).resolve().parents[3]
START = f"import sys; sys.path.insert(0, {str(_ROOT)!r}); from tuner.data.own.calling import main; main()"


@dataclass(frozen=True)
class Call:
    """A function and what it is called with.

    Attributes:
        function: `module:function`.
        arguments: of the function, but for `split`.
        search_path: folders where its module is looked for.
        steps: split -> batches of an epoch, for pipelines that never end.
        version: what the user calls these data; it is hashed with a pipeline's source.
        code: the function itself, packed, where it is in no module (`search_spaces.code`).
    """

    function: str
    arguments: Mapping[str, Any]
    search_path: tuple[str, ...] = ()
    steps: Mapping[str, int] | None = None
    version: str = ""
    code: bytes = b""


@dataclass(frozen=True, eq=False)
class Given:
    """What a function gave for train, validation and, unless it is asked for by itself, test.

    Attributes:
        arrays: by split; of a pipeline, the first rows of each.
        pipelines: by split; empty for arrays.
        asks: the function has a parameter `split`: its test split has not been asked for.
        content_hash: of the arrays; of a pipeline's source text, arguments and version.
    """

    arrays: Mapping[str, Arrays]
    pipelines: Mapping[str, Pipeline]
    asks: bool
    content_hash: str


def is_function(source: str) -> bool:
    """Say whether a source names a function."""
    return ":" in source


def check(function: str, search_path: Sequence[str]) -> None:
    """Check that there is such a function, without running any of its module.

    Args:
        function: `module:function`.
        search_path: folders where its module is looked for.

    Raises:
        DatasetError: there is none.
    """
    try:
        network.find(function, search_path)
    except SearchSpaceError as error:
        raise DatasetError(f"dataset.source: {error}") from error


def call(asked: Call) -> Given:
    """Call a function for all that a search may see.

    Raises:
        DatasetError: it fails, or what it returns is nothing that Tuner takes; one line, and the traceback of an exception of its own.
    """
    if not asked.code:
        check(asked.function, asked.search_path)
    with _answered(asked, ("train", "validation"), whole=False) as (answer, folder):
        parts, pipelines = {}, {}
        for split, given in answer["splits"].items():
            if "form" in given:
                parts[split] = _arrays(given["first"], folder)
                part = Part(split, given["steps"], given["rows"], given["endless"])
                pipelines[split] = Pipeline(asked.function, dict(asked.arguments), (part,), given["form"], answer["asks"], asked.search_path)
            else:
                parts[split] = _arrays(given, folder)
    if pipelines:
        text = json.dumps([answer["sources"], asked.function, dict(asked.arguments), asked.version, dict(asked.steps or {})], sort_keys=True)
        content = hashes.of_texts({"pipeline": text.encode()})
    else:
        content = content_hash(parts)
    return Given(parts, pipelines, answer["asks"], content)


def call_for_test(asked: Call) -> Arrays:
    """Call a function for its test split, all rows of it: only once the opening has been recorded.

    Raises:
        DatasetError: see `call`.
    """
    with _answered(asked, ("test",), whole=True) as (answer, folder):
        if "test" not in answer["splits"]:
            raise DatasetError(f"{asked.function}: gave no test split; expected one")
        return _arrays(answer["splits"]["test"], folder)


def content_hash(parts: Mapping[str, Arrays]) -> str:
    """Return the sha256 of arrays by split."""
    return hashes.of_arrays({f"{split}/{name}": leaf for split, part in parts.items() for name, leaf in _named(part)})


def _named(part: Arrays) -> Iterator[tuple[str, np.ndarray]]:
    structure = {"x": part.x, "y": part.y, "w": part.w, **part.aside}
    return zip(paths(structure), leaves(structure), strict=True)


def _arrays(given: Mapping[str, Any], folder: Path) -> Arrays:
    # Mapped, and still there when the folder is gone: the files live as long as somebody maps them.
    arrays = [np.asarray(np.load(folder / f"{number}.npy", mmap_mode="r", allow_pickle=False)) for number in given["files"]]
    return Arrays(*rebuild(given["bones"], arrays))


@contextlib.contextmanager
def _answered(asked: Call, splits: tuple[str, ...], *, whole: bool) -> Iterator[tuple[dict[str, Any], Path]]:
    """Run the process, and give its answer and the folder with its arrays, which is gone afterwards."""
    request: dict[str, Any] = {"function": asked.function, "arguments": dict(asked.arguments), "search_path": list(asked.search_path), "splits": list(splits)}
    request |= {"whole": whole, "steps": dict(asked.steps or {}), **code_in(asked.code)}
    with tempfile.TemporaryDirectory(prefix="tuner-data-") as name:
        folder = Path(name)
        said = folder / "said"
        # A GPU belongs to the trials.
        environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "0"}
        with said.open("wb") as output:
            # -P: nothing of the folder that we are in takes the place of a module.
            child = subprocess.Popen([sys.executable, "-P", "-c", START], stdin=subprocess.PIPE, stdout=output, stderr=output, env=environment)
        try:
            pipe = child.stdin
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):  # it is gone already; its exit code says why
                    pipe.write(json.dumps({**request, "folder": name}).encode() + b"\n")
                    pipe.flush()
            child.wait()
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()
            if child.stdin is not None:
                with contextlib.suppress(BrokenPipeError):
                    child.stdin.close()
        yield _checked(asked.function, folder, child.returncode), folder


def _checked(function: str, folder: Path, code: int) -> dict[str, Any]:
    path = folder / "answer.json"
    if not path.exists():
        lines = [line.strip() for line in (folder / "said").read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
        how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
        memory = "; is there memory for the data?" if code == -9 else ""
        raise DatasetError(
            f"{function}: its process ended {how}{memory}{f' ({first_line(RuntimeError(lines[-1]))})' if lines else ''}; expected it to return the data"
        )
    answer = json.loads(path.read_text(encoding="utf-8"))
    if "mistake" in answer:
        raise DatasetError(answer["mistake"])
    if "failed" in answer:
        raise DatasetError(f"{function}: failed with {answer['failed']}\n{answer['details'].rstrip()}")
    return answer
