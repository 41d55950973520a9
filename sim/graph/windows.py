"""How a patch of an op's output reads the op's inputs: a window along the rows, one along columns.

An op without a rule can't run in patches.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from sim.graph.graph import Graph, Op, Tensor
from sim.ranges import Range

ROWS, COLUMNS = AXES = (0, 1)
SAME = 0


@dataclass(frozen=True, slots=True)
class Window:
    """Along one axis, output i reads inputs i * stride - before and the reach - 1 that follow.

    `taps` is how many of them are multiplied: the kernel without its dilation, which reaches over
    what lies between. Stride 0 means one row, or column, for all outputs.
    """

    reach: int = 1
    stride: int = 1
    before: int = 0
    taps: int = 1

    @property
    def overlaps(self) -> bool:
        """Whether two neighbouring outputs read the same input."""
        return self.reach > self.stride > 0

    def inputs(self, outputs: Range) -> Range:
        """What these outputs read, beyond the borders too."""
        low = outputs.start * self.stride - self.before
        return Range(low, (outputs.stop - 1) * self.stride - self.before + self.reach)

    def without_overlap(self) -> Window:
        """The middle of the window, just wide enough that every input is read once."""
        if not self.overlaps:
            return self
        return replace(
            self, reach=self.stride, before=self.before - (self.reach - self.stride) // 2
        )

    def pointwise(self) -> Window:
        """A kernel of 1 where the stride is 1; under a larger stride it would skip inputs."""
        return replace(self.without_overlap(), taps=1) if self.stride == 1 else self


@dataclass(frozen=True, slots=True)
class Read:
    """How an op reads one of its inputs: a window along the rows and one along the columns."""

    tensor: int
    windows: tuple[Window, Window]


def reads_of(graph: Graph, op: Op) -> tuple[Read, ...] | None:
    """How a patch of the op's output reads its inputs; None if the op can't run in patches.

    Constants are left out, since all patches read them whole.
    """
    rule = _RULES.get(op.kind)
    if rule is None or len(op.outputs) != 1 or not _is_image(graph.tensors[op.outputs[0]]):
        return None
    found = rule(graph, op)
    if not found or not all(_is_image(graph.tensors[r.tensor]) for r in found):
        return None
    return found


def _is_image(tensor: Tensor) -> bool:
    return len(tensor.shape) == 4 and tensor.shape[0] == 1 and tensor.elements > 0


def _convolution(graph: Graph, op: Op) -> tuple[Read, ...] | None:
    if not all(graph.tensors[t].is_constant for t in op.reads[1:]):
        return None
    return _windowed(graph, op, graph.tensors[op.inputs[1]].shape[1:3])


def _pool(graph: Graph, op: Op) -> tuple[Read, ...] | None:
    kernel = (op.options.integer("filter_height"), op.options.integer("filter_width"))
    return _windowed(graph, op, kernel)


def _windowed(graph: Graph, op: Op, kernel: tuple[int, ...]) -> tuple[Read, ...] | None:
    """Padding as TFLite computes it (kernels/padding.h, ComputePaddingWithOffset)."""
    source, out = graph.tensors[op.inputs[0]], graph.tensors[op.outputs[0]]
    if not _is_image(source) or len(kernel) != 2:
        return None
    windows = []
    for axis, letter in zip(AXES, "hw", strict=True):
        stride = op.options.integer(f"stride_{letter}")
        dilation = max(1, op.options.integer(f"dilation_{letter}_factor", 1))
        reach = (kernel[axis] - 1) * dilation + 1
        if stride < 1 or reach < 1:
            return None
        over = (out.shape[1 + axis] - 1) * stride + reach - source.shape[1 + axis]
        before = max(0, over) // 2 if op.options.integer("padding") == SAME else 0
        windows.append(Window(reach, stride, before, kernel[axis]))
    return (Read(source.id, (windows[ROWS], windows[COLUMNS])),)


def _elementwise(graph: Graph, op: Op) -> tuple[Read, ...] | None:
    """Each input has the output's rows and columns, or one for all of them."""
    out, found = graph.tensors[op.outputs[0]], []
    for tensor in (graph.tensors[t] for t in dict.fromkeys(op.reads)):
        if tensor.is_constant:
            continue
        if not _is_image(tensor):
            return None
        windows = []
        for size, wanted in zip(tensor.shape[1:3], out.shape[1:3], strict=True):
            if size not in (wanted, 1):
                return None
            windows.append(Window(stride=1 if size == wanted else 0))
        found.append(Read(tensor.id, (windows[ROWS], windows[COLUMNS])))
    return tuple(found)


def _concatenation(graph: Graph, op: Op) -> tuple[Read, ...] | None:
    return _elementwise(graph, op) if op.options.integer("axis") % 4 == 3 else None


def _pad(graph: Graph, op: Op) -> tuple[Read, ...] | None:
    table = graph.tensors[op.inputs[1]]
    if table.data is None or table.dtype != "INT32" or table.elements != 8:
        return None
    (batch, *_), (above, _), (left, _), _ = np.frombuffer(table.data, "<i4").reshape(4, 2).tolist()
    if batch:
        return None
    return (Read(op.inputs[0], (Window(before=above), Window(before=left))),)


_RULES: Mapping[str, Callable[[Graph, Op], tuple[Read, ...] | None]] = {
    **dict.fromkeys(("CONV_2D", "DEPTHWISE_CONV_2D"), _convolution),
    **dict.fromkeys(("MAX_POOL_2D", "AVERAGE_POOL_2D"), _pool),
    **dict.fromkeys(
        (
            "ADD", "SUB", "MUL", "RELU", "RELU6", "RELU_N1_TO_1", "LEAKY_RELU", "PRELU", "LOGISTIC",
            "TANH", "HARD_SWISH", "ELU", "ABS", "QUANTIZE", "DEQUANTIZE", "MAXIMUM", "MINIMUM",
            "SQUARED_DIFFERENCE",
        ),
        _elementwise,
    ),
    "CONCATENATION": _concatenation,
    **dict.fromkeys(("PAD", "PADV2"), _pad),
}  # fmt: skip
