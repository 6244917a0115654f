"""The words that JSON schemas are written in."""

from typing import Any

Schema = dict[str, Any]


def words(description: str) -> Schema:
    """Return the schema of a text."""
    return {"type": "string", "description": description}


def number(description: str) -> Schema:
    """Return the schema of a number."""
    return {"type": "number", "description": description}


def whole(description: str, *, least: int = 0) -> Schema:
    """Return the schema of a whole number."""
    return {"type": "integer", "minimum": least, "description": description}


def listing(items: Schema, description: str) -> Schema:
    """Return the schema of a list."""
    return {"type": "array", "items": items, "description": description}


def mapping(values: Schema, description: str) -> Schema:
    """Return the schema of an object with any keys, whose values are alike."""
    return {"type": "object", "additionalProperties": values, "description": description}


def table(description: str, properties: dict[str, Schema], *, needs: tuple[str, ...] = ()) -> Schema:
    """Return the schema of an object with known keys, of which it needs some."""
    return {"type": "object", "description": description, "properties": properties, "required": list(needs)}


def or_null(schema: Schema) -> Schema:
    """Return a schema that allows null as well."""
    return {**schema, "type": [schema["type"], "null"]}
