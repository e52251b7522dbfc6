"""The part of JSON Schema that our schemas use, so that tests need no validator of their own."""

from __future__ import annotations

import math
from collections.abc import Iterator

KINDS = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
}


def unlike(schema: dict, value: object, root: dict, at: str = "$") -> Iterator[str]:
    """Where a value is not as a schema says; nothing when it is."""
    if "$ref" in schema:
        yield from unlike(root["$defs"][schema["$ref"].removeprefix("#/$defs/")], value, root, at)
    if "anyOf" in schema and all(list(unlike(option, value, root, at)) for option in schema["anyOf"]):
        yield f"{at}: none of the options"
    if value not in schema.get("enum", [schema.get("const", value)]):
        yield f"{at}: {value!r} is not allowed"
    if "type" in schema and not _is(value, schema["type"]):
        yield f"{at}: {value!r} is no {schema['type']}"
    if isinstance(value, dict):
        yield from _unlike_object(schema, value, root, at)
    if isinstance(value, list):
        yield from _unlike_array(schema, value, root, at)


def _is(value: object, types: str | list[str]) -> bool:
    names = [types] if isinstance(types, str) else types
    if isinstance(value, bool):  # which Python takes for a whole number
        return "boolean" in names
    return any(isinstance(value, KINDS[name]) for name in names)


def _unlike_object(schema: dict, value: dict, root: dict, at: str) -> Iterator[str]:
    known, extra = schema.get("properties", {}), schema.get("additionalProperties", True)
    yield from (f"{at}: lacks {key}" for key in schema.get("required", ()) if key not in value)
    for key, item in value.items():
        if key in known:
            yield from unlike(known[key], item, root, f"{at}.{key}")
        elif isinstance(extra, dict):
            yield from unlike(extra, item, root, f"{at}.{key}")
        elif not extra:
            yield f"{at}: has {key}"


def _unlike_array(schema: dict, value: list, root: dict, at: str) -> Iterator[str]:
    if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", math.inf):
        yield f"{at}: {len(value)} items"
    for place, item in enumerate(value):
        yield from unlike(schema.get("items", {}), item, root, f"{at}[{place}]")
