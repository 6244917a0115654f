"""The source files of a user's own builder: which they are, their copy, and what differs."""

from pathlib import Path

import optuna
import pytest

from tuner.errors import SpecError
from tuner.study.builder_copy import FACT, kept
from tuner.study.objective import Objective
from tuner.study.record import Study
from tuner.sweep import sources

NET = 'import helpers\nimport numpy\nfrom . import nothing\ndef build(c, p):\n    return helpers.dense(c, "relu")\n'


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "net.py").write_text(NET.replace("from . import nothing\n", ""))
    (folder / "helpers.py").write_text("def dense(c, activation):\n    return activation\n")
    (folder / "unrelated.py").write_text("x = 1\n")
    return folder


@pytest.fixture
def study() -> Study:
    return Study(optuna.create_study(), Objective("loss", "min"))


def test_a_builders_files_are_its_module_and_what_that_imports_beside_it(project: Path) -> None:
    assert set(sources.sources_of("net:build", (project,))) == {"net.py", "helpers.py"}
    assert sources.sources_of(None, (project,)) == {}


def test_installed_packages_are_not_copied() -> None:
    assert sources.sources_of("keras.applications:ResNet50", ()) == {}


def test_copy_is_what_was_there_and_a_change_of_any_file_is_told_with_its_line(project: Path, study: Study, tmp_path: Path) -> None:
    folder = tmp_path / "sweep"
    sources.record(study, folder, sources.sources_of("net:build", (project,)))
    (copied,) = kept(study.facts, folder)
    assert {path.name: path.read_text() for path in Path(copied).iterdir()} == {name: (project / name).read_text() for name in ("net.py", "helpers.py")}
    assert sources.changes(study.facts, folder, sources.sources_of("net:build", (project,))) == []
    (project / "unrelated.py").write_text("x = 2\n")
    assert sources.changes(study.facts, folder, sources.sources_of("net:build", (project,))) == []
    (project / "helpers.py").write_text("def dense(c, activation):\n    return 'tanh'\n")
    lines = sources.changes(study.facts, folder, sources.sources_of("net:build", (project,)))
    assert lines == ['helpers.py, line 2: "return activation" -> "return \'tanh\'"']
    with pytest.raises(SpecError, match=r"the builder has changed since this sweep began \(helpers\.py, line 2.*--changed-builder"):
        sources.refuse(folder, lines)


def test_of_a_long_line_the_part_that_differs_is_shown(project: Path, study: Study, tmp_path: Path) -> None:
    long = "x = [" + ", ".join(map(str, range(100))) + "]\n"
    (project / "helpers.py").write_text(long)
    sources.record(study, tmp_path, sources.sources_of("net:build", (project,)))
    (project / "helpers.py").write_text(long.replace("77", "66677"))
    (line,) = sources.changes(study.facts, tmp_path, sources.sources_of("net:build", (project,)))
    old, new = line.removeprefix("helpers.py, line 1: ").split(" -> ")
    assert "77, 78" in old and "66677, 78" in new and len(line) < 200


def test_files_that_come_and_go_are_told(project: Path, study: Study, tmp_path: Path) -> None:
    sources.record(study, tmp_path / "sweep", sources.sources_of("net:build", (project,)))
    (project / "net.py").write_text("import more\ndef build(c, p): pass\n")
    (project / "more.py").write_text("")
    lines = sources.changes(study.facts, tmp_path / "sweep", sources.sources_of("net:build", (project,)))
    assert lines[0] == "helpers.py is not imported any more" and lines[-1] == "more.py is new" and len(lines) == 3


def test_where_the_files_are_gone_the_copy_is_as_good(project: Path, study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.path", [])  # where other tests have left folders with a net.py of their own
    sources.record(study, tmp_path / "sweep", sources.sources_of("net:build", (project,)))
    for path in project.iterdir():
        path.unlink()
    assert sources.changes(study.facts, tmp_path / "sweep", sources.sources_of("net:build", (project,))) == []
    assert set(sources.sources_of("net:build", (project, *kept(study.facts, tmp_path / "sweep")))) == {"net.py", "helpers.py"}


def test_new_code_that_is_taken_on_has_a_copy_of_its_own_and_its_first_trial(project: Path, study: Study, tmp_path: Path) -> None:
    folder = tmp_path / "sweep"
    sources.record(study, folder, sources.sources_of("net:build", (project,)))
    study.ask()
    study.ask()
    (project / "helpers.py").write_text("def dense(c, activation):\n    return 3\n")
    sources.record(study, folder, sources.sources_of("net:build", (project,)))
    assert (study.facts[FACT]["from_trial"], study.facts[FACT]["earlier"][0]["from_trial"]) == (2, 0)
    assert (folder / "builder/1/helpers.py").read_text().endswith("return activation\n")
    assert (folder / "builder/2/helpers.py").read_text().endswith("return 3\n")


def test_a_record_names_no_folder_outside_of_its_own(tmp_path: Path) -> None:
    for place in ("../elsewhere", "/etc", "builder/../..", "builder/1/..", 7, None):
        assert kept({FACT: {"folder": place}}, tmp_path) == ()
    assert kept({FACT: "builder/1"}, tmp_path) == ()
    assert kept({}, tmp_path) == ()
