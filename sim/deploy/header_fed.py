"""The part of model_config.h about inputs that wait in slots: which rows the caller puts where."""

from __future__ import annotations

from collections.abc import Sequence

from sim.deploy.c_text import macros, single, table, text, unsigned
from sim.deploy.feeder import slots_to_fill
from sim.deploy.slots import Slot
from sim.graph.feed import slot_rows
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
        _row(number, *rows_of, parts[slot.storage, slot.name])
        for number, slot in enumerate(slots)
        if (slot.storage, slot.name) in parts and (rows_of := slot_rows(slot.name))
    ]
    count = macros(("FED_ROWS_COUNT", str(len(rows))))
    nothing = '{"", 0u, 0u, 0u, 0u, 0.0f, 0}'
    return _FED_ROWS + count + table("spillway_fed_rows spillway_fed_rows", rows, nothing)


def _row(number: int, name: str, first: int, part: Tensor) -> str:
    scale, zero_point = scale_and_zero_point(part)
    return (
        f"{{{text(name)}, {unsigned(number)}, {unsigned(first)}, "
        f"{unsigned(part.shape[1])}, {unsigned(part.nbytes)}, {single(scale)}, {zero_point}}}"
    )


def scale_and_zero_point(tensor: Tensor) -> tuple[float, int]:
    """Those of a tensor that is quantized as a whole; 0 and 0 of another."""
    quantization = tensor.quantization
    if quantization is None or len(quantization.scale) != 1:
        return 0.0, 0
    return quantization.scale[0], quantization.zero_point[0] if quantization.zero_point else 0
