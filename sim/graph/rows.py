"""Row arithmetic: which input rows an op needs for output rows, and how a stripe is computed.

Rows are those of axis 1 of NHWC tensors with batch 1. A stripe of a padded op is PAD and then
VALID, since TFLite pads top and bottom alike. An op without a rule is a barrier.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from sim.graph.graph import Graph, Op, Table, Tensor
from sim.ranges import Range

SAME, VALID = 0, 1


@dataclass(frozen=True, slots=True)
class Demand:
    """Rows of an input that exist, and rows of padding above and below them."""

    tensor: int
    rows: Range
    above: int = 0
    below: int = 0


class Stripes(Protocol):
    """Where the ops and tensors of stripes are put."""

    def tensor(self, like: Tensor, shape: tuple[int, ...], suffix: str) -> int: ...

    def constant(self, values: np.ndarray[tuple[int, ...], np.dtype[np.int32]]) -> int: ...

    def filled(self, like: Tensor, value: int) -> int: ...

    def add(self, op: Op) -> None: ...


def demands(graph: Graph, op: Op, rows: Range) -> tuple[Demand, ...] | None:
    """What the op needs for these output rows; None if it can't be striped."""
    if len(op.outputs) != 1 or not _is_image(graph.tensors[op.outputs[0]]):
        return None
    rule = _RULES.get(op.kind)
    return rule(graph, op, rows) if rule else None


def emit(
    graph: Graph,
    op: Op,
    rows: Range,
    sources: Mapping[int, int],
    to: Stripes,
    *,
    padded: bool = False,
) -> int:
    """Adds the ops that compute these output rows; the new tensor that holds them.

    `sources` maps each demanded tensor to one that holds exactly the demanded rows; `padded` says
    that its padding is there already.
    """
    out = graph.tensors[op.outputs[0]]
    shape = (1, rows.length, *out.shape[2:])
    inputs = [sources.get(t, t) for t in op.inputs]
    options = op.options
    found = demands(graph, op, rows)
    assert found is not None
    if op.kind in _WINDOWED:
        (demand,) = found
        position = op.inputs.index(demand.tensor)
        if not padded:
            _, _, across = windows(graph, op)
            sides = (demand.above, demand.below, across.before, across.after)
            source = graph.tensors[demand.tensor]
            inputs[position] = pad(graph, op, source, inputs[position], demand.rows, sides, to)
        options = _with(options, padding=VALID)
    elif op.kind == "TRANSPOSE_CONV":
        inputs[0] = to.constant(np.array(shape, np.int32))
    elif op.kind == "RESIZE_NEAREST_NEIGHBOR":
        inputs[1] = to.constant(np.array(shape[1:3], np.int32))
    elif op.kind == "PAD":
        (demand,) = found
        table = _paddings(graph, op)
        assert table is not None
        table[1] = [demand.above, demand.below]
        inputs[1] = to.constant(np.array(table, np.int32))
    made = to.tensor(out, shape, f"/rows{rows.start}")
    to.add(replace(op, inputs=tuple(inputs), outputs=(made,), options=options))
    return made


def _is_image(tensor: Tensor) -> bool:
    return len(tensor.shape) == 4 and tensor.shape[0] == 1


def _with(options: Table, **fields: int) -> Table:
    return replace(options, fields={**options.fields, **fields})


@dataclass(frozen=True, slots=True)
class Window:
    """A window sliding along one axis: the kernel's reach, stride, padding before and after."""

    reach: int
    stride: int
    before: int
    after: int


def _window(size: int, out: int, kernel: int, stride: int, dilation: int, padding: int) -> Window:
    """Padding as TFLite computes it (kernels/padding.h, ComputePaddingWithOffset)."""
    reach = (kernel - 1) * dilation + 1
    total = max(0, (out - 1) * stride + reach - size) if padding == SAME else 0
    return Window(reach, stride, total // 2, total - total // 2)


def windows(graph: Graph, op: Op) -> tuple[Tensor, Window, Window]:
    """The data input of a windowed op, and its windows along rows and columns."""
    source, out = graph.tensors[op.inputs[0]], graph.tensors[op.outputs[0]]
    if op.kind in ("CONV_2D", "DEPTHWISE_CONV_2D"):
        kernel = graph.tensors[op.inputs[1]].shape[1:3]
    else:
        kernel = (op.options.integer("filter_height"), op.options.integer("filter_width"))
    padding = op.options.integer("padding")
    down, across = (
        _window(
            source.shape[axis],
            out.shape[axis],
            kernel[axis - 1],
            op.options.integer(f"stride_{letter}"),
            max(1, op.options.integer(f"dilation_{letter}_factor", 1)),
            padding,
        )
        for axis, letter in ((1, "h"), (2, "w"))
    )
    return source, down, across


def _windowed(graph: Graph, op: Op, rows: Range) -> tuple[Demand, ...] | None:
    source, down, across = windows(graph, op)
    if not _is_image(source):
        return None
    padded = down.before or down.after or across.before or across.after
    if op.kind == "AVERAGE_POOL_2D" and padded:
        return None  # it averages over the rows that exist; padding would count
    if op.kind in ("MAX_POOL_2D",) and padded and source.dtype != "INT8":
        return None
    low = rows.start * down.stride - down.before
    high = (rows.stop - 1) * down.stride - down.before + down.reach
    height = source.shape[1]
    kept = Range(max(0, low), min(height, high))
    above, below = max(0, -low), max(0, high - height)
    return (Demand(source.id, kept, above, below if padded else 0),)


def padding(graph: Graph, op: Op) -> tuple[int, int, int, int] | None:
    """Rows above and below, columns before and after, that a windowed op pads its input with."""
    if op.kind not in _WINDOWED:
        return None
    _, down, across = windows(graph, op)
    return down.before, down.after, across.before, across.after


def padded_rows(graph: Graph, op: Op, rows: Range) -> Range:
    """The rows of a windowed op's input, counted with the padding above, for these output rows."""
    _, down, _ = windows(graph, op)
    return Range(rows.start * down.stride, (rows.stop - 1) * down.stride + down.reach)


def pad(
    graph: Graph,
    op: Op,
    source: Tensor,
    piece: int,
    rows: Range,
    sides: tuple[int, int, int, int],
    to: Stripes,
) -> int:
    """The rows of a tensor with padding (above, below, before, after) as the op wants it."""
    above, below, before, after = sides
    if not any(sides):
        return piece
    shape = (1, above + rows.length + below, before + source.shape[2] + after, source.shape[3])
    made = to.tensor(source, shape, f"/pad{rows.start}")
    table = [[0, 0], [above, below], [before, after], [0, 0]]
    inputs = [piece, to.constant(np.array(table, np.int32))]
    if op.kind == "MAX_POOL_2D":  # padding must never win
        inputs.append(to.filled(source, -128))
        to.add(Op("PADV2", tuple(inputs), (made,), Table("PadV2Options"), version=2))
    else:
        to.add(Op("PAD", tuple(inputs), (made,), Table("PadOptions"), version=2))
    return made


def _same_rows(graph: Graph, op: Op, rows: Range) -> tuple[Demand, ...] | None:
    """Element-wise: every input has the output's rows, or is a constant or one row for all."""
    height = graph.tensors[op.outputs[0]].shape[1]
    found = []
    for tensor in (graph.tensors[t] for t in dict.fromkeys(op.reads)):
        if tensor.is_constant:
            if len(tensor.shape) == 4 and tensor.shape[1] != 1:
                return None
            continue
        if not _is_image(tensor) or tensor.shape[1] != height:
            return None
        found.append(Demand(tensor.id, rows))
    return tuple(found)


def _concatenation(graph: Graph, op: Op, rows: Range) -> tuple[Demand, ...] | None:
    if op.options.integer("axis") % 4 < 2 or any(graph.tensors[t].is_constant for t in op.reads):
        return None
    return _same_rows(graph, op, rows)


def _transposed(graph: Graph, op: Op, rows: Range) -> tuple[Demand, ...] | None:
    """Transposed convolution whose kernel is as high as its stride: no rows overlap."""
    source, weights = graph.tensors[op.inputs[2]], graph.tensors[op.inputs[1]]
    stride = op.options.integer("stride_h")
    whole = source.shape[1] * stride == graph.tensors[op.outputs[0]].shape[1]
    if weights.shape[1] != stride or not whole or not _is_image(source):
        return None
    return (Demand(source.id, Range(rows.start // stride, -(-rows.stop // stride))),)


def _nearest(graph: Graph, op: Op, rows: Range) -> tuple[Demand, ...] | None:
    source, out = graph.tensors[op.inputs[0]], graph.tensors[op.outputs[0]]
    if op.options.integer("align_corners") or op.options.integer("half_pixel_centers"):
        return None
    if not _is_image(source) or out.shape[1] % source.shape[1]:
        return None
    factor = out.shape[1] // source.shape[1]
    return (Demand(source.id, Range(rows.start // factor, -(-rows.stop // factor))),)


def _pad(graph: Graph, op: Op, rows: Range) -> tuple[Demand, ...] | None:
    source, sides = graph.tensors[op.inputs[0]], _paddings(graph, op)
    if sides is None or len(sides) != 4 or not _is_image(source) or any(sides[0]):
        return None
    low, high = rows.start - sides[1][0], rows.stop - sides[1][0]
    kept = Range(min(max(0, low), source.shape[1]), max(0, min(source.shape[1], high)))
    if kept.length <= 0:
        return None
    return (Demand(source.id, kept, max(0, -low), max(0, high - source.shape[1])),)


def _paddings(graph: Graph, op: Op) -> list[list[int]] | None:
    tensor = graph.tensors[op.inputs[1]]
    if tensor.data is None or tensor.dtype != "INT32":
        return None
    values: list[list[int]] = np.frombuffer(tensor.data, "<i4").reshape(-1, 2).tolist()
    return values


def rows_from(graph: Graph, op: Op, start: int) -> int:
    """The row at or above `start` where a computation may begin: no stripe is padding alone."""
    table = _paddings(graph, op) if op.kind == "PAD" else None
    if table is None:
        return start
    return min(start, table[1][0] + graph.tensors[op.inputs[0]].shape[1] - 1)


def rows_until(graph: Graph, op: Op, stop: int) -> int:
    """The row at or below `stop` where a computation may end: no stripe is padding alone."""
    table = _paddings(graph, op) if op.kind == "PAD" else None
    if table is None:
        return stop
    (above, below), height = table[1], graph.tensors[op.outputs[0]].shape[1]
    stop = max(stop, above + 1)
    return height if stop >= height - below else stop


def alignment(graph: Graph, op: Op) -> int:
    """Output rows come in multiples of this: the rows that one input row makes."""
    if op.kind == "TRANSPOSE_CONV":
        return op.options.integer("stride_h", 1)
    if op.kind == "RESIZE_NEAREST_NEIGHBOR":
        source, out = graph.tensors[op.inputs[0]], graph.tensors[op.outputs[0]]
        return max(1, out.shape[1] // max(1, source.shape[1]))
    return 1


_WINDOWED = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "MAX_POOL_2D", "AVERAGE_POOL_2D"})
_ELEMENTWISE = frozenset({
    "ADD", "SUB", "MUL", "RELU", "RELU6", "RELU_N1_TO_1", "LEAKY_RELU", "PRELU", "LOGISTIC", "TANH",
    "HARD_SWISH", "ELU", "ABS", "QUANTIZE", "DEQUANTIZE", "MAXIMUM", "MINIMUM",
    "SQUARED_DIFFERENCE",
})  # fmt: skip
_RULES: Mapping[str, Callable[[Graph, Op, Range], tuple[Demand, ...] | None]] = {
    **dict.fromkeys(_WINDOWED, _windowed),
    **dict.fromkeys(_ELEMENTWISE, _same_rows),
    "CONCATENATION": _concatenation,
    "TRANSPOSE_CONV": _transposed,
    "RESIZE_NEAREST_NEIGHBOR": _nearest,
    "PAD": _pad,
}
