"""omnimalloc (PyPI omnimalloc): the best of its planners on the lifetimes that TFLM sees."""

from __future__ import annotations

import json

from benchmarks.peers.process import PeerError, script
from benchmarks.peers.rows import Row
from sim.graph.graph import Graph
from sim.graph.lifetimes import buffers

NAME = "omnimalloc"


def omnimalloc_row(graph: Graph) -> Row:
    held = [(b.size, b.lifetime.start, b.lifetime.stop) for b in buffers(graph)]
    first = min((start for _, start, _ in held), default=0)
    packed = [(size, start - first, stop - first) for size, start, stop in held]
    try:
        found, seconds = script("omnimalloc_pack.py", json.dumps(packed))
    except PeerError as error:
        return Row(NAME, note=str(error))
    note = f"best of {found['planners']} planners: {found['planner']}"
    return Row(NAME, activations=found["bytes"], seconds=seconds, note=note)
