"""Patches of a first stage: closed forms, laws, and dependencies marked one by one."""

from __future__ import annotations

from itertools import pairwise
from math import prod

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from sim.graph.graph import Graph, Op
from sim.graph.macs import macs
from sim.graph.receptive_field import (
    WHOLE,
    Grid,
    Stage,
    field,
    halo_macs,
    halo_macs_by_kernel,
    needed,
    overhead,
    parts,
    patch_macs,
    stages,
)
from sim.graph.windows import COLUMNS, ROWS
from sim.ranges import Range
from tests.graphs import NONE, SAME, VALID, Net
from tests.strategies import graphs

GRIDS = [Grid(p, q) for p in (1, 2, 3, 4) for q in (1, 2, 3, 4)]
Marks = np.ndarray[tuple[int, ...], np.dtype[np.bool_]]


def chain(
    layers: list[tuple[int, int]], size: tuple[int, int] = (32, 32), padding: int = SAME
) -> Graph:
    """Convolutions (kernel, stride) with 4 channels each."""
    net = Net(name="chain")
    x = net.input(1, *size, 4)
    for kernel, stride in layers:
        x = net.conv(x, 4, kernel, stride, padding)
    return net.graph(x)


def longest(graph: Graph) -> Stage:
    return stages(graph)[-1]


def has_no_gaps(stage: Stage) -> bool:
    """Whether no kernel is smaller than its stride."""
    return all(
        w.reach >= w.stride for layer in stage.layers for r in layer.reads for w in r.windows
    )


# Receptive fields


@pytest.mark.parametrize("padding", [SAME, VALID])
@pytest.mark.parametrize(
    "layers",
    [[(3, 1)], [(3, 2)], [(3, 1), (3, 1)], [(3, 2), (5, 1), (3, 2)], [(7, 3), (1, 1), (2, 2)]],
)
def test_field_follows_the_recurrence(layers: list[tuple[int, int]], padding: int) -> None:
    """r += (k - 1) * j, j *= s."""
    size, step = 1, 1
    for kernel, stride in layers:
        size, step = size + (kernel - 1) * step, step * stride
    found = field(longest(chain(layers, (64, 64), padding)))
    assert found.size == (size, size)
    assert found.step == (step, step)


@pytest.mark.parametrize("longer_first", [True, False])
def test_field_counts_dilation_pools_and_the_widest_branch(longer_first: bool) -> None:
    net = Net()
    x = net.conv(net.input(1, 32, 32, 4), 4, kernel=(3, 1), dilation=2)
    short = net.pool(x)
    long = net.conv(net.depthwise(net.pool(x), 3), 4, 1, activation=NONE)
    graph = net.graph(net.add(long, short) if longer_first else net.add(short, long))
    found = field(longest(graph))
    assert found.size == (1 + 2 * 2 + 1 + 2 * 2, 1 + 0 + 1 + 2 * 2)
    assert found.step == (2, 2)


# Stages


def test_a_stage_ends_where_nobody_else_reads_what_is_inside() -> None:
    net = Net()
    first = net.conv(net.input(1, 8, 8, 4), 4)
    second = net.depthwise(first)
    joined = net.add(first, second)
    last = net.conv(joined, 8, 1)
    graph = net.graph(net.mean(last))
    assert [s.steps for s in stages(graph)] == [Range(0, 1), Range(0, 3), Range(0, 4)]


def test_a_stage_begins_with_the_first_op_that_can_run_in_patches() -> None:
    net = Net()
    x = net.reshape(net.input(1, 64), (1, 8, 8, 1))
    graph = net.graph(net.dense(net.conv(x, 4), 10))
    assert [s.steps for s in stages(graph)] == [Range(1, 2)]


@pytest.mark.parametrize("case", ["dense", "output inside", "one pixel", "batch"])
def test_no_stage(case: str) -> None:
    net = Net()
    if case == "dense":
        graph = net.graph(net.dense(net.input(1, 20), 3))
    elif case == "one pixel":
        graph = net.graph(net.conv(net.input(1, 1, 1, 4), 4))
    elif case == "batch":
        graph = net.graph(net.conv(net.input(2, 8, 8, 4), 4))
    else:
        x = net.conv(net.input(1, 8, 8, 4), 4)
        graph = net.graph(net.conv(x, 4), x)
        assert [s.steps for s in stages(graph)] == [Range(0, 1)]
        return
    assert stages(graph) == ()


# What a patch needs


def marked(
    graph: Graph, steps: Range, output: int, rows: Range, columns: Range
) -> dict[int, Marks]:
    """Per tensor, the pixels on which a rectangle of the output depends, op by op, tap by tap."""
    marks = {t.id: np.zeros(t.shape[1:3], bool) for t in graph.tensors if len(t.shape) == 4}
    marks[output][rows.start : rows.stop, columns.start : columns.stop] = True
    for step in reversed(range(steps.start, steps.stop)):
        op = graph.ops[step]
        for y, x in np.argwhere(marks[op.outputs[0]]):
            for tensor in op.reads:
                if graph.tensors[tensor].is_constant:
                    continue
                height, width = marks[tensor].shape
                for v in pixels(graph, op, 0, int(y), height):
                    for u in pixels(graph, op, 1, int(x), width):
                        marks[tensor][v, u] = True
    return marks


def pixels(graph: Graph, op: Op, axis: int, at: int, size: int) -> list[int]:
    """The rows (or columns) of an input that one of the output reads."""
    letter = "hw"[axis]
    if op.kind == "PAD":
        data = graph.tensors[op.inputs[1]].data
        assert data is not None
        at -= np.frombuffer(data, "<i4").reshape(4, 2)[1 + axis, 0]
        return [at] if 0 <= at < size else []
    if op.kind.endswith("CONV_2D"):
        kernel = graph.tensors[op.inputs[1]].shape[1 + axis]
    elif op.kind.endswith("POOL_2D"):
        kernel = op.options.integer("filter_height" if axis == 0 else "filter_width")
    else:
        return [at if size > 1 else 0]
    stride, extent = op.options.integer(f"stride_{letter}"), kernel
    if op.options.integer(f"dilation_{letter}_factor"):
        extent = 1 + (kernel - 1) * op.options.integer(f"dilation_{letter}_factor")
    before = 0
    if op.options.integer("padding") == SAME:
        outputs = graph.tensors[op.outputs[0]].shape[1 + axis]
        before = max(0, (outputs - 1) * stride + extent - size) // 2
    return [at * stride - before + i for i in range(extent) if 0 <= at * stride - before + i < size]


def some_stage(data: st.DataObject, graph: Graph) -> Stage:
    found = stages(graph)
    assume(found)
    return data.draw(st.sampled_from(found))


def some_range(data: st.DataObject, size: int) -> Range:
    start = data.draw(st.integers(0, size - 1))
    return Range(start, data.draw(st.integers(start + 1, size)))


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), graph=graphs())
def test_needed_is_what_marking_every_dependency_finds(data: st.DataObject, graph: Graph) -> None:
    stage = some_stage(data, graph)
    height, width = stage.extents[stage.output].size
    rows, columns = some_range(data, height), some_range(data, width)
    down, across = needed(stage, ROWS, rows), needed(stage, COLUMNS, columns)
    marks = marked(graph, stage.steps, stage.output, rows, columns)
    for tensor in stage.extents:
        ys, xs = np.nonzero(marks[tensor])
        if tensor in down and tensor in across:
            assert down[tensor] == Range(ys.min(), ys.max() + 1)
            assert across[tensor] == Range(xs.min(), xs.max() + 1)
        else:
            assert not len(ys)


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), graph=graphs())
def test_macs_are_those_of_the_marked_rectangles(data: st.DataObject, graph: Graph) -> None:
    stage = some_stage(data, graph)
    grid = data.draw(st.sampled_from([Grid(2, 1), Grid(2, 2), Grid(3, 2)]))
    height, width = stage.extents[stage.output].size
    total = 0
    for rows in parts(height, grid.rows):
        for columns in parts(width, grid.columns):
            marks = marked(graph, stage.steps, stage.output, rows, columns)
            for step in range(stage.steps.start, stage.steps.stop):
                op = graph.ops[step]
                ys, xs = np.nonzero(marks[op.outputs[0]])
                if len(ys):
                    area = (np.ptp(ys) + 1) * (np.ptp(xs) + 1)
                    pixels_ = prod(graph.tensors[op.outputs[0]].shape[1:3])
                    total += macs(graph, op) * int(area) // pixels_
    assert patch_macs(stage, grid) == total


# Overhead


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("depth", [1, 2, 4])
@pytest.mark.parametrize("grid", [Grid(2, 2), Grid(3, 1), Grid(1, 2), Grid(2, 3)])
def test_halo_of_equal_convolutions(kernel: int, depth: int, grid: Grid) -> None:
    """At d layers from the end, every cut repeats d (k - 1) rows, far from the borders."""
    height, width, each = 60, 48, kernel**2 * 4 * 4
    found = longest(chain([(kernel, 1)] * depth, (height, width)))
    wanted = sum(
        each
        * (height + (grid.rows - 1) * d * (kernel - 1))
        * (width + (grid.columns - 1) * d * (kernel - 1))
        for d in range(depth)
    )
    assert patch_macs(found, grid) == wanted
    assert overhead(found, grid) == wanted / (depth * each * height * width)


def test_halo_of_strided_convolutions() -> None:
    """A cut repeats (field - step) rows of a tensor: 3x3 s2 behind 3x3 s2 repeats 1 and 0."""
    found = longest(chain([(3, 1), (3, 2), (3, 2)], (64, 64)))
    each = 9 * 4 * 4
    for p in (2, 4, 8):
        rows = (64 + (p - 1) * 3, 32 + (p - 1) * 1, 16)
        assert patch_macs(found, Grid(p, 1)) == each * (rows[0] * 64 + rows[1] * 32 + rows[2] * 16)


def test_at_the_border_a_halo_ends() -> None:
    """Two 7x7 kernels on 4 rows: each half needs all rows."""
    found = longest(chain([(7, 1), (7, 1)], (4, 100)))
    assert overhead(found, Grid(2, 1)) == (2 * 4 + 4) / (4 + 4)


@given(graph=graphs())
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_one_patch_has_no_overhead(graph: Graph) -> None:
    for stage in stages(graph):
        assert overhead(stage, WHOLE) == 1
        assert halo_macs(stage, WHOLE) == 0


@pytest.mark.parametrize("grid", GRIDS)
def test_kernels_of_one_have_no_overhead(grid: Grid) -> None:
    assert overhead(longest(chain([(1, 1)] * 4)), grid) == 1
    net = Net()
    x = net.conv(net.input(1, 12, 10, 4), 4, 1)
    graph = net.graph(net.relu(net.add(x, net.depthwise(x, 1))))
    assert overhead(longest(graph), grid) == 1
    assert overhead(longest(chain([(5, 2)])), grid) == 1  # one op computes no row twice


def test_one_pixel_for_all_is_needed_by_every_patch() -> None:
    """Squeeze and excite: a pooled pixel scales all rows, so each patch computes all of them."""
    net = Net()
    x = net.conv(net.input(1, 8, 8, 4), 4)
    pooled = net.pool(x, "AVERAGE", kernel=8, stride=8)
    out = net.like(x)
    net.op("MUL", [x, pooled], [out])
    stage = longest(net.graph(out))
    assert stage.steps == Range(0, 3)
    assert needed(stage, ROWS, Range(5, 6))[pooled] == Range(0, 1)
    assert overhead(stage, Grid(4, 2)) == 8


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), graph=graphs())
def test_cutting_patches_further_never_saves_macs(data: st.DataObject, graph: Graph) -> None:
    stage = some_stage(data, graph)
    assume(has_no_gaps(stage))
    p, q, n, m = (data.draw(st.integers(1, 4)) for _ in range(4))
    coarse, fine = Grid(p, q), Grid(p * n, q * m)
    assert patch_macs(stage, WHOLE) <= patch_macs(stage, coarse) <= patch_macs(stage, fine)


@settings(max_examples=60, deadline=None)
@given(
    layers=st.lists(
        st.sampled_from([(1, 1), (3, 1), (5, 1), (3, 2), (2, 2)]), min_size=1, max_size=4
    ),
    size=st.integers(17, 40),
)
def test_more_patches_of_a_chain_never_save_macs(layers: list[tuple[int, int]], size: int) -> None:
    stage = longest(chain(layers, (size, size)))
    found = [patch_macs(stage, Grid(p, p)) for p in range(1, 5)]
    assert all(a <= b for a, b in pairwise(found))


def test_a_kernel_smaller_than_its_stride_leaves_rows_out() -> None:
    """Three rows of four lie between the patches of one row; the halo is less than nothing."""
    stage = longest(chain([(3, 1), (1, 4)], (32, 32)))
    assert halo_macs(stage, Grid(8, 1)) < 0
    assert not has_no_gaps(stage)


@pytest.mark.parametrize(("length", "count"), [(7, 3), (12, 4), (3, 5), (1, 1)])
def test_parts_are_even_and_leave_nothing_out(length: int, count: int) -> None:
    found = parts(length, count)
    assert [r for part in found for r in range(part.start, part.stop)] == list(range(length))
    assert max(p.length for p in found) - min(p.length for p in found) <= 1
    cuts = {p.start for p in found}
    assert cuts <= {p.start for p in parts(length, 2 * count)}


# Kernels and redistribution


def test_the_only_overlapping_kernel_makes_all_of_the_halo() -> None:
    stage = longest(chain([(1, 1), (1, 1), (5, 1), (1, 1)]))
    assert halo_macs_by_kernel(stage, Grid(2, 2)) == {2: halo_macs(stage, Grid(2, 2))}


def test_the_first_kernel_makes_no_halo_macs() -> None:
    """What it reads twice is image, which nobody computes."""
    stage = longest(chain([(7, 2), (3, 1), (3, 1)]))
    found = halo_macs_by_kernel(stage, Grid(2, 2))
    assert found[0] == 0
    assert found[2] > found[1] > 0


def test_halo_by_kernel_along_one_axis() -> None:
    """Cut into rows, kernel i of equal layers repeats k - 1 rows of each layer ahead of it."""
    stage = longest(chain([(3, 1)] * 4, (64, 20)))
    row = 9 * 4 * 4 * 20
    assert halo_macs_by_kernel(stage, Grid(2, 1)) == {i: i * 2 * row for i in range(4)}
    assert halo_macs(stage, Grid(2, 1)) == (1 + 2 + 3) * 2 * row


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("layers", [[(3, 1), (5, 2), (3, 2)], [(4, 1), (7, 3), (2, 2), (3, 1)]])
@pytest.mark.parametrize("size", [37, 40])
def test_without_any_overlap_there_is_no_halo(
    layers: list[tuple[int, int]], grid: Grid, size: int
) -> None:
    stage = longest(chain(layers, (size, size)))
    for layer in stage.layers:
        stage = stage.without_overlap_at(layer.step)
    assert halo_macs(stage, grid) == 0


def test_redistribution_makes_kernels_of_stride_one_points() -> None:
    stage = longest(chain([(3, 2), (3, 1), (5, 1), (3, 2)], (64, 64)))
    moved = stage.redistributed()
    assert (field(stage).size[0], field(moved).size[0]) == (3 + 2 * 2 + 4 * 2 + 2 * 2, 3 + 2 * 2)
    assert field(moved).step == field(stage).step
    taps = [layer.reads[0].windows[ROWS].taps for layer in moved.layers]
    assert taps == [3, 1, 1, 3]
    assert [layer.macs_per_pixel for layer in moved.layers] == [n * n * 16 for n in taps]
    assert 1 < overhead(moved, Grid(4, 4)) < overhead(stage, Grid(4, 4))


def test_redistributed_chains_of_stride_one_have_no_halo() -> None:
    moved = longest(chain([(3, 1), (5, 1), (7, 1)])).redistributed()
    assert field(moved).size == (1, 1)
    assert all(overhead(moved, grid) == 1 for grid in GRIDS)
