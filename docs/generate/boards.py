"""A page for each board, and the table of them all, from what `sim boards` reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cache

from sim.device.behaviour import CALM
from sim.device.board import Board, Storage
from sim.device.constants import constants
from sim.device.loader import board_names, load_board
from sim.units import format_bytes, format_time

PROBE_BYTES = 64 * 1024
"""The transfer whose time the table of storages gives, as `sim boards NAME` does."""


@cache
def boards() -> tuple[Board, ...]:
    """All boards that are installed, by name."""
    return tuple(load_board(name) for name in sorted(board_names()))


def overview(found: Sequence[Board]) -> str:
    """The boards, a line each, linked to their pages."""
    rows = [
        (
            f"[{board.name}]({board.name}.md)",
            f"{board.mcu}, {board.core.name}",
            f"{board.core.clock_hz / 10**6:g}",
            format_bytes(sum(memory.size_bytes for memory in board.memories)),
            format_bytes(board.largest_usable_bytes),
            _error(board),
            ", ".join(storage.name for storage in board.storages),
        )
        for board in found
    ]
    heads = ("board", "core", "MHz:", "SRAM:", "largest arena:", "error:", "storages")
    return _table(heads, rows)


def page(board: Board) -> str:
    """The whole page of a board."""
    return "\n\n".join(
        [
            f"# {board.title}",
            _text(board.note),
            _table(*_head_and_rows(_facts(board))),
            f"`sim boards {board.name}` prints this in short, with `--json` all of it.",
            "## Memories",
            _memories(board),
            "## Storages",
            f"Times are of {format_bytes(PROBE_BYTES)} written (erased first, where a part needs "
            "that) and read back, without busy spikes.",
            _storages(board),
            "## Every number and its source",
            _counted(board),
            _sources(board),
            "",
        ]
    )


def _head_and_rows(
    facts: Iterator[tuple[str, str]],
) -> tuple[tuple[str, str], list[tuple[str, str]]]:
    """The first one as the head, so that there is no empty one."""
    return next(facts), list(facts)


def _facts(board: Board) -> Iterator[tuple[str, str]]:
    core, profile = board.core, board.core.profile
    yield "name", f"`{board.name}`, by {board.vendor}"
    yield "microcontroller", board.mcu
    yield "core", f"{core.name} at {core.clock_hz / 10**6:g} MHz"
    yield "cost profile", f"`{profile.name}`: {_text(profile.title)}"
    yield "error of its times", _error_told(board)
    stall = f"{board.weight_stall_cycles_per_byte:g} cycles of waiting for each byte"
    yield "weights", f"in `{board.weights_in}`, {stall}"
    if board.flash_bytes:
        yield "flash", format_bytes(board.flash_bytes)
    yield "power", f"{_milli(core.active_uw)} mW computing, {_milli(core.waiting_uw)} mW waiting"
    yield "bus", f"{_rate(board.bus_bytes_per_s)} for all DMA, {board.dma_channels} channels"


def _error(board: Board) -> str:
    profile = board.core.profile
    known = profile.calibrated and profile.error_percent is not None
    return f"{profile.error_percent:.0f} %" if known else "-"


def _error_told(board: Board) -> str:
    profile = board.core.profile
    if not profile.calibrated or profile.error_percent is None:
        return "not known: no measurement stands behind this profile"
    source = profile.sources.get("error_percent", "")
    told = f"{profile.error_percent:.1f} % at most beside measurements"
    return f"{told} ({_text(source)})" if source else told


def _memories(board: Board) -> str:
    rows = [
        (
            f"`{memory.name}`",
            format_bytes(memory.size_bytes),
            format_bytes(memory.usable_bytes),
            ", ".join(sorted(memory.holds)),
            _yes(memory.dma),
            _text(memory.note),
        )
        for memory in board.memories
    ]
    return _table(("memory", "size:", "usable:", "holds", "DMA", "note"), rows)


def _storages(board: Board) -> str:
    heads = (
        "storage", "size:", "write:", "read:", "written:", "read back:", "granule:", "erased by:",
        "endurance:", "copied by",
    )  # fmt: skip
    table = _table(heads, [_storage(storage) for storage in board.storages])
    notes = [f"- `{s.name}`: {'. '.join(_remarks(s))}." for s in board.storages if _remarks(s)]
    return "\n".join([table, "", *notes])


def _storage(storage: Storage) -> tuple[str, ...]:
    return (
        f"`{storage.name}`",
        format_bytes(storage.size_bytes),
        _rate(storage.write_bytes_per_s),
        _rate(storage.read_bytes_per_s),
        format_time(storage.write_ps(PROBE_BYTES)),
        format_time(storage.read_ps(PROBE_BYTES)),
        format_bytes(storage.granule_bytes),
        format_bytes(storage.block_bytes) if storage.needs_erase else "-",
        f"{storage.endurance_cycles:,}" if storage.endurance_cycles else "-",
        "DMA" if storage.dma else "the core",
    )


def _remarks(storage: Storage) -> list[str]:
    """The part, and what the table has no column for."""
    busy = storage.busy
    told = [_text(storage.part), _text(storage.note.rstrip("."))]
    told.append("The core stands still while it programs" if storage.stalls_core else "")
    if busy is not None:
        least = f"{format_time(busy.minimum_ps)} to " if busy.minimum_ps else "up to "
        whose = "writes" if busy.requests == "writes" else "requests"
        told.append(
            f"{100 * busy.probability:g} % of the {whose} find it busy, for {least}"
            f"{format_time(busy.maximum_ps)}"
        )
    told.append("It behaves in its own way over time" if storage.behaviour != CALM else "")
    return [text for text in told if text]


def _counted(board: Board) -> str:
    found = constants(board)
    assumed = sum(constant.assumed for constant in found)
    return (
        f"{assumed} of {len(found)} numbers are assumed: nothing better was found, and the source "
        "says what they are taken from."
    )


def _sources(board: Board) -> str:
    rows = [(f"`{c.path}`", c.value, _text(c.source)) for c in constants(board)]
    return _table(("number", "value:", "source"), rows)


def _rate(bytes_per_s: int) -> str:
    unit, scale = ("MB/s", 10**6) if bytes_per_s >= 10**6 else ("KB/s", 10**3)
    return f"{bytes_per_s / scale:.3g} {unit}"


def _milli(amount: int) -> str:
    return f"{amount / 1000:g}"


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _text(text: str) -> str:
    """A text of the YAML as Markdown: what would have a meaning there has none."""
    return text.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*").replace("_", "\\_")


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; heads that end in a colon are of numbers."""
    names = [head.removesuffix(":") for head in heads]
    rules = ["---:" if head.endswith(":") else "---" for head in heads]
    return "\n".join(f"| {' | '.join(row)} |" for row in (names, rules, *rows))
