"""The house's own rules: who may import whom, which words occur where, and what the driver never loads."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("search_spaces", "cluster", "tuner")

# A file imports only from lower floors. Each name is a module or a folder of `tuner`.
FLOORS = [
    {"background", "errors", "here", "mistakes"},
    {"writing"},
    {"objective", "journal", "pareto"},
    {"ranking", "database", "storage"},
    {"study", "failures", "datasets", "leaderboard", "console", "epoch", "checkpoint"},
    {"audit", "accounts", "confirm", "data", "opening"},
    {"samplers", "lock"},
    {"ahead", "rules", "shelf", "mirror"},
    {"scheduler"},
    {"searcher", "training", "trackers"},
    {"spec", "card", "child", "report", "warm"},
    {"forkserver", "reopen"},
    {"starting"},
    {"process"},
    {"trial"},
    {"dispatch", "evaluate", "prediction", "simulate"},
    {"costs", "facts", "findings"},
    {"outlook"},
    {"plan"},
    {"sweep"},
    {"baselines"},
    {"commands"},
    {"cli"},
    {"__main__"},
]


def modules() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def imported(path: Path) -> set[str]:
    """Return the modules that a file imports, anywhere in it, as dotted names."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def words(path: Path) -> set[str]:
    return set(re.findall(r"[a-z_]+", path.read_text(encoding="utf-8").lower()))


def test_search_spaces_never_names_ray_and_cluster_never_names_networks_or_trials() -> None:
    for path in modules():
        roots = {name.partition(".")[0] for name in imported(path)}
        if path.is_relative_to(ROOT / "search_spaces"):
            assert not roots & {"ray", "tuner", "cluster"}, path
        if path.is_relative_to(ROOT / "cluster"):
            assert not roots & {"keras", "tensorflow", "optuna", "tuner", "search_spaces"}, path


def test_tuner_never_names_a_hyperparameter() -> None:
    from search_spaces.spaces import SPACES

    # Words that mean something else too, in drawings, training and prose, say nothing.
    innocent = {"width", "height", "layers", "optimizer", "schedule", "batch_size", "l1", "l2", "regularizer"}
    innocent |= {"filters", "pool", "warmup", "blocks", "padding", "decay"}
    named = {space.key_of(name) for space in SPACES.values() for name in space.parameters} - innocent
    assert {"depth", "dropout", "activation", "learning_rate", "momentum"} <= named
    for path in sorted((ROOT / "tuner").rglob("*.py")):
        assert not words(path) & named, path


def test_a_file_imports_only_from_lower_floors() -> None:
    floor_of = {name: floor for floor, names in enumerate(FLOORS) for name in names}
    for path in sorted((ROOT / "tuner").rglob("*.py")):
        room = path.relative_to(ROOT / "tuner").parts[0].removesuffix(".py")
        if room == "__init__":
            continue
        assert room in floor_of, f"{room} has no floor"
        for name in imported(path):
            parts = name.split(".")
            if parts[0] != "tuner" or len(parts) < 2 or parts[1] == room:
                continue
            assert floor_of[parts[1]] < floor_of[room], f"{room} imports {name}"


def test_only_evaluate_opens_the_test_split() -> None:
    opened = r"\btest\.open\(|SealedTest\(.*\)\.open\("
    openers = [path.name for path in modules() if re.search(opened, path.read_text(encoding="utf-8"))]
    assert openers == ["evaluate.py"]


@pytest.mark.parametrize(
    ("start", "never"),
    [
        pytest.param(
            "import tuner.cli, tuner.sweep, tuner.trial, tuner.evaluate, tuner.baselines, search_spaces.notebooks", {"tensorflow", "keras"}, id="driver"
        ),
        # A mistake in a spec is told at once, and Ray is imported while TensorFlow is.
        pytest.param("import tuner.cli, tuner.spec, tuner.starting", {"tensorflow", "keras", "ray", "pandas", "sqlalchemy", "pyarrow"}, id="spec"),
    ],
)
def test_what_takes_seconds_to_import_is_not_imported(start: str, never: set[str]) -> None:
    code = f"{start}\nimport sys\nassert not {never!r} & set(sys.modules), sorted(sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=120)


def test_no_pickle_is_loaded_by_us() -> None:
    for path in modules():
        text = path.read_text(encoding="utf-8")
        assert not {name for name in imported(path) if name.partition(".")[0] in ("pickle", "cloudpickle", "dill", "joblib", "shelve")}, path
        assert "allow_pickle=True" not in text and "safe_mode=False" not in text, path
