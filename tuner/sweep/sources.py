"""The source files of a user's own builder: which they are, and the copy of them in a sweep's folder that says what its trials were built by.

Owns what belongs to a builder (its module, and what that imports from the same folder) and how a difference is worded. Nothing of it is run here.
"""

import ast
import difflib
import hashlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tuner.errors import SpecError
from tuner.spec.mistakes import shown
from tuner.study.builder_copy import FACT, FOLDER
from tuner.study.record import Study
from tuner.study.sweep_facts import SweepFacts
from tuner.study.writing import write_whole

# Where others' packages lie: they are expected on every machine, and their versions are recorded.
INSTALLED = ("site-packages", "dist-packages")
MOST_SHOWN = 60


def sources_of(builder: str | None, search_path: Sequence[str | Path]) -> dict[str, str]:
    """Return the source files of a builder as name below its folder -> text; empty for one that comes with Tuner, or is installed.

    Args:
        builder: `module:function`, or None.
        search_path: folders that it is looked for in, before those of `sys.path`.

    Raises:
        SpecError: one of them is no Python.
    """
    root = None if builder is None else _root(builder, search_path)
    if builder is None or root is None:
        return {}
    return {str(path.relative_to(root)): path.read_text(encoding="utf-8") for path in sorted(modules(builder.partition(":")[0], root))}


def modules(name: str, root: Path) -> list[Path]:
    """Return the files of a module and of all that it imports, as far as they lie below `root`; the rest is expected to be installed.

    Args:
        name: of the module, with dots.
        root: the folder that its package lies in.

    Raises:
        SpecError: one of them is no Python.
    """
    files: dict[Path, None] = {}
    waiting = [name]
    seen = set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        parts = name.split(".")
        for length in range(1, len(parts) + 1):
            stem = root.joinpath(*parts[:length])
            for path in (stem / "__init__.py", stem.with_suffix(".py")):
                if path.is_file() and path not in files and path.resolve().is_relative_to(root.resolve()):
                    files[path] = None
                    waiting += _imports(path, ".".join(parts[:length] if path.name == "__init__.py" else parts[: length - 1]))
    return list(files)


def record(study: Study, folder: Path, files: Mapping[str, str]) -> None:
    """Write down what the trials from now on are built by, and keep a copy of it in the sweep's folder.

    Args:
        study: the record.
        folder: the sweep's.
        files: as `sources_of` returns them.
    """
    before = study.facts.get(FACT)
    place = f"{FOLDER}/{1 if before is None else 1 + int(before['folder'].rpartition('/')[2])}"
    for name, text in files.items():
        path = folder / place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, text)
    earlier = [] if before is None else [*before.get("earlier", []), {name: before[name] for name in ("folder", "files", "from_trial")}]
    now = {"folder": place, "files": _hashes(files), "from_trial": len(study.trials()), "earlier": earlier}
    study.set_facts({"builder_sources": now})


def changes(facts: SweepFacts, folder: Path, files: Mapping[str, str]) -> list[str]:
    """Return what differs between the recorded sources and those that are there now, one `file: difference` each; empty where nothing was recorded.

    Args:
        facts: of the sweep.
        folder: the sweep's.
        files: as `sources_of` returns them now; empty where they are gone, and the copy is used.
    """
    recorded = facts.get(FACT)
    if recorded is None or not files or recorded["files"] == (now := _hashes(files)):
        return []
    lines = []
    for name in dict.fromkeys([*recorded["files"], *now]):
        if name not in now:
            lines.append(f"{name} is not imported any more")
        elif name not in recorded["files"]:
            lines.append(f"{name} is new")
        elif recorded["files"][name] != now[name]:
            lines.append(_difference(name, folder / recorded["folder"] / name, files[name]))
    return lines


def refuse(folder: Path, lines: Sequence[str]) -> None:
    """Refuse to go on with a sweep whose builder has changed.

    Args:
        folder: the sweep's.
        lines: from `changes`; nothing happens where there are none.

    Raises:
        SpecError: there are some.
    """
    if lines:
        mend = "give the new one another name or folder, or go on with the new code by --changed-builder"
        raise SpecError(f"{folder}: the builder has changed since this sweep began ({'; '.join(lines)}), and its trials would not be comparable; {mend}")


def _root(builder: str, search_path: Sequence[str | Path]) -> Path | None:
    package = builder.partition(":")[0].partition(".")[0]
    for place in [*search_path, *sys.path]:
        folder = Path(place)
        if (folder / f"{package}.py").is_file() or (folder / package).is_dir():
            return None if set(INSTALLED) & set(folder.resolve().parts) else folder
    return None


def _hashes(files: Mapping[str, str]) -> dict[str, str]:
    return {name: hashlib.sha256(text.encode()).hexdigest()[:16] for name, text in files.items()}


def _difference(name: str, recorded: Path, text: str) -> str:
    """Return the first lines that differ."""
    try:
        before = recorded.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return f"{name} differs"
    after = text.splitlines()
    for what, first, last, begin, end in difflib.SequenceMatcher(a=before, b=after, autojunk=False).get_opcodes():
        if what != "equal":
            old, new = (" ".join(" ".join(lines).split()) for lines in (before[first:last], after[begin:end]))
            alike = next((index for index, (one, other) in enumerate(zip(old, new, strict=False)) if one != other), 0)
            old, new = (text[max(0, alike - MOST_SHOWN // 2) :][:MOST_SHOWN] for text in (old, new))
            return f"{name}, line {begin + 1}: {shown(old)} -> {shown(new)}"
    return f"{name} differs in its ends of lines"


def _imports(path: Path, package: str) -> list[str]:
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError) as error:
        raise SpecError(f"{path}: cannot be read as Python ({error})") from error
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            module = ".".join([*(part for part in above if part), *([node.module] if node.module else [])])
            names += [module, *(f"{module}.{alias.name}" if module else alias.name for alias in node.names)]
    return [name for name in names if name]
