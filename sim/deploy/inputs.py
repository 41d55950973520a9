"""Seeded inputs that show a difference between two models: random ones and the extremes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from sim.deploy.runtime_protocol import Arrays
from sim.graph.graph import Graph, Tensor
from sim.graph.macs import macs

NUMPY_TYPES: Mapping[str, str] = MappingProxyType(
    {
        "FLOAT32": "<f4", "FLOAT16": "<f2", "FLOAT64": "<f8",
        "INT8": "i1", "INT16": "<i2", "INT32": "<i4", "INT64": "<i8",
        "UINT8": "u1", "UINT16": "<u2", "UINT32": "<u4", "UINT64": "<u8",
        "BOOL": "?",
    }
)  # fmt: skip
"""Types that NumPy and both runtimes share."""

MOST_SETS, LEAST_SETS = 16, 3
MACS_TO_SPEND = 3 * 10**9
"""Reference kernels do about 10**9 multiply-accumulates a second, in each of four runs."""

_Array = np.ndarray[Any, Any]


def set_count(graph: Graph) -> int:
    """How many sets of inputs are worth their time: 16 for small models, 3 for the largest."""
    work = sum(macs(graph, op) for op in graph.all_ops())
    work += 10 * sum(graph.tensors[t].elements for op in graph.all_ops() for t in op.outputs)
    return min(MOST_SETS, max(LEAST_SETS, MACS_TO_SPEND // max(work, 1)))


def unknown_types(graph: Graph) -> tuple[str, ...]:
    """Types of inputs and outputs that can't be handed over, like STRING or packed INT4."""
    found = {graph.tensors[t].dtype for t in (*graph.inputs, *graph.outputs)}
    return tuple(sorted(found - NUMPY_TYPES.keys()))


def input_sets(graph: Graph, count: int, seed: int) -> list[Arrays]:
    """The first `count` sets: random, ramp, checkerboard, all max, all min, zero point, random...

    8- and 16-bit integers take their full range, floats -1 to 1. Wider integers are 0 or 1, since
    mostly they are indices.
    """
    random = np.random.default_rng(seed)
    tensors = [graph.tensors[t] for t in graph.inputs]
    makers = [_random(random), _ramp, _checkerboard, _maximum, _minimum, _zero_point]
    makers += [_random(random)] * max(0, count - len(makers))
    return [[make(tensor) for tensor in tensors] for make in makers[:count]]


def _random(random: np.random.Generator) -> Callable[[Tensor], _Array]:
    def make(tensor: Tensor) -> _Array:
        dtype, (low, high) = _dtype(tensor), _limits(tensor)
        if dtype.kind == "f":
            return random.uniform(low, high, tensor.shape).astype(dtype)
        return random.integers(int(low), int(high), tensor.shape, endpoint=True).astype(dtype)

    return make


def _ramp(tensor: Tensor) -> _Array:
    low, high = _limits(tensor)
    return _cast(np.linspace(low, high, max(tensor.elements, 1)), tensor)


def _checkerboard(tensor: Tensor) -> _Array:
    low, high = _limits(tensor)
    places = sum(np.indices(tensor.shape)) if tensor.shape else np.zeros(())
    return _cast(np.where(np.asarray(places) % 2, high, low), tensor)


def _maximum(tensor: Tensor) -> _Array:
    return _cast(np.full(tensor.shape, _limits(tensor)[1]), tensor)


def _minimum(tensor: Tensor) -> _Array:
    return _cast(np.full(tensor.shape, _limits(tensor)[0]), tensor)


def _zero_point(tensor: Tensor) -> _Array:
    quantization = tensor.quantization
    zero = quantization.zero_point[0] if quantization and quantization.zero_point else 0
    return _cast(np.full(tensor.shape, zero), tensor)


def _cast(values: _Array, tensor: Tensor) -> _Array:
    dtype = _dtype(tensor)
    if dtype.kind in "iu":
        values = np.rint(values)
    return values.reshape(tensor.shape).astype(dtype)


def _dtype(tensor: Tensor) -> np.dtype[Any]:
    return np.dtype(NUMPY_TYPES[tensor.dtype])


def _limits(tensor: Tensor) -> tuple[float, float]:
    dtype = _dtype(tensor)
    if dtype.kind == "f":
        return -1.0, 1.0
    if dtype.kind == "b" or dtype.itemsize > 2:
        return 0, 1
    info = np.iinfo(dtype)
    return int(info.min), int(info.max)
