"""The bytes of a first stage in patches: bounds, sums by hand, and a published figure."""

from __future__ import annotations

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from sim.graph.graph import Graph
from sim.graph.lifetimes import buffers, live_bytes
from sim.graph.macs import macs
from sim.graph.receptive_field import WHOLE, Grid, halo_macs, patch_bytes, stages
from sim.graph.rewrite import drop_dead_tensors
from sim.ranges import round_up
from tests.graphs import NONE, Net
from tests.strategies import graphs

GRIDS = [Grid(2, 1), Grid(1, 2), Grid(2, 2), Grid(3, 3)]


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(graph=graphs())
def test_one_patch_has_the_peak_of_the_stage(graph: Graph) -> None:
    graph = drop_dead_tensors(graph)
    live = live_bytes(tuple(b for b in buffers(graph) if b.tensor is not None))
    for stage in stages(graph):
        found = patch_bytes(stage, WHOLE)
        inside = max(live[s] for s in range(stage.steps.start, stage.steps.stop))
        rest = [n for s, n in live.items() if s >= 0 and s not in stage.steps]
        assert found.image_whole == found.image_by_patch == inside
        assert stage.rest_bytes == max(rest, default=0)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), graph=graphs())
def test_bytes_of_patches_have_bounds(data: st.DataObject, graph: Graph) -> None:
    found_stages = stages(graph)
    assume(found_stages)
    stage = data.draw(st.sampled_from(found_stages))
    grid = data.draw(st.sampled_from(GRIDS))
    output = stage.extents[stage.output].whole_bytes
    images = sum(stage.extents[t].whole_bytes for t in stage.inputs if t not in stage.kept)
    whole, found = patch_bytes(stage, WHOLE).image_whole, patch_bytes(stage, grid)
    assert output + stage.beside_bytes <= found.image_by_patch <= found.image_whole
    assert found.image_whole <= whole + output + images


def test_bytes_of_a_chain_of_two() -> None:
    """The corner patch's rectangles: 8 of 16 rows, one more of what a 3x3 kernel reads."""
    net = Net()
    x = net.conv(net.input(1, 16, 16, 3), 8)
    graph = net.graph(net.conv(x, 4))
    output, image = 16 * 16 * 4, 16 * 16 * 3
    found = patch_bytes(stages(graph)[-1], Grid(2, 2))
    in_patch, made = round_up(10 * 10 * 3, 16), round_up(9 * 9 * 8, 16)
    assert found.image_by_patch == output + in_patch + made
    assert found.image_whole == output + image + made
    rows = patch_bytes(stages(graph)[-1], Grid(4, 1))  # the inner patches: 4 rows and two halos
    assert rows.image_by_patch == output + 8 * 16 * 3 + 6 * 16 * 8


def test_what_waits_for_an_add_is_counted() -> None:
    """The first tensor is held with the halo that the longer branch needs."""
    net = Net()
    first = net.conv(net.input(1, 16, 16, 1), 8, 1)
    graph = net.graph(net.add(net.depthwise(net.depthwise(first)), first))
    found = patch_bytes(stages(graph)[-1], Grid(4, 1))
    output = 16 * 16 * 8
    assert found.image_by_patch == output + (8 + 6 + 4) * 16 * 8


def mobilenet_v2(size: int) -> Graph:
    """MobileNetV2 1.0 (Sandler et al., CVPR 2018, table 2)."""
    net = Net(name="mobilenet_v2")
    x = net.conv(net.input(1, size, size, 3), 32, 3, 2)
    table = [
        (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2),
        (6, 320, 1, 1),
    ]  # fmt: skip
    for expansion, channels, repeats, stride in table:
        for i in range(repeats):
            y = net.conv(x, net.shape(x)[3] * expansion, 1) if expansion > 1 else x
            y = net.conv(net.depthwise(y, 3, 1 if i else stride), channels, 1, activation=NONE)
            x = net.add(x, y) if i else y
    return net.graph(net.dense(net.mean(net.conv(x, 1280, 1)), 1000))


def test_mobilenet_v2_as_published() -> None:
    """300 M MACs (Sandler et al., table 4).

    MCUNetV2 runs the first 5 blocks in 4x4 patches: about 10 % more MACs, 1,372 to 172 KiB.
    """
    graph = mobilenet_v2(224)
    total = sum(macs(graph, op) for op in graph.ops)
    assert round(total / 10**6) == 301
    stage = next(s for s in stages(graph) if graph.tensors[s.output].shape == (1, 28, 28, 32))
    assert round(100 * halo_macs(stage, Grid(4, 4)) / total) == 9
    assert patch_bytes(stage, Grid(4, 4)).image_by_patch <= 172 * 1024
    expanded = stages(graph)[3]
    assert expanded.extents[expanded.output].whole_bytes * 7 // 6 == 1372 * 1024
