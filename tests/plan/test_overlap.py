"""Outputs that run into their inputs: exact in TFLM at the very limit, and the check knows it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as rules
from hypothesis import strategies as st

from sim.deploy.inputs import input_sets
from sim.deploy.runtimes import run_tflm
from sim.errors import PlanError
from sim.graph.graph import Graph
from sim.graph.overlap import ANYWHERE, overlap_limits
from sim.graph.tflite_writer import to_bytes
from sim.plan.offline import with_offline_plan
from sim.program import place
from tests.graphs import SAME, VALID, Net

ALIGNMENT = 16

Layer = Callable[[Net, int], int]

LAYERS: dict[str, Layer] = {
    "conv": lambda n, x: n.conv(x, 5),
    "conv stride 2": lambda n, x: n.conv(x, 9, stride=2),
    "conv valid": lambda n, x: n.conv(x, 3, kernel=(3, 2), padding=VALID),
    "conv dilated": lambda n, x: n.conv(x, 4, dilation=2),
    "pointwise, fewer": lambda n, x: n.conv(x, 3, kernel=1),
    "pointwise, more": lambda n, x: n.conv(x, 17, kernel=1),
    "depthwise": lambda n, x: n.depthwise(x),
    "depthwise 5x5 stride 2": lambda n, x: n.depthwise(x, kernel=5, stride=2),
    "depthwise, multiplied": lambda n, x: n.depthwise(x, multiplier=2),
    "max pool": lambda n, x: n.pool(x),
    "max pool, overlapping": lambda n, x: n.pool(x, kernel=3, stride=1, padding=SAME),
    "average pool": lambda n, x: n.pool(x, "AVERAGE"),
    "transposed": lambda n, x: n.transpose_conv(x, 3),
    "relu": lambda n, x: n.relu(x),
    "requantize": lambda n, x: n.requantize(x, 0.07, 3),
    "add": lambda n, x: n.add(x, x),
    "pad": lambda n, x: n.pad(x, 2, 1, 1, 2),
    "rows": lambda n, x: n.crop(x, (0, 2, 0, 0), (1, n.shape(x)[1] - 3, *n.shape(x)[2:])),
    "columns": lambda n, x: n.crop(
        x, (0, 1, 1, 0), (1, n.shape(x)[1] - 1, n.shape(x)[2] - 2, n.shape(x)[3])
    ),
    "joined on channels": lambda n, x: n.concat([x, n.input(*n.shape(x))]),
}


def graph_of(layer: Layer, shape: tuple[int, int, int]) -> Graph:
    net = Net(7)
    before = net.relu(net.input(1, *shape))
    return net.graph(layer(net, before))


def source_of(graph: Graph) -> int:
    """The first input of the last op that is no constant."""
    return next(t for t in graph.ops[-1].reads if not graph.tensors[t].is_constant)


def planned(graph: Graph, distance: int) -> Graph:
    """The last op's output this many bytes behind its input, all else far away."""
    source, target = source_of(graph), graph.ops[-1].outputs[0]
    low, far = max(0, -distance), 1 << 16
    offsets = {source: low, target: low + distance}
    others = [t for t in graph.inputs if t not in offsets]
    offsets |= {t: far * (1 + k) for k, t in enumerate(others)}
    return with_offline_plan(graph, offsets)


@given(
    layer=st.sampled_from(sorted(LAYERS)),
    shape=st.tuples(st.integers(5, 11), st.integers(5, 11), st.integers(1, 9)),
)
@rules(max_examples=120, deadline=None, derandomize=True)
def test_at_the_limit_tflm_is_exact(layer: str, shape: tuple[int, int, int]) -> None:
    graph = graph_of(LAYERS[layer], shape)
    limit = overlap_limits(graph, graph.ops[-1])[source_of(graph)]
    distance = 0 if limit == ANYWHERE else limit  # TFLM takes offsets that are not aligned
    at_limit = planned(graph, distance)
    place(at_limit).verify()
    sets = input_sets(graph, 2, seed=3)
    wanted = run_tflm(to_bytes(graph), sets).outputs
    for found, good in zip(run_tflm(to_bytes(at_limit), sets).outputs, wanted, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(found, good, strict=True))


@pytest.mark.parametrize("layer", [k for k in LAYERS if k not in ("transposed",)])
def test_beyond_the_limit_the_plan_is_refused(layer: str) -> None:
    graph = graph_of(LAYERS[layer], (8, 8, 4))
    limit = overlap_limits(graph, graph.ops[-1])[source_of(graph)]
    view = 2 * 8 * 4 if layer == "rows" else None
    with pytest.raises(PlanError, match=r"lies on its input|copies onto a part|is overwritten"):
        place(planned(graph, limit + (1 if limit + 1 != view else 2))).verify()


def test_what_computes_from_everything_overlaps_nothing() -> None:
    net = Net(1)
    graph = net.graph(net.dense(net.input(1, 4, 4, 2), 3))
    assert not overlap_limits(graph, graph.ops[-1])


def test_float_is_left_apart() -> None:
    net = Net(1)
    x = net.input(1, 4, 4, 2, dtype="FLOAT32")
    out = net.tensor((1, 4, 4, 2), "FLOAT32")
    net.op("RELU", [x], [out])
    assert not overlap_limits(net.graph(out), net.ops[-1])
