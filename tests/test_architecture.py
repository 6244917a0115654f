"""The house's own rules: who may import whom, which words occur where, and what the driver never loads."""

import ast
import graphlib
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.docstrings import Function, arguments_unsaid, arrays_unsaid, functions, raises_unsaid

ROOT = Path(__file__).parent.parent
PACKAGES = ("search_spaces", "cluster", "tuner")

# What each room of `tuner` may import besides itself, `errors`, and the packages `search_spaces` and `cluster`. The one place where directions are written.
ROOMS: dict[str, set[str]] = {
    "data": set(),
    "study": set(),
    "monitor": {"study"},
    "search": {"study", "monitor"},
    "training": {"data", "study"},
    "results": {"study", "data", "training", "monitor"},
    "report": {"results", "study"},
    "spec": {"data", "study", "monitor", "search", "training"},
    "sweep": {"data", "study", "monitor", "search", "training", "results", "report", "spec"},
    "cli": {"data", "study", "monitor", "search", "training", "results", "report", "spec", "sweep"},
}
MOST_ENTRIES, MOST_LINES, MOST_PARAMETERS = 14, 400, 7
# Functions that take more parameters, until they are mended.
LONG: set[str] = set()
# What the docstrings of public functions must say (see docstrings.py), and how often each room still leaves it unsaid. Lower a number when you mend some;
# none is ever raised.
RULES: dict[str, Callable[[Function], list[str]]] = {"arguments": arguments_unsaid, "arrays": arrays_unsaid, "raises": raises_unsaid}
UNSAID: dict[str, dict[str, int]] = {
    "arguments": {},
    "arrays": {},
    "raises": {},
}

# Words that say nothing of what they stand for, and how often each room still has one of them. Lower a number when you find a better word; none is ever raised.
VAGUE = re.compile(r"\b(found|told|known)\b")
VAGUE_WORDS: dict[str, int] = {
    "data": 3,
    "report": 13,
    "results": 11,
    "spec": 1,
    "sweep": 7,
    "training": 1,
}


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
    innocent |= {"filters", "pool", "warmup", "blocks", "padding", "decay", "convolutions"}
    named = {space.key_of(name) for space in SPACES.values() for name in space.parameters} - innocent
    assert {"depth", "dropout", "activation", "learning_rate", "momentum"} <= named
    for path in sorted((ROOT / "tuner").rglob("*.py")):
        assert not words(path) & named, path


def test_a_room_imports_only_what_it_may() -> None:
    for path in sorted((ROOT / "tuner").rglob("*.py")):
        room = path.relative_to(ROOT / "tuner").parts[0].removesuffix(".py")
        if room in ("__init__", "__main__", "errors"):
            continue
        assert room in ROOMS, f"{room} is no room"
        for name in imported(path):
            parts = name.split(".")
            if parts[0] == "tuner" and len(parts) > 1 and parts[1] not in (room, "errors"):
                assert parts[1] in ROOMS[room], f"{path} imports {name}"


def test_no_file_imports_itself_by_a_detour() -> None:
    files = {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in modules()}
    # A package's own file holds no code, so importing from it leads nowhere.
    files = {name: path for name, path in files.items() if path.name != "__init__.py"}
    reached = {}
    for name, path in files.items():
        named = {word for dotted in imported(path) for word in (dotted, dotted.rpartition(".")[0])}
        reached[name] = (named & files.keys()) - {name}
    graphlib.TopologicalSorter(reached).prepare()  # raises CycleError


def test_the_house_has_few_rooms_and_short_files() -> None:
    entries = [entry.name for entry in (ROOT / "tuner").iterdir() if entry.name not in ("__pycache__", "README.md")]
    assert len(entries) <= MOST_ENTRIES, entries
    long = {str(path): lines for path in modules() if (lines := len(path.read_text(encoding="utf-8").splitlines())) > MOST_LINES}
    assert not long


def test_a_packages_own_file_holds_nothing_but_docstring_and_imports() -> None:
    for path in modules():
        if path.name == "__init__.py" and path != ROOT / "tuner" / "__init__.py":
            for node in ast.parse(path.read_text(encoding="utf-8")).body:
                docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
                assert docstring or isinstance(node, ast.Import | ast.ImportFrom), path


def test_only_evaluate_opens_the_test_split() -> None:
    opened = r"\btest\.open\(|SealedTest\(.*\)\.open\("
    openers = [path.name for path in modules() if re.search(opened, path.read_text(encoding="utf-8"))]
    assert openers == ["evaluate.py"]


@pytest.mark.parametrize(
    ("start", "never"),
    [
        pytest.param(
            "import tuner.cli.main, tuner.sweep.journey, tuner.training.trial, tuner.results.evaluate, tuner.sweep.baselines, search_spaces.notebooks",
            {"tensorflow", "keras"},
            id="driver",
        ),
        # A mistake in a spec is told at once, and Ray is imported while TensorFlow is.
        pytest.param(
            "import tuner.cli.main, tuner.spec.sweep_spec, tuner.training.starting",
            {"tensorflow", "keras", "ray", "pandas", "sqlalchemy", "pyarrow"},
            id="spec",
        ),
    ],
)
def test_what_takes_seconds_to_import_is_not_imported(start: str, never: set[str]) -> None:
    code = f"{start}\nimport sys\nassert not {never!r} & set(sys.modules), sorted(sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=120)


def test_no_pickle_is_loaded_by_us() -> None:
    # A builder of a notebook's cell travels through memory, and through that one file, which touches no other.
    in_memory = ROOT / "search_spaces" / "code.py"
    assert not {"open", "path", "pathlib", "os", "io"} & words(in_memory)
    for path in modules():
        text = path.read_text(encoding="utf-8")
        packed = {name for name in imported(path) if name.partition(".")[0] in ("pickle", "cloudpickle", "dill", "joblib", "shelve")}
        assert not packed or path == in_memory, path
        assert "allow_pickle=True" not in text and "safe_mode=False" not in text, path


@pytest.mark.parametrize("rule", RULES)
def test_public_functions_say_what_goes_in_what_comes_out_and_what_they_raise(rule: str) -> None:
    left: dict[str, list[str]] = {}
    for function in functions(modules(), ROOT):
        room = "/".join(Path(function.where.partition(":")[0]).parts[: 1 + function.where.startswith("tuner/")])
        left.setdefault(room, []).extend(RULES[rule](function))
    for room, lines in left.items():
        may = UNSAID[rule].get(room, 0)
        assert len(lines) <= may, f"{rule} left unsaid in {room}: {len(lines)}, at most {may} were; say them in the docstrings of\n" + "\n".join(lines)


def test_no_function_takes_more_than_seven_parameters_besides_itself() -> None:
    long = set()
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                arguments = node.args
                every = [each for each in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg) if each]
                if len([each for each in every if each.arg not in ("self", "cls")]) > MOST_PARAMETERS:
                    long.add(f"{path.relative_to(ROOT)} {node.name}")
    assert long <= LONG, f"more than {MOST_PARAMETERS} parameters: {sorted(long - LONG)}"


def test_values_are_named_by_what_they_are() -> None:
    counted: Counter[str] = Counter()
    for path in sorted((ROOT / "tuner").rglob("*.py")):
        counted[path.relative_to(ROOT / "tuner").parts[0]] += sum(bool(VAGUE.search(line)) for line in path.read_text(encoding="utf-8").splitlines())
    for room, lines in counted.items():
        assert lines <= VAGUE_WORDS.get(room, 0), (
            f"{room}: {lines} lines with found, told or known; at most {VAGUE_WORDS.get(room, 0)} had one: name what it is"
        )
