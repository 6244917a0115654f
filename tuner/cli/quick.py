"""`tuner run --builder my_module:build_model --data my_module:load`: the spec that a line means, written down and then run like any other."""

import json
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from tuner.errors import SpecError

_OPTIONS = (
    click.option("--builder", metavar="MODULE:NAME", help="Instead of SPEC: who builds the networks, build(hp), build(trial) or a HyperModel."),
    click.option("--data", metavar="MODULE:NAME", help="With --builder: a data function, a file (.npz, .csv, .parquet), or a source such as mnist."),
    click.option("--target", help="With --data of a table: the column to predict."),
    click.option("--trials", type=click.IntRange(min=1), help="With --builder: how many; 50 if nothing is said."),
    click.option("--max-epochs", type=click.IntRange(min=1), help="With --builder: epochs of a full training."),
    click.option("--name", help="With --builder: of the sweep and its spec; the builder's if nothing is said."),
)


def options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that stand for a spec."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def spec_of(spec: Path | None, given: Mapping[str, Any]) -> Path:
    """Return the spec to run: the one that is named, or the one that the options mean, which is written down.

    Args:
        spec: as it is named; None: the options say it.
        given: the options, by their names; None where one is not given.

    Raises:
        SpecError: both say it, what they say is no spec, or the file that would be written is there with other content.
        UsageError: neither does.
    """
    stated = {name: value for name, value in given.items() if value is not None}
    if spec is not None:
        if stated:
            raise SpecError(f"--{next(iter(stated)).replace('_', '-')}: got it beside {spec}; expected a spec, or --builder and what goes with it")
        return spec
    if "builder" not in stated:
        raise click.UsageError("SPEC is missing; expected a TOML file, or --builder MODULE:NAME")
    if "data" not in stated:
        raise click.UsageError("--data is missing; expected it beside --builder: MODULE:NAME of a data function, a file, or a source such as mnist")
    folder, builder = _module("builder", stated["builder"])
    name = stated.get("name") or builder.partition(":")[2]
    sections: dict[str, dict[str, Any]] = {"dataset": _dataset(stated, folder), "space": {"builder": builder}, "search": {"trials": stated.get("trials", 50)}}
    if "max_epochs" in stated:
        sections["training"] = {"max_epochs": stated["max_epochs"]}
    path, text = folder / f"{name}.toml", _toml({"name": name}, sections)
    from tuner.spec import sweep_spec as specs

    # Checked first: a mistake in the line leaves no file behind that would stand in the way of the next one.
    checked = specs.check_beside({"name": name, **sections}, (str(folder.resolve()),))
    if not path.exists():
        path.write_text(text, encoding="utf-8")
        click.echo(f"{path}: written; it is what `tuner run` runs here, and knows more than these options (`tuner schema --markdown`)", err=True)
    elif (written := path.read_text(encoding="utf-8")) != text:
        changes = _differences(written, text)
        more = f"give its sweep more to spend by `tuner extend {checked.sweep_folder} --trials N`, " if checked.sweep_folder.exists() else ""
        raise SpecError(
            f"{path}: is there already, and says otherwise{f' ({changes})' if changes else ''}; run it as it is by `tuner run {path}`, {more}"
            "change it by hand, or give this one another --name"
        )
    return path


def _differences(written: str, meant: str) -> str:
    from tuner.spec import sweep_spec as specs

    try:
        return "; ".join(specs.differences(tomllib.loads(written), tomllib.loads(meant))[:3])
    except tomllib.TOMLDecodeError:
        return ""


def _module(option: str, given: str) -> tuple[Path, str]:
    """Return the folder of a function's module, and its `module:name`; the module may be named by its file."""
    place, colon, name = given.partition(":")
    if not (colon and name):
        raise SpecError(f"--{option}: got {given!r}; expected MODULE:NAME, such as my_module:{'build_model' if option == 'builder' else 'load'}")
    if place.endswith(".py"):
        file = Path(place)
        if not file.is_file():
            raise SpecError(f"--{option}: there is no file {place}; expected MODULE:NAME, such as my_module:{'build_model' if option == 'builder' else 'load'}")
        return file.parent, f"{file.stem}:{name}"
    return Path(), given


def _dataset(stated: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    from tuner.sweep.api_data import place_of

    given = stated["data"]
    if given.partition(":")[0].endswith(".py") and not Path(given).exists():
        beside, given = _module("data", given)
        if beside.resolve() != folder.resolve():
            raise SpecError(f"--data: got a file in {beside.resolve()}; expected it beside the builder's, in {folder.resolve()}")
    section = place_of(given)
    path = section.get("path", "")
    if path and "://" not in path and not Path(path).exists():
        raise SpecError(f"--data: there is no file {path}; expected one below {Path.cwd()}, the working folder, or MODULE:NAME of a data function")
    return {**section, **({"target": stated["target"]} if "target" in stated else {})}


def _toml(top: Mapping[str, Any], sections: Mapping[str, Mapping[str, Any]]) -> str:
    # JSON's strings and numbers are TOML's.
    lines = [f"{key} = {json.dumps(value)}" for key, value in top.items()]
    for section, values in sections.items():
        if values:
            lines += ["", f"[{section}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
    return "\n".join(lines) + "\n"
