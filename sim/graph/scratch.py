"""Scratch buffers that TFLM's kernels ask for (placeholder being replaced)."""

from __future__ import annotations

from sim.graph.graph import Graph, Op


def scratch_bytes(graph: Graph, op: Op, kernels: str = "reference") -> tuple[int, ...]:
    if op.kind == "TRANSPOSE_CONV":
        return (4 * graph.tensors[op.outputs[0]].nbytes,)
    return ()
