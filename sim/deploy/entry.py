"""Our own metadata entry of a model: what the board needs and TFLite has no words for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sim import __version__
from sim.deploy.slots import Slot
from sim.errors import ModelError
from sim.graph.graph import Graph, Op

METADATA_NAME = "spillway"
SCHEMA_VERSION = 1


def with_entry(graph: Graph, board: str, source_sha256: str, slots: Sequence[Slot]) -> Graph:
    """The graph with slots, windows and the source's hash written down, replacing an older entry.

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
        "windows": {str(step): op.window for step, op in enumerate(graph.ops) if op.window},
    }
    data = json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
    kept = tuple((name, old) for name, old in graph.metadata if name != METADATA_NAME)
    return replace(graph, metadata=(*kept, (METADATA_NAME, data)))


def read_entry(graph: Graph) -> dict[str, Any] | None:
    """The entry's content, None if there is none.

    Raises ModelError if it is not what this version writes.
    """
    data = graph.meta(METADATA_NAME)
    if data is None:
        return None
    try:
        content = json.loads(data)
        found = content["schema_version"]
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{graph.name}: metadata {METADATA_NAME}: damaged: {error}") from None
    if found != SCHEMA_VERSION:
        raise ModelError(
            f"{graph.name}: metadata {METADATA_NAME}: schema_version: found {found!r}, "
            f"wanted {SCHEMA_VERSION}"
        )
    return dict(content)


def with_windows(graph: Graph) -> Graph:
    """The graph with the windows of its entry back on the spills, after reading from a file.

    Raises ModelError if the entry is damaged or from another version.
    """
    entry = read_entry(graph)
    windows = entry.get("windows") if entry else None
    if not isinstance(windows, dict):
        return graph
    ops = tuple(_with_window(graph, op, windows.get(str(i))) for i, op in enumerate(graph.ops))
    return replace(graph, ops=ops)


def _with_window(graph: Graph, op: Op, window: object) -> Op:
    if window is None or op.kind != "ASSIGN_VARIABLE":
        return op
    if not isinstance(window, int) or window < 0:
        raise ModelError(
            f"{graph.name}: metadata {METADATA_NAME}: window: found {window!r}, wanted steps"
        )
    return replace(op, window=window)
