"""A pool by channels of what lies in a storage computes the same; each slot goes there and back."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from policies.stages import Stage, staged
from sim.deploy.feeder import slots_to_fill
from sim.device.loader import load_board
from sim.errors import CannotFitError, PolicyError
from sim.graph.cut import Cut
from sim.graph.feed import Feed, slot_name
from sim.graph.gather import gather, gathered
from sim.graph.graph import Graph, Table
from sim.graph.rewrite import ASSIGN, READ, VAR_HANDLE
from sim.graph.tflite_reader import read_bytes
from sim.graph.tflite_writer import to_bytes
from sim.policy import Goal, parse_choice
from sim.program import pack_graph
from sim.ranges import Range
from sim.trace import FETCH, SPILL
from sim.transfers import transfers
from tests.graphs import SAME, VALID, Net
from tests.proof import proven

pytest.importorskip("tflite_micro")
pytest.importorskip("ai_edge_litert")

BOARD = load_board("arduino_portenta_h7")
POOL = 2
"""The step of the op that runs by channels."""

KINDS = ("AVERAGE_POOL_2D", "MAX_POOL_2D", "MEAN", "DEPTHWISE_CONV_2D", "small", "padded")


def pooled(kind: str, height: int = 12, width: int = 10, channels: int = 8) -> Graph:
    """Two convolutions, a pool over all rows, or some, of what they make, and a last one."""
    net = Net(seed=3, name="pooled")
    x = net.conv(net.conv(net.input(1, height, width, 3), 6, activation=0), channels, 1)
    if kind == "MEAN":
        y = net.mean(x)
    elif kind == "DEPTHWISE_CONV_2D":
        y = net.depthwise(x, stride=2)
    elif kind == "small":
        y = net.pool(x, "MAX", stride=1)
    elif kind == "padded":
        y = net.pool(x, "AVERAGE", kernel=3, padding=SAME)
    else:
        y = net.like(x, 1, 1, 1, channels)
        fields = {
            "padding": VALID, "stride_w": width, "stride_h": height,
            "filter_width": width, "filter_height": height,
        }  # fmt: skip
        net.op(kind, [x], [y], Table("Pool2DOptions", fields), 2)
    return named(net.graph(net.conv(y, 4, 1)))


def named(graph: Graph) -> Graph:
    """As it is read from its file."""
    return read_bytes(to_bytes(graph), graph.name)


def waiting(graph: Graph) -> str:
    """The name of what the pool reads."""
    return graph.tensors[graph.ops[POOL].inputs[0]].name


def by_channels(graph: Graph, parts: int, rows: int, drain: int = 0, stage_rows: int = 2) -> Graph:
    """The convolutions write their rows as they make them; the pool fetches them in parts."""
    name, channels = waiting(graph), graph.tensors[graph.ops[POOL].inputs[0]].shape[-1]
    feed = Feed(
        "sdram", rows, frozenset({name}), drain=drain, channels=((name, channels // parts),)
    )
    stages = [
        Stage(Range(0, POOL), Cut(stage_rows), feed=feed),
        Stage(Range(POOL, POOL + 1), Cut(1), feed=feed, parts=parts),
    ]
    return staged(graph, stages, drain)


def slots(graph: Graph, kind: str) -> list[str]:
    """The slots that ops of this kind use, in the order of the ops."""
    opened = {
        op.outputs[0]: op.options.text("shared_name") or ""
        for op in graph.ops
        if op.kind == VAR_HANDLE
    }
    return [opened[op.inputs[0]] for op in graph.ops if op.kind == kind]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("parts", "rows"), [(2, 2), (8, 5)])
def test_the_same_comes_out(kind: str, parts: int, rows: int) -> None:
    graph = pooled(kind)
    made = by_channels(graph, parts, rows)
    assert not slots_to_fill(made)
    assert Counter(op.kind for op in made.ops)[graph.ops[POOL].kind] == parts
    proven(graph, made)


@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.sampled_from(KINDS), st.integers(3, 9), st.integers(3, 7), st.sampled_from([2, 4, 6]),
    st.integers(1, 5), st.integers(0, 3), st.integers(1, 4), st.data(),
)  # fmt: skip
def test_any_sizes_and_slots(
    kind: str,
    height: int,
    width: int,
    channels: int,
    rows: int,
    drain: int,
    stage_rows: int,
    data: st.DataObject,
) -> None:
    graph = pooled(kind, height, width, channels)
    parts = data.draw(st.sampled_from([n for n in range(2, channels + 1) if channels % n == 0]))
    proven(graph, by_channels(graph, parts, rows, drain, stage_rows))


@pytest.mark.parametrize(("parts", "rows"), [(2, 1), (2, 4), (4, 5), (8, 12), (8, 100)])
def test_slots_are_named_by_rows_and_channels(parts: int, rows: int) -> None:
    graph = pooled("AVERAGE_POOL_2D")
    _, height, _, channels = graph.tensors[graph.ops[POOL].inputs[0]].shape
    made, name = by_channels(graph, parts, rows), waiting(graph)
    starts, firsts = range(0, height, rows), range(0, channels, channels // parts)
    wanted = {f"{name}/rows{row}/channels{channel}" for row in starts for channel in firsts}
    assert wanted == {slot_name(name, row, channel) for row in starts for channel in firsts}
    for kind in (ASSIGN, READ):
        found = slots(made, kind)
        assert len(found) == len(set(found))
        assert set(found) == wanted
    by_part = [f"{name}/rows{row}/channels{channel}" for channel in firsts for row in starts]
    assert slots(made, READ) == by_part


@pytest.mark.parametrize("kind", KINDS)
def test_as_many_bytes_go_as_come_back(kind: str) -> None:
    graph = pooled(kind)
    program, _ = pack_graph(by_channels(graph, 4, 5), effort=0)
    moved = Counter[str]()
    for move in transfers(program):
        moved[move.kind] += move.nbytes
    whole = graph.tensors[graph.ops[POOL].inputs[0]].nbytes
    assert moved == {SPILL: whole, FETCH: whole}


def test_more_parts_take_fewer_bytes() -> None:
    graph = pooled("AVERAGE_POOL_2D", 24, 24, 16)
    plain = pack_graph(graph, effort=0)[0].plan.size_bytes
    sizes = [
        pack_graph(by_channels(graph, parts, 1), effort=0)[0].plan.size_bytes
        for parts in (2, 4, 16)
    ]
    assert plain > sizes[0] > sizes[1] >= sizes[2]


# What is refused


@pytest.mark.parametrize("parts", [3, 5, 16])
def test_parts_that_do_not_divide_are_refused(parts: int) -> None:
    graph = pooled("AVERAGE_POOL_2D")
    name = waiting(graph)
    feed = Feed("sdram", 2, frozenset({name}), channels=((name, 2),))
    with pytest.raises(CannotFitError, match=f"op 2: can't run in {parts} parts by channels"):
        gather(graph, POOL, parts, feed)


@pytest.mark.parametrize(
    ("channels", "found"), [(0, "all"), (4, "4")], ids=["together", "otherwise"]
)
def test_a_feed_with_other_channels_is_refused(channels: int, found: str) -> None:
    graph = pooled("AVERAGE_POOL_2D")
    name = waiting(graph)
    apart = ((name, channels),) if channels else ()
    feed = Feed("sdram", 2, frozenset({name}), channels=apart)
    wanted = rf"op 2: channels of '{name}' to a slot: found {found}, wanted 2"
    with pytest.raises(CannotFitError, match=wanted):
        gather(graph, POOL, 4, feed)


@pytest.mark.parametrize("step", [0, 1])
def test_an_op_over_all_channels_is_refused(step: int) -> None:
    graph = pooled("AVERAGE_POOL_2D")
    assert gathered(graph, step) is None
    name = graph.tensors[graph.ops[step].inputs[0]].name
    feed = Feed("sdram", 2, frozenset({name}), channels=((name, 3),))
    with pytest.raises(CannotFitError, match=f"op {step}: can't run in 2 parts"):
        gather(graph, step, 2, feed)


def test_what_has_two_images_or_one_channel_gathers_nothing() -> None:
    net = Net()
    x = net.conv(net.input(1, 6, 6, 2), 4)
    y = net.pool(net.conv(net.add(x, net.conv(x, 4)), 1))
    graph = net.graph(y)
    kinds = [op.kind for op in graph.ops]
    assert gathered(graph, kinds.index("ADD")) is None
    assert gathered(graph, kinds.index("MAX_POOL_2D")) is None


# As a policy


def fused(graph: Graph, pools: str, **more: str) -> str:
    given_ = {
        "stages": "[[0,2,2,0,0]]", "tensors": f"[{waiting(graph)}]", "storage": "sdram",
        "rows": "2", "pools": pools, **more,
    }  # fmt: skip
    return f"fused_fetch({', '.join(f'{k}={v}' for k, v in given_.items())})"


def applied(graph: Graph, text: str) -> Graph:
    return parse_choice(text).apply(graph, BOARD, Goal(10**9))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("drain", [0, 2])
def test_fused_fetch_end_to_end(kind: str, drain: int) -> None:
    graph = pooled(kind)
    made = applied(graph, fused(graph, "[[2,4]]", drain=str(drain)))
    assert made.ops == by_channels(graph, 4, 2, drain).ops
    proven(graph, made)


def test_a_pool_and_stages_before_and_behind_it() -> None:
    net = Net(seed=5, name="around")
    x = net.depthwise(net.conv(net.input(1, 16, 12, 3), 8))
    x = net.conv(net.pool(x), 6)
    graph = named(net.graph(net.conv(x, 4, 1)))
    text = fused(graph, "[[2,2]]", stages="[[0,2,1,0,1],[3,5,2,0,0]]", drain="1", ahead="1")
    proven(graph, applied(graph, text))


@pytest.mark.parametrize(
    ("pools", "message"),
    [
        ("few", r"pools: found 'few', wanted \[\[op, parts\]"),
        ("[[1,1]]", r"pools: found \(1, 1\), wanted \[\[op, parts\], \.\.\.\], parts from 2 on"),
        ("[[1]]", r"pools: found \(1,\), wanted \[\[op, parts\]"),
        ("[[1,2,3]]", r"pools: found \(1, 2, 3\), wanted \[\[op, parts\]"),
        ("[[a,2]]", r"pools: found \('a', 2\), wanted \[\[op, parts\]"),
        ("[[0,true]]", r"pools: found \(0, True\), wanted \[\[op, parts\]"),
        ("3", r"pools: found 3, wanted \[\[op, parts\]"),
        ("none", r"pools: found None, wanted \[\[op, parts\]"),
        ("[7]", r"pools: found 7, wanted \[\[op, parts\]"),
    ],
)
def test_wrong_pools_are_refused(pools: str, message: str) -> None:
    with pytest.raises(PolicyError, match=message):
        parse_choice(f"fused_fetch(pools={pools})")


@pytest.mark.parametrize(
    ("pools", "message"),
    [
        ("[[2,3]]", "op 2: can't run in 3 parts by channels"),
        ("[[2,2],[2,4]]", "channels of .* found 2, wanted 4"),
        ("[[1,2]]", "op 1: can't run in 2 parts by channels"),
    ],
)
def test_pools_that_this_graph_can_t_have_are_refused(pools: str, message: str) -> None:
    graph = pooled("AVERAGE_POOL_2D")
    with pytest.raises(CannotFitError, match=message):
        applied(graph, fused(graph, pools))


@pytest.mark.parametrize(
    "pools",
    [
        "[[-1,2],[2,2]]",
        "[[2,2],[99,2]]",
    ],
)
def test_pools_of_ops_that_there_are_not(pools: str) -> None:
    graph = pooled("AVERAGE_POOL_2D")
    with pytest.raises(PolicyError):
        applied(graph, fused(graph, pools))


def test_a_pool_of_what_no_stage_makes_is_refused() -> None:
    graph = pooled("AVERAGE_POOL_2D")
    with pytest.raises(CannotFitError, match="its channels are wanted apart"):
        applied(graph, fused(graph, "[[2,2]]", stages="[]"))


def test_a_pool_of_the_model_s_input_is_refused() -> None:
    """The application fills slots of rows."""
    net = Net(seed=3, name="first")
    graph = named(net.graph(net.conv(net.pool(net.input(1, 12, 10, 4)), 4, 1)))
    text = "fused_fetch(stages=[], tensors=[input0], storage=sdram, rows=2, pools=[[0,2]])"
    with pytest.raises(CannotFitError, match="op 0: can't run in 2 parts"):
        applied(graph, text)
