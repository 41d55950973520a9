"""Reads one section of a board file against its table of fields, each number with its source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sim.device.located_yaml import Located, did_you_mean
from sim.device.schema import Field, Kind
from sim.errors import ConfigError
from sim.units import UnitError


@dataclass(frozen=True, slots=True)
class Entry:
    """A value that was read, where it stands, and where it comes from ("" if it needs none)."""

    value: object
    source: str
    located: Located


Entries = Mapping[str, Entry]
"""By YAML name; the numbers of a mapping one by one as "field.group"."""


def read_entries(
    node: Located, fields: tuple[Field, ...], where: str, others: tuple[str, ...] = ()
) -> Entries:
    """The fields that are there; `others` are keys that the caller reads.

    Raises ConfigError for an unknown key, a value of the wrong kind, a number with no source.
    """
    section = node.mapping(where)
    sourced = ["source"] if any(f.kind.needs_source for f in fields) else []
    _refuse_unknown(node, [f.name for f in fields] + [*sourced, *others], where)
    inherited = _source(section, where)
    entries: dict[str, Entry] = {}
    for field in fields:
        if field.name not in section:
            continue
        at = _join(where, field.name)
        if field.groups is None:
            entries[field.name] = _read(section[field.name], field.kind, at, inherited)
            continue
        numbers = section[field.name].mapping(at)
        _refuse_unknown(section[field.name], [*field.groups, "source"], at)
        own = _source(numbers, at) or inherited
        for group, value in numbers.items():
            if group != "source":
                key = f"{field.name}.{group}"
                entries[key] = _read(value, field.kind, _join(where, key), own)
    return entries


def require(entries: Entries, fields: tuple[Field, ...], node: Located, where: str) -> None:
    """Raises ConfigError if a required field is in no layer of the section at `node`."""
    for field in fields:
        there = field.name in entries or any(k.startswith(f"{field.name}.") for k in entries)
        if field.required and not there:
            wanted = f"{field.kind.name}: {field.doc}"
            raise ConfigError(node.file, node.line, _join(where, field.name), "nothing", wanted)


def arguments(entries: Entries, fields: tuple[Field, ...]) -> dict[str, Any]:
    """The entries as arguments of the section's dataclass, without `sources`."""
    values: dict[str, Any] = {}
    for field in fields:
        if field.groups is not None:
            prefix = f"{field.name}."
            values[field.attribute] = {
                key.removeprefix(prefix): entry.value
                for key, entry in entries.items()
                if key.startswith(prefix)
            }
        elif field.name in entries:
            values[field.attribute] = entries[field.name].value
    return values


def sources(entries: Entries) -> dict[str, str]:
    """The source of each entry that has one."""
    return {key: entry.source for key, entry in entries.items() if entry.source}


def error_at(entries: Entries, key: str, where: str, wanted: str) -> ConfigError:
    """The error that a value, fine by itself, does not go with the others of its section."""
    return entries[key].located.error(_join(where, key), wanted)


def _read(node: Located, kind: Kind, where: str, inherited: str) -> Entry:
    value, source = node, inherited if kind.needs_source else ""
    if isinstance(node.value, dict):
        pair = node.mapping(where)
        _refuse_unknown(node, ["value", "source"], where)
        if "value" not in pair:
            raise node.error(where, "value: and source:")
        value, source = pair["value"], _source(pair, where) or source
    if kind.needs_source and not source:
        raise value.error(where, "a source: beside the value, or one for the section")
    try:
        return Entry(kind.read(_plain(value)), source, value)
    except UnitError as error:
        found = value.shown if isinstance(value.value, dict) else error.found
        raise ConfigError(value.file, value.line, where, found, error.wanted) from error


def _source(section: Mapping[str, Located], where: str) -> str:
    node = section.get("source")
    if node is None:
        return ""
    if not isinstance(node.value, str) or not node.value.strip():
        raise node.error(_join(where, "source"), "a text: datasheet and page, a measurement, ...")
    return node.value.strip()


def _refuse_unknown(node: Located, known: list[str], where: str) -> None:
    for key, line in node.key_lines.items():
        if key not in known:
            wanted = did_you_mean(key, known)
            raise ConfigError(node.file, line, _join(where, key), key, wanted)


def _plain(node: Located) -> object:
    if isinstance(node.value, list):
        return [_plain(item) if not isinstance(item.value, dict) else {} for item in node.value]
    return node.value


def _join(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name
