"""Row arithmetic: which input rows an op needs for output rows, and how a stripe is computed.

Rows are those of axis 1 of NHWC tensors with batch 1; along axis 2 the same rules give columns. A
stripe of a padded op is PAD and then VALID, since TFLite pads both ends alike. An op without a rule
is a barrier.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from sim.graph.graph import Graph, Op
from sim.graph.kinds import ELEMENTWISE, PADS, WINDOWED
from sim.graph.padding import COLUMNS, NO_SIDES, ROWS, VALID, Sides, is_image, padding, windows
from sim.graph.pieces import Writer, cut, pad, resized, with_fields
from sim.ranges import Range


@dataclass(frozen=True, slots=True)
class Demand:
    """Rows of an input that exist, and rows of padding before and after them."""

    tensor: int
    rows: Range
    before: int = 0
    after: int = 0


def demands(graph: Graph, op: Op, rows: Range, axis: int = ROWS) -> tuple[Demand, ...] | None:
    """What the op needs for these output rows; None if it can't be striped."""
    if len(op.outputs) != 1 or not is_image(graph.tensors[op.outputs[0]]):
        return None
    rule = _RULES.get(op.kind)
    return rule(graph, op, rows, axis) if rule else None


def emit(
    graph: Graph,
    op: Op,
    rows: Range,
    sources: Mapping[int, int],
    to: Writer,
    *,
    axis: int = ROWS,
    padded: bool = False,
) -> int:
    """Adds the ops that compute these output rows; the new tensor that holds them.

    `sources` maps each demanded tensor to one that holds exactly the demanded rows; `padded` says
    that its padding is there already.
    """
    out = graph.tensors[op.outputs[0]]
    shape = resized(out.shape, axis, rows.length)
    inputs = [sources.get(t, t) for t in op.inputs]
    options = op.options
    found = demands(graph, op, rows, axis)
    assert found is not None
    if op.kind in WINDOWED:
        (demand,) = found
        position = op.inputs.index(demand.tensor)
        if not padded:
            sides = _sides(graph, op, axis, (demand.before, demand.after))
            source = graph.tensors[demand.tensor]
            inputs[position] = pad(op, source, inputs[position], sides, to)
        options = with_fields(options, padding=VALID)
    elif op.kind == "TRANSPOSE_CONV":
        return _emit_transposed(graph, op, rows, inputs, to, axis)
    elif op.kind in _RESIZES:
        return _emit_resized(graph, op, rows, inputs, to, axis)
    elif op.kind == "SLICE":
        inputs[1] = to.constant(np.array(resized(_begin(graph, op), axis, 0), np.int32))
        inputs[2] = to.constant(np.array(shape, np.int32))
    elif op.kind in PADS:
        (demand,) = found
        table = _paddings(graph, op)
        assert table is not None
        table[axis] = [demand.before, demand.after]
        inputs[1] = to.constant(np.array(table, np.int32))
    made = to.tensor(out, shape, f"/rows{rows.start}")
    to.add(replace(op, inputs=tuple(inputs), outputs=(made,), options=options))
    return made


def _sides(graph: Graph, op: Op, axis: int, along: tuple[int, int]) -> Sides:
    """The padding of a windowed op, with another one along the axis."""
    sides = list(padding(graph, op) or NO_SIDES)
    sides[axis - 1] = along
    return sides[0], sides[1]


def _windowed(graph: Graph, op: Op, rows: Range, axis: int) -> tuple[Demand, ...] | None:
    source, down, across = windows(graph, op)
    if not is_image(source):
        return None
    is_padded = down.before or down.after or across.before or across.after
    if op.kind == "AVERAGE_POOL_2D" and is_padded:
        return None  # it averages over the rows that exist; padding would count
    if op.kind == "MAX_POOL_2D" and is_padded and source.dtype != "INT8":
        return None
    window = (down, across)[axis - 1]
    low = rows.start * window.stride - window.before
    high = (rows.stop - 1) * window.stride - window.before + window.reach
    height = source.shape[axis]
    kept = Range(max(0, low), min(height, high))
    before, after = max(0, -low), max(0, high - height)
    return (Demand(source.id, kept, before, after if is_padded else 0),)


def _same_rows(graph: Graph, op: Op, rows: Range, axis: int) -> tuple[Demand, ...] | None:
    """Element-wise: an input has the output's rows, or one row for all, which is read whole."""
    height = graph.tensors[op.outputs[0]].shape[axis]
    found = []
    for tensor in (graph.tensors[t] for t in dict.fromkeys(op.reads)):
        if len(tensor.shape) <= 4 - axis or (
            tensor.shape[axis - 4] == 1 and (height > 1 or tensor.is_constant)
        ):
            continue
        if tensor.is_constant or not is_image(tensor) or tensor.shape[axis] != height:
            return None
        found.append(Demand(tensor.id, rows))
    return tuple(found) or None


def _concatenation(graph: Graph, op: Op, rows: Range, axis: int) -> tuple[Demand, ...] | None:
    if op.options.integer("axis") % 4 in (0, axis):
        return None
    if any(graph.tensors[t].is_constant for t in op.reads):
        return None
    return _same_rows(graph, op, rows, axis)


def _transposed(graph: Graph, op: Op, rows: Range, axis: int) -> tuple[Demand, ...] | None:
    source = graph.tensors[op.inputs[2]]
    if not is_image(source):
        return None
    stride, reach, before = _transposition(graph, op, axis)
    low = -(-(rows.start + before - reach + 1) // stride)
    high = (rows.stop - 1 + before) // stride + 1
    kept = Range(max(0, low), min(source.shape[axis], high))
    return (Demand(source.id, kept),) if kept.length > 0 else None


def _transposition(graph: Graph, op: Op, axis: int) -> tuple[int, int, int]:
    """Stride, kernel and rows cut off at the top of a transposed convolution.

    (kernels/transpose_conv.cc: the padding is that of the convolution from output to input.)
    """
    out = graph.tensors[op.outputs[0]]
    reach = graph.tensors[op.inputs[1]].shape[axis]
    stride = op.options.integer("stride_h" if axis == ROWS else "stride_w", 1)
    if op.options.integer("padding") == VALID:
        return stride, reach, 0
    steps = -(-out.shape[axis] // stride)
    return stride, reach, max(0, (steps - 1) * stride + reach - out.shape[axis]) // 2


def _emit_transposed(
    graph: Graph, op: Op, rows: Range, inputs: list[int], to: Writer, axis: int
) -> int:
    """Where kernels overlap, all that the input rows add to is computed, and then cut by SLICE."""
    out, (demand,) = graph.tensors[op.outputs[0]], demands(graph, op, rows, axis) or ()
    source = graph.tensors[op.inputs[2]]
    shape, parts, options = list(out.shape), [], op.options
    exact = True
    for along in (ROWS, COLUMNS):
        stride, reach, before = _transposition(graph, op, along)
        whole = Range(0, source.shape[along]), Range(0, out.shape[along])
        given, wanted = (demand.rows, rows) if along == axis else whole
        exact = exact and before == 0 and reach <= stride
        shape[along] = (given.length - 1) * stride + reach
        parts.append((along, wanted.start + before - given.start * stride, wanted.length))
    if exact:
        shape[1:3] = resized(out.shape, axis, rows.length)[1:3]
    else:
        options = with_fields(options, padding=VALID)
    inputs[0] = to.constant(np.array(shape, np.int32))
    made = to.tensor(out, tuple(shape), f"/rows{rows.start}")
    to.add(replace(op, inputs=tuple(inputs), outputs=(made,), options=options))
    for along, start, length in () if exact else parts:
        made = cut(to, out, made, start, length, along)
    return made


def _resize(graph: Graph, op: Op, rows: Range, axis: int) -> tuple[Demand, ...] | None:
    """Nearest by whole factors; bilinear by powers of two, whose fixed-point scale is exact."""
    source, out = graph.tensors[op.inputs[0]], graph.tensors[op.outputs[0]]
    if op.options.integer("align_corners") or not (is_image(source) and is_image(out)):
        return None
    factor, rest = divmod(out.shape[axis], source.shape[axis])
    if rest or factor == 0:
        return None
    low, high = rows.start // factor, -(-rows.stop // factor)
    if op.kind == "RESIZE_BILINEAR":
        if factor & (factor - 1) or out.dtype != "INT8" or 1024 % factor:
            return None
        low, high = low - 1, high + 1
    elif op.options.integer("half_pixel_centers"):
        return None
    return (Demand(source.id, Range(max(0, low), min(source.shape[axis], high))),)


def _emit_resized(
    graph: Graph, op: Op, rows: Range, inputs: list[int], to: Writer, axis: int
) -> int:
    """Bilinear needs a neighbour on both sides: what they make too is cut off."""
    source, out = graph.tensors[op.inputs[0]], graph.tensors[op.outputs[0]]
    (demand,) = demands(graph, op, rows, axis) or ()
    factor = out.shape[axis] // source.shape[axis]
    shape = resized(out.shape, axis, demand.rows.length * factor)
    inputs[1] = to.constant(np.array(shape[1:3], np.int32))
    made = to.tensor(out, shape, f"/rows{rows.start}")
    to.add(replace(op, inputs=tuple(inputs), outputs=(made,)))
    return cut(to, out, made, rows.start - demand.rows.start * factor, rows.length, axis)


def _slice(graph: Graph, op: Op, rows: Range, axis: int) -> tuple[Demand, ...] | None:
    source, begin = graph.tensors[op.inputs[0]], _begin(graph, op)
    if not begin or not is_image(source):
        return None
    return (Demand(source.id, Range(rows.start + begin[axis], rows.stop + begin[axis])),)


def _begin(graph: Graph, op: Op) -> tuple[int, ...]:
    tensor = graph.tensors[op.inputs[1]]
    if tensor.data is None or tensor.dtype != "INT32":
        return ()
    return tuple(np.frombuffer(tensor.data, "<i4").tolist())


def _pad(graph: Graph, op: Op, rows: Range, axis: int) -> tuple[Demand, ...] | None:
    source, sides = graph.tensors[op.inputs[0]], _paddings(graph, op)
    if sides is None or len(sides) != 4 or not is_image(source) or any(sides[0]):
        return None
    low, high = rows.start - sides[axis][0], rows.stop - sides[axis][0]
    height = source.shape[axis]
    kept = Range(min(max(0, low), height), max(0, min(height, high)))
    if kept.length <= 0:
        return None
    return (Demand(source.id, kept, max(0, -low), max(0, high - height)),)


def _paddings(graph: Graph, op: Op) -> list[list[int]] | None:
    tensor = graph.tensors[op.inputs[1]]
    if tensor.data is None or tensor.dtype != "INT32":
        return None
    values: list[list[int]] = np.frombuffer(tensor.data, "<i4").reshape(-1, 2).tolist()
    return values


def rows_from(graph: Graph, op: Op, start: int, axis: int = ROWS) -> int:
    """The row at or above `start` where a computation may begin: no stripe is padding alone."""
    table = _paddings(graph, op) if op.kind in PADS else None
    if table is None:
        return start
    return min(start, table[axis][0] + graph.tensors[op.inputs[0]].shape[axis] - 1)


def rows_until(graph: Graph, op: Op, stop: int, axis: int = ROWS) -> int:
    """The row at or below `stop` where a computation may end: no stripe is padding alone."""
    table = _paddings(graph, op) if op.kind in PADS else None
    if table is None:
        return stop
    (before, after), height = table[axis], graph.tensors[op.outputs[0]].shape[axis]
    stop = max(stop, before + 1)
    return height if stop >= height - after else stop


def alignment(graph: Graph, op: Op, axis: int = ROWS) -> int:
    """Output rows come in multiples of this: the rows that one input row makes."""
    if op.kind == "TRANSPOSE_CONV":
        stride, reach, before = _transposition(graph, op, axis)
        return stride if reach <= stride and before == 0 else 1
    if op.kind == "RESIZE_NEAREST_NEIGHBOR":
        source, out = graph.tensors[op.inputs[0]], graph.tensors[op.outputs[0]]
        return max(1, out.shape[axis] // max(1, source.shape[axis]))
    return 1


_RESIZES = frozenset({"RESIZE_NEAREST_NEIGHBOR", "RESIZE_BILINEAR"})
_RULES: Mapping[str, Callable[[Graph, Op, Range, int], tuple[Demand, ...] | None]] = {
    **dict.fromkeys(WINDOWED, _windowed),
    **dict.fromkeys(ELEMENTWISE, _same_rows),
    **dict.fromkeys(_RESIZES, _resize),
    "CONCATENATION": _concatenation,
    "TRANSPOSE_CONV": _transposed,
    **dict.fromkeys(PADS, _pad),
    "SLICE": _slice,
}
