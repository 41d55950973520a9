"""The part of model_config.h about spilled tensors: their slots and their transfers."""

from __future__ import annotations

from collections.abc import Sequence

from sim.deploy.c_text import check, identifiers, macros, table, text, unsigned
from sim.deploy.slots import Slot
from sim.device.board import Board
from sim.graph.lifetimes import ARENA_ALIGNMENT
from sim.plan.memory_plan import MemoryPlan
from sim.program import Program
from sim.ranges import round_up
from sim.trace import SPILL
from sim.transfers import Transfer, transfers

_SLOT = """\
/* One slot for each spilled tensor: where its bytes lie in their storage. */
struct spillway_slot {
  enum spillway_storage storage;
  const char *name;
  uint32_t offset;
  uint32_t bytes;
  uint32_t reserved_bytes;
};
"""

_TRANSFER = """\
/* The op at index `step` starts the transfer, after the earlier ones that use the same slot or the
   same bytes of the arena. It has to be over before step `done_before` begins, which overwrites
   the bytes of a spill, or reads those of a fetch; SPILLWAY_STEP_COUNT is the end of the
   inference. Steps count the ops of the main subgraph, as MicroProfiler's BeginEvent does. */
enum spillway_transfer_kind { SPILLWAY_SPILL = 0, SPILLWAY_FETCH = 1 };
struct spillway_transfer {
  enum spillway_transfer_kind kind;
  uint32_t step;
  uint32_t slot;
  uint32_t bytes;
  int32_t arena_offset;
  uint32_t done_before;
};
"""


def slots_section(board: Board, slots: Sequence[Slot]) -> str:
    """The board's storages, the table of slots, and the checks that the slots fit."""
    constants = _constants(board)
    names = ["SPILLWAY_STORAGE_NONE", *constants.values()]
    enum = ",\n".join(f"  {name} = {number}" for number, name in enumerate(names))
    rows = [
        f"{{{constants[slot.storage]}, {text(slot.name)}, {unsigned(slot.offset_bytes)}, "
        f"{unsigned(slot.size_bytes)}, {unsigned(slot.reserved_bytes)}}}"
        for slot in slots
    ]
    nothing = '{SPILLWAY_STORAGE_NONE, "", 0u, 0u, 0u}'
    parts = [
        f"enum spillway_storage {{\n{enum}\n}};\n",
        _SLOT,
        macros(("SLOT_COUNT", str(len(rows)))),
        table("spillway_slot spillway_slots", rows, nothing),
    ]
    used = dict.fromkeys(slot.storage for slot in slots)
    parts += [_storage_check(board, name, constants[name], slots) for name in used]
    if slots:
        total = " + ".join(unsigned(round_up(s.size_bytes, ARENA_ALIGNMENT)) for s in slots)
        parts.append(check(f"{total} == SPILLWAY_SPILLED_BYTES", "the slots do not add up"))
    return "".join(parts)


def transfers_section(program: Program, slots: Sequence[Slot]) -> str:
    """The table of spills and fetches in running order, each with its slot and its deadline."""
    places = {(slot.storage, slot.name): place for place, slot in enumerate(slots)}
    rows = [
        _transfer_row(move, places[move.storage, move.slot], program.plan)
        for move in transfers(program)
        if (move.storage, move.slot) in places
    ]
    counts = macros(
        ("STEP_COUNT", str(len(program.graph.ops))),
        ("TRANSFER_COUNT", str(len(rows))),
    )
    nothing = "{SPILLWAY_SPILL, 0u, 0u, 0u, -1, 0u}"
    return _TRANSFER + counts + table("spillway_transfer spillway_transfers", rows, nothing)


def arena_offset(plan: MemoryPlan, tensor: int) -> int:
    """The tensor's offset in the head of the arena, -1 if it has none."""
    offset = plan.offset_of(tensor)
    return -1 if offset is None else offset


def _constants(board: Board) -> dict[str, str]:
    made = identifiers(["none", *(storage.name for storage in board.storages)])
    return {s.name: f"SPILLWAY_STORAGE_{made[s.name]}" for s in board.storages}


def _storage_check(board: Board, name: str, constant: str, slots: Sequence[Slot]) -> str:
    used = max(slot.span.stop for slot in slots if slot.storage == name)
    stem = constant.removeprefix("SPILLWAY_")
    sizes = macros(
        (f"{stem}_USED_BYTES", unsigned(used)),
        (f"{stem}_SIZE_BYTES", unsigned(board.storage(name).size_bytes)),
    )
    condition = f"{constant}_USED_BYTES <= {constant}_SIZE_BYTES"
    return sizes + check(condition, f"the slots do not fit their storage {name}")


def _transfer_row(move: Transfer, place: int, plan: MemoryPlan) -> str:
    kind = "SPILLWAY_SPILL" if move.kind == SPILL else "SPILLWAY_FETCH"
    return (
        f"{{{kind}, {unsigned(move.step)}, {unsigned(place)}, {unsigned(move.nbytes)}, "
        f"{arena_offset(plan, move.tensor)}, {unsigned(move.done_before)}}}"
    )
