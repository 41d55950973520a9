"""How far an op's output may lie over its input: what TFLM's reference kernels leave unharmed.

A kernel that writes in order and reads ahead of where it writes may write over what it has read.
So an output may lie below its input and run into it, as long as no byte is written before its last
read: "diagonal memory optimisation" (Blacker et al., 2020), vMCU (MLSys 2024) with kernels of its
own. Here the loops are those of TFLM's reference kernels, which run unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache

import numpy as np

from sim.graph.graph import Graph, Op
from sim.graph.kinds import PADS, WINDOWED
from sim.graph.padding import is_image, windows

ANYWHERE = 1 << 40
"""A limit that no distance reaches: the kernel has read all before it writes."""

IN_PLACE = frozenset({"ADD", "SUB", "MUL", "RELU", "RELU6", "LOGISTIC", "QUANTIZE"})
"""Element-wise kinds whose kernels read each byte just before they write the one at its place.

Fewer than sim.graph.kinds.ELEMENTWISE, since only of these it is known.
"""


def overlap_limits(graph: Graph, op: Op) -> Mapping[int, int]:
    """For each input that the output may overlap, the most bytes from its start to the output's.

    Negative: the output has to begin so many bytes below the input. An input that is not named
    must not be overlapped but as a copy that stays in place (see sim.graph.copies).
    """
    find = _KINDS.get(op.kind)
    if find is None or len(op.outputs) != 1:
        return {}
    tensors = [graph.tensors[t] for t in (*op.reads, *op.outputs) if not _is_parameter(graph, t)]
    if any(t.dtype != "INT8" for t in tensors):
        return {}
    return find(graph, op)


def _is_parameter(graph: Graph, tensor: int) -> bool:
    return graph.tensors[tensor].is_constant


def _elementwise(graph: Graph, op: Op) -> Mapping[int, int]:
    """Each byte is read just before the byte at its place is written (no broadcast)."""
    out = graph.tensors[op.outputs[0]]
    read = [graph.tensors[t] for t in op.reads]
    if any(t.shape != out.shape and t.elements != 1 for t in read):
        return {}
    return {t.id: 0 for t in read if not t.is_constant and t.shape == out.shape}


def _windowed(graph: Graph, op: Op) -> Mapping[int, int]:
    source, out = graph.tensors[op.inputs[0]], graph.tensors[op.outputs[0]]
    if not (is_image(source) and is_image(out)):
        return {}
    _, down, across = windows(graph, op)
    by_channel = op.kind != "CONV_2D" and source.shape[3] == out.shape[3]
    limit = _window_limit(
        source.shape, out.shape, (down.stride, across.stride), (down.before, across.before),
        by_channel,
    )  # fmt: skip
    return {source.id: limit}


@lru_cache(maxsize=4096)
def _window_limit(
    source: tuple[int, ...],
    out: tuple[int, ...],
    strides: tuple[int, int],
    before: tuple[int, int],
    by_channel: bool,
) -> int:
    """The limit of a kernel that writes pixel by pixel what it reads from a window.

    By channel, each output byte needs its own channel alone, so that the window's first byte may
    be written over at once.
    """
    _, height, width, depth = source
    rows = np.clip(np.arange(out[1]) * strides[0] - before[0], 0, height - 1)
    columns = np.clip(np.arange(out[2]) * strides[1] - before[1], 0, width - 1)
    first = ((rows[:, None] * width + columns) * depth).ravel()
    later = np.minimum.accumulate(first[::-1])[::-1]
    done = np.arange(1, len(first) + 1) * out[3]
    if not by_channel:
        return int((later - done).min())
    return int(min((first - done + out[3]).min(), (later[1:] - done[:-1]).min(initial=ANYWHERE)))


def _resized(graph: Graph, op: Op) -> Mapping[int, int]:
    """Pixels are copied or mixed from pixels at most two rows and columns before the scaled ones.

    However the corners are aligned and the scale is rounded (resize_bilinear.h, integer version).
    """
    source, out = graph.tensors[op.inputs[0]], graph.tensors[op.outputs[0]]
    if not (is_image(source) and is_image(out)):
        return {}
    (_, height, width, depth), (_, high, wide, _) = source.shape, out.shape
    rows = np.maximum(np.arange(high) * height // high - 2, 0)
    columns = np.maximum(np.arange(wide) * width // wide - 2, 0)
    first = ((rows[:, None] * width + columns) * depth).ravel()
    later = np.minimum.accumulate(first[::-1])[::-1]
    return {source.id: int((later - np.arange(1, len(first) + 1) * depth).min())}


def _transposed(graph: Graph, op: Op) -> Mapping[int, int]:
    """Everything is summed up in scratch before the first byte is written."""
    return {op.inputs[2]: ANYWHERE}


def _slice(graph: Graph, op: Op) -> Mapping[int, int]:
    """Element by element, in order: what is read never lies behind what is written."""
    source, begin = graph.tensors[op.inputs[0]], graph.tensors[op.inputs[1]]
    if begin.data is None or begin.dtype != "INT32":
        return {}
    start, stride = 0, 1
    values = np.frombuffer(begin.data, "<i4")
    for at, size in zip(values[::-1].tolist(), source.shape[::-1], strict=True):
        start += at * stride
        stride *= size
    return {source.id: start}


def _pad(graph: Graph, op: Op) -> Mapping[int, int]:
    """Bytes go up by all the padding written before them; the last one by most."""
    source, out = graph.tensors[op.inputs[0]], graph.tensors[op.outputs[0]]
    table = graph.tensors[op.inputs[1]]
    if table.data is None or table.dtype != "INT32" or len(source.shape) > 5:
        return {}
    sides = np.frombuffer(table.data, "<i4").reshape(-1, 2).tolist()
    last, stride = 0, 1
    for (before, _), inside, size in zip(
        sides[::-1], source.shape[::-1], out.shape[::-1], strict=True
    ):
        last += (before + inside - 1) * stride
        stride *= size
    return {source.id: source.nbytes - 1 - last}


def _concatenation(graph: Graph, op: Op) -> Mapping[int, int]:
    """On an inner axis, runs of each input in turn: a run has to lie above where it goes."""
    out = graph.tensors[op.outputs[0]]
    axis = op.options.integer("axis") % len(out.shape)
    rounds = int(np.prod(out.shape[:axis], dtype=np.int64))
    if rounds == 1 or len(set(op.reads)) != len(op.reads):
        return {}
    total, at, limits = out.nbytes // rounds, 0, {}
    for tensor in op.reads:
        run = graph.tensors[tensor].nbytes // rounds
        at += run
        limits[tensor] = -((rounds - 1) * (total - run) + at)
    return {t: limit for t, limit in limits.items() if not graph.tensors[t].is_constant}


_KINDS: Mapping[str, Callable[[Graph, Op], Mapping[int, int]]] = {
    **dict.fromkeys(IN_PLACE, _elementwise),
    **dict.fromkeys(WINDOWED, _windowed),
    "RESIZE_NEAREST_NEIGHBOR": _resized,
    "RESIZE_BILINEAR": _resized,
    "TRANSPOSE_CONV": _transposed,
    "SLICE": _slice,
    **dict.fromkeys(PADS, _pad),
    "CONCATENATION": _concatenation,
}
