"""The source text of a builder that is in no module: of it, of what it uses of its cell or script, and of the values that it closes over.

It is what a record shows of the builder, and what tells later whether it is still the same. Nothing here is run.
"""

import hashlib
import inspect
import sys
import textwrap
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

MOST_SHOWN = 200


def text_of(builder: Any) -> str:
    """Return the text of a builder and of all that goes with it, the builder first.

    Args:
        builder: a function, a `HyperModel` or its class.
    """
    parts: list[str] = []
    seen: set[int] = set()
    waiting = [builder]
    while waiting:
        each = waiting.pop(0)
        if id(each) in seen:
            continue
        seen.add(id(each))
        if inspect.isclass(each) or isinstance(each, types.FunctionType):
            parts.append(_source(each))
            functions = [each] if isinstance(each, types.FunctionType) else [value for value in vars(each).values() if isinstance(value, types.FunctionType)]
            for name, value in (pair for function in functions for pair in _used(function)):
                if _goes_along(value):
                    waiting.append(value)
                elif not isinstance(value, types.ModuleType):
                    parts.append(f"{name} = {_shown(value)}")
        else:
            waiting.append(type(each))
            parts.append("\n".join(f"self.{name} = {_shown(value)}" for name, value in sorted(vars(each).items())) if hasattr(each, "__dict__") else "")
    return "\n\n".join(dict.fromkeys(part for part in parts if part)) + "\n"


def name_of(builder: Any, search_path: list[str]) -> str | None:
    """Return `module:function` of a builder that a fresh process finds by it; None where it is only in memory.

    Args:
        builder: a function, a `HyperModel` or its class.
        search_path: the folders where modules are looked for.
    """
    module, name = getattr(builder, "__module__", None), getattr(builder, "__qualname__", "")
    if not (isinstance(builder, types.FunctionType) or inspect.isclass(builder)) or module in (None, "__main__") or not name.isidentifier():
        return None
    imported = sys.modules.get(str(module))
    file = getattr(imported, "__file__", None)
    if imported is None or file is None or getattr(imported, name, None) is not builder or not file.endswith(".py"):
        return None
    root = Path(file).resolve().parents[str(module).count(".") + (Path(file).name == "__init__.py")]
    return f"{module}:{name}" if any(Path(folder or ".").resolve() == root for folder in search_path) else None


def _source(each: Any) -> str:
    try:
        return textwrap.dedent(inspect.getsource(each)).strip()
    except (OSError, TypeError):
        if isinstance(each, types.FunctionType):
            return f"# {each.__qualname__}: no source; its code is {hashlib.sha256(repr(_code(each.__code__)).encode()).hexdigest()[:16]}"
        return f"# {each.__qualname__}: no source"


def _code(code: types.CodeType) -> Any:
    constants = [_code(each) if isinstance(each, types.CodeType) else repr(each) for each in code.co_consts]
    return (code.co_code, constants, code.co_names, code.co_varnames, code.co_freevars)


def _used(function: types.FunctionType) -> Iterator[tuple[str, Any]]:
    """Yield what a function takes from outside: its closure, its defaults, and the globals that it names."""
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield name, cell.cell_contents
        except ValueError:  # not bound yet
            continue
    if function.__defaults__:
        yield f"{function.__name__}.__defaults__", function.__defaults__
    for name in dict.fromkeys(_names(function.__code__)):
        if name in function.__globals__:
            yield name, function.__globals__[name]


def _names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for each in code.co_consts:
        if isinstance(each, types.CodeType):
            yield from _names(each)


def _goes_along(value: Any) -> bool:
    """Say whether something is sent with the builder rather than imported from a module."""
    return (inspect.isclass(value) or isinstance(value, types.FunctionType)) and getattr(value, "__module__", None) in (None, "__main__")


def _shown(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"array of {value.dtype} {value.shape} {hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()[:16]}"
    if inspect.isclass(value) or callable(value):
        return f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', type(value).__qualname__)}"
    words = repr(value)
    if " at 0x" in words:
        return f"a {type(value).__module__}.{type(value).__qualname__}"
    return words if len(words) <= MOST_SHOWN else f"{words[:MOST_SHOWN]}... {hashlib.sha256(words.encode()).hexdigest()[:16]}"
