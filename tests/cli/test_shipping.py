import importlib.metadata
import json
import platform
from pathlib import Path
from typing import Any

import pytest

from tuner.cli import entry, shipping
from tuner.errors import SpecError
from tuner.spec import sweep_spec as specs


def spec_of(**sections: Any) -> specs.SweepSpec:
    return specs.check({"name": "s", "search": {"trials": 1}, **sections})


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def test_builder_is_sent_with_what_it_imports_and_nothing_else(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "nets.py": "import os\nimport blocks.inner.deep as d\nfrom blocks import other\ndef build():\n    import late\n",
            "late.py": "import nets",
            "blocks/__init__.py": "from . import sibling\nfrom .inner import deep",
            "blocks/sibling.py": "",
            "blocks/other.py": "from ..unreachable import x",
            "blocks/inner/__init__.py": "",
            "blocks/inner/deep.py": "from ..cousin import name",
            "blocks/cousin.py": "",
            "blocks/unused.py": "",
            ".venv/lib.py": "",
            "secrets.env": "",
        },
    )
    sent = {str(path.relative_to(tmp_path)) for path in shipping.modules("nets", tmp_path)}
    blocks = {"__init__.py", "sibling.py", "other.py", "inner/__init__.py", "inner/deep.py", "cousin.py"}
    assert sent == {"nets.py", "late.py", *(f"blocks/{name}" for name in blocks)}


def test_link_out_of_the_specs_folder_is_not_followed(tmp_path: Path) -> None:
    write(tmp_path, {"elsewhere/private.py": "", "mine/nets.py": "import private"})
    (tmp_path / "mine" / "private.py").symlink_to(tmp_path / "elsewhere" / "private.py")
    assert shipping.modules("nets", tmp_path / "mine") == [tmp_path / "mine" / "nets.py"]


def test_installed_builder_needs_no_file(tmp_path: Path) -> None:
    path = tmp_path / "sweep.toml"
    path.write_text("")
    (tmp_path / "packed").mkdir()
    spec = spec_of(space={"builder": "installed.nets:build", "kind": ["a", "b"]})
    assert shipping.pack(path, spec, overrides=["seed=1"], folder="~/x", into=tmp_path / "packed") == ["entry.py", "job.json", "sweep.toml"]
    job = json.loads((tmp_path / "packed" / "job.json").read_text())
    assert job == {"spec": "sweep.toml", "overrides": ["seed=1"], "folder": "~/x", "wait_s": None, "versions": shipping.versions()}


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"dataset": {"source": "npz", "path": "my.npz"}}, r"dataset\.path: got 'my\.npz'; expected a URL, or an absolute path"),
        ({"space": {"builder": "entry:build", "kind": ["a", "b"]}}, r"space\.builder: entry\.py has the name of a file of the job"),
    ],
)
def test_what_cannot_run_elsewhere_is_refused(sections: dict, message: str, tmp_path: Path) -> None:
    write(tmp_path, {"sweep.toml": "", "entry.py": ""})
    (tmp_path / "packed").mkdir()
    with pytest.raises(SpecError, match=message):
        shipping.pack(tmp_path / "sweep.toml", spec_of(**sections), overrides=[], folder="/x", into=tmp_path / "packed")


def test_folder_on_the_cluster_is_absolute() -> None:
    assert shipping.folder_there(spec_of(), None) == "~/sweeps/s"
    assert shipping.folder_there(spec_of(folder="here"), None) == "~/sweeps/s"
    assert shipping.folder_there(spec_of(folder="/shared/s"), None) == "/shared/s"
    assert shipping.folder_there(spec_of(folder="/shared/s"), "/other") == "/other"
    with pytest.raises(SpecError, match="--folder: got 'here'; expected an absolute folder"):
        shipping.folder_there(spec_of(), "here")


def test_versions_may_differ_in_their_last_number_but_for_ray_and_tuner(monkeypatch: pytest.MonkeyPatch) -> None:
    installed = {"ray": "2.60.1", "keras": "3.15.9"}
    monkeypatch.setattr(importlib.metadata, "version", installed.__getitem__)
    assert entry.differences({"keras": "3.15.0", "python": platform.python_version()}) == []
    assert entry.differences({"ray": "2.60.0"}) == ["ray: has 2.60.1, expected 2.60.0"]
    assert entry.differences({"keras": "3.16.0"}) == ["keras: has 3.15.9, expected 3.16.0"]
