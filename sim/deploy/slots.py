"""Where spilled tensors lie in their storages.

A slot is a variable of the model whose container names a storage of the board.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import lcm

from sim.device.board import Board, Storage
from sim.errors import CannotFitError
from sim.graph.graph import Graph
from sim.program import Program
from sim.ranges import Range, round_up
from sim.trace import FETCH
from sim.transfers import Transfer, transfers

SLOT_ALIGNMENT = 32
"""A cache line of the cores in question, so that a transfer never shares one with another slot."""

SHARED_KINDS = frozenset({"sdram", "psram"})
"""Storages where writing costs no wear and no erase, so slots may follow each other in place."""


@dataclass(frozen=True, slots=True)
class Slot:
    """Bytes of a storage for one variable; `reserved_bytes` are whole blocks or granules.

    `lifetime` are the steps during which it holds something that is still to be read.
    """

    storage: str
    name: str
    size_bytes: int
    reserved_bytes: int
    offset_bytes: int
    lifetime: Range

    @property
    def span(self) -> Range:
        """The bytes of the storage that it takes."""
        return Range(self.offset_bytes, self.offset_bytes + self.reserved_bytes)


def slot_table(program: Program, board: Board) -> tuple[Slot, ...]:
    """A slot for each variable that a storage holds, by storage, in the order of first use.

    Raises PolicyError if the board has no such storage, CannotFitError if one has no room left.
    """
    moves = transfers(program)
    storages = dict.fromkeys(m.storage for m in moves)
    return tuple(
        slot for name in storages for slot in _slots_of(program.graph, board.storage(name), moves)
    )


def _slots_of(graph: Graph, storage: Storage, moves: tuple[Transfer, ...]) -> list[Slot]:
    own = [m for m in moves if m.storage == storage.name]
    names = dict.fromkeys(m.slot for m in own)
    wanted = [_unplaced(graph, storage, name, [m for m in own if m.slot == name]) for name in names]
    placed: dict[str, Slot] = {}
    for slot in sorted(wanted, key=lambda s: -s.reserved_bytes):
        placed[slot.name] = _first_gap(slot, list(placed.values()), _unit(storage))
    needed = max(slot.span.stop for slot in placed.values())
    if needed > storage.size_bytes:
        raise CannotFitError(
            f"{graph.name}: storage {storage.name!r}: slots of {len(placed)} spilled tensors: "
            f"found {storage.size_bytes} B, wanted {needed} B"
        )
    return [placed[name] for name in names]


def _unplaced(graph: Graph, storage: Storage, name: str, moves: list[Transfer]) -> Slot:
    size = max(m.nbytes for m in moves)
    steps = Range(moves[0].step, max(m.done_before for m in moves))
    keeps_state = moves[0].kind == FETCH
    if keeps_state or storage.kind not in SHARED_KINDS:
        steps = Range(0, len(graph.ops))
    return Slot(storage.name, name, size, storage.slot_bytes(size), 0, steps)


def _first_gap(slot: Slot, placed: list[Slot], unit: int) -> Slot:
    offset = 0
    for other in sorted(placed, key=lambda s: s.offset_bytes):
        if not other.lifetime.overlaps(slot.lifetime):
            continue
        if offset + slot.reserved_bytes <= other.offset_bytes:
            break
        offset = max(offset, round_up(other.span.stop, unit))
    return replace(slot, offset_bytes=offset)


def _unit(storage: Storage) -> int:
    """Slots start at multiples of it: a block that is erased at once, or whole granules."""
    if storage.needs_erase:
        return storage.block_bytes
    return lcm(storage.granule_bytes, SLOT_ALIGNMENT)
