"""What `build_model` of `tuner.run` may be, and how it gets to the trials: by its name where a fresh process finds it, else in memory."""

import inspect
import os
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from search_spaces.code import IN_MEMORY
from search_spaces.define_by_run.styles import CONFIGURATION, is_hypermodel, style_of
from search_spaces.errors import SearchSpaceError, nearest
from search_spaces.spaces import SPACES
from tuner.errors import SpecError
from tuner.training.source_text import name_of, text_of


@dataclass(frozen=True)
class Code:
    """What builds the models of a sweep.

    Attributes:
        space: keys of `[space]`.
        name: what the sweep is called where nobody says.
        functions: `in_memory:name` -> the builder, where it is in no module.
        source: its text, likewise.
    """

    space: dict[str, Any]
    name: str
    functions: Mapping[str, Any] = field(default_factory=dict)
    source: str = ""


def code_of(builder: Any, search_path: list[str]) -> Code:
    """Return what was given as a builder.

    Args:
        builder: a function `(hp)`, `(trial)` or `(configuration, problem)`, a `HyperModel` or its class, `"module:function"`, the name of a built-in
            space, or None: the spec says it.
        search_path: the folders where modules are looked for.

    Raises:
        SpecError: it is none of these.
    """
    if builder is None:
        return Code({}, "sweep")
    if isinstance(builder, str):
        if builder in SPACES:
            return Code({"name": builder}, builder)
        if ":" in builder:
            return Code({"builder": builder}, builder.partition(":")[2])
        raise SpecError(f"build_model: got {builder!r}; {nearest(builder, SPACES)} or 'module:function'")
    if not (callable(builder) or is_hypermodel(builder)):
        raise SpecError(f"build_model: got {type(builder).__name__}; expected a function, a HyperModel, or the name of a space: {', '.join(SPACES)}")
    name = getattr(builder, "__name__", type(builder).__name__)
    name = name if name.isidentifier() else "build_model"
    try:
        itself = style_of(builder, name) != CONFIGURATION
    except SearchSpaceError as error:
        raise SpecError(f"build_model: {error}") from error
    importable = name_of(builder, search_path)
    space: dict[str, Any] = {"builder": importable or f"{IN_MEMORY}:{name}", **({"define_by_run": True} if itself else {})}
    if importable is not None:
        return Code(space, name)
    return Code(space, name, {space["builder"]: builder}, text_of(builder))


def own_folders() -> list[str]:
    """Return the folders where this program finds modules of its own: all that Python looks in but for its own and those of installed packages."""
    paths = {str(Path(sysconfig.get_path(name)).resolve()) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    main = getattr(sys.modules.get("__main__"), "__file__", None)
    first = [os.path.dirname(os.path.abspath(main))] if main and not inspect.isbuiltin(main) and Path(main).exists() else []
    places = [str(Path(folder or os.getcwd()).resolve()) for folder in (*first, *sys.path) if not folder or Path(folder).is_dir()]
    return [folder for folder in dict.fromkeys(places) if not any(folder == path or folder.startswith(path + os.sep) for path in paths)]
