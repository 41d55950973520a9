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
    if len(words) < 3 or words[2] != wanted or len(words) < 3 + wanted:
        found = words[2] if len(words) >= 3 else f"{len(data)} bytes"
        raise ModelError(
            f"{graph.name}: metadata {OFFLINE_PLAN}: found {found} offsets, wanted {wanted}"
        )
    return words[3 : 3 + wanted]


def with_offline_plan(graph: Graph, offsets: Mapping[int, int]) -> Graph:
    """The graph with these offsets (by tensor id) as its offline plan, replacing any other."""
    words = [offsets.get(t.id, ONLINE) for t in graph.tensors]
    subgraphs = 1 + len(graph.bodies)
    data = struct.pack(f"<{3 + len(words)}i", VERSION, subgraphs, len(words), *words)
    kept = graph.without_plan().metadata
    return replace(graph, metadata=(*kept, (OFFLINE_PLAN, data)))
