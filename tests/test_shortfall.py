"""What stands in the way adds up to the least budget that something was found for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sim.graph.graph import Graph
from sim.program import pack_graph, place
from sim.render.tables import _in_the_way
from sim.shortfall import SHOWN, shortfall
from tests.strategies import graphs


@given(graphs(), st.booleans(), st.integers(0, 1000))
def test_the_parts_add_up(graph: Graph, packed: bool, budget: int) -> None:
    program = pack_graph(graph)[0] if packed else place(graph)
    found = shortfall(program, budget)
    assert found.smallest_bytes == program.arena().required == budget + found.over_bytes
    held = sum(nbytes for _, nbytes in found.alive) + found.others[1] - found.overlap_bytes
    assert held + found.idle_bytes + found.fixed_bytes == found.smallest_bytes
    assert (found.others[0] > 0) == (found.others[1] > 0) and found.idle_bytes >= 0
    assert len(found.alive) <= SHOWN


@given(graphs())
def test_each_part_is_told(graph: Graph) -> None:
    found = shortfall(pack_graph(graph)[0], 0)
    text = _in_the_way(found)
    parts = (found.others[1], found.overlap_bytes, found.idle_bytes, found.fixed_bytes)
    for nbytes in (*(n for _, n in found.alive), *filter(None, parts)):
        assert f"{nbytes:,} B" in text
