"""Multiply-accumulates of an op, counted from its shapes alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from types import MappingProxyType

from sim.graph.graph import Graph, Op, Tensor


def macs(graph: Graph, op: Op) -> int:
    """Multiply-accumulates of the op; 0 for kinds that do none, or whose shapes say too little.

    Padding counts as if it were computed, as in MLPerf Tiny's figures. Pooling counts as 0.
    """
    rule = _RULES.get(op.kind)
    if rule is None or len(op.reads) < 2 or not op.outputs:
        return 0
    return rule(graph, op)


def _convolution(graph: Graph, op: Op) -> int:
    """Each output element sums the weights of its channel; weights are O(D)HWI, O first."""
    weights = graph.tensors[op.inputs[1]]
    return graph.tensors[op.outputs[0]].elements * prod(weights.shape[1:])


def _depthwise(graph: Graph, op: Op) -> int:
    """Each output element sums one window; weights are 1HWO."""
    weights = graph.tensors[op.inputs[1]]
    return graph.tensors[op.outputs[0]].elements * prod(weights.shape[1:-1])


def _transpose_convolution(graph: Graph, op: Op) -> int:
    """Each input element meets all weights of its channel; weights (input 1) are OHWI."""
    if len(op.reads) < 3:
        return 0
    weights, data = graph.tensors[op.inputs[1]], graph.tensors[op.inputs[2]]
    return data.elements * prod(weights.shape[:-1])


def _conv_3d(graph: Graph, op: Op) -> int:
    """As _convolution, but the weights are DHWIO."""
    weights = graph.tensors[op.inputs[1]]
    return graph.tensors[op.outputs[0]].elements * prod(weights.shape[:-1])


def _fully_connected(graph: Graph, op: Op) -> int:
    """Each output element sums one row of the weights."""
    weights = graph.tensors[op.inputs[1]]
    return graph.tensors[op.outputs[0]].elements * (weights.shape[-1] if weights.shape else 0)


def _batch_matmul(graph: Graph, op: Op) -> int:
    """Each output element sums along the inner axis; adj_x transposes the left operand."""
    left = graph.tensors[op.inputs[0]]
    if len(left.shape) < 2:
        return 0
    inner = left.shape[-2] if op.options["adj_x"] else left.shape[-1]
    return graph.tensors[op.outputs[0]].elements * inner


def _lstm(graph: Graph, op: Op) -> int:
    """Approximate: all constant matrices (input, recurrent, projection) once for each time step."""
    data = graph.tensors[op.inputs[0]]
    if len(data.shape) < 3:
        return 0
    return prod(data.shape[:-1]) * sum(m.elements for m in _constant_matrices(graph, op))


def _svdf(graph: Graph, op: Op) -> int:
    """Feature weights [F, I] and time weights [F, T] once for each row of the batch."""
    data = graph.tensors[op.inputs[0]]
    rows = data.shape[0] if data.shape else 0
    return rows * sum(m.elements for m in _constant_matrices(graph, op))


def _constant_matrices(graph: Graph, op: Op) -> list[Tensor]:
    tensors = (graph.tensors[t] for t in op.reads)
    return [tensor for tensor in tensors if tensor.is_constant and len(tensor.shape) == 2]


_RULES: Mapping[str, Callable[[Graph, Op], int]] = MappingProxyType(
    {
        "CONV_2D": _convolution,
        "DEPTHWISE_CONV_2D": _depthwise,
        "TRANSPOSE_CONV": _transpose_convolution,
        "CONV_3D": _conv_3d,
        "FULLY_CONNECTED": _fully_connected,
        "BATCH_MATMUL": _batch_matmul,
        "UNIDIRECTIONAL_SEQUENCE_LSTM": _lstm,
        "SVDF": _svdf,
    }
)
