"""The part of model_config.h about inputs that wait in slots: which rows the caller puts where."""

from __future__ import annotations

from collections.abc import Sequence

from sim.deploy.c_text import macros, single, table, text, unsigned
from sim.deploy.feeder import ROWS, slots_to_fill
from sim.deploy.slots import Slot
from sim.graph.graph import Graph, Tensor

_FED_ROWS = """\
/* Inputs that wait in slots instead of the arena: before each inference the caller fills every slot
   named here with rows `row` up to `row + rows` of the input, as they lie in it. */
struct spillway_fed_rows {
  const char *input;
  uint32_t slot;
  uint32_t row;
  uint32_t rows;
  uint32_t bytes;
  float scale;
  int32_t zero_point;
};
"""


def fed_section(graph: Graph, slots: Sequence[Slot]) -> str:
    """The table of slots that the caller fills, by slot."""
    parts = slots_to_fill(graph)
    rows = [
        _row(number, slot, parts[slot.storage, slot.name])
        for number, slot in enumerate(slots)
        if (slot.storage, slot.name) in parts and slot.name.rpartition(ROWS)[2].isdigit()
    ]
    count = macros(("FED_ROWS_COUNT", str(len(rows))))
    nothing = '{"", 0u, 0u, 0u, 0u, 0.0f, 0}'
    return _FED_ROWS + count + table("spillway_fed_rows spillway_fed_rows", rows, nothing)


def _row(number: int, slot: Slot, part: Tensor) -> str:
    name, _, first = slot.name.rpartition(ROWS)
    quantization = part.quantization
    scale, zero_point = 0.0, 0
    if quantization is not None and len(quantization.scale) == 1:
        scale = quantization.scale[0]
        zero_point = quantization.zero_point[0] if quantization.zero_point else 0
    return (
        f"{{{text(name)}, {unsigned(number)}, {unsigned(int(first))}, "
        f"{unsigned(part.shape[1])}, {unsigned(part.nbytes)}, {single(scale)}, {zero_point}}}"
    )
