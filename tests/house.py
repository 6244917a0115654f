"""The READMEs of the rooms: which files each lists, in reading order, with the first sentence of each file's own docstring.

`python -m tests.house` writes those lists anew: the order stays, sentences follow their files, and a new file goes to the end, to be put where it is read.
"""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
ROOMS = ("search_spaces", "cluster", *(f"tuner/{path.name}" for path in sorted((ROOT / "tuner").iterdir()) if (path / "__init__.py").exists()))
LIST = re.compile(r"(?<=^```text\n)((?:\S+\.py  .*\n)+)(?=```$)", flags=re.MULTILINE)


def files_of(room: str) -> dict[str, str]:
    """Return the files of a room, as its README names them, each with its first sentence; empty files are none."""
    found = {}
    for path in sorted((ROOT / room).rglob("*.py")):
        text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        if path.name != "__init__.py" and text:
            found[str(path.relative_to(ROOT / room))] = re.split(r"\.(?:\s|$)", text.partition("\n\n")[0].replace("\n", " "))[0]
    return found


def listed_in(readme: str) -> list[str]:
    """Return the files that a room's README lists."""
    (block,) = LIST.findall(readme)
    return [line.split()[0] for line in block.splitlines()]


def written_anew(room: str, readme: str) -> str:
    """Return a room's README with its list of files as they are now.

    Args:
        room: its folder.
        readme: the text of its README.
    """
    files = files_of(room)
    order = [name for name in listed_in(readme) if name in files]
    order += [name for name in files if name not in order]
    width = max(map(len, order))
    return LIST.sub(lambda _: "".join(f"{name:<{width}}  {files[name]}\n" for name in order), readme)


def main() -> None:
    """Write all lists anew."""
    for room in ROOMS:
        readme = ROOT / room / "README.md"
        readme.write_text(written_anew(room, readme.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
