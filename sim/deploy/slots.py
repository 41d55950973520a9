"""Where spilled tensors lie in their storages, and by which step each of their transfers ends.

A slot is a variable of the model whose container names a storage of the board. Steps are indices
of the main subgraph's ops.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import lcm

from sim.device.board import Board, Storage
from sim.errors import CannotFitError
from sim.graph.graph import Graph, Op
from sim.ranges import Range, round_up

SLOT_ALIGNMENT = 32
"""A cache line of the cores in question, so that a transfer never shares one with another slot."""

SHARED_KINDS = frozenset({"sdram", "psram"})
"""Storages where writing costs no wear and no erase, so slots may follow each other in place."""

SPILL, FETCH = "spill", "fetch"
_KINDS = {"ASSIGN_VARIABLE": SPILL, "READ_VARIABLE": FETCH}


@dataclass(frozen=True, slots=True)
class Transfer:
    """A spill or fetch, made by the op at `step` between a tensor and a slot.

    It has to be over before step `done_before` begins: that step may overwrite a spill's source,
    or is the first to read what was fetched; the number of steps means the end of the inference.
    """

    step: int
    kind: str
    storage: str
    slot: str
    tensor: int
    size_bytes: int
    done_before: int


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


def transfers(graph: Graph) -> tuple[Transfer, ...]:
    """Every spill and fetch of the main subgraph, in running order."""
    handles = {
        op.outputs[0]: (op.options.text("container"), op.options.text("shared_name"))
        for op in graph.ops
        if op.kind == "VAR_HANDLE" and op.options.text("container")
    }
    return tuple(
        _transfer(graph, step, op, *handles[op.inputs[0]])
        for step, op in enumerate(graph.ops)
        if op.kind in _KINDS and op.inputs[0] in handles
    )


def _transfer(graph: Graph, step: int, op: Op, storage: str, slot: str) -> Transfer:
    if _KINDS[op.kind] == SPILL:
        tensor, done = op.inputs[1], min(step + op.window + 1, len(graph.ops))
    else:
        tensor, done = op.outputs[0], _first_reader(graph, op.outputs[0])
    size = graph.tensors[tensor].nbytes
    return Transfer(step, _KINDS[op.kind], storage, slot, tensor, size, done)


def _first_reader(graph: Graph, tensor: int) -> int:
    readers = (step for step, op in enumerate(graph.ops) if tensor in op.inputs)
    return next(readers, len(graph.ops))


def slot_table(graph: Graph, board: Board) -> tuple[Slot, ...]:
    """A slot for each spilled variable, storage by storage, in the order of their first spills.

    Raises PolicyError if the board has no such storage, CannotFitError if one has no room left.
    """
    moves = transfers(graph)
    storages = dict.fromkeys(m.storage for m in moves if m.kind == SPILL)
    return tuple(slot for name in storages for slot in _slots_of(graph, board.storage(name), moves))


def _slots_of(graph: Graph, storage: Storage, moves: tuple[Transfer, ...]) -> list[Slot]:
    own = [m for m in moves if m.storage == storage.name]
    names = dict.fromkeys(m.slot for m in own if m.kind == SPILL)
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
    size = max(m.size_bytes for m in moves)
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
