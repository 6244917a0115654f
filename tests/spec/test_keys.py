import re
from pathlib import Path

from search_spaces.spaces import SPACES
from tuner.spec import keys
from tuner.spec import sweep_spec as specs

PAGE = Path(keys.__file__).with_name("KEYS.md")


def section(page: str, title: str) -> dict[str, list[str]]:
    """Return a section's table: key -> the cells of its row."""
    _, _, rest = page.partition(f"## {title}\n")
    rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in rest.partition("\n## ")[0].splitlines() if line.startswith("| `")]
    return {cells[0].strip(): [cell.strip() for cell in cells[1:]] for cells in rows}


def test_page_of_keys_is_the_schemas() -> None:
    assert PAGE.read_text(encoding="utf-8") == keys.markdown(), "run `make keys`"


def test_every_key_has_a_row_that_says_what_it_may_be_and_what_it_means() -> None:
    schema = specs.schema()
    page = keys.markdown()
    tables = {"At the top of the file": schema, "`[[resources.larger]]`": schema["$defs"]["Larger"]}
    for name, value in schema["properties"].items():
        if "$ref" in value:
            tables[f"`[{name}]`"] = schema["$defs"][value["$ref"].rpartition("/")[2]]
    assert len(tables) >= 11
    for title, of in tables.items():
        rows = section(page, title)
        assert rows.keys() == {f"`{key}`" for key, value in of["properties"].items() if "$ref" not in value}
        for key, (value, default, meaning) in rows.items():
            assert value and default and meaning, key
            assert value != "any value", key


def test_a_row_says_range_and_default_as_the_schema_does() -> None:
    rows = section(keys.markdown(), "`[evaluation]`")
    assert rows["`seeds`"][:2] == ["whole number ≥ 1, ≤ 100", "`3`"]
    assert section(keys.markdown(), "At the top of the file")["`name`"][1] == "needed"
    assert section(keys.markdown(), "`[objective]`")["`mode`"][:2] == ['`"max"`, `"min"`', "-"]


def test_every_hyperparameter_of_the_built_in_spaces_is_on_the_page() -> None:
    page = keys.markdown()
    for space in SPACES.values():
        for name, parameter in space.parameters.items():
            stem = re.sub(r"_\d+$", "_n", space.key_of(name))
            assert f"| `{stem}`" in page or f"| `{space.key_of(name)}`" in page, name
            assert re.sub(r"\d+$", "", parameter.help)[1:] in page, name
