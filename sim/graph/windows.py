"""How a patch of an op's output reads the op's inputs: a window along the rows, one along columns.

An op without a rule can't run in patches.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from sim.graph.graph import Graph, Op, Tensor
from sim.graph.kinds import ELEMENTWISE, PADS
from sim.graph.padding import is_image, windows
from sim.ranges import Range

ROWS, COLUMNS = AXES = (0, 1)


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
    return is_image(tensor) and tensor.elements > 0


def _convolution(graph: Graph, op: Op) -> tuple[Read, ...] | None:
    if not all(graph.tensors[t].is_constant for t in op.reads[1:]):
        return None
    return _windowed(graph, op) if len(graph.tensors[op.inputs[1]].shape) > 2 else None


def _windowed(graph: Graph, op: Op) -> tuple[Read, ...] | None:
    if not _is_image(graph.tensors[op.inputs[0]]):
        return None
    source, down, across = windows(graph, op)
    if any(along.stride < 1 or along.reach < 1 for along in (down, across)):
        return None
    rows, columns = (Window(w.reach, w.stride, w.before, w.taps) for w in (down, across))
    return (Read(source.id, (rows, columns)),)


def _elementwise(graph: Graph, op: Op) -> tuple[Read, ...] | None:
    """Each input has the output's rows and columns, or one for all of them."""
    out, found = graph.tensors[op.outputs[0]], []
    for tensor in (graph.tensors[t] for t in dict.fromkeys(op.reads)):
        if tensor.is_constant:
            continue
        if not _is_image(tensor):
            return None
        along = []
        for size, wanted in zip(tensor.shape[1:3], out.shape[1:3], strict=True):
            if size not in (wanted, 1):
                return None
            along.append(Window(stride=1 if size == wanted else 0))
        found.append(Read(tensor.id, (along[ROWS], along[COLUMNS])))
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
    **dict.fromkeys(("MAX_POOL_2D", "AVERAGE_POOL_2D"), _windowed),
    **dict.fromkeys(ELEMENTWISE, _elementwise),
    "CONCATENATION": _concatenation,
    **dict.fromkeys(PADS, _pad),
}
