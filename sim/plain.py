"""Dataclasses as the values that JSON knows."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import fields, is_dataclass
from typing import Any


def plain(value: Any, without: Collection[str] = ()) -> Any:
    """Dataclasses and mappings as objects, sets sorted; fields and keys `without` are left out."""
    if is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in fields(value)}
    if isinstance(value, Mapping):
        return {key: plain(item, without) for key, item in value.items() if key not in without}
    if isinstance(value, frozenset | set):
        return sorted(value)
    return [plain(i, without) for i in value] if isinstance(value, list | tuple) else value
