"""The README is held to what the program does: its specs are valid, its commands and options exist, its map is the tree."""

import re
import shlex
import tomllib
from pathlib import Path

import click
import numpy as np
import pytest

from tuner.cli.main import cli
from tuner.spec import sweep_spec as specs

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("text", [text for language, text in BLOCKS if language == "toml"], ids=lambda text: tomllib.loads(text)["name"])
def test_every_spec_is_valid(text: str) -> None:
    specs.check(tomllib.loads(text))


def test_own_network_builds_as_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from search_spaces.network import build
    from search_spaces.problem import Problem

    (source,) = [text for language, text in BLOCKS if language == "python"]
    (spec,) = [text for language, text in BLOCKS if language == "toml" and "my_module:build_model" in text]
    (tmp_path / "my_module.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    problem = Problem(task="classification", input_shape=(8, 8), outputs=10, steps_per_epoch=5, epochs=2)
    space = specs.check(tomllib.loads(spec)).search_space()
    assert space.searched().keys() == {"units", "kind", "blocks", "learning_rate"}
    model = build(space.builder, {"units": 16, "kind": "residual", "blocks": 2, "learning_rate": 1e-3}, problem)
    assert model(np.zeros((1, 8, 8), "float32")).shape == (1, 10)


def commands() -> list[list[str]]:
    """Return every `tuner ...` that the README shows, in code blocks and between backquotes."""
    lines = [line.partition("#")[0] for language, text in BLOCKS if language == "" for line in text.splitlines() if line.startswith("tuner ")]
    lines += re.findall(r"`(tuner [^`]*)`", README)
    return [shlex.split(line.partition(">")[0])[1:] for line in lines]


def test_every_command_and_option_shown_exists() -> None:
    shown = commands()
    assert len(shown) > 8
    for words in shown:
        if words[0] in ("--help", "COMMAND", "--version"):
            continue
        command: click.Command = cli
        rest = words
        while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
            assert rest[0] in command.commands, words
            command, rest = command.commands[rest[0]], rest[1:]
        known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)} | {"--help"}
        for word in rest:
            assert not word.startswith("-") or word in known, f"{' '.join(words)}: {word}"


def test_map_of_the_house_names_every_room_and_no_other() -> None:
    (text,) = [text for _, text in BLOCKS if text.startswith("search_spaces/\n")]
    named, folder = set(), ""
    for line in text.splitlines():
        word = line.split()[0]
        if not line.startswith(" "):
            folder = word.rstrip("/")
        else:
            named.add(f"{folder}/{word.rstrip('/')}")
    rooms = {
        f"{package}/{path.name}"
        for package in ("search_spaces", "cluster", "tuner")
        for path in (ROOT / package).iterdir()
        if not path.name.startswith("__") and (path.suffix == ".py" or (path.is_dir() and any(path.glob("*.py"))))
    }
    assert named == rooms


def test_every_name_that_a_spec_can_choose_is_in_the_readme() -> None:
    from cluster.targets import TARGETS
    from search_spaces.spaces import SPACES
    from tuner.data.dataset import SOURCES
    from tuner.report.formats import FORMATS
    from tuner.search.rules.named import SCHEDULERS
    from tuner.search.samplers.named import SAMPLERS

    for table in (TARGETS, SPACES, SOURCES, FORMATS, SCHEDULERS, SAMPLERS):
        for name in table:
            assert re.search(rf"[`\"]{name}[`\"]", README), name
