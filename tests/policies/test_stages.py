"""Stages: what is refused, what cutting them means, and that the search never makes it worse."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

from policies.patch import Patch, by_patches, by_patches_finely
from policies.stages import Stage, check_feed, check_stages, staged, with_feed
from policies.staging import Settings, Staging, by_rows, by_rows_finely
from policies.stream import Stream
from sim.deploy.inputs import input_sets
from sim.deploy.runtimes import run_litert, run_tflm
from sim.device.cost import op_cycles
from sim.device.loader import load_board
from sim.errors import CannotFitError, PolicyError
from sim.graph.extract import bytes_beside, extract
from sim.graph.graph import Graph
from sim.graph.stripes import Cut, Feed, is_segment
from sim.graph.tflite_reader import read_bytes
from sim.graph.tflite_writer import to_bytes
from sim.policy import MINIMIZE, Goal, parse_choice
from sim.program import pack_graph
from sim.ranges import Range
from tests.graphs import Net, unet
from tests.strategies import graphs

BOARD = load_board("arduino_portenta_h7")
PLENTY = 10**9
MOST_OPS = 8
EXAMPLES = 6


def hill() -> Graph:
    """Large in the middle: 3456 B come in, 9216 B are inside, 288 B come out."""
    net = Net(seed=7, name="hill")
    x = net.conv(net.input(1, 24, 48, 3), 8, stride=2)
    x = net.depthwise(net.conv(x, 32, 1), stride=2)
    return net.graph(net.conv(x, 4, 1))


def activations(graph: Graph) -> int:
    return pack_graph(graph)[0].plan.size_bytes


def required(graph: Graph) -> int:
    return pack_graph(graph)[0].arena().required


def cycles(graph: Graph) -> int:
    return sum(op_cycles(graph, op, BOARD) for op in graph.ops)


# Parameters


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "stages=few",
            "stages: found 'few', wanted [[start, stop, rows, chunk, roll",
        ),
        ("stages=3", "stages: found 3, wanted [[start, stop, rows, chunk, roll"),
        (
            "stages=[0,3,1,0,1]",
            "stages: found 0, wanted [[start, stop, rows, chunk, roll",
        ),
        (
            "stages=[[0,3]]",
            "stages: found (0, 3), wanted [[start, stop, rows, chunk, roll",
        ),
        ("stages=[[0,3,1,0,x]]", "stages: found (0, 3, 1, 0, 'x'), wanted [[start,"),
        ("stages=[[0,3,1,0,true]]", "(0, 3, 1, 0, True), wanted [[start,"),
        ("stages=[[0,3,0,0,0]]", "stages: found (0, 3, 0, 0, 0), wanted [[start,"),
        ("stages=[[-1,3,1,0,0]]", "stages: found (-1, 3, 1, 0, 0), wanted [[start,"),
        ("stages=[[0,3,1,-1,0]]", "stages: found (0, 3, 1, -1, 0), wanted [[start,"),
        ("stages=[[3,3,1,0,0]]", "stages: found 3..3, wanted ops from 0 on"),
        ("stages=[[0,3,1,0,0],[2,5,1,0,0]]", "stages: found 2..5, wanted ops from 3 on"),
        ("stages=[[3,5,1,0,0],[0,3,1,0,0]]", "stages: found 0..3, wanted ops from 5 on"),
        ("feed=3", "feed: found 3, wanted a name"),
        ("feed=sdram,feed_rows=0", "feed_rows: found 0, wanted a whole number, 1 or above"),
        ("feed=sdram,feed_rows=all", "feed_rows: found 'all', wanted a whole number, 1 or above"),
        ("feed_rows=true", "feed_rows: found True, wanted a whole number, 1 or above"),
    ],
)
def test_what_is_refused(text: str, message: str) -> None:
    for policy, names in (("stream", "chunk, roll"), ("patch", "columns, keep")):
        with pytest.raises(PolicyError) as error:
            parse_choice(f"{policy}({text})")
        assert str(error.value).startswith(f"policy {policy}: ")
        assert message.replace("chunk, roll", names) in str(error.value)


def test_what_is_taken() -> None:
    check_stages(None, ("rows", 1))
    check_stages((), ("rows", 1))
    check_stages(((0, 1, 1), (1, 3, 9), (7, 8, 2)), ("rows", 1))
    check_feed(None, 1)
    check_feed("sdram", 7)
    found = parse_choice("stream(stages=[[0,3,2,1,1],[3,5,1,0,0]],feed=sdram,feed_rows=2)")
    assert found.policies == (Stream(((0, 3, 2, 1, 1), (3, 5, 1, 0, 0)), "sdram", 2),)
    assert parse_choice(found.label) == found


@pytest.mark.parametrize("policy", [Stream(feed="floppy"), Patch(feed="floppy")])
def test_a_feed_from_a_storage_that_the_board_lacks(policy: Stream | Patch) -> None:
    with pytest.raises(PolicyError, match="storage: found 'floppy', wanted one of"):
        policy.apply(hill(), BOARD, Goal(PLENTY, "activations"))
    with pytest.raises(PolicyError, match="storage: found 'floppy', wanted one of"):
        list(policy.candidates(hill(), BOARD, Goal(PLENTY, "activations")))


# What stages mean


@pytest.mark.parametrize("columns", [0, 5])
def test_two_stages_are_one_after_the_other_from_the_back(columns: int) -> None:
    graph = hill()
    first, second = Stage(Range(0, 2), Cut(5), columns), Stage(Range(2, 4), Cut(3, 1, roll=True))
    wanted = first.apply(second.apply(graph))
    assert staged(graph, (first, second)) == staged(graph, (second, first)) == wanted
    assert len(wanted.ops) > len(graph.ops)
    computes_the_same(graph, wanted)


def test_no_stage_leaves_the_ops_as_they_are() -> None:
    assert staged(hill(), ()).ops == hill().ops


@pytest.mark.parametrize(
    ("steps", "columns", "words"),
    [
        (Range(0, 2), 0, "ops 0..2: not a segment that can run by rows"),
        (Range(2, 2), 0, "ops 2..2: not a segment that can run by rows"),
        (Range(1, 99), 0, "ops 1..99: not a segment that can run by rows"),
        (Range(0, 5), 2, "ops 0..5: not a segment that can run by rows"),
    ],
)
def test_what_is_no_segment_is_named(steps: Range, columns: int, words: str) -> None:
    graph = unet(16, 16, (4, 8))
    with pytest.raises(CannotFitError, match=f"^unet: {words}"):
        Stage(steps, Cut(1), columns).apply(graph)


@pytest.mark.parametrize("policy", [Stream(((0, 2, 1, 0, 0),)), Patch(((0, 2, 1, 4, 0),))])
def test_a_policy_tells_what_is_no_segment(policy: Stream | Patch) -> None:
    with pytest.raises(CannotFitError, match=r"^unet: ops 0\.\.2: not a segment"):
        policy.apply(unet(16, 16, (4, 8)), BOARD, Goal(PLENTY))


def test_a_feed_goes_to_stages_that_read_nothing_else_from_outside() -> None:
    graph, feed = hill(), Feed("sdram", 2)
    assert with_feed(graph, Stage(Range(0, 3), Cut(1)), feed).feed == feed
    assert with_feed(graph, Stage(Range(0, 1), Cut(1)), feed).feed == feed
    assert with_feed(graph, Stage(Range(1, 3), Cut(1)), feed).feed is None
    assert with_feed(graph, Stage(Range(0, 3), Cut(1)), None).feed is None


@pytest.mark.parametrize("settings_of", [by_rows, by_rows_finely, by_patches, by_patches_finely])
@pytest.mark.parametrize("shape", [(1, 1, 1, 3), (1, 2, 7, 3), (1, 50, 3, 1)])
def test_settings_can_be_had_of_any_shape(settings_of: Settings, shape: tuple[int, ...]) -> None:
    found = list(settings_of(shape))
    assert found
    assert all(1 <= cut.rows <= shape[1] and 0 <= columns <= shape[2] for cut, columns in found)


# The search


def search(graph: Graph, goal: Goal, columns: bool) -> list[tuple[Stage, ...]]:
    coarse, fine = (by_patches, by_patches_finely) if columns else (by_rows, by_rows_finely)
    return [plan.stages for plan in Staging(graph, BOARD, goal, coarse).best(fine)]


@pytest.mark.parametrize("minimize", MINIMIZE)
@pytest.mark.parametrize("columns", [False, True], ids=["rows", "columns"])
def test_never_worse_than_no_stage(minimize: str, columns: bool) -> None:
    small = graphs().filter(lambda g: len(g.ops) <= MOST_OPS)

    @given(small, st.sampled_from([0, 50, 80, 100]))
    @settings(
        max_examples=EXAMPLES, derandomize=True, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    def judge(graph: Graph, percent: int) -> None:
        goal = Goal(required(graph) * percent // 100, minimize)
        plain = staged(graph, ())
        for stages in search(graph, goal, columns)[:1]:
            made = staged(graph, stages)
            if minimize == "activations":
                assert activations(made) <= activations(plain)
            elif minimize == "arena":
                assert required(made) <= required(plain)
            else:
                beyond = [max(0, required(g) - goal.sram_bytes) for g in (made, plain)]
                assert (beyond[0], cycles(made)) <= (beyond[1], cycles(plain))

    judge()


@pytest.mark.parametrize(("minimize", "columns"), zip(MINIMIZE, itertools.cycle([False, True])))
def test_the_same_again(minimize: str, columns: bool) -> None:
    graph, goal = hill(), Goal(required(hill()) * 8 // 10, minimize)
    again = read_bytes(to_bytes(graph), graph.name)
    assert search(again, goal, columns) == search(graph, goal, columns)


@pytest.mark.parametrize("columns", [False, True], ids=["rows", "columns"])
def test_a_budget_that_stages_can_meet_is_met_in_few_cycles(columns: bool) -> None:
    graph = hill()
    policy = Patch() if columns else Stream()
    least = required(policy.apply(graph, BOARD, Goal(0, "arena")))
    assert least < required(graph)
    tried = [least + (required(graph) - least) * part // 2 for part in range(3)]
    made = [policy.apply(graph, BOARD, Goal(budget, "latency")) for budget in tried]
    assert all(required(g) <= budget for g, budget in zip(made, tried, strict=True))
    taken = [cycles(g) for g in made]
    assert taken == sorted(taken, reverse=True)
    assert made[-1].ops == graph.ops
    computes_the_same(graph, made[0])


@pytest.mark.parametrize("policy", [Stream(), Patch()])
def test_candidates_are_complete_and_hold_no_stage(policy: Stream | Patch) -> None:
    goal = Goal(0, "activations")
    found = list(policy.candidates(hill(), BOARD, goal))
    assert type(policy)(()) in found
    assert found[0].apply(hill(), BOARD, goal) == policy.apply(hill(), BOARD, goal)
    assert [list(c.candidates(hill(), BOARD, goal)) for c in found] == [[c] for c in found]


# A part as a graph of its own


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), graph=graphs())
def test_a_part_is_a_graph_that_computes_that_part(data: st.DataObject, graph: Graph) -> None:
    """Parts in a row, each fed with what the ones before it gave, come to the whole."""
    pytest.importorskip("tflite_micro")
    cut = data.draw(st.integers(1, max(1, len(graph.ops) - 1)))
    assume(cut < len(graph.ops))
    known = {}
    sets = input_sets(graph, 1, 0)
    known.update(zip((graph.tensors[t].name for t in graph.inputs), sets[0], strict=True))
    for steps in (Range(0, cut), Range(cut, len(graph.ops))):
        part = extract(graph, steps)
        part.verify()
        assert [op.kind for op in part.ops] == [
            op.kind for op in graph.ops[steps.start : steps.stop]
        ]
        given_ = [known[part.tensors[t].name] for t in part.inputs]
        outputs = run_tflm(to_bytes(part), [given_]).outputs[0]
        known.update(zip((part.tensors[t].name for t in part.outputs), outputs, strict=True))
    wanted = run_tflm(to_bytes(graph), sets).outputs[0]
    for tensor, value in zip(graph.outputs, wanted, strict=True):
        np.testing.assert_array_equal(known[graph.tensors[tensor].name], value, strict=True)


def test_bytes_beside_are_what_waits_for_later() -> None:
    net = Net()
    skip = net.conv(net.input(1, 8, 8, 2), 4)
    x = net.conv(net.conv(skip, 4, stride=2), 4)
    up = net.transpose_conv(x, 4)
    graph = net.graph(net.add(up, skip))
    assert bytes_beside(graph, Range(0, 2)) == 0
    assert bytes_beside(graph, Range(2, 3)) == 8 * 8 * 4
    assert bytes_beside(graph, Range(2, 4)) == 8 * 8 * 4
    assert not is_segment(graph, Range(0, 3))


def computes_the_same(before: Graph, after: Graph) -> None:
    pytest.importorskip("tflite_micro")
    pytest.importorskip("ai_edge_litert")
    program, _ = pack_graph(after)
    old, new, sets = to_bytes(before), to_bytes(program.graph), input_sets(before, 2, 0)
    found = run_tflm(new, sets)
    assert found.head_bytes == program.plan.size_bytes
    for was, now in (
        (run_litert(old, sets), run_litert(new, sets)),
        (run_tflm(old, sets).outputs, found.outputs),
    ):
        for a, b in zip(was, now, strict=True):
            for x, y in zip(a, b, strict=True):
                np.testing.assert_array_equal(x, y, strict=True)
