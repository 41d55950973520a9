"""Striping any segment of a random graph computes the same in both runtimes, as planned."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from sim.deploy.inputs import input_sets
from sim.deploy.runtimes import run_litert, run_tflm
from sim.graph.graph import Graph, Table
from sim.graph.macs import macs
from sim.graph.padding import COLUMNS, ROWS
from sim.graph.stripes import Cut, is_segment, stripe
from sim.graph.tflite_writer import to_bytes
from sim.program import pack_graph, place
from sim.ranges import Range
from tests.graphs import SAME, VALID, Net, unet
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


def segments(graph: Graph, axis: int = ROWS) -> list[Range]:
    steps = range(len(graph.ops) + 1)
    found = [Range(a, b) for a in steps for b in steps if b > a]
    return [segment for segment in found if is_segment(graph, segment, axis)]


def total_macs(graph: Graph) -> int:
    return sum(macs(graph, op) for op in graph.ops)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), graph=graphs())
def test_any_segment_in_any_stripes(data: st.DataObject, graph: Graph) -> None:
    axis = data.draw(st.sampled_from([ROWS, ROWS, COLUMNS]))
    found = segments(graph, axis)
    assume(found)
    longest = max(s.length for s in found)
    steps = data.draw(st.sampled_from([s for s in found if s.length >= longest - 1]))
    rows = data.draw(st.integers(1, 8))
    chunk = data.draw(st.sampled_from([None, 1, 2, 3]))
    keep, roll = data.draw(st.booleans()), data.draw(st.booleans())
    striped = stripe(graph, steps, Cut(rows, chunk, keep, roll, axis))
    # fewer where a stride leaves rows that nobody reads; transposed kernels may repeat some
    if keep and not any(op.kind == "TRANSPOSE_CONV" for op in graph.ops):
        assert total_macs(striped) <= total_macs(graph)
    computes_the_same(graph, striped)


@pytest.mark.parametrize("rows", [1, 3, 12])
@pytest.mark.parametrize("keep", [True, False])
def test_a_whole_unet_by_rows(rows: int, keep: bool) -> None:
    """Skips wait as rows: the long-living tensors never exist whole."""
    graph = unet(24, 16, (4, 8, 8))
    striped = stripe(graph, Range(0, len(graph.ops)), Cut(rows, keep_halos=keep))
    computes_the_same(graph, striped)
    if keep:
        whole = place(graph).plan.size_bytes
        assert pack_graph(striped)[0].plan.size_bytes < whole


def test_large_kernels_strides_and_dilation() -> None:
    net = Net(seed=1)
    x = net.input(1, 21, 11, 3)
    x = net.conv(x, 5, kernel=7, stride=2)
    x = net.depthwise(x, kernel=5, multiplier=2)
    x = net.conv(x, 4, kernel=3, dilation=2)
    x = net.conv(x, 4, kernel=(5, 1), padding=VALID)
    graph = net.graph(net.pool(x, "MAX", kernel=3, stride=1, padding=0))
    for rows in (1, 5):
        computes_the_same(graph, stripe(graph, Range(0, 5), Cut(rows, 1)))
        columns = Cut(rows, 2, roll=True, axis=COLUMNS)
        computes_the_same(graph, stripe(graph, Range(0, 5), columns))


@pytest.mark.parametrize(
    ("kernel", "stride", "padding"), [(3, 2, SAME), (4, 2, VALID), (3, 1, SAME)]
)
def test_transposed_convolutions_whose_kernels_overlap(
    kernel: int, stride: int, padding: int
) -> None:
    net = Net(seed=2)
    x = net.conv(net.input(1, 7, 5, 3), 4)
    up = net.transpose_conv(x, 3, kernel, stride, padding)
    graph = net.graph(net.conv(up, 2))
    for rows in (1, 2, 5):
        for axis in (ROWS, COLUMNS):
            how = Cut(rows, 1, roll=True, axis=axis)
            computes_the_same(graph, stripe(graph, Range(0, 3), how))


@pytest.mark.parametrize("half_pixel", [True, False])
@pytest.mark.parametrize("kind", ["RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"])
def test_resizing(kind: str, half_pixel: bool) -> None:
    net = Net(seed=3)
    x = net.conv(net.input(1, 5, 3, 3), 4)
    up = net.like(x, 1, 10, 12, 4)
    fields = {"align_corners": False, "half_pixel_centers": half_pixel}
    name = "ResizeBilinearOptions" if "BI" in kind else "ResizeNearestNeighborOptions"
    net.op(kind, [x, net.ints(10, 12)], [up], Table(name, fields), 3)
    graph = net.graph(net.conv(up, 2))
    if kind == "RESIZE_NEAREST_NEIGHBOR" and half_pixel:
        assert not is_segment(graph, Range(0, 3))
        return
    for rows, axis in ((1, ROWS), (3, COLUMNS), (5, ROWS)):
        computes_the_same(graph, stripe(graph, Range(0, 3), Cut(rows, axis=axis)))


def test_columns_and_then_rows() -> None:
    """Patches in two dimensions: every strip of columns is a segment that runs by rows."""
    net = Net(seed=4)
    x = net.conv(net.input(1, 16, 18, 3), 6, stride=2)
    x = net.depthwise(x)
    graph = net.graph(net.conv(x, 4, kernel=1))
    strips = stripe(graph, Range(0, 3), Cut(3, keep_halos=False, axis=COLUMNS))
    longest = max((s for s in segments(strips)), key=lambda s: s.length)
    computes_the_same(graph, stripe(strips, longest, Cut(2, 1, roll=True)))
    assert longest.length >= 3


def test_what_is_read_outside_is_no_segment() -> None:
    net = Net()
    x = net.input(1, 8, 8, 2)
    first = net.conv(x, 4)
    second = net.conv(first, 4)
    graph = net.graph(net.add(first, second))
    assert is_segment(graph, Range(0, 3))
    assert not is_segment(graph, Range(0, 2))
    assert not is_segment(graph, Range(0, 0))
