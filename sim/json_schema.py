"""JSON Schemas of the files that people write, made from the tables that read them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sim.device.schema import BEHAVIOUR, BOARD, BUSY, CORE, MEMORY, PROFILE, STORAGE, Field
from sim.workload.schema import (
    CAMERA,
    FAULT,
    GOAL,
    RESIDENT,
    SCENARIO,
    STORAGE_MOODS,
    USER,
    WORKLOAD,
)

DIALECT = "http://json-schema.org/draft-07/schema#"
Schema = dict[str, Any]
_SOURCE: Schema = {"type": "string", "minLength": 1, "description": "where the numbers come from"}
_TEXT: Schema = {"type": "string", "minLength": 1}


def schemas() -> dict[str, Schema]:
    """By kind of file: boards, the parts that they name, and scenarios."""
    return {
        "board": _document("A Spillway board", _board()),
        "core": _document("A cost profile: a core with a kernel library", _section(PROFILE)),
        "storage": _document("A storage or link", _storage(required=True)),
        "scenario": _document("A Spillway scenario", _scenario()),
    }


def _document(title: str, schema: Schema) -> Schema:
    return {"$schema": DIALECT, "title": title, **schema}


def _section(
    fields: Sequence[Field], others: Mapping[str, Schema] | None = None, *, required: bool = True
) -> Schema:
    """A mapping of these fields and of `others`; those with units also as value: and source:."""
    sourced = any(field.kind.needs_source for field in fields)
    properties = {field.name: _field(field) for field in fields}
    properties |= {"source": _SOURCE} if sourced else {}
    made: Schema = {
        "type": "object",
        "properties": {**properties, **(others or {})},
        "additionalProperties": False,
    }
    needed = [field.name for field in fields if field.required] if required else []
    return {**made, "required": needed} if needed else made


def _field(field: Field) -> Schema:
    about = {"description": f"{field.doc}; {field.kind.name}"}
    if field.groups is None:
        return {**_value(field), **about}
    return {
        "type": "object",
        "properties": {**{name: _value(field) for name in sorted(field.groups)}, "source": _SOURCE},
        "additionalProperties": False,
        **about,
    }


def _value(field: Field) -> Schema:
    """The value by itself, or beside its source."""
    plain = dict(field.kind.json)
    if not field.kind.needs_source:
        return plain
    pair = {
        "type": "object",
        "properties": {"value": plain, "source": _SOURCE},
        "required": ["value"],
        "additionalProperties": False,
    }
    return {"anyOf": [plain, pair]}


def _part(fields: Sequence[Field], others: Mapping[str, Schema] | None = None) -> Schema:
    """A part by its name, or a mapping that may use one and override its fields."""
    whole = _section(fields, {"use": _TEXT, **(others or {})}, required=False)
    return {"anyOf": [_TEXT, whole]}


def _named(schema: Schema) -> Schema:
    return {"type": "object", "additionalProperties": schema, "minProperties": 1}


def _storage(*, required: bool) -> Schema:
    others = {"busy": _section(BUSY), "behaviour": _section(BEHAVIOUR)}
    return _section(STORAGE, others) if required else _part(STORAGE, others)


def _board() -> Schema:
    core = _section(CORE, {"profile": _part(PROFILE)})
    board = _section(
        BOARD,
        {
            "core": core,
            "memories": _named(_part(MEMORY)),
            "storages": _named(_storage(required=False)),
        },
    )
    return {**board, "required": [*board["required"], "core", "memories"]}


def _scenario() -> Schema:
    policy = {"anyOf": [_TEXT, {"type": "object", "minProperties": 1, "maxProperties": 1}]}
    scenario = _section(
        SCENARIO,
        {
            "goal": _section(GOAL),
            "policies": {"type": "array", "items": policy, "minItems": 1},
            "workload": _section(WORKLOAD),
            "camera": _section(CAMERA),
            "background": _named(_section(USER)),
            "storages": _named(_section(STORAGE_MOODS)),
            "faults": {"type": "array", "items": _section(FAULT)},
            "also": _named(_section(RESIDENT)),
        },
    )
    return {**scenario, "required": [*scenario["required"], "policies"]}
