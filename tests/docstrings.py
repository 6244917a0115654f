"""What the docstrings of public functions leave unsaid, counted by reading the source."""

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

# `(n, 3)`, `(rows, *input_shape)`, `(n,)`; a number is told as such.
SHAPE = re.compile(r"\([\w*. +]+,[^()]*\)|\bscalar\b|'s shape\b|\bshape of\b|\bof any shape\b|\bsame shape\b")
DTYPE = re.compile(r"\b(u?int\d*|floats?\d*|any type|type of|bool|booleans?|strings?|object|bytes|complex\d+|dtype|dtypes|indices|row numbers)\b")
# Methods that Ray, Optuna and Rich declare and explain: what they are handed is said there.
FOREIGN = {
    "on_trial_add", "on_trial_result", "on_trial_complete", "on_trial_error", "on_trial_remove", "setup",
    "infer_relative_search_space", "sample_relative", "sample_independent", "before_trial", "after_trial",
    "suggest_float", "suggest_int", "suggest_categorical", "set_trial_state_values", "get_all_trials", "set_trial_system_attr",
}  # fmt: skip
SECTION = re.compile(r"^(Args|Returns|Yields|Raises|Attributes|Source|Example):", flags=re.MULTILINE)


@dataclass(frozen=True)
class Function:
    """A public function, or a method of a public class.

    Attributes:
        where: `file:line name`, for people.
        node: its definition.
        text: its docstring; of a class's own making (`__init__`, `__post_init__`) that of the class as well.
        is_explained: whether somebody else explains its parameters: the options of a command, or the class whose method it overrides.
        is_command: whether its docstring is the help text of a command.
    """

    where: str
    node: ast.FunctionDef
    text: str
    is_explained: bool
    is_command: bool = False

    @property
    def parameters(self) -> list[ast.arg]:
        """Return its parameters, without `self` and `cls`."""
        arguments = self.node.args
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
        return [each for each in every if each is not None and each.arg not in ("self", "cls")]

    def section(self, name: str) -> str:
        """Return what the docstring says below `name:`; empty where there is no such section."""
        parts = SECTION.split(self.text)
        return "\n".join(text for title, text in zip(parts[1::2], parts[2::2], strict=True) if title == name)

    def says_of(self, parameter: str) -> str:
        """Return what is said of one parameter: its entry below `Args:` or `Attributes:`, else the whole docstring."""
        entries = f"{self.section('Args')}\n{self.section('Attributes')}"
        entry = re.search(rf"^( +)(?:[\w*]+, )*{re.escape(parameter)}(?:, [\w*]+)*:(.*\n?(?:\1 +.*\n?|\n)*)", entries, flags=re.MULTILINE)
        return entry[2] if entry else self.text


def functions(paths: Iterable[Path], root: Path) -> Iterator[Function]:
    """Yield the public functions of files, and the methods of their public classes.

    Args:
        paths: Python files, all that may hold a base class of another.
        root: of the repository, for their names.
    """
    trees = {str(path.relative_to(root)): ast.parse(path.read_text(encoding="utf-8")) for path in sorted(paths)}
    classes = {node.name: node for tree in trees.values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    for file, tree in trees.items():
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                decorators = " ".join(ast.unparse(decorator) for decorator in node.decorator_list)
                command = "command" in decorators or "click." in decorators
                yield Function(f"{file}:{node.lineno} {node.name}", node, docstring_of(node), command, command)
            elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                yield from _methods(node, file, classes)


def _methods(of: ast.ClassDef, file: str, classes: Mapping[str, ast.ClassDef]) -> Iterator[Function]:
    inherited = {method for base in of.bases for method in _names(classes.get(ast.unparse(base).rpartition(".")[2]))}
    for node in of.body:
        if isinstance(node, ast.FunctionDef):
            makes = node.name in ("__init__", "__post_init__")
            if makes or not node.name.startswith("_"):
                text = docstring_of(node) + ("\n" + docstring_of(of) if makes else "")
                explained = node.name in FOREIGN | inherited or (makes and "Attributes:" in text)
                yield Function(f"{file}:{node.lineno} {of.name}.{node.name}", node, text, explained)


def _names(of: ast.ClassDef | None) -> set[str]:
    return set() if of is None else {node.name for node in of.body if isinstance(node, ast.FunctionDef) and node.name != "__init__"}


def docstring_of(node: ast.ClassDef | ast.FunctionDef) -> str:
    """Return a definition's docstring, dedented; empty where it has none."""
    return ast.get_docstring(node) or ""


def arguments_unsaid(function: Function) -> list[str]:
    """Return the function where it has two parameters or more and no `Args:`."""
    # Not `*arguments, **named`, which are handed on.
    named = [*function.node.args.posonlyargs, *function.node.args.args, *function.node.args.kwonlyargs]
    told = len([each for each in named if each.arg not in ("self", "cls")])
    return [function.where] if told >= 2 and not function.is_explained and "Args:" not in function.text else []


def arrays_unsaid(function: Function) -> list[str]:
    """Return the arrays that go in or out without a shape or a dtype."""
    unsaid = []
    for parameter in function.parameters:
        if parameter.annotation is not None and is_array(parameter.annotation):
            words = function.says_of(parameter.arg)
            if not (SHAPE.search(words) and DTYPE.search(words)):
                unsaid.append(f"{function.where}: {parameter.arg}")
    if function.node.returns is not None and is_array(function.node.returns):
        words = function.section("Returns") or function.section("Yields") or function.text
        if not (SHAPE.search(words) and DTYPE.search(words)):
            unsaid.append(f"{function.where}: what it returns")
    return unsaid


def is_array(annotation: ast.expr) -> bool:
    """Say whether an annotation names an array."""
    return bool(re.search(r"\bndarray\b|\bNDArray\b", ast.unparse(annotation)))


def raises_unsaid(function: Function) -> list[str]:
    """Return the exceptions that the function's own lines raise and its docstring does not name."""
    said = function.section("Raises") + "".join(re.findall(r"Raises [^.]*\.", function.text))
    unsaid = []
    for name in raised(function.node.body, frozenset({"SystemExit"})):  # an exit code is no error
        if name not in said and f"{function.where}: {name}" not in unsaid and not function.is_command:
            unsaid.append(f"{function.where}: {name}")
    return unsaid


def raised(lines: Iterable[ast.AST], caught: frozenset[str]) -> Iterator[str]:
    """Yield the names of the exceptions that these lines raise and do not catch themselves; functions within them are their own affair.

    Args:
        lines: statements, or parts of them.
        caught: names of exceptions that are caught around them.
    """
    for node in lines:
        if isinstance(node, ast.FunctionDef | ast.Lambda | ast.ClassDef):
            continue
        if isinstance(node, ast.Raise) and node.exc is not None:
            called = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
            name = ast.unparse(called).rpartition(".")[2]
            if name[:1].isupper() and name not in caught:
                yield name
        if isinstance(node, ast.Try):
            handled = {word.rpartition(".")[2] for handler in node.handlers if handler.type for word in re.findall(r"[\w.]+", ast.unparse(handler.type))}
            yield from raised(node.body, caught | handled)
            yield from raised([*node.handlers, *node.orelse, *node.finalbody], caught)
        else:
            yield from raised(ast.iter_child_nodes(node), caught)
