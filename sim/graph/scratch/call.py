"""An op with its tensors at hand, as a kernel's Prepare sees it."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sim.errors import ModelError
from sim.graph.graph import Graph, Op, Tensor


@dataclass(frozen=True, slots=True)
class Call:
    """An op of a graph, on a target whose pointers have `bits` bits."""

    graph: Graph
    op: Op
    bits: int = 32

    @property
    def name(self) -> str:
        """The op's kind, or a custom op's own name."""
        return self.op.custom_code or "" if self.op.kind == "CUSTOM" else self.op.kind

    @property
    def pointer_bytes(self) -> int:
        return self.bits // 8

    def optional(self, index: int) -> Tensor | None:
        """Input `index`; None when it is left out."""
        if index >= len(self.op.inputs) or self.op.inputs[index] < 0:
            return None
        return self.graph.tensors[self.op.inputs[index]]

    def input(self, index: int) -> Tensor:
        """Input `index`. Raises ModelError if it is left out."""
        tensor = self.optional(index)
        if tensor is None:
            raise self._error(f"found {len(self.op.inputs)} inputs, wanted input {index}")
        return tensor

    def output(self, index: int = 0) -> Tensor:
        """Output `index`. Raises ModelError if there is none."""
        if index >= len(self.op.outputs):
            raise self._error(f"found {len(self.op.outputs)} outputs, wanted output {index}")
        return self.graph.tensors[self.op.outputs[index]]

    def shape(self, tensor: Tensor, rank: int) -> tuple[int, ...]:
        """The tensor's shape. Raises ModelError if it has fewer than `rank` dimensions."""
        if len(tensor.shape) < rank:
            raise self._error(f"tensor {tensor.name}: found {tensor.shape}, wanted rank {rank}")
        return tensor.shape

    def custom_integer(self, name: str, default: int) -> int:
        """A custom op's option; the default if there is none, or it is no count.

        Custom options are a flexbuffer map here; whatever else they hold counts as absent.
        """
        value = _flexbuffer(self.op.custom_options or b"").get(name)
        return value if isinstance(value, int) and value >= 0 else default

    def _error(self, message: str) -> ModelError:
        return ModelError(f"{self.graph.name}: op {self.name}: {message}")


@lru_cache(maxsize=64)
def _flexbuffer(data: bytes) -> Mapping[str, Any]:
    from flatbuffers import flexbuffers

    try:
        options = flexbuffers.Loads(bytes(data)) if data else None
    except _DAMAGED:
        return {}
    return options if isinstance(options, dict) else {}


_DAMAGED = (
    ArithmeticError,
    AssertionError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
    struct.error,
)
"""What flatbuffers raises for bytes that are no flexbuffer."""

Rule = Callable[[Call], tuple[int, ...]]
