"""Our own metadata entry of a model: what the board needs and TFLite has no words for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

from sim import __version__
from sim.deploy.slots import Slot
from sim.graph.graph import Graph

METADATA_NAME = "spillway"
SCHEMA_VERSION = 1


def with_entry(graph: Graph, board: str, source_sha256: str, slots: Sequence[Slot]) -> Graph:
    """The graph with slots and the source's hash written down, replacing an older entry.

    TFLM ignores the entry: neither the plan nor the arena changes.
    """
    content = {
        "schema_version": SCHEMA_VERSION,
        "tool_version": __version__,
        "source_sha256": source_sha256,
        "board": board,
        "slots": [
            {
                "storage": slot.storage,
                "name": slot.name,
                "offset_bytes": slot.offset_bytes,
                "size_bytes": slot.size_bytes,
                "reserved_bytes": slot.reserved_bytes,
            }
            for slot in slots
        ],
    }
    data = json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
    kept = tuple((name, old) for name, old in graph.metadata if name != METADATA_NAME)
    return replace(graph, metadata=(*kept, (METADATA_NAME, data)))
