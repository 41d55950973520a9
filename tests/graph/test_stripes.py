"""Striping any segment of a random graph computes the same in both runtimes, as planned."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from sim.deploy.inputs import input_sets
from sim.deploy.runtimes import run_litert, run_tflm
from sim.graph.graph import Graph
from sim.graph.macs import macs
from sim.graph.stripes import is_segment, stripe
from sim.graph.tflite_writer import to_bytes
from sim.program import pack_graph, place
from sim.ranges import Range
from tests.graphs import VALID, Net, unet
from tests.strategies import graphs

pytest.importorskip("tflite_micro")
pytest.importorskip("ai_edge_litert")


def computes_the_same(before: Graph, after: Graph) -> None:
    """Bit for bit in LiteRT and TFLM, in exactly the planned head."""
    program, _ = pack_graph(after)
    old, new = to_bytes(before), to_bytes(program.graph)
    sets = input_sets(before, 2, 0)
    for was, now in zip(run_litert(old, sets), run_litert(new, sets), strict=True):
        for a, b in zip(was, now, strict=True):
            assert np.array_equal(a, b)
    wanted, found = run_tflm(old, sets), run_tflm(new, sets)
    for was, now in zip(wanted.outputs, found.outputs, strict=True):
        for a, b in zip(was, now, strict=True):
            assert np.array_equal(a, b)
    assert found.head_bytes == program.plan.size_bytes


def segments(graph: Graph) -> list[Range]:
    steps = range(len(graph.ops) + 1)
    found = [Range(a, b) for a in steps for b in steps if b > a]
    return [segment for segment in found if is_segment(graph, segment)]


def total_macs(graph: Graph) -> int:
    return sum(macs(graph, op) for op in graph.ops)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), graph=graphs())
def test_any_segment_in_any_stripes(data: st.DataObject, graph: Graph) -> None:
    found = segments(graph)
    assume(found)
    longest = max(s.length for s in found)
    steps = data.draw(st.sampled_from([s for s in found if s.length >= longest - 1]))
    rows = data.draw(st.integers(1, 8))
    chunk = data.draw(st.sampled_from([None, 1, 2, 3]))
    keep = data.draw(st.booleans())
    striped = stripe(graph, steps, rows, chunk=chunk, keep_halos=keep)
    if keep:  # fewer where a stride leaves rows that nobody reads
        assert total_macs(striped) <= total_macs(graph)
    computes_the_same(graph, striped)


@pytest.mark.parametrize("rows", [1, 3, 16])
@pytest.mark.parametrize("keep", [True, False])
def test_a_whole_unet_by_rows(rows: int, keep: bool) -> None:
    """Skips wait as rows: the long-living tensors never exist whole."""
    graph = unet(32, 24, (4, 8, 8))
    striped = stripe(graph, Range(0, len(graph.ops)), rows, keep_halos=keep)
    computes_the_same(graph, striped)
    if keep:
        whole = place(graph).plan.size_bytes
        assert pack_graph(striped)[0].plan.size_bytes < whole


def test_large_kernels_strides_and_dilation() -> None:
    net = Net(seed=1)
    x = net.input(1, 23, 17, 3)
    x = net.conv(x, 5, kernel=7, stride=2)
    x = net.depthwise(x, kernel=5, multiplier=2)
    x = net.conv(x, 4, kernel=3, dilation=2)
    x = net.conv(x, 4, kernel=(5, 1), padding=VALID)
    graph = net.graph(net.pool(x, "MAX", kernel=3, stride=1, padding=0))
    for rows in (1, 2, 5):
        computes_the_same(graph, stripe(graph, Range(0, 5), rows, chunk=1))


def test_what_is_read_outside_is_no_segment() -> None:
    net = Net()
    x = net.input(1, 8, 8, 2)
    first = net.conv(x, 4)
    second = net.conv(first, 4)
    graph = net.graph(net.add(first, second))
    assert is_segment(graph, Range(0, 3))
    assert not is_segment(graph, Range(0, 2))
    assert not is_segment(graph, Range(0, 0))
