"""Windows of convolutions and pools, and the padding that TFLite gives them at either end."""

from __future__ import annotations

from dataclasses import dataclass

from sim.graph.graph import Graph, Op, Tensor
from sim.graph.kinds import WINDOWED
from sim.ranges import Range

SAME, VALID = 0, 1
ROWS, COLUMNS, CHANNELS = 1, 2, 3
NO_SIDES = ((0, 0), (0, 0))

Sides = tuple[tuple[int, int], tuple[int, int]]
"""Padding before and after: of rows, and of columns."""


@dataclass(frozen=True, slots=True)
class PaddedWindow:
    """A window sliding along one axis: the kernel's reach, stride, padding before and after.

    `taps` is the kernel without its dilation.
    """

    reach: int
    stride: int
    before: int
    after: int
    taps: int


def is_image(tensor: Tensor) -> bool:
    """Whether the tensor has rows and columns: NHWC with batch 1."""
    return len(tensor.shape) == 4 and tensor.shape[0] == 1


def _window(
    size: int, out: int, kernel: int, stride: int, dilation: int, padding: int
) -> PaddedWindow:
    """Padding as TFLite computes it (kernels/padding.h, ComputePaddingWithOffset)."""
    reach = (kernel - 1) * dilation + 1
    total = max(0, (out - 1) * stride + reach - size) if padding == SAME else 0
    return PaddedWindow(reach, stride, total // 2, total - total // 2, kernel)


def windows(graph: Graph, op: Op) -> tuple[Tensor, PaddedWindow, PaddedWindow]:
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
        for axis, letter in ((ROWS, "h"), (COLUMNS, "w"))
    )
    return source, down, across


def padding(graph: Graph, op: Op) -> Sides | None:
    """Rows above and below, columns before and after, that a windowed op pads its input with.

    None for ops of other kinds.
    """
    if op.kind not in WINDOWED:
        return None
    _, down, across = windows(graph, op)
    return (down.before, down.after), (across.before, across.after)


def padded_rows(graph: Graph, op: Op, rows: Range, axis: int = ROWS) -> Range:
    """The rows of a windowed op's input, counted with the padding before, for these output rows."""
    _, down, across = windows(graph, op)
    window = down if axis == ROWS else across
    return Range(rows.start * window.stride, (rows.stop - 1) * window.stride + window.reach)
