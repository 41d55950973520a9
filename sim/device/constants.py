"""Constants: every number of a board as a text with its unit, and where it comes from."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from operator import attrgetter
from typing import Any

from sim.device.board import Board, Sources
from sim.device.schema import BEHAVIOUR, BOARD, BUSY, CORE, MEMORY, PROFILE, STORAGE, Field
from sim.plain import plain
from sim.units import format_bytes, format_time

ASSUMED = "assumed"


@dataclass(frozen=True, slots=True)
class Constant:
    """A number by its path in the YAML ("storages.qspi.page_program").

    `number` is in the unit that the board keeps it in, `value` a text with a unit, rounded.
    """

    path: str
    number: float | None
    value: str
    source: str

    @property
    def assumed(self) -> bool:
        """Whether nothing better than an assumption was found for it."""
        return self.source.startswith(ASSUMED)


def constants(board: Board) -> tuple[Constant, ...]:
    """All numbers of a board that have a source, in the order of the file."""
    return tuple(
        Constant(prefix + key, *_value(part, fields, key), source)
        for prefix, part, fields, sources in _sections(board)
        for key, source in sources.items()
    )


def digest(board: Board) -> str:
    """SHA-256 of all that a board is, by which results of an edited one are told apart.

    Notes and sources don't count.
    """
    text = json.dumps(plain(board, without=("sources", "note")), sort_keys=True)
    return sha256(text.encode()).hexdigest()


def _sections(board: Board) -> Iterator[tuple[str, Any, Mapping[str, Field], Sources]]:
    yield "", board, _by_name(BOARD), board.sources
    yield "core.", board.core, _by_name(CORE), board.core.sources
    yield "core.profile.", board.core.profile, _by_name(PROFILE), board.core.profile.sources
    for memory in board.memories:
        yield f"memories.{memory.name}.", memory, _by_name(MEMORY), memory.sources
    for storage in board.storages:
        yield f"storages.{storage.name}.", storage, _STORAGE, storage.sources


def _by_name(fields: tuple[Field, ...]) -> Mapping[str, Field]:
    return {field.name: field for field in fields}


_STORAGE = {
    **_by_name(STORAGE),
    **{f"busy.{name}": field for name, field in _by_name(BUSY).items()},
    **{f"behaviour.{name}": field for name, field in _by_name(BEHAVIOUR).items()},
}


def _value(part: Any, fields: Mapping[str, Field], key: str) -> tuple[float | None, str]:
    """What a section has under a YAML name, "field.group" and "busy.field" included."""
    if key in fields:
        attribute = fields[key].attribute
        *parents, _ = key.split(".")
        number = attrgetter(".".join([*parents, attribute]))(part)
        return number, _written(attribute, number)
    name, _, group = key.partition(".")
    number = getattr(part, fields[name].attribute)[group]
    return number, _written("", number)


_SCALES: tuple[tuple[str, Callable[[Any], str]], ...] = (
    ("_bytes_per_s", lambda value: f"{value / 10**6:,.6g} MB/s"),
    ("_cycles_per_byte", lambda value: f"{value:g}"),
    ("_pj_per_byte", lambda value: f"{value:,} pJ"),
    ("_pj_per_block", lambda value: f"{value / 10**6:,.6g} uJ"),
    ("_bytes", format_bytes),
    ("_ps", format_time),
    ("_hz", lambda value: f"{value / 10**6:,.6g} MHz"),
    ("_uw", lambda value: f"{value / 10**3:,.6g} mW"),
    ("_mv", lambda value: f"{value / 10**3:,.6g} V"),
)


def _written(attribute: str, value: Any) -> str:
    if value is None:
        return "-"
    for suffix, write in _SCALES:
        if attribute.endswith(suffix):
            return write(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"
