"""A spilled graph computes the same, bit for bit, and says what went where."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.deploy.inputs import input_sets
from sim.deploy.runtimes import run_litert, run_tflm
from sim.errors import PolicyError
from sim.graph.graph import Body, Graph, Op, Signature
from sim.graph.lifetimes import timeline
from sim.graph.rewrite import Rewrite, drop_dead_tensors
from sim.graph.tflite_writer import to_bytes
from sim.plan.offline import with_offline_plan
from sim.program import place
from tests.graph.control_flow import call_once_graph, if_graph
from tests.graphs import Net, unet
from tests.strategies import graphs, spilled


def outputs(graph: Graph, model: Graph) -> list[list[list[object]]]:
    """What LiteRT and TFLM compute of a graph, on inputs that fit another."""
    file, sets = to_bytes(graph), input_sets(model, 2, seed=11)
    runs = run_litert(file, sets) + run_tflm(file, sets).outputs
    return [[array.tolist() for array in arrays] for arrays in runs]


def kinds(graph: Graph) -> list[str]:
    short = {"VAR_HANDLE": "slot", "ASSIGN_VARIABLE": "spill", "READ_VARIABLE": "fetch"}
    return [short.get(op.kind, op.kind.lower()) for op in graph.ops]


def slots(graph: Graph) -> list[tuple[str, str]]:
    found = [op.options for op in graph.ops if op.kind == "VAR_HANDLE"]
    return [(options.text("container"), options.text("shared_name")) for options in found]


def chain(length: int = 6) -> Graph:
    """relu 0, relu 1, ...; the last op adds the first one's output."""
    net = Net(name="chain")
    first = x = net.relu(net.input(1, 4, 4, 2))
    for _ in range(length - 2):
        x = net.relu(x)
    return net.graph(net.add(x, first))


@given(graph=graphs(), data=st.data())
@settings(max_examples=40)
def test_a_spilled_graph_computes_the_same(graph: Graph, data: st.DataObject) -> None:
    before = repr(graph)
    edited = data.draw(spilled(graph)).graph()
    assert outputs(edited, graph) == outputs(graph, graph)
    assert repr(graph) == before
    names = slots(edited)
    assert len(set(names)) == len(names)
    for step, op in enumerate(edited.ops):
        assert step + op.window < len(edited.ops)
        assert op.kind == "ASSIGN_VARIABLE" or not op.window


def test_the_skip_of_a_unet() -> None:
    graph = unet(16, 24, (4, 8, 16))
    skip = graph.ops[0].outputs[0]
    last = max(step for step, op in enumerate(graph.ops) if skip in op.inputs)
    edit = Rewrite(graph)
    edit.spill(skip, "sdram", 1, [(last, last)], hold_until=3)
    edited = edit.graph()
    assert slots(edited) == [("sdram", graph.tensors[skip].name)]
    assert outputs(edited, graph) == outputs(graph, graph)
    spill = kinds(edited).index("spill")
    assert kinds(edited)[:4] == ["conv_2d", "max_pool_2d", "slot", "spill"]
    assert kinds(edited)[last + 2 : last + 4] == ["fetch", "quantize"]
    assert edited.ops[spill].window == 2
    alive = timeline(edited).lifetimes[edited.ops[spill].inputs[1]]
    assert alive.stop == spill + 1
    assert place(graph).plan.size_bytes - place(edited).plan.size_bytes == 16 * 24 * 4


def test_an_edit_says_what_runs_when() -> None:
    """Steps are those of the original: the spill after 1, the fetch before 4, its reader 5."""
    graph = chain(6)
    first = graph.ops[0].outputs[0]
    edit = Rewrite(graph)
    edit.spill(first, "nor", 1, [(4, 5)], hold_until=3)
    edited = edit.graph()
    relus = ["relu", "relu", "slot", "spill", "relu", "relu", "fetch", "relu", "add"]
    assert kinds(edited) == relus
    handle, source = edited.ops[3].inputs
    copy = edited.ops[6].outputs[0]
    assert edited.ops[2].outputs == edited.ops[6].inputs == (handle,)
    assert edited.tensors[source].name == graph.tensors[first].name
    assert edited.tensors[copy].name == f"{graph.tensors[first].name}/fetch"
    assert edited.ops[1].inputs == (source,)
    assert edited.ops[8].inputs[1] == copy
    assert edited.ops[3].window == 5 - 3


@pytest.mark.parametrize("hold_until", [-1, 0, 1])
def test_a_spill_that_need_not_hold_blocks(hold_until: int) -> None:
    graph = chain()
    edit = Rewrite(graph)
    edit.spill(graph.ops[0].outputs[0], "nor", 1, [(5, 5)], hold_until)
    assert all(op.window == 0 for op in edit.graph().ops)


@pytest.mark.parametrize("fetched_for", [(4,), (4, 8), (4, 12), (8,), (4, 8, 12)])
def test_several_gaps_of_one_tensor_share_a_slot(fetched_for: tuple[int, ...]) -> None:
    """Each reader takes the copy that was fetched last, or the source if there was none yet."""
    net = Net()
    first = x = net.conv(net.input(1, 4, 4, 2), 2)
    for _ in range(3):
        for _ in range(3):
            x = net.relu(x)
        x = net.add(x, first)
    graph = net.graph(x)
    readers = [step for step, op in enumerate(graph.ops) if op.kind == "ADD"]
    assert readers == [4, 8, 12]
    edit = Rewrite(graph)
    edit.spill(first, "nor", 1, [(reader - 1, reader) for reader in fetched_for])
    edited = edit.graph()
    assert kinds(edited).count("slot") == kinds(edited).count("spill") == 1
    fetches = [op.outputs[0] for op in edited.ops if op.kind == "READ_VARIABLE"]
    source = next(op.inputs[1] for op in edited.ops if op.kind == "ASSIGN_VARIABLE")
    copies = [source, *fetches]
    taken = [op.inputs[1] for op in edited.ops if op.kind == "ADD"]
    assert taken == [copies[sum(each <= reader for each in fetched_for)] for reader in readers]
    names = [edited.tensors[t].name.rpartition("/")[2] for t in fetches]
    assert names == ["fetch", "fetch1", "fetch2"][: len(fetched_for)]
    assert outputs(edited, graph) == outputs(graph, graph)


def test_an_input_is_spilled_before_anything_runs() -> None:
    graph = unet(8, 8, (2, 2))
    edit = Rewrite(graph)
    edit.spill(graph.inputs[0], "nor", -1, [(0, 0)])
    edited = edit.graph()
    assert kinds(edited)[:4] == ["slot", "spill", "fetch", "conv_2d"]
    assert edited.inputs == graph.inputs
    assert edited.ops[3].inputs[0] != edited.inputs[0]
    assert outputs(edited, graph) == outputs(graph, graph)


@pytest.mark.parametrize("place", [5, 6])
def test_an_output_comes_back_at_the_end(place: int) -> None:
    """Behind the last op if need be; signatures follow the copy."""
    graph = chain(6)
    early, last = graph.ops[1].outputs[0], graph.outputs[0]
    signature = Signature(
        "serve", (("x", graph.inputs[0]),), (("a", early), ("b", last), ("c", early))
    )
    graph = replace(graph, outputs=(early, last, early), signatures=(signature,))
    edit = Rewrite(graph)
    edit.spill(early, "nor", 2, [(place, 6)])
    edited = edit.graph()
    fetch = next(step for step, op in enumerate(edited.ops) if op.kind == "READ_VARIABLE")
    assert kinds(edited)[fetch:] == ["fetch", "add"][: 7 - place]
    copy = edited.ops[fetch].outputs[0]
    end = next(op.outputs[0] for op in edited.ops if op.kind == "ADD")
    assert edited.outputs == (copy, end, copy)
    assert edited.signatures[0].outputs == (("a", copy), ("b", end), ("c", copy))
    assert edited.signatures[0].inputs == signature.inputs
    edited, graph = (replace(g, outputs=g.outputs[:2], signatures=()) for g in (edited, graph))
    assert outputs(edited, graph) == outputs(graph, graph)


def test_slots_have_names_of_their_own() -> None:
    """Tensors may share a name, in one edit and over two."""
    net = Net()
    made = [net.relu(net.input(1, 4, 4, 2))]
    for _ in range(4):
        made.append(net.relu(made[-1]))
    x = made[-1]
    for each in made[:3]:
        x = net.add(x, each)
    net.tensors = [replace(t, name="same") for t in net.tensors]
    graph = net.graph(x)
    edit = Rewrite(graph)
    for step in (0, 1):
        edit.spill(made[step], "nor", step + 1, [(5 + step, 5 + step)])
    once = edit.graph()
    assert slots(once) == [("nor", "same"), ("nor", "same#2")]
    place = kinds(once).index("fetch") + 1
    edit = Rewrite(once)
    third = next(t for t in once.ops[-1].inputs if t != once.ops[-2].outputs[0])
    edit.spill(third, "ram", place, [(len(once.ops) - 1, len(once.ops) - 1)])
    twice = edit.graph()
    assert sorted(slots(twice)) == [("nor", "same"), ("nor", "same#2"), ("ram", "same#3")]
    assert outputs(twice, graph) == outputs(graph, graph)


def test_a_window_grows_with_the_ops_that_a_later_edit_puts_into_it() -> None:
    graph = chain(8)
    edit = Rewrite(graph)
    edit.spill(graph.ops[0].outputs[0], "nor", 1, [(7, 7)], hold_until=5)
    once = edit.graph()
    assert [op.window for op in once.ops if op.window] == [4]
    edit = Rewrite(once)
    edit.spill(once.ops[4].outputs[0], "ram", 4, [(5, 5)])
    twice = edit.graph()
    inside = ["slot", "spill", "fetch"]
    assert kinds(twice)[2:10] == ["slot", "spill", "relu", *inside, "relu", "relu"]
    assert [op.window for op in twice.ops if op.window] == [4 + 3]


def test_nothing_edited_drops_the_plan_and_dead_tensors_only() -> None:
    net = Net()
    net.tensor((1, 500), name="dead")
    x = net.input(1, 4, 4, 2)
    net.ints(1, 2, 3)
    graph = replace(net.graph(net.conv(x, 2)), metadata=(("kept", b"1"),))
    graph = with_offline_plan(graph, {x: 0})
    edited = Rewrite(graph).graph()
    assert [t.name for t in edited.tensors] == ["input0", "weights", "bias", "t5"]
    assert [t.id for t in edited.tensors] == [0, 1, 2, 3]
    assert edited.ops[0].inputs == (0, 1, 2)
    assert edited.metadata == (("kept", b"1"),)
    assert outputs(edited, graph) == outputs(graph, graph)


@given(graph=graphs(unused=True))
@settings(max_examples=25)
def test_what_stays_when_the_dead_are_dropped(graph: Graph) -> None:
    """Every tensor that something uses, in the same order; what is computed is the same."""
    live = drop_dead_tensors(graph)
    used = {t for op in graph.ops for t in (*op.inputs, *op.outputs)} | set(graph.inputs)
    assert [replace(t, id=0) for t in live.tensors] == [
        replace(t, id=0) for t in graph.tensors if t.id in used
    ]
    live.verify()
    assert outputs(live, graph) == outputs(graph, graph)


def test_dropping_keeps_optional_inputs_intermediates_and_bodies() -> None:
    graph = if_graph()
    dead = [replace(graph.tensors[0], id=len(graph.tensors), name="dead")]
    last = graph.bodies[1]
    ops = (*last.ops[:-1], replace(last.ops[-1], intermediates=(-1, last.inputs[0])))
    wider = replace(last, ops=ops, stop_tensor=last.stop_tensor + 1)
    graph = replace(graph, tensors=(*graph.tensors, *dead), bodies=(graph.bodies[0], wider))
    live = drop_dead_tensors(graph)
    assert live.bodies == (graph.bodies[0], replace(wider, stop_tensor=last.stop_tensor))
    assert live.tensors == graph.tensors[:-1]


def test_a_body_without_live_tensors_keeps_its_place() -> None:
    """It owns the empty range behind the tensors of the one before."""
    net = Net()
    graph = net.graph(net.relu(net.input(1, 4)))
    dead = replace(graph.tensors[0], id=2, name="dead")
    idle = replace(graph, tensors=(*graph.tensors, dead), bodies=(Body("idle", (), (), (), 2, 3),))
    live = drop_dead_tensors(idle)
    assert (live.main_tensors, live.bodies) == (2, (Body("idle", (), (), (), 2, 2),))
    live.verify()


def test_control_flow_is_not_rewritten() -> None:
    with pytest.raises(PolicyError) as caught:
        Rewrite(call_once_graph())
    assert str(caught.value) == (
        "once: has control flow (2 subgraphs), which can be planned but not rewritten"
    )


def test_a_slot_of_another_tool_gets_the_container_that_tflm_needs() -> None:
    """TFLM compares containers without a check for none, and crashes."""
    net = Net()
    x, handle = net.input(1, 4), net.tensor((), "RESOURCE")
    net.ops.append(Op("VAR_HANDLE", (), (handle,)))
    net.op("ASSIGN_VARIABLE", [handle, x], [])
    back = net.like(x)
    net.op("READ_VARIABLE", [handle], [back])
    edited = Rewrite(net.graph(back)).graph()
    assert edited.ops[0].options["container"] == ""
