"""The READMEs are held to what the program does: their specs are valid, their commands and links exist, and each room's lists every file of it."""

import importlib
import importlib.util
import re
import shlex
import sys
import tomllib
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest

from tests import house
from tests.test_architecture import ROOMS
from tuner.cli.main import cli
from tuner.cli.quick import spec_of
from tuner.spec import sweep_spec as specs

ROOT = Path(__file__).parent.parent
MOST_LINES, MOST_LINES_OF_A_ROOM = 220, 80
PAGES = [
    path
    for path in (ROOT / "README.md", *(page for place in ("search_spaces", "cluster", "tuner", "tests") for page in sorted((ROOT / place).rglob("*.md"))))
    if path.name != "report.md"  # of a golden sweep
]
TEXTS = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in PAGES}
BLOCKS = [
    (page, language, text) for page, whole in TEXTS.items() for language, text in re.findall(r"^```(\w*)\n(.*?)^```$", whole, flags=re.MULTILINE | re.DOTALL)
]
SPECS = [(page, text) for page, language, text in BLOCKS if language == "toml"]


def test_the_first_page_is_short_and_a_rooms_is_a_page() -> None:
    assert len(TEXTS["README.md"].splitlines()) <= MOST_LINES
    for room in house.ROOMS:
        assert len(TEXTS[f"{room}/README.md"].splitlines()) <= MOST_LINES_OF_A_ROOM, room


@pytest.mark.parametrize("text", [text for _, text in SPECS], ids=[f"{page} {tomllib.loads(text).get('name')}" for page, text in SPECS])
def test_every_spec_is_valid(text: str) -> None:
    specs.check(tomllib.loads(text))


def test_own_network_builds_as_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from search_spaces.network import build
    from search_spaces.problem import Problem

    (source,) = [text for page, language, text in BLOCKS if page == "README.md" and text.startswith("# my_module.py")]
    (spec,) = [text for _, text in SPECS if "my_module:build_model" in text]
    (tmp_path / "my_module.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "my_module", raising=False)  # that of another page
    problem = Problem(task="classification", input_shape=(8, 8), outputs=10, steps_per_epoch=5, epochs=2)
    space = specs.check(tomllib.loads(spec)).search_space()
    assert space.searched().keys() == {"units", "kind", "blocks", "learning_rate"}
    model = build(space.builder, {"units": 16, "kind": "residual", "blocks": 2, "learning_rate": 1e-3}, problem)
    assert model(np.zeros((1, 8, 8), "float32")).shape == (1, 10)


def _quickly(program: str) -> str:
    """Return a program with one trial of one epoch, in this process."""
    program = re.sub(r"epochs=\d+", "epochs=1", re.sub(r"trials=\d+", "trials=1", program))
    return re.sub(r"tuner\.run\((.*)\)$", r'tuner.run(\1, cluster={"target": "in-process"}, seeds=1, confirm=0, quiet=True)', program, flags=re.MULTILINE)


def _run(program: str, **names: Any) -> dict[str, Any]:
    exec(compile(_quickly(program), "README", "exec"), names)
    return names


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # KerasTuner warns of its own old habits
def test_a_project_of_kerastuner_works_before_and_after_as_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("keras_tuner")
    module, before, after = [text for page, language, text in BLOCKS if page == "tuner/sweep/README.md" and language == "python"]
    (tmp_path / "my_module.py").write_text(module)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "my_module", raising=False)  # that of another page
    old, new = _run(before), _run(after)
    asked = {"layers", "units_0", "lr"}
    for names in (old, new):
        assert names["model"].output_shape == (None, 10)
        assert asked <= (names["best"] if names is new else names["best"].values).keys()
    # The line of the shell means the same sweep.
    (line,) = [words[1:] for words in commands() if words[:2] == ["run", "--builder"] and "--name" in words]
    options = {word[2:].replace("-", "_"): int(value) if value.isdecimal() else value for word, value in zip(line[::2], line[1::2], strict=True)}
    written = specs.load(spec_of(None, options))
    assert (written.name, written.search.trials, written.training.max_epochs) == ("digits", 50, 20)
    assert (written.space.builder, written.dataset.source) == (new["result"].facts["builder"], new["result"].facts["dataset"]["source"])


def test_program_of_the_first_page_runs_as_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests import builders

    (program,) = [text for page, language, text in BLOCKS if page == "README.md" and "tuner.run(" in text]
    monkeypatch.chdir(tmp_path)
    x = np.random.default_rng(0).normal(size=(60, 4)).astype("float32")
    names = _run(program, build_model=builders.network, x=x, y=np.arange(60) % 2, x_new=x[:3])
    assert names["result"].folder == Path("sweeps/network")


def test_script_that_writes_a_table_writes_the_one_that_the_spec_below_it_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tuner.data import dataset as data

    page = TEXTS["tuner/data/TABLES.md"]
    (script,) = re.findall(r"<<'PY'\n(.*?)^PY$", page, flags=re.MULTILINE | re.DOTALL)
    (spec,) = [text for where, text in SPECS if where == "tuner/data/TABLES.md"]
    monkeypatch.chdir(tmp_path)
    exec(compile(script, "README", "exec"), {})
    dataset, test = data.load(specs.check(tomllib.loads(spec)).dataset, 0)
    assert dataset.task == "regression" and len(dataset.whole) + test.rows == 442


def commands() -> list[list[str]]:
    """Return every `tuner ...` that the pages show, in code blocks and between backquotes."""
    lines = [line.partition("#")[0] for _, language, text in BLOCKS if language == "" for line in text.splitlines() if line.startswith("tuner ")]
    lines += [" ".join(words.split()) for text in TEXTS.values() for words in re.findall(r"`(tuner [^`]*)`", text)]
    return [shlex.split(line.partition(">")[0])[1:] for line in lines]


def test_every_command_and_option_shown_exists() -> None:
    shown = commands()
    assert len(shown) > 25
    for words in shown:
        if words[0] in ("--help", "COMMAND", "--version"):
            continue
        command: click.Command = cli
        rest = words
        while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
            assert rest[0] in command.commands, words
            command, rest = command.commands[rest[0]], rest[1:]
        options = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)} | {"--help"}
        for word in rest:
            assert not word.startswith("-") or word in options, f"{' '.join(words)}: {word}"


def test_every_module_that_is_run_by_name_exists() -> None:
    named = {name for text in TEXTS.values() for name in re.findall(r"python -m (tests\.[\w.]*\w|tuner\.[\w.]*\w)", text)}
    assert len(named) > 10
    for name in named:
        assert importlib.util.find_spec(name) is not None, name


def test_every_target_of_make_that_is_named_exists() -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    named = {name for text in TEXTS.values() for name in re.findall(r"(?:`|^)make ([\w-]+)", text, flags=re.MULTILINE)}
    assert {"sweep", "test"} <= named <= targets


def test_every_link_leads_somewhere() -> None:
    links = [(page, link) for page, text in TEXTS.items() for link in re.findall(r"\]\(([^)\s]+)\)", text)]
    assert len(links) > 15
    for page, link in links:
        if not link.startswith("https://"):
            assert (ROOT / page).parent.joinpath(link.partition("#")[0]).exists(), f"{page}: {link}"


def test_every_file_that_is_named_exists() -> None:
    for page, text in TEXTS.items():
        if page == "tests/golden/README.md":
            continue
        for name in re.findall(r"`((?:[\w-]+/)+[\w-]+\.(?:py|md|toml))`", text):
            places = [ROOT, (ROOT / page).parent, ROOT / "tuner", *(ROOT / "tuner").iterdir()]
            assert any((place / name).exists() for place in places), f"{page}: {name}"


@pytest.mark.parametrize("room", house.ROOMS)
def test_readme_of_a_room_lists_its_files_with_what_they_say_of_themselves(room: str) -> None:
    readme = TEXTS[f"{room}/README.md"]
    assert readme == house.written_anew(room, readme), "run `python -m tests.house`, and put new files where they are read"


def test_readmes_say_of_imports_what_is_held() -> None:
    table = dict(re.findall(r"^\| \[(\w+)\]\(\w+/README\.md\) \|.*\| ([^|]*) \|$", TEXTS["tuner/README.md"], flags=re.MULTILINE))
    assert table.keys() == ROOMS.keys()
    for room, may in ROOMS.items():
        (line,) = re.findall(r"^- \*\*May import:\*\* (.*)", TEXTS[f"tuner/{room}/README.md"], flags=re.MULTILINE)
        said = set(re.findall(r"`(\w+)`", line.partition(".")[0].partition(":")[0])) - {"errors"}
        assert said == may, room
        if table[room] != "all above":
            assert set(table[room].replace("-", "").replace(",", " ").split()) == may, room


def test_every_name_that_a_spec_can_choose_is_told() -> None:
    from cluster.targets import TARGETS
    from search_spaces.spaces import SPACES
    from tuner.data.sources import SOURCES
    from tuner.report.formats import FORMATS
    from tuner.search.rules.named import SCHEDULERS
    from tuner.search.samplers.named import SAMPLERS

    for table in (TARGETS, SPACES, SOURCES, FORMATS, SCHEDULERS, SAMPLERS):
        for name in table:
            assert re.search(rf"(?:[`\"=]|--format ){name}[`\"]", TEXTS["README.md"]), name
