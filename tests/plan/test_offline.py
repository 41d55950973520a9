"""TFLM's offline plan: its bytes, what is refused, and that TFLM itself reads it so."""

from __future__ import annotations

import struct
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.deploy.inputs import input_sets
from sim.deploy.runtimes import RuntimeRefusal, run_tflm
from sim.errors import ModelError
from sim.graph.graph import Graph
from sim.graph.lifetimes import in_arena
from sim.graph.tflite_reader import read_bytes
from sim.graph.tflite_writer import to_bytes
from sim.plan.offline import offline_offsets, with_offline_plan
from sim.plan.tflm_greedy import ONLINE
from sim.program import pack_graph, place
from tests.graph.control_flow import if_graph, state_graph
from tests.graphs import Net
from tests.strategies import graphs

NAME = "OfflineMemoryAllocation"


def with_entry(graph: Graph, data: bytes) -> Graph:
    return replace(graph, metadata=(("before", b"1"), (NAME, data), ("after", b"2")))


def pair() -> Graph:
    """Input 0, weights 1 and bias 2, output 3."""
    net = Net(name="pair")
    return net.graph(net.conv(net.input(1, 4, 4, 4), 4))


def test_the_layout() -> None:
    """int32 little endian: version 1, subgraphs, tensors, an offset each; -1 is TFLM's choice."""
    planned = with_offline_plan(pair(), {3: 0, 0: 64})
    assert planned.meta(NAME) == struct.pack("<7i", 1, 1, 4, 64, -1, -1, 0)
    assert offline_offsets(planned) == (64, ONLINE, ONLINE, 0)


def test_tensors_of_all_subgraphs_have_an_offset() -> None:
    graph = if_graph()
    last = len(graph.tensors) - 1
    data = with_offline_plan(graph, {0: 16, last: 32}).meta(NAME)
    assert data is not None
    words = struct.unpack(f"<{len(data) // 4}i", data)
    assert words == (1, 3, last + 1, 16, *[-1] * (last - 1), 32)


def test_a_new_plan_replaces_the_old_one_and_keeps_all_else() -> None:
    graph = with_entry(pair(), b"old")
    planned = with_offline_plan(graph, {0: 16})
    assert [name for name, _ in planned.metadata] == ["before", "after", NAME]
    assert planned.without_plan() == graph.without_plan()
    assert offline_offsets(graph.without_plan()) is None


@given(graph=graphs(unused=True), data=st.data())
@settings(max_examples=30)
def test_a_plan_survives_the_file(graph: Graph, data: st.DataObject) -> None:
    placed = [t for t, here in enumerate(in_arena(graph)) if here]
    offsets = st.integers(0, 2**31 - 1)
    chosen = data.draw(st.dictionaries(st.sampled_from(placed), offsets))
    again = read_bytes(to_bytes(with_offline_plan(graph, chosen)))
    wanted = tuple(chosen.get(t.id, ONLINE) for t in graph.tensors)
    assert offline_offsets(again) == wanted


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"", "0"),
        (b"\x01\x00\x00\x00", "0"),
        (struct.pack("<6i", 1, 1, 4, 0, 0, 0), "3"),  # TFLM would read on behind the entry
        (struct.pack("<6i", 1, 1, 3, 0, 0, 0), "3"),
        (struct.pack("<8i", 1, 1, 5, 0, 0, 0, 0, 0), "5"),
        (struct.pack("<7i", 1, 1, -4, 0, 0, 0, 0), "-4"),
    ],
)
def test_a_plan_for_another_graph_is_refused(data: bytes, found: str) -> None:
    graph = with_entry(pair(), data)
    with pytest.raises(ModelError) as caught:
        offline_offsets(graph)
    assert str(caught.value) == f"pair: metadata {NAME}: found {found} offsets, wanted 4"


def test_words_behind_the_plan_and_offsets_of_constants_are_ignored() -> None:
    graph = with_entry(pair(), struct.pack("<9i", 9, 9, 4, 160, 4000, 8000, 32, 5, 5))
    assert offline_offsets(graph) == (160, 4000, 8000, 32)
    assert place(graph).plan.size_bytes == 160 + 64 == run_tflm(to_bytes(graph), []).head_bytes


def test_a_variable_of_a_body_gets_its_memory() -> None:
    """TFLM mistakes the offset of main tensor 1 for that of the body's variable, and crashes."""
    graph = state_graph()
    sets = input_sets(graph, 4, seed=1)
    wanted = run_tflm(to_bytes(graph), sets)
    chosen = {
        p.tensor: p.offset_bytes for p in place(graph).plan.placements if p.tensor is not None
    }
    assert 1 in chosen
    planned = with_offline_plan(graph, chosen)
    assert offline_offsets(planned) == tuple(
        ONLINE if t.id == 1 else chosen.get(t.id, ONLINE) for t in graph.tensors
    )
    packed, _ = pack_graph(graph)
    for each in (planned, packed.graph):
        found = run_tflm(to_bytes(each), sets)
        assert [o[0].tolist() for o in found.outputs] == [o[0].tolist() for o in wanted.outputs]
        assert found.head_bytes == place(each).plan.size_bytes
    words = list(struct.unpack(f"<{3 + len(graph.tensors)}i", planned.meta(NAME) or b""))
    words[3 + 1] = chosen[1]
    naive = with_entry(graph, struct.pack(f"<{len(words)}i", *words))
    with pytest.raises(RuntimeRefusal) as caught:
        run_tflm(to_bytes(naive), sets)
    assert caught.value.crashed
