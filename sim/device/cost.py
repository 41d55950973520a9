"""Cycles of one op on a board's core: a linear model by group of op kinds."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from types import MappingProxyType

from sim.device.board import Board, CostProfile
from sim.graph.graph import Graph, Op
from sim.graph.macs import macs

MEMBERS: Mapping[str, tuple[str, ...]] = {
    "depthwise": ("DEPTHWISE_CONV_2D",),
    "transpose_conv": ("TRANSPOSE_CONV",),
    "conv_3d": ("CONV_3D",),
    "fully_connected": ("FULLY_CONNECTED",),
    "batch_matmul": ("BATCH_MATMUL",),
    "lstm": ("UNIDIRECTIONAL_SEQUENCE_LSTM",),
    "svdf": ("SVDF",),
    "arithmetic": (
        "ADD", "SUB", "MUL", "DIV", "FLOOR_DIV", "FLOOR_MOD", "ADD_N", "MAXIMUM", "MINIMUM",
        "SQUARED_DIFFERENCE", "EQUAL", "NOT_EQUAL", "GREATER", "GREATER_EQUAL", "LESS",
        "LESS_EQUAL", "LOGICAL_AND", "LOGICAL_OR", "SELECT", "SELECT_V2", "CUMSUM",
    ),
    "activation": (
        "RELU", "RELU6", "RELU_N1_TO_1", "RELU_0_TO_1", "LEAKY_RELU", "PRELU", "HARD_SWISH",
        "QUANTIZE", "DEQUANTIZE", "CAST", "ABS", "NEG", "SQUARE", "ROUND", "FLOOR", "CEIL",
        "LOGICAL_NOT",
    ),
    "function": (
        "LOGISTIC", "TANH", "ELU", "GELU", "EXP", "LOG", "SQRT", "RSQRT", "SIN", "COS",
    ),
    "softmax": ("SOFTMAX", "LOG_SOFTMAX"),
    "pool": ("AVERAGE_POOL_2D", "MAX_POOL_2D", "L2_POOL_2D"),
    "reduce": (
        "MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD", "ARG_MAX", "ARG_MIN",
        "L2_NORMALIZATION",
    ),
    "resize": ("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"),
    "copy": (
        "CONCATENATION", "SLICE", "STRIDED_SLICE", "SPLIT", "SPLIT_V", "PAD", "PADV2", "PACK",
        "UNPACK", "FILL", "ZEROS_LIKE", "DYNAMIC_UPDATE_SLICE", "EMBEDDING_LOOKUP",
    ),
    "rearrange": (
        "TRANSPOSE", "MIRROR_PAD", "SPACE_TO_DEPTH", "DEPTH_TO_SPACE", "SPACE_TO_BATCH_ND",
        "BATCH_TO_SPACE_ND", "GATHER", "GATHER_ND", "REVERSE_V2", "TILE", "BROADCAST_TO",
    ),
    "reshape": ("RESHAPE", "SQUEEZE", "EXPAND_DIMS", "SHAPE", "RANK"),
    "state": ("VAR_HANDLE", "ASSIGN_VARIABLE", "READ_VARIABLE", "CALL_ONCE", "IF", "WHILE"),
}  # fmt: skip
"""The op kinds of each cost group; CONV_2D is split by its window, the rest is "unknown"."""

_GROUP: Mapping[str, str] = MappingProxyType(
    {kind: group for group, kinds in MEMBERS.items() for kind in kinds}
)

_MAC_FALLBACK: Mapping[str, str] = MappingProxyType(
    {
        "conv_1x1": "conv",
        "transpose_conv": "conv",
        "conv_3d": "conv",
        "batch_matmul": "fully_connected",
        "lstm": "fully_connected",
        "svdf": "fully_connected",
    }
)
"""Whose cycles per MAC stand in where a profile has none of that group."""


def group(graph: Graph, op: Op) -> str:
    """The op's cost group; "unknown" for custom ops and kinds that no group names.

    A CONV_2D whose window is one element is conv_1x1, any other is conv.
    """
    if op.kind != "CONV_2D" or len(op.reads) < 2:
        return _GROUP.get(op.kind, "unknown")
    window = graph.tensors[op.inputs[1]].shape[1:3]
    return "conv_1x1" if window == (1, 1) else "conv"


def weight_bytes(graph: Graph, op: Op) -> int:
    """Bytes of the op's constant inputs, each read once by the op."""
    return sum(len(graph.tensors[t].data or b"") for t in set(op.reads))


def op_cycles(graph: Graph, op: Op, board: Board, *, staying_bytes: int = 0) -> int:
    """Cycles of the op on the board's core, rounded up to a whole one.

    cycles = per_mac * MACs + per_output * output elements + per_input * elements of the first
    input + per_byte * bytes moved + per_call + dispatch + stall * weight bytes; a coefficient
    that the profile lacks is 0, except cycles per MAC, which fall back to a related group.
    Bytes moved are those written, less `staying_bytes`, which a copy finds at their place; for
    unknown ops those of all non-constant inputs too. State ops (VAR_HANDLE, ASSIGN_VARIABLE,
    READ_VARIABLE, IF, ...) cost the dispatch: their transfers and bodies are not counted here.
    Each profile names the measurements its coefficients come from.
    """
    profile = board.core.profile
    if group(graph, op) == "state":
        return profile.dispatch_cycles
    cycles = fixed_cycles(graph, op, board) + sum(
        _coefficient(profile, *name) * amount
        for name, amount in amounts(graph, op, staying_bytes=staying_bytes).items()
    )
    return ceil(round(cycles, 6))


def amounts(graph: Graph, op: Op, *, staying_bytes: int = 0) -> dict[tuple[str, str], int]:
    """How much work there is for each coefficient: by field of the profile and group."""
    kind = group(graph, op)
    written = [graph.tensors[t] for t in op.outputs]
    read = [graph.tensors[t] for t in op.reads]
    moved_bytes = sum(t.nbytes for t in written) - staying_bytes
    if kind == "unknown":
        moved_bytes += sum(t.nbytes for t in read if not t.is_constant)
    return {
        ("cycles_per_mac", kind): macs(graph, op),
        ("cycles_per_output", kind): sum(t.elements for t in written),
        ("cycles_per_input", kind): read[0].elements if read else 0,
        ("cycles_per_byte", kind): moved_bytes,
    }


def fixed_cycles(graph: Graph, op: Op, board: Board) -> float:
    """What each call of the op costs beside its work: calling it and waiting for its weights."""
    profile = board.core.profile
    return (
        profile.cycles_per_call.get(group(graph, op), 0)
        + profile.dispatch_cycles
        + board.weight_stall_cycles_per_byte * weight_bytes(graph, op)
    )


def coefficient_name(profile: CostProfile, field: str, kind: str) -> str:
    """The group whose coefficient counts for a group: a related one where MACs lack their own."""
    if field == "cycles_per_mac" and kind not in profile.cycles_per_mac:
        return _MAC_FALLBACK.get(kind, kind)
    return kind


def _coefficient(profile: CostProfile, field: str, kind: str) -> float:
    found: Mapping[str, float] = getattr(profile, field)
    return found.get(coefficient_name(profile, field, kind), 0.0)
