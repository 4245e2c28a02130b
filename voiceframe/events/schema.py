"""The vocabulary as JSON Schema and as a table, for those who read the log without this package."""

from __future__ import annotations

import types
from collections.abc import Mapping
from typing import Any, Final, Literal, Union, get_args, get_origin

from .base import Event, event_classes

__all__ = ["json_schema"]

_TYPES: Final = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}


def json_schema() -> dict[str, Any]:
    """A JSON Schema (2020-12) of one logged event, with all kinds of the vocabulary that are not `custom.*`.

    Personal fields are marked `"pii": true`. Custom events are described as far as all events are alike.
    """
    definitions = {f"{cls.kind}.v{cls.version}": _definition(cls) for cls in event_classes(custom=False)}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:voiceframe:events",
        "title": "A logged event of Voiceframe",
        "type": "object",
        "properties": {
            "id": {"description": "a ULID", "type": "string", "pattern": "^[0-7][0-9A-HJKMNP-TV-Z]{25}$"},
            "call": {"type": "string"},
            "writer": {"description": "who wrote it; with call and seq the key", "type": "string"},
            "seq": {"description": "counts from 0 for each writer", "type": "integer", "minimum": 0},
            "at_ms": {"description": "time in the call", "type": "integer"},
            "wall_ms": {"description": "epoch milliseconds", "type": "integer"},
            "tenant": {"type": "string"},
            "environment": {"enum": ["development", "production", "eval"]},
            "trace": {"description": "W3C trace id", "type": "string", "pattern": "^[0-9a-f]{32}$"},
            "turn": {"type": ["integer", "null"]},
            "kind": {"type": "string"},
            "version": {"type": "integer"},
            "data": {"type": "object"},
            "personal": {"description": "null once it was erased", "type": ["object", "null"], "pii": True},
        },
        "required": ["call", "writer", "seq", "at_ms", "tenant", "environment", "trace", "turn", "kind", "version",
                     "data", "personal"],
        "additionalProperties": False,
        "oneOf": [
            *({"$ref": f"#/$defs/{name}"} for name in definitions),
            {"properties": {"kind": {"pattern": "^custom\\."}}},
        ],
        "$defs": definitions,
    }  # fmt: skip


def _definition(cls: type[Event]) -> dict[str, Any]:
    plain = {f.name: _type(f.type) for f in cls.event_fields if not f.personal}
    personal = {f.name: {**_type(f.type), "pii": True} for f in cls.event_fields if f.personal}
    return {
        "description": _text(cls),
        "properties": {
            "kind": {"const": cls.kind},
            "version": {"const": cls.version},
            "data": _object(plain),
            "personal": {**_object(personal), "type": ["object", "null"]},
        },
    }


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _type(annotation: Any) -> dict[str, Any]:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation is Any:
        return {}
    if annotation in _TYPES:
        return {"type": _TYPES[annotation]}
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin in (Union, types.UnionType):
        if all(argument in _TYPES for argument in arguments):
            return {"type": [_TYPES[argument] for argument in arguments]}
        return {"anyOf": [_type(argument) for argument in arguments]}
    if origin is tuple:
        return {"type": "array", "items": _type(arguments[0])}
    assert issubclass(origin, Mapping)
    return {"type": "object", "additionalProperties": _type(arguments[1])}


def markdown() -> str:
    """The page `docs/events.md`: what all events have, and a table of the kinds."""
    lines = [
        "# Events",
        "",
        "Everything that matters in a call becomes an event in one append-only log. The vocabulary is closed and",
        "versioned, but for `custom.*`, which applications register with `@event(\"custom.<name>\", version=1)`.",
        "The machine-readable form is [events.schema.json](events.schema.json).",
        "",
        "Each event has an `id` (ULID), its key `call`, `writer` and `seq`, the time in the call `at_ms` and on the",
        "wall `wall_ms`, `tenant`, `environment`, `trace`, `turn`, `kind` and `version`. Its own fields are in `data`;",
        "those that hold something of a person (*italic* below) are apart in `personal`, which the owner can erase.",
        "",
        "| kind | version | fields | meaning |",
        "| --- | --- | --- | --- |",
    ]  # fmt: skip
    for cls in event_classes(custom=False):
        fields = ", ".join(f"*{f.name}*" if f.personal else f.name for f in cls.event_fields)
        lines.append(f"| `{cls.kind}` | {cls.version} | {fields} | {_text(cls)} |")
    return "\n".join(lines) + "\n"


def _text(cls: type[Event]) -> str:
    return " ".join((cls.__doc__ or "").split())
