"""plan: the same ops, fewer bytes."""

from __future__ import annotations

from policies.plan import Plan
from sim.device.loader import load_board
from sim.graph.lifetimes import buffers, peak
from sim.policy import Goal
from sim.program import pack_graph, place
from tests.graphs import Net

BOARD = load_board("arduino_portenta_h7")


def test_tensors_that_nothing_uses_are_dropped() -> None:
    """TFLM places them; an unused one larger than all others decides the arena."""
    net = Net(name="dead")
    net.tensor((1, 5000), name="dead")
    x = net.input(1, 1, 1, 64)
    graph = net.graph(net.relu(x))
    made = Plan().apply(graph, BOARD, Goal(0))
    assert "dead" in {t.name for t in graph.tensors}
    assert {t.name for t in made.tensors} == {t.name for t in graph.tensors} - {"dead"}
    assert [op.kind for op in made.ops] == [op.kind for op in graph.ops]
    assert place(graph).plan.size_bytes >= 5000 > place(made).plan.size_bytes


def test_it_places_better_than_tflm_does() -> None:
    """Largest first, TFLM leaves a gap that is too small for what comes later."""
    net = Net(name="gaps")
    tensors = [net.input(1, 1, 1, 16)]
    for size in (80, 48, 48, 64, 80):
        out = net.tensor((1, 1, 1, size))
        net.op("CUSTOM", tensors[-2:], [out])
        tensors.append(out)
    graph = net.graph(tensors[-1])
    program, packing = pack_graph(Plan().apply(graph, BOARD, Goal(0)))
    assert packing.optimal
    assert program.plan.size_bytes == peak(buffers(graph)).bytes == 64 + 48 + 80
    assert place(graph).plan.size_bytes == 240
    assert [op.kind for op in program.graph.ops] == [op.kind for op in graph.ops]
