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
    """Return the schema of a whole number.

    Args:
        description: what it is.
        least: the smallest that it can be.
    """
    return {"type": "integer", "minimum": least, "description": description}


def listing(items: Schema, description: str) -> Schema:
    """Return the schema of a list.

    Args:
        items: the schema of each entry.
        description: what it is, and in which order.
    """
    return {"type": "array", "items": items, "description": description}


def mapping(values: Schema, description: str) -> Schema:
    """Return the schema of an object with any keys, whose values are alike.

    Args:
        values: the schema of each value.
        description: what keys and values are.
    """
    return {"type": "object", "additionalProperties": values, "description": description}


def table(description: str, properties: dict[str, Schema], *, needs: tuple[str, ...] = ()) -> Schema:
    """Return the schema of an object with these keys.

    Args:
        description: what it is.
        properties: key -> schema of its value.
        needs: the keys that cannot be missing.
    """
    return {"type": "object", "description": description, "properties": properties, "required": list(needs)}


def or_null(schema: Schema) -> Schema:
    """Return a schema that allows null as well."""
    return {**schema, "type": [schema["type"], "null"]}
