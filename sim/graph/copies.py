"""Ops that only copy bytes: what may lie inside what.

Measured bit for bit with TFLM's reference kernels: a copy whose bytes stay at their place is exact.
Vendor kernels are not shown to allow it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod

import numpy as np

from sim.graph.graph import Graph, Op, Tensor


@dataclass(frozen=True, slots=True)
class Copy:
    """`nbytes` of one tensor, from a byte on, stand again in another from a byte on."""

    source: int
    source_start: int
    target: int
    target_start: int
    nbytes: int


def copies(graph: Graph, op: Op) -> tuple[Copy, ...]:
    """The contiguous byte ranges that the op copies; empty if it computes or gathers."""
    find = _KINDS.get(op.kind)
    return find(graph, op) if find else ()


def _whole(graph: Graph, op: Op) -> tuple[Copy, ...]:
    source, target = graph.tensors[op.inputs[0]], graph.tensors[op.outputs[0]]
    if source.nbytes != target.nbytes:
        return ()
    return (Copy(source.id, 0, target.id, 0, source.nbytes),)


def _concatenation(graph: Graph, op: Op) -> tuple[Copy, ...]:
    out = graph.tensors[op.outputs[0]]
    axis = op.options.integer("axis") % max(1, len(out.shape))
    if prod(out.shape[:axis]) != 1 or op.options.integer("fused_activation_function"):
        return ()
    made, at = [], 0
    for tensor in op.reads:
        nbytes = graph.tensors[tensor].nbytes
        made.append(Copy(tensor, 0, out.id, at, nbytes))
        at += nbytes
    return tuple(made)


def _slice(graph: Graph, op: Op) -> tuple[Copy, ...]:
    source, target = graph.tensors[op.inputs[0]], graph.tensors[op.outputs[0]]
    begin = _integers(graph, op.inputs[1])
    if begin is None or len(begin) != len(source.shape):
        return ()
    return _rows(source, target, begin)


def _strided_slice(graph: Graph, op: Op) -> tuple[Copy, ...]:
    source, target = graph.tensors[op.inputs[0]], graph.tensors[op.outputs[0]]
    begin, strides = _integers(graph, op.inputs[1]), _integers(graph, op.inputs[3])
    masks = ("ellipsis_mask", "new_axis_mask", "shrink_axis_mask")
    if begin is None or strides is None or any(op.options.integer(m) for m in masks):
        return ()
    if any(s != 1 for s in strides) or len(begin) != len(source.shape):
        return ()
    ignored = op.options.integer("begin_mask")
    start = tuple(
        0 if ignored >> i & 1 else b % d if b < 0 else b
        for i, (b, d) in enumerate(zip(begin, source.shape, strict=True))
    )
    return _rows(source, target, start)


def _rows(source: Tensor, target: Tensor, begin: tuple[int, ...]) -> tuple[Copy, ...]:
    """A window of a tensor, where it is one run of bytes: outer dimensions 1, inner ones whole."""
    if len(source.shape) != len(target.shape):
        return ()
    cut = [i for i, (a, b) in enumerate(zip(source.shape, target.shape, strict=True)) if a != b]
    first = cut[-1] if cut else 0
    if prod(target.shape[:first]) != 1:
        return ()
    item = source.nbytes // max(1, source.elements)
    strides = [item * prod(source.shape[i + 1 :]) for i in range(len(source.shape))]
    start = sum(b * s for b, s in zip(begin, strides, strict=True))
    return (Copy(source.id, start, target.id, 0, target.nbytes),)


def _split(graph: Graph, op: Op) -> tuple[Copy, ...]:
    data, axis_input = (1, 0) if op.kind == "SPLIT" else (0, 2)
    source, axes = graph.tensors[op.inputs[data]], _integers(graph, op.inputs[axis_input])
    if axes is None or prod(source.shape[: axes[0] % max(1, len(source.shape))]) != 1:
        return ()
    made, at = [], 0
    for tensor in op.outputs:
        nbytes = graph.tensors[tensor].nbytes
        made.append(Copy(source.id, at, tensor, 0, nbytes))
        at += nbytes
    return tuple(made)


def _pad(graph: Graph, op: Op) -> tuple[Copy, ...]:
    """Padding around one run of bytes; what it writes before and behind is its own."""
    source, target = graph.tensors[op.inputs[0]], graph.tensors[op.outputs[0]]
    sides = _integers(graph, op.inputs[1])
    if sides is None or len(sides) != 2 * len(source.shape):
        return ()
    begin = sides[::2]
    found = _rows(target, source, begin)
    return tuple(Copy(source.id, 0, target.id, c.source_start, c.nbytes) for c in found)


def _integers(graph: Graph, tensor: int) -> tuple[int, ...] | None:
    found = graph.tensors[tensor]
    if found.data is None or found.dtype not in ("INT32", "INT64"):
        return None
    values = np.frombuffer(found.data, "<i4" if found.dtype == "INT32" else "<i8")
    return tuple(int(v) for v in values)


_KINDS: Mapping[str, Callable[[Graph, Op], tuple[Copy, ...]]] = {
    "RESHAPE": _whole,
    "SQUEEZE": _whole,
    "EXPAND_DIMS": _whole,
    "CONCATENATION": _concatenation,
    "PAD": _pad,
    "PADV2": _pad,
    "SLICE": _slice,
    "STRIDED_SLICE": _strided_slice,
    "SPLIT": _split,
    "SPLIT_V": _split,
}
