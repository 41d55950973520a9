"""Splits a run of ops along channels: each part computes some of the output's channels, end to end.

An op that sums over the channels of what it reads (CONV_2D, FULLY_CONNECTED, TRANSPOSE_CONV) can
only stand where the run begins: its output's channels are cut by cutting weights, bias and scales.
What follows works channel by channel. Nothing is computed twice, no weight is stored twice. Of
pointwise + depthwise + pointwise the last one sums over all channels and stays outside: added up
in parts, each int8 partial sum would be rounded, and that is not exact. (Stahl et al., "Fused
Depthwise Tiling", 2023, arXiv 2303.17878, adds such parts up in kernels of its own.)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import lcm
from typing import Any

import numpy as np

from sim.errors import PolicyError
from sim.graph.extract import is_closed
from sim.graph.graph import LEFT_OUT, PACKED_BITS, Graph, Op, Quantization, Tensor
from sim.graph.kinds import ELEMENTWISE, PADS
from sim.graph.pieces import Writer, cut, join, resized, with_fields
from sim.graph.rewrite import Rewrite
from sim.ranges import Range

COPIED = frozenset({"FLOAT32", "INT8", "INT16", "INT32"})
"""Types that TFLM's SLICE and CONCATENATION both take."""


@dataclass(frozen=True, slots=True)
class Along:
    """An input that is cut where the output is: one of its channels for `per` of the output's."""

    position: int
    axis: int
    per: int = 1


def most_parts(graph: Graph, steps: Range) -> int:
    """The most parts that the steps can be split into along channels; 0 if they can't be split."""
    run = _run(graph, steps)
    return run.most_parts if run else 0


def split(graph: Graph, steps: Range, parts: int) -> Graph:
    """The graph with the steps done in so many parts, as equal as may be, joined at the end.

    Raises PolicyError if there can't be so many.
    """
    run = _run(graph, steps)
    if run is None or not 2 <= parts <= run.most_parts:
        most = run.most_parts if run else 0
        raise PolicyError(
            f"{graph.name}: ops {steps.start}..{steps.stop}: parts along channels: found {parts}, "
            f"wanted {f'2..{most}' if most > 1 else 'none, since they have to stay whole'}"
        )
    edit = Rewrite(graph)
    to, out = Writer(edit), graph.tensors[run.ops[-1][0].outputs[0]]
    parter = _Parts(run, to)
    ends = [run.most_parts * (part + 1) // parts * run.unit for part in range(parts)]
    pieces = [parter.part(Range(a, b)) for a, b in zip([0, *ends], ends, strict=False)]
    axis = len(out.shape) - 1
    join(to, out, pieces, axis, lambda start: f"/joined{start}", into=out.id)
    edit.replace_ops(steps, to.ops)
    return edit.graph()


@dataclass(frozen=True, slots=True)
class _Run:
    """Ops that can be split together, and how each one's inputs are cut.

    `per` says of each tensor made inside how many channels of the output come from one of its own;
    the output's `channels` may be cut at multiples of `unit`.
    """

    graph: Graph
    ops: tuple[tuple[Op, tuple[Along, ...]], ...]
    per: Mapping[int, int]
    channels: int
    unit: int

    @property
    def most_parts(self) -> int:
        return self.channels // self.unit


def _run(graph: Graph, steps: Range) -> _Run | None:
    if not 0 <= steps.start < steps.stop <= len(graph.ops) or not is_closed(graph, steps):
        return None
    ops = graph.ops[steps.start : steps.stop]
    last = graph.tensors[ops[-1].outputs[0]]
    inside = {op.outputs[0] for op in ops}
    per, unit = {last.id: 1}, 1
    found: list[tuple[Op, tuple[Along, ...]]] = []
    for op in reversed(ops):
        cuts = _cuts(graph, op)
        positions = {along.position for along in cuts or ()}
        whole = {t for i, t in enumerate(op.inputs) if i not in positions}
        if cuts is None or not inside.isdisjoint(whole):
            return None
        for along in cuts:
            tensor, wide = op.inputs[along.position], per[op.outputs[0]] * along.per
            if tensor in inside and per.setdefault(tensor, wide) != wide:
                return None
            unit = lcm(unit, wide)
        found.append((op, cuts))
    return _Run(graph, tuple(reversed(found)), per, last.shape[-1], unit)


def _cuts(graph: Graph, op: Op) -> tuple[Along, ...] | None:
    """The inputs that are cut with the op's output; None if the output can't be cut."""
    out, rule = graph.tensors[op.outputs[0]], _RULES.get(op.kind)
    if rule is None or op.intermediates or out.is_variable or not out.elements or not out.shape:
        return None
    cuts = rule(graph, op)
    if cuts is None or not _is_plain(out):
        return None
    for along in cuts:
        tensor = graph.tensors[op.inputs[along.position]]
        if tensor.shape[along.axis] * along.per != out.shape[-1]:
            return None
        able = _can_be_sliced(tensor, along.axis) if tensor.is_constant else _is_plain(tensor)
        if not able:
            return None
    return cuts


def _is_plain(tensor: Tensor) -> bool:
    """Whether the tensor is quantized as a whole, as activations are, and can be copied."""
    scales = tensor.quantization.scale if tensor.quantization else ()
    return len(scales) <= 1 and tensor.dtype in COPIED


def _can_be_sliced(tensor: Tensor, axis: int) -> bool:
    """Whether a constant's slices along the axis can stand alone: whole bytes, own scales.

    Old converters name the weights' dimension for a bias too, which has only one.
    """
    if tensor.dtype in PACKED_BITS or tensor.sparsity is not None:
        return False
    if tensor.data is None or len(tensor.data) != tensor.nbytes:
        return False
    found = tensor.quantization
    if found is None or len(found.scale) <= 1:
        return found is None or found.details is None
    along = found.dimension == axis or len(tensor.shape) == 1
    return found.details is None and along and len(found.scale) == tensor.shape[axis]


def _summing(graph: Graph, op: Op) -> tuple[Along, ...] | None:
    """Every output channel needs all of the data; weights and bias have output channels first."""
    weights = graph.tensors[op.inputs[1]]
    data = graph.tensors[op.inputs[2 if op.kind == "TRANSPOSE_CONV" else 0]]
    if not weights.is_constant or not weights.shape or op.options.integer("weights_format"):
        return None
    if op.kind != "FULLY_CONNECTED" and data.shape[-1:] != weights.shape[-1:]:
        return None  # groups of channels
    if op.kind == "TRANSPOSE_CONV" and not graph.tensors[op.inputs[0]].is_constant:
        return None
    return _with_bias(graph, op, Along(1, 0), 3 if op.kind == "TRANSPOSE_CONV" else 2)


def _with_bias(graph: Graph, op: Op, weights: Along, position: int) -> tuple[Along, ...] | None:
    if len(op.inputs) <= position or op.inputs[position] == LEFT_OUT:
        return (weights,)
    bias = graph.tensors[op.inputs[position]]
    return (weights, Along(position, 0)) if bias.is_constant and len(bias.shape) == 1 else None


def _depthwise(graph: Graph, op: Op) -> tuple[Along, ...] | None:
    """Each input channel makes `per` of the output's; the only one there is makes them all."""
    data, weights = graph.tensors[op.inputs[0]], graph.tensors[op.inputs[1]]
    channels = graph.tensors[op.outputs[0]].shape[-1]
    if not weights.is_constant or len(weights.shape) != 4 or len(data.shape) != 4:
        return None
    cuts = _with_bias(graph, op, Along(1, 3), 2)
    if cuts is None or data.shape[3] == 1:
        return cuts
    return (Along(0, 3, max(1, channels // max(1, data.shape[3]))), *cuts)


def _channelwise(graph: Graph, op: Op) -> tuple[Along, ...] | None:
    """Pooling: each channel by itself."""
    axis = len(graph.tensors[op.inputs[0]].shape) - 1
    return (Along(0, axis),) if axis >= 0 else None


def _elementwise(graph: Graph, op: Op) -> tuple[Along, ...] | None:
    """Inputs that hold one value for all channels are read whole."""
    channels = graph.tensors[op.outputs[0]].shape[-1]
    made = []
    for position, tensor in enumerate(op.inputs):
        shape = graph.tensors[tensor].shape
        if shape[-1:] == (channels,):
            made.append(Along(position, len(shape) - 1))
        elif shape[-1:] not in ((), (1,)):
            return None
    return tuple(made)


def _pad(graph: Graph, op: Op) -> tuple[Along, ...] | None:
    sides = _integers(graph.tensors[op.inputs[1]])
    return _channelwise(graph, op) if sides and not any(sides[-2:]) else None


def _mean(graph: Graph, op: Op) -> tuple[Along, ...] | None:
    rank, axes = len(graph.tensors[op.inputs[0]].shape), _integers(graph.tensors[op.inputs[1]])
    if not axes or rank == 0 or any(axis % rank == rank - 1 for axis in axes):
        return None
    return _channelwise(graph, op)


def _reshape(graph: Graph, op: Op) -> tuple[Along, ...] | None:
    """The innermost dimension has to be kept."""
    if len(op.inputs) > 1 and not graph.tensors[op.inputs[1]].is_constant:
        return None
    return _channelwise(graph, op)


def _integers(tensor: Tensor) -> list[int]:
    if tensor.data is None or tensor.dtype != "INT32":
        return []
    values: list[int] = np.frombuffer(tensor.data, "<i4").tolist()
    return values


_RULES: Mapping[str, Callable[[Graph, Op], tuple[Along, ...] | None]] = {
    **dict.fromkeys(("CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV"), _summing),
    "DEPTHWISE_CONV_2D": _depthwise,
    **dict.fromkeys(("MAX_POOL_2D", "AVERAGE_POOL_2D"), _channelwise),
    **dict.fromkeys(ELEMENTWISE, _elementwise),
    **dict.fromkeys(PADS, _pad),
    "MEAN": _mean,
    "RESHAPE": _reshape,
}


class _Parts:
    """Writes the ops of the parts of a run."""

    def __init__(self, run: _Run, to: Writer) -> None:
        self.run, self.to, self.graph = run, to, run.graph

    def part(self, channels: Range) -> int:
        """Adds the ops that compute these channels of the output; the new tensor with them."""
        pieces: dict[tuple[int, int, Range], int] = {}
        made = -1
        for op, cuts in self.run.ops:
            out = op.outputs[0]
            span = _shrunk(channels, self.run.per[out])
            inputs = list(op.inputs)
            for along in cuts:
                tensor, wanted = op.inputs[along.position], _shrunk(span, along.per)
                key = (tensor, along.axis, wanted)
                if key not in pieces:
                    pieces[key] = self._cut(tensor, along.axis, wanted)
                inputs[along.position] = pieces[key]
            made = self._compute(op, inputs, span)
            pieces[out, len(self.graph.tensors[out].shape) - 1, span] = made
        return made

    def _cut(self, tensor: int, axis: int, span: Range) -> int:
        """These channels of a tensor from outside: a slice of a constant, or a copy."""
        source = self.graph.tensors[tensor]
        if not source.is_constant:
            return cut(self.to, source, tensor, span.start, span.length, axis)
        if span == Range(0, source.shape[axis]):
            return tensor
        data, quantization = _sliced(source, axis, span)
        shape = resized(source.shape, axis, span.length)
        return self.to.edit.constant_like(source, shape, data, quantization)

    def _compute(self, op: Op, inputs: list[int], span: Range) -> int:
        out = self.graph.tensors[op.outputs[0]]
        shape = resized(out.shape, len(out.shape) - 1, span.length)
        options = op.options
        if op.kind == "DEPTHWISE_CONV_2D":
            per = span.length // self.to.shape(inputs[0])[3]
            options = with_fields(options, depth_multiplier=per)
        elif op.kind == "TRANSPOSE_CONV":
            inputs[0] = self.to.constant(np.array(shape, np.int32))
        elif op.kind == "RESHAPE":
            inputs[1:2] = [self.to.constant(np.array(shape, np.int32))]
            options = with_fields(options, new_shape=shape)
        made = self.to.tensor(out, shape, f"/channels{span.start}")
        self.to.add(replace(op, inputs=tuple(inputs), outputs=(made,), options=options))
        return made


def _shrunk(channels: Range, per: int) -> Range:
    return Range(channels.start // per, channels.stop // per)


def _sliced(tensor: Tensor, axis: int, span: Range) -> tuple[bytes, Quantization | None]:
    """The bytes and the scales of a constant's slices."""
    assert tensor.data is not None
    item = tensor.nbytes // tensor.elements
    values = np.frombuffer(tensor.data, np.uint8).reshape(*tensor.shape, item)
    data = np.moveaxis(np.moveaxis(values, axis, 0)[span.start : span.stop], 0, axis).tobytes()
    found = tensor.quantization
    if found is None or len(found.scale) <= 1:
        return data, found

    def own(numbers: tuple[Any, ...]) -> tuple[Any, ...]:
        return numbers[span.start : span.stop] if len(numbers) == len(found.scale) else numbers

    return data, replace(
        found,
        scale=own(found.scale),
        zero_point=own(found.zero_point),
        minimum=own(found.minimum),
        maximum=own(found.maximum),
    )
