"""What a board file may say: one table of fields for each of its sections."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sim.device.board import MEMORY_USES, REGULATORS, REQUESTS, STORAGE_KINDS
from sim.device.located_yaml import did_you_mean
from sim.units import (
    ENERGY,
    FREQUENCY,
    POWER,
    RATE,
    SIZE,
    TIME,
    VOLTAGE,
    Dimension,
    UnitError,
    parse,
)


@dataclass(frozen=True, slots=True)
class Kind:
    """A type of value: what it is called, how it is read, and whether it needs a source.

    `json` is the JSON Schema of the value as it stands in the file.
    """

    name: str
    read: Callable[[object], object]
    needs_source: bool
    json: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a section: its YAML name, the attribute it becomes, its kind and meaning.

    `groups` holds the names allowed in a mapping of numbers; None for a plain value.
    """

    name: str
    attribute: str
    kind: Kind
    doc: str
    required: bool = True
    groups: frozenset[str] | None = None


def quantity(dimension: Dimension, *, positive: bool = False) -> Kind:
    """A number with a unit of that dimension."""

    def read(value: object) -> int:
        amount = parse(value, dimension)
        if positive and amount == 0:
            raise UnitError(value, f"{dimension.name} above 0")
        return amount

    units = "|".join(dimension.units)
    pattern = f"^[0-9]+(\\.[0-9]+)? ?({units})$"
    return Kind(dimension.wanted, read, needs_source=True, json=_text(pattern=pattern))


def unsourced(kind: Kind) -> Kind:
    """The same type where no source is asked for: a scenario is of its author's making."""
    return replace(kind, needs_source=False)


def _text(**more: object) -> Mapping[str, Any]:
    return {"type": "string", **more}


def _read_text(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise UnitError(value, "a text")
    return value.strip()


def _read_boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise UnitError(value, "true or false")
    return value


def _read_count(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise UnitError(value, "a whole number, 0 or above")
    return value


def _read_number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UnitError(value, "a number, 0 or above")
    if not math.isfinite(value) or value < 0:
        raise UnitError(value, "a number, 0 or above")
    return float(value)


def _read_share(value: object) -> float:
    if _read_number(value) > 1:
        raise UnitError(value, "a number from 0 to 1")
    return _read_number(value)


def choice(names: Iterable[str]) -> Kind:
    """One of these words."""
    names = frozenset(names)
    wanted = f"one of: {', '.join(sorted(names))}"

    def read(value: object) -> str:
        if not isinstance(value, str) or value not in names:
            raise UnitError(value, did_you_mean(value, list(names)))
        return value

    return Kind(wanted, read, needs_source=False, json={"enum": sorted(names)})


def _choices(names: frozenset[str]) -> Kind:
    wanted = f"a list of: {', '.join(sorted(names))}"

    def read(value: object) -> frozenset[str]:
        if not isinstance(value, list):
            raise UnitError(value, wanted)
        if not all(isinstance(item, str) and item in names for item in value):
            raise UnitError(value, wanted)
        return frozenset(value)

    listed = {"type": "array", "items": {"enum": sorted(names)}}
    return Kind(wanted, read, needs_source=False, json=listed)


TEXT = Kind("a text", _read_text, needs_source=False, json=_text(minLength=1))
BOOLEAN = Kind("true or false", _read_boolean, needs_source=False, json={"type": "boolean"})
COUNT = Kind(
    "a whole number, 0 or above", _read_count, needs_source=True,
    json={"type": "integer", "minimum": 0},
)  # fmt: skip
NUMBER = Kind(
    "a number, 0 or above", _read_number, needs_source=True, json={"type": "number", "minimum": 0}
)
SHARE = Kind(
    "a number from 0 to 1", _read_share, needs_source=True,
    json={"type": "number", "minimum": 0, "maximum": 1},
)  # fmt: skip
BYTES = quantity(SIZE)
SOME_BYTES = quantity(SIZE, positive=True)
DURATION = quantity(TIME)
SPEED = quantity(RATE, positive=True)
CLOCK = quantity(FREQUENCY, positive=True)
WATTS = quantity(POWER)
JOULES = quantity(ENERGY)
VOLTS = quantity(VOLTAGE, positive=True)

MAC_GROUPS = frozenset({
    "conv_1x1", "conv", "depthwise", "fully_connected", "transpose_conv", "conv_3d",
    "batch_matmul", "lstm", "svdf",
})  # fmt: skip
OTHER_GROUPS = frozenset({
    "arithmetic", "activation", "function", "softmax", "pool", "reduce", "resize", "copy",
    "rearrange", "reshape", "unknown",
})  # fmt: skip
GROUPS = MAC_GROUPS | OTHER_GROUPS

NOTE = Field("note", "note", TEXT, "anything that the numbers don't say", required=False)

BUSY = (
    Field("probability", "probability", SHARE, "share of the requests that wait"),
    Field("minimum", "minimum_ps", DURATION, "the shortest wait"),
    Field("typical", "typical_ps", DURATION, "the most likely wait"),
    Field("maximum", "maximum_ps", DURATION, "the longest wait"),
    Field("requests", "requests", choice(REQUESTS), "which of them may wait", False),
)

BEHAVIOUR = (
    Field("loss", "loss", SHARE, "share of the attempts that get lost on the link", False),
    Field("timeout", "timeout_ps", DURATION, "how long an attempt is waited for", False),
    Field("retries", "retries", COUNT, "further attempts before it is given up (3)", False),
    Field("back_off", "back_off", NUMBER, "each timeout is so many times the last (2)", False),
    Field("sleep_after", "sleep_after_ps", DURATION, "idle for so long it falls asleep", False),
    Field("wake", "wake_ps", DURATION, "time to wake it up again", False),
    Field("collect_every", "collect_every_bytes", BYTES, "a card tidies up after so much", False),
    Field("collect_minimum", "collect_minimum_ps", DURATION, "which takes at least", False),
    Field("collect_maximum", "collect_maximum_ps", DURATION, "and at most", False),
    Field("area", "area_bytes", BYTES, "of a flash chip, which slots use in turn", False),
    Field("erase_ahead", "erase_ahead", BOOLEAN, "free blocks are erased while it is idle", False),
)

STORAGE = (
    Field("kind", "kind", choice(STORAGE_KINDS), "what it is"),
    Field("part", "part", TEXT, "the part's name on its datasheet", required=False),
    NOTE,
    Field("size", "size_bytes", SOME_BYTES, "bytes that spills may take"),
    Field("read_setup", "read_setup_ps", DURATION, "time before the first byte of a read"),
    Field("write_setup", "write_setup_ps", DURATION, "time before the first byte of a write"),
    Field("read_rate", "read_bytes_per_s", SPEED, "sustained reading"),
    Field("write_rate", "write_bytes_per_s", SPEED, "sustained writing, without page_program"),
    Field("granule", "granule_bytes", SOME_BYTES, "transfers are rounded up to it", False),
    Field("page", "page_bytes", BYTES, "bytes programmed at once", False),
    Field("page_program", "page_program_ps", DURATION, "time to program one page", False),
    Field("block", "block_bytes", BYTES, "bytes erased at once", False),
    Field("block_erase", "block_erase_ps", DURATION, "time to erase one block", False),
    Field("dma", "dma", BOOLEAN, "false: the core itself copies the bytes"),
    Field("stalls_core", "stalls_core", BOOLEAN, "no code runs while it programs", False),
    Field("endurance", "endurance_cycles", COUNT, "erases a block survives", False),
    Field("read_energy", "read_pj_per_byte", JOULES, "of the storage, for each byte", False),
    Field("write_energy", "write_pj_per_byte", JOULES, "of the storage, for each byte", False),
    Field("erase_energy", "erase_pj_per_block", JOULES, "of the storage, each block", False),
)

MEMORY = (
    NOTE,
    Field("size", "size_bytes", SOME_BYTES, "the whole bank"),
    Field("reserved", "reserved_bytes", BYTES, "what application, stacks and RTOS keep"),
    Field("section", "section", TEXT, "GCC's section for arrays that lie there", False),
    Field("holds", "holds", _choices(MEMORY_USES), "what may lie there"),
    Field("dma", "dma", BOOLEAN, "whether DMA reaches it"),
)

PROFILE = (
    Field("title", "title", TEXT, "core, kernel library and compiler settings", False),
    NOTE,
    Field("cycles_per_mac", "cycles_per_mac", NUMBER, "by group of op kinds", groups=MAC_GROUPS),
    Field("cycles_per_output", "cycles_per_output", NUMBER, "by element", False, GROUPS),
    Field("cycles_per_input", "cycles_per_input", NUMBER, "by element", False, GROUPS),
    Field("cycles_per_byte", "cycles_per_byte", NUMBER, "by byte moved", False, GROUPS),
    Field("cycles_per_call", "cycles_per_call", NUMBER, "by op", False, GROUPS),
    Field("dispatch_cycles", "dispatch_cycles", COUNT, "the interpreter's work between ops"),
    Field("call_cycles", "call_cycles", COUNT, "a direct call in its stead", False),
    Field("calibrated", "calibrated", BOOLEAN, "whether measurements stand behind the numbers"),
    Field("error_percent", "error_percent", NUMBER, "the largest error seen", False),
)

CORE = (
    Field("name", "name", TEXT, "what the vendor calls it"),
    Field("architecture", "architecture", TEXT, "for the compiler, like cortex-m7"),
    Field("clock", "clock_hz", CLOCK, "of the core"),
    Field("active_power", "active_uw", WATTS, "while it computes"),
    Field("waiting_power", "waiting_uw", WATTS, "while it sleeps until a transfer is done"),
    Field("sleep_power", "sleep_uw", WATTS, "between frames (as waiting_power)", False),
    Field("unaligned_access", "unaligned_access", BOOLEAN, "false on M0+ and the like", False),
)

BOARD = (
    Field("title", "title", TEXT, "the board's full name"),
    Field("vendor", "vendor", TEXT, "who makes it"),
    Field("mcu", "mcu", TEXT, "the part number of the microcontroller"),
    NOTE,
    Field("bus", "bus_bytes_per_s", SPEED, "what all DMA transfers share"),
    Field("dma_channels", "dma_channels", COUNT, "transfers that can run at a time"),
    Field("weights_in", "weights_in", TEXT, "the storage or memory that holds the weights"),
    Field(
        "weight_stall", "weight_stall_cycles_per_byte", NUMBER,
        "cycles that the core waits for each byte of weights",
    ),
    Field("flash", "flash_bytes", SOME_BYTES, "for code and weights, in all", False),
    Field("supply", "supply_mv", VOLTS, "at which the powers hold"),
    Field("regulator", "regulator", choice(REGULATORS), "of the microcontroller", False),
)  # fmt: skip
