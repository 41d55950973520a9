"""TFLM's offline plan: the metadata entry that tells the interpreter where each tensor lies.

Layout: int32 little endian [version, subgraphs, n, offset of each tensor of all subgraphs]; only
n is checked (tensorflow/lite/micro/micro_allocation_info.cc, GetOfflinePlannedOffsets).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import replace

from sim.errors import ModelError
from sim.graph.graph import OFFLINE_PLAN, Graph
from sim.plan.tflm_greedy import ONLINE

VERSION = 1


def offline_offsets(graph: Graph) -> tuple[int, ...] | None:
    """The offset of each tensor by id, ONLINE where TFLM decides; None without a plan.

    Raises ModelError if the entry does not hold one offset per tensor.
    """
    data = graph.meta(OFFLINE_PLAN)
    if data is None:
        return None
    words = struct.unpack(f"<{len(data) // 4}i", data[: len(data) // 4 * 4])
    wanted = len(graph.tensors)
    told, held = (words[2], len(words) - 3) if len(words) >= 3 else (0, 0)
    if told != wanted or held < wanted:
        found = held if told == wanted else told
        raise ModelError(
            f"{graph.name}: metadata {OFFLINE_PLAN}: found {found} offsets, wanted {wanted}"
        )
    return words[3 : 3 + wanted]


def with_offline_plan(graph: Graph, offsets: Mapping[int, int]) -> Graph:
    """The graph with these offsets (by tensor id) as its offline plan, replacing any other."""
    kept_online = _read_for_variables(graph)
    words = [ONLINE if t.id in kept_online else offsets.get(t.id, ONLINE) for t in graph.tensors]
    subgraphs = 1 + len(graph.bodies)
    data = struct.pack(f"<{3 + len(words)}i", VERSION, subgraphs, len(words), *words)
    kept = graph.without_plan().metadata
    return replace(graph, metadata=(*kept, (OFFLINE_PLAN, data)))


def _read_for_variables(graph: Graph) -> set[int]:
    """Tensors whose offset TFLM takes for that of a body's variable, which then gets no memory.

    It looks up a variable by its index in its own subgraph (micro_allocator.cc, AllocateVariables).
    """
    return {
        tensor.id - body.first_tensor
        for body in graph.bodies
        for tensor in graph.tensors[body.first_tensor : body.stop_tensor]
        if tensor.is_variable
    }
