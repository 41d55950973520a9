"""split: where it cuts, how often, what it leaves alone, and when it refuses."""

from __future__ import annotations

from typing import Any

import pytest

from policies.split import Split
from sim.device.loader import load_board
from sim.errors import CannotFitError, PolicyError
from sim.graph.graph import Graph
from sim.graph.macs import macs
from sim.plan.blocks import live_profile
from sim.policy import Goal, make_policy, parse_choice
from sim.program import pack_graph, place
from tests.graph.control_flow import if_graph
from tests.graph.test_stripes import computes_the_same
from tests.graphs import RELU6, Net, unet

BOARD = load_board("arduino_portenta_h7")
SMALL = Goal(10**6, "activations")


def activations(graph: Graph) -> int:
    return pack_graph(graph)[0].plan.size_bytes


def peak(graph: Graph) -> int:
    return max(live_profile(graph, "reference", aliasing=True).values())


def kinds(graph: Graph) -> list[str]:
    return [op.kind for op in graph.ops]


def count(graph: Graph, kind: str) -> int:
    return kinds(graph).count(kind)


def bottleneck() -> Graph:
    """Pointwise, depthwise with a stride, pointwise: narrow, wide and narrow again."""
    net = Net(1, "bottleneck")
    x = net.conv(net.input(1, 12, 12, 8), 48, 1, activation=RELU6)
    return net.graph(net.conv(net.depthwise(x, stride=2), 8, 1))


def head() -> Graph:
    """As MobileNets end."""
    net = Net(2, "head")
    x = net.pool(net.conv(net.input(1, 7, 7, 16), 160, 1), "AVERAGE", 7, 1)
    return net.graph(net.softmax(net.dense(x, 10)))


def two_peaks() -> Graph:
    """Two bottlenecks whose wide tensors are of the same size."""
    net = Net(3, "two_peaks")
    x = net.input(1, 12, 12, 8)
    for wide in (64, 256):
        x = net.conv(net.depthwise(net.conv(x, wide, 1), stride=2), 8, 1)
    return net.graph(x)


def test_a_setting_does_what_it_says() -> None:
    graph = bottleneck()
    made = Split(0, 2, 4, "channels").apply(graph, BOARD, SMALL)
    wanted = ["CONV_2D", "DEPTHWISE_CONV_2D"] * 4 + ["CONCATENATION", "CONV_2D"]
    assert kinds(made) == wanted
    made = Split(0, 3, 3, "rows").apply(graph, BOARD, SMALL)
    assert count(made, "CONV_2D") == 6
    computes_the_same(graph, made)


def test_one_part_is_the_graph_as_it_is() -> None:
    graph = bottleneck()
    for setting in (Split(parts=1), Split(parts=0), Split(0, 2, 1, "channels")):
        assert setting.apply(graph, BOARD, SMALL) == graph


def test_the_peak_between_two_narrow_tensors_goes() -> None:
    graph = bottleneck()
    for axis in ("channels", None):
        made = Split(axis=axis).apply(graph, BOARD, SMALL)
        assert activations(made) < activations(graph) * 3 // 5
        assert sum(macs(made, op) for op in made.ops) == sum(macs(graph, op) for op in graph.ops)
        computes_the_same(graph, made)


def test_the_last_pointwise_convolution_stays_whole() -> None:
    """It sums over all channels."""
    made = Split(axis="channels").apply(bottleneck(), BOARD, SMALL)
    assert kinds(made)[-2:] == ["CONCATENATION", "CONV_2D"]


def test_the_wide_tensor_of_a_head_never_exists_whole() -> None:
    graph = head()
    made = Split(axis="channels").apply(graph, BOARD, SMALL)
    whole = 7 * 7 * 160
    assert max(t.nbytes for t in made.tensors if not t.is_constant) < whole // 2
    assert activations(made) < activations(graph) // 2
    computes_the_same(graph, made)


def test_several_peaks_are_split_each() -> None:
    graph = two_peaks()
    once = [Split(s, s + 2, 8, "channels").apply(graph, BOARD, SMALL) for s in (0, 3)]
    made = Split(axis="channels").apply(graph, BOARD, SMALL)
    assert count(made, "DEPTHWISE_CONV_2D") >= 4
    assert peak(made) < peak(graph) // 2
    assert activations(made) < min(map(activations, once)) * 3 // 4
    computes_the_same(graph, made)


def test_scratch_is_split_too() -> None:
    """TRANSPOSE_CONV asks for four bytes of scratch for each of its output's."""
    net = Net(4)
    graph = net.graph(net.transpose_conv(net.input(1, 6, 6, 4), 16))
    for axis in ("channels", "rows"):
        made = Split(axis=axis).apply(graph, BOARD, SMALL)
        assert count(made, "TRANSPOSE_CONV") > 1
        assert activations(made) < activations(graph) * 3 // 5
        computes_the_same(graph, made)


def test_what_does_not_pay_is_left_alone() -> None:
    net = Net(5)
    x = net.conv(net.input(1, 6, 6, 16), 4)
    graph = net.graph(net.conv(x, 16))
    assert Split(axis="channels").apply(graph, BOARD, SMALL) == graph
    assert list(Split(axis="channels").candidates(graph, BOARD, SMALL)) == [
        Split(parts=1, axis="channels")
    ]


def test_a_graph_that_fits_is_left_alone_unless_memory_is_the_goal() -> None:
    graph = bottleneck()
    roomy = Goal(place(graph).arena().required, "latency")
    assert Split().apply(graph, BOARD, roomy) == graph
    assert list(Split().candidates(graph, BOARD, roomy)) == [Split(parts=1)]


def test_no_more_is_split_than_the_budget_asks_for() -> None:
    """With a budget just below what the graph takes, fewer parts than for the least memory."""
    graph = bottleneck()
    arena = pack_graph(graph)[0].arena()
    budget = Goal(arena.required - 1500, "latency")
    mild = Split(axis="channels").apply(graph, BOARD, budget)
    least = Split(axis="channels").apply(graph, BOARD, SMALL)
    assert pack_graph(mild)[0].arena().required <= budget.sram_bytes
    assert len(mild.ops) < len(least.ops)


def test_candidates_are_complete_settings_that_do_the_same() -> None:
    graph = bottleneck()
    found = list(Split().candidates(graph, BOARD, SMALL))
    assert found[-1] == Split(parts=1)
    assert len(found) > 1
    for setting in found[:-1]:
        assert isinstance(setting, Split)
        if setting != Split():
            assert None not in (setting.start, setting.stop, setting.parts, setting.axis)
            assert list(setting.candidates(graph, BOARD, SMALL)) == [setting]
        assert activations(setting.apply(graph, BOARD, SMALL)) < activations(graph)


@pytest.mark.parametrize(
    ("asked", "held"),
    [
        (Split(start=0), {"start": 0}),
        (Split(stop=2), {"stop": 2}),
        (Split(0, 2), {"start": 0, "stop": 2}),
        (Split(0, 2, parts=5), {"start": 0, "stop": 2, "parts": 5}),
        (Split(stop=3, axis="rows"), {"stop": 3, "axis": "rows"}),
        (Split(parts=3, axis="channels"), {"parts": 3, "axis": "channels"}),
    ],
)
def test_what_is_asked_for_holds(asked: Split, held: dict[str, Any]) -> None:
    graph = bottleneck()
    found = list(asked.candidates(graph, BOARD, SMALL))
    for setting in found:
        assert isinstance(setting, Split)
        if setting.parts != 1:
            assert {name: getattr(setting, name) for name in held} == held
    assert found[0].apply(graph, BOARD, SMALL) == asked.apply(graph, BOARD, SMALL) != graph


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (Split(0, 3, 2, "channels"), r"split: bottleneck: ops 0\.\.3 \(CONV_2D, DEPTHWISE_CONV_2D,"
         r" CONV_2D\): parts along channels: found 2, wanted none, since they have to stay whole"),
        (Split(0, 2, 49, "channels"), r"parts along channels: found 49, wanted 2\.\.48"),
        (Split(0, 2, 7, "rows"), r"parts along rows: found 7, wanted 2\.\.6"),
        (Split(2, 9), r"ops 2\.\.9 \(CONV_2D\): parts along channels: .* wanted none"),
        (Split(2, 2), r"ops 2\.\.2 \(none\): "),
        (Split(start=3), r"ops 3\.\.4 \(none\): "),
        (Split(stop=0), r"ops 0\.\.0 \(none\): "),
    ],
)  # fmt: skip
def test_what_cannot_be_split(setting: Split, message: str) -> None:
    with pytest.raises(CannotFitError, match=message):
        setting.apply(bottleneck(), BOARD, SMALL)
    with pytest.raises(CannotFitError, match=message):
        list(setting.candidates(bottleneck(), BOARD, SMALL))


def test_control_flow_is_left_alone() -> None:
    graph = if_graph()
    assert Split().apply(graph, BOARD, SMALL).ops == graph.ops
    with pytest.raises(CannotFitError, match="have to stay whole"):
        Split(0, 1, 2, "channels").apply(graph, BOARD, SMALL)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"axis": "depth"}, "policy split: axis: found 'depth', wanted one of channels, rows"),
        ({"parts": "few"}, "policy split: parts: found 'few', wanted a whole number, 0 or above"),
    ],
)
def test_what_is_no_parameter(params: dict[str, Any], message: str) -> None:
    with pytest.raises(PolicyError, match=message):
        make_policy("split", params)


def test_parameters() -> None:
    assert make_policy("split", {"axis": "rows"}) == Split(axis="rows")
    text = "split(start=0,stop=2,parts=4,axis=channels)+split(start=1,stop=2)"
    assert parse_choice(text).policies == (Split(0, 2, 4, "channels"), Split(1, 2))


def test_a_whole_unet_needs_half_of_it() -> None:
    graph = unet(16, 24, (4, 8))
    made = Split().apply(graph, BOARD, SMALL)
    assert activations(made) < activations(graph) * 2 // 3
    computes_the_same(graph, made)
