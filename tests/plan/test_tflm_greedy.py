"""The placement against TFLM itself: the head that the wheel records, byte for byte."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.deploy.inputs import input_sets
from sim.deploy.runtimes import run_tflm
from sim.errors import PlanError
from sim.graph.graph import Graph
from sim.graph.lifetimes import Buffer, buffers, in_arena, peak
from sim.graph.tflite_reader import read
from sim.graph.tflite_writer import to_bytes
from sim.plan.offline import with_offline_plan
from sim.plan.tflm_greedy import ONLINE, tflm_greedy
from sim.program import pack_graph, place
from sim.ranges import Range
from tests.graph.control_flow import CONTROL_FLOW
from tests.graphs import Net
from tests.strategies import graphs, spilled


def recorded_head(graph: Graph) -> int:
    return run_tflm(to_bytes(graph), []).head_bytes


def in_units(*lives: tuple[int, int, int]) -> list[Buffer]:
    """Buffers of (units of 16 bytes, first step, last step), as TFLM's own tests give them."""
    return [Buffer(0, None, 16 * n, Range(first, last + 1)) for n, first, last in lives]


@pytest.mark.parametrize(
    ("lives", "offsets"),
    [
        ([(10, 0, 1), (20, 2, 3)], [0, 0]),
        ([(10, 0, 1), (20, 1, 2), (30, 2, 3), (40, 3, 4), (50, 0, 1)], [50, 70, 40, 0, 0]),
        ([(100, 0, 1), (50, 2, 3), (20, 1, 2)], [0, 0, 100]),
    ],
    ids=["TestGreedyBasics", "TestGreedyMedium", "TestOverlapCase"],
)
def test_cases_of_tflm(lives: list[tuple[int, int, int]], offsets: list[int]) -> None:
    """From greedy_memory_planner_test.cc."""
    assert tflm_greedy(in_units(*lives)) == tuple(16 * offset for offset in offsets)


def test_of_equal_sizes_the_later_goes_first() -> None:
    assert tflm_greedy(in_units((1, 0, 0), (1, 0, 0), (2, 0, 0), (1, 1, 1))) == (48, 32, 0, 0)


def test_fixed_buffers_stay_and_the_others_fill_the_gaps_between() -> None:
    held = in_units((2, 0, 1), (3, 0, 1), (1, 0, 1), (2, 0, 1), (3, 1, 1))
    fixed = [32, 96, ONLINE, ONLINE, ONLINE]
    assert tflm_greedy(held, fixed) == (32, 96, 64, 0, 144)


def test_nothing_to_place() -> None:
    assert tflm_greedy([]) == ()


@given(graph=graphs(unused=True))
@settings(max_examples=80)
def test_generated_graphs(graph: Graph) -> None:
    program = place(graph)
    program.verify()
    assert program.plan.size_bytes == recorded_head(graph)
    assert program.plan.size_bytes >= peak(buffers(graph)).bytes


def test_real_models(model_path: Path) -> None:
    graph = read(model_path)
    assert place(graph).plan.size_bytes == run_tflm(model_path.read_bytes(), []).head_bytes


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("vww_96_int8", 73_728),
        ("pretrainedResnet_quant", 49_152),
        ("kws_ref_model", 16_000),
        ("person_detect", 55_296),
    ],
)
def test_published_heads(name: str, head: int) -> None:
    """From the models' README."""
    path = Path(__file__).parents[3] / "shared" / "models" / f"{name}.tflite"
    if not path.exists():
        pytest.skip("no shared models")
    assert place(read(path)).plan.size_bytes == head


@given(graph=graphs(unused=True), data=st.data())
@settings(max_examples=60)
def test_any_partial_offline_plan(graph: Graph, data: st.DataObject) -> None:
    """TFLM takes offsets as given: overlapping ones and ones that are no multiples of 16, too."""
    placed = [t for t, here in enumerate(in_arena(graph)) if here]
    offsets = st.one_of(st.integers(0, 4000), st.integers(0, 200).map(lambda n: 16 * n))
    chosen = data.draw(st.dictionaries(st.sampled_from(placed), offsets))
    planned = with_offline_plan(graph, chosen)
    assert place(planned).plan.size_bytes == recorded_head(planned)


@given(graph=graphs(), data=st.data())
@settings(max_examples=30)
def test_a_sound_partial_plan_computes_the_same(graph: Graph, data: st.DataObject) -> None:
    """Some tensors lie where a good plan has them, shifted; the others go around them."""
    source = data.draw(st.sampled_from([place(graph), pack_graph(graph, aliasing=False)[0]]))
    shift = 16 * data.draw(st.integers(0, 50))
    kept = data.draw(st.sets(st.sampled_from([p.tensor for p in source.plan.placements])))
    chosen = {
        p.tensor: p.offset_bytes + shift
        for p in source.plan.placements
        if p.tensor is not None and p.tensor in kept
    }
    planned = with_offline_plan(graph, chosen)
    program = place(planned)
    program.verify()
    assert all(program.plan.offset_of(t) == offset for t, offset in chosen.items())
    sets = input_sets(graph, 1, seed=3)
    before, after = run_tflm(to_bytes(graph), sets), run_tflm(to_bytes(planned), sets)
    assert after.head_bytes == program.plan.size_bytes
    for was, now in zip(before.outputs[0], after.outputs[0], strict=True):
        assert np.array_equal(was, now)


@pytest.mark.parametrize("make", CONTROL_FLOW)
def test_control_flow(make: Callable[[], Graph]) -> None:
    graph = make()
    program = place(graph)
    program.verify()
    assert program.plan.size_bytes == recorded_head(graph)
    packed, _ = pack_graph(graph, aliasing=False)
    assert packed.plan.size_bytes == recorded_head(packed.graph)
    sets = input_sets(graph, 3, seed=3)
    before, after = run_tflm(to_bytes(graph), sets), run_tflm(to_bytes(packed.graph), sets)
    for was, now in zip(before.outputs, after.outputs, strict=True):
        assert [a.tolist() for a in was] == [a.tolist() for a in now]


@given(graph=graphs(), data=st.data())
@settings(max_examples=40)
def test_spilled_graphs(graph: Graph, data: st.DataObject) -> None:
    """Handles have no place in the arena; what is fetched has one of its own.

    TFLM knows no windows, so it may put scratch onto bytes that a spill still holds: an error.
    """
    edited = data.draw(spilled(graph)).graph()
    assert place(edited).plan.size_bytes == recorded_head(edited)
    try:
        packed, _ = pack_graph(edited, aliasing=False)
    except PlanError as error:
        assert "the spill that drains" in str(error)
        assert any(op.window for op in edited.ops)
        return
    assert packed.plan.size_bytes == recorded_head(packed.graph)


def test_dead_tensors_lie_side_by_side_apart_from_all_others() -> None:
    net = Net()
    x = net.conv(net.input(1, 4, 4, 4), 4)
    dead = [net.tensor((1, 100)), net.tensor((1, 50))]
    graph = net.graph(x)
    plan = place(graph).plan
    assert [plan.offset_of(t) for t in dead] == [0, 112]
    assert plan.size_bytes == 112 + 64 == recorded_head(graph)


def test_a_plan_that_overwrites_is_taken_by_tflm_and_found_by_the_verifier() -> None:
    net = Net()
    x = net.input(1, 4, 4, 4)
    y = net.conv(x, 4)
    planned = with_offline_plan(net.graph(y), {x: 0, y: 32})
    program = place(planned)
    assert program.plan.size_bytes == 32 + 64 == recorded_head(planned)
    with pytest.raises(PlanError, match=r"lies on its input 'input0'"):
        program.verify()
