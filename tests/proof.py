"""The proof that tests ask for: two graphs compute the same in both runtimes."""

from __future__ import annotations

import pytest

from sim.deploy.verify import verify
from sim.graph.graph import Graph
from sim.graph.tflite_writer import to_bytes
from sim.program import Program, pack_graph


def proven(before: Graph, after: Graph) -> Program:
    """Bit for bit in LiteRT and TFLM, in exactly the planned head; skips where they are absent."""
    pytest.importorskip("tflite_micro")
    pytest.importorskip("ai_edge_litert")
    program, _ = pack_graph(after, effort=0)
    program.verify()
    head = program.plan.size_bytes
    found = verify(to_bytes(before), to_bytes(program.graph), planned_bytes=head, samples=2)
    assert (found.equal, found.litert, found.tflm) == (True, True, True), found.problems
    assert found.tflm_head_bytes == head
    return program
