"""A model whose input waits in slots: no input, the right bytes, the same outputs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

from sim.cli import main
from sim.deploy.feeder import fed, is_fed
from sim.deploy.slots import slot_table
from sim.deploy.verify import Verification, verify
from sim.device.loader import load_board
from sim.engine.run import simulate
from sim.errors import ModelError, PolicyError
from sim.graph.graph import Graph
from sim.graph.stripes import Cut, Feed, is_segment, stripe
from sim.graph.tflite_writer import to_bytes, write
from sim.policy import Goal, parse_choice
from sim.program import Program, pack_graph
from sim.ranges import Range
from sim.report import Moved, report
from sim.trace import FETCH
from sim.transfers import transfers
from tests.deploy.material import spilled
from tests.graphs import SAME, VALID, Net

pytest.importorskip("tflite_micro")
pytest.importorskip("ai_edge_litert")

BOARD = load_board("arduino_portenta_h7")


def chain(height: int = 9) -> Graph:
    net = Net(seed=5, name="chain")
    x = net.conv(net.input(1, height, 8, 4), 6)
    return net.graph(net.conv(net.depthwise(x, stride=2), 4, 1))


def program(graph: Graph, policy: str) -> Program:
    made = parse_choice(policy).apply(graph, BOARD, Goal(10**9, "activations"))
    return pack_graph(made)[0]


def proof(graph: Graph, made: Program) -> Verification:
    made.verify()
    head = made.plan.size_bytes
    return verify(to_bytes(graph), to_bytes(made.graph), planned_bytes=head, samples=2)


def input_bytes(graph: Graph) -> int:
    return sum(graph.tensors[t].nbytes for t in graph.inputs)


def slot_sizes(made: Program) -> dict[str, int]:
    return {slot.name: slot.size_bytes for slot in slot_table(made, BOARD)}


STREAM = "stream(stages=[[0,3,2,0,1]],feed=sdram{})"
PATCH = "patch(stages=[[0,3,2,3,{}]],feed=sdram)"


@pytest.mark.parametrize("rows", [1, 2, 4, 9, 20])
def test_the_slots_hold_the_rows_of_the_input(rows: int) -> None:
    graph = chain()
    made = program(graph, STREAM.format(f",feed_rows={rows}"))
    starts = range(0, 9, rows)
    row_bytes = 8 * 4
    wanted = {f"input0/rows{s}": (min(s + rows, 9) - s) * row_bytes for s in starts}
    assert slot_sizes(made) == wanted
    assert sum(wanted.values()) == input_bytes(graph)
    assert made.graph.inputs == ()
    assert is_fed(graph, made.graph)
    assert proof(graph, made).passed


@pytest.mark.parametrize("policy", [PATCH.format(0), PATCH.format(1)])
def test_patches_read_their_halos_from_the_slots(policy: str) -> None:
    graph = chain()
    made = program(graph, policy)
    assert made.graph.inputs == ()
    assert slot_sizes(made) == {f"input0/rows{s}": 32 for s in range(9)}
    assert sum(m.nbytes for m in transfers(made)) > input_bytes(graph)
    assert proof(graph, made).passed


def test_each_row_is_fetched_once_an_inference() -> None:
    graph = chain()
    made = program(graph, STREAM.format(""))
    frames = 3
    trace = simulate(made, BOARD, frames=frames, seed=0)
    found = report(trace, BOARD)
    fetched = [s for s in trace.spans if s.kind == FETCH and s.actor == "sdram"]
    assert sum(s.nbytes for s in fetched) == frames * input_bytes(graph)
    assert found.moved == {"sdram": Moved(input_bytes(graph), 0)}


@pytest.mark.usefixtures("little_work")
def test_the_plan_without_the_input_takes_less_and_is_chosen() -> None:
    graph = chain(24)
    whole, without = program(graph, "stream"), program(graph, "stream(feed=sdram)")
    assert without.graph.inputs == ()
    assert without.plan.size_bytes < whole.plan.size_bytes
    assert proof(graph, without).passed


@pytest.mark.parametrize("policy", ["stream", "patch"])
def test_a_storage_that_the_board_lacks(policy: str) -> None:
    with pytest.raises(PolicyError, match="storage: found 'floppy', wanted one of"):
        program(chain(), f"{policy}(stages=[[0,3,2,0,1]],feed=floppy)")


@pytest.mark.parametrize("rows", [1, 2, 4])
def test_the_output_leaves_by_rows(rows: int) -> None:
    graph = chain(23)
    stop = len(graph.ops)
    policy = f"stream(stages=[[0,{stop},1,1,1]],feed=sdram,feed_rows={rows},drain=true)"
    made = program(graph, policy)
    assert made.graph.inputs == () and made.graph.outputs == ()
    output = graph.tensors[graph.outputs[0]]
    left = {slot: n for slot, n in slot_sizes(made).items() if slot.startswith(output.name)}
    assert sum(left.values()) == output.nbytes
    found = proof(graph, made)
    assert (found.litert, found.tflm) == (True, True)
    assert found.tflm_head_bytes == made.plan.size_bytes


def test_only_what_is_fed_can_drain() -> None:
    with pytest.raises(PolicyError, match="drain: found True, wanted true or false, true with"):
        parse_choice("stream(drain=true)")


def two_inputs(outside: bool) -> Graph:
    """Two branches that are added up; one input may be read again by the last op."""
    net = Net(seed=6, name="two")
    a, b = net.input(1, 8, 8, 4), net.input(1, 8, 8, 4)
    x = net.add(net.conv(net.conv(a, 4), 4), net.conv(b, 4))
    return net.graph(net.add(x, a) if outside else x)


def test_all_inputs_of_a_stage_wait() -> None:
    graph = two_inputs(outside=False)
    made = program(graph, "stream(stages=[[0,4,3,0,1]],feed=sdram,feed_rows=4)")
    assert made.graph.inputs == ()
    assert set(slot_sizes(made)) == {f"input{i}/rows{s}" for i in (0, 1) for s in (0, 4)}
    assert proof(graph, made).passed


@pytest.mark.parametrize("outside", [False, True])
def test_an_input_that_others_read_stays_one(outside: bool) -> None:
    graph = two_inputs(outside)
    made = program(graph, "stream(stages=[[0,2,3,0,1]],feed=sdram)")
    names = [made.graph.tensors[t].name for t in made.graph.inputs]
    assert names == (["input0", "input1"] if outside else ["input1"])
    assert is_fed(graph, made.graph) is not outside
    assert proof(graph, made).passed


def test_slots_of_an_input_that_stays_are_filled_as_well() -> None:
    """No policy does so by itself; whoever cuts a graph may."""
    graph = two_inputs(outside=True)
    made, _ = pack_graph(stripe(graph, Range(0, 2), Cut(3, roll=True), Feed("sdram")))
    assert len(made.graph.inputs) == 2
    assert is_fed(graph, made.graph)
    assert proof(graph, made).passed


def test_rows_may_wait_for_two_stages_and_beside_spills() -> None:
    graph = two_inputs(outside=False)
    stages = "stream(stages=[[0,2,3,0,1],[2,3,2,0,0]],feed=sdram)"
    for policy in (stages, f"{stages}+spill(storage=sd)"):
        made = program(graph, policy)
        assert made.graph.inputs == ()
        assert proof(graph, made).passed


def test_a_wrong_row_is_found() -> None:
    """The proof can fail: two slots changed for one another."""
    graph = chain()
    made = program(graph, STREAM.format(""))
    swapped = {"input0/rows2": "input0/rows3", "input0/rows3": "input0/rows2"}
    ops = list(made.graph.ops)
    for step, op in enumerate(ops):
        name = op.options.text("shared_name") if op.kind == "VAR_HANDLE" else None
        if name in swapped:
            fields = {**op.options.fields, "shared_name": swapped[name]}
            ops[step] = replace(op, options=replace(op.options, fields=fields))
    found = verify(to_bytes(graph), to_bytes(replace(made.graph, ops=tuple(ops))), samples=2)
    assert (found.equal, found.litert, found.tflm) == (False, False, False)


def test_slots_of_no_input_are_an_error() -> None:
    graph, made = chain(), program(chain(), STREAM.format(""))
    tensors = list(graph.tensors)
    tensors[graph.inputs[0]] = replace(tensors[graph.inputs[0]], name="other")
    with pytest.raises(ModelError, match="slot 'input0/rows0': found no input of that name"):
        fed(replace(graph, tensors=tuple(tensors)), made.graph)


def test_what_a_model_spills_itself_is_not_fed() -> None:
    assert not is_fed(chain(), chain())
    graph = spilled()
    assert not is_fed(graph, graph)


@st.composite
def chains(draw: st.DrawFn) -> Graph:
    """Two to four layers that go by rows, of any size, stride and padding."""
    net = Net(draw(st.integers(0, 99)), "chain")
    x = net.input(1, draw(st.integers(1, 12)), draw(st.integers(1, 6)), draw(st.integers(1, 4)))
    for _ in range(draw(st.integers(2, 4))):
        low = min(net.shape(x)[1:3])
        kernel, stride = draw(st.integers(1, min(3, low))), draw(st.integers(1, 2))
        padding = draw(st.sampled_from([SAME, VALID]))
        if draw(st.booleans()):
            x = net.conv(x, draw(st.integers(1, 4)), kernel, stride, padding)
        else:
            x = net.depthwise(x, kernel, stride, padding)
    return net.graph(x)


@settings(
    max_examples=12, suppress_health_check=list(HealthCheck),
    phases=[p for p in Phase if p is not Phase.explain],
)  # fmt: skip
@given(data=st.data(), graph=chains())
def test_any_chain_by_any_rows(data: st.DataObject, graph: Graph) -> None:
    stop = data.draw(st.integers(1, len(graph.ops)), label="stop")
    assume(is_segment(graph, Range(0, stop)))
    rows, slot = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 5), label="feed_rows")
    if data.draw(st.booleans(), label="patch"):
        columns, keep = data.draw(st.integers(0, 4)), data.draw(st.integers(0, 1))
        policy = f"patch(stages=[[0,{stop},{rows},{columns},{keep}]],feed=sdram,feed_rows={slot})"
    else:
        chunk, roll = data.draw(st.integers(0, 3)), data.draw(st.integers(0, 1))
        policy = f"stream(stages=[[0,{stop},{rows},{chunk},{roll}]],feed=sdram,feed_rows={slot})"
    made = program(graph, policy)
    assert made.graph.inputs == ()
    assert sum(slot_sizes(made).values()) <= input_bytes(graph)
    if policy.startswith("stream"):
        trace = simulate(made, BOARD, frames=1, seed=0)
        fetched = sum(slot_sizes(made).values())
        assert report(trace, BOARD).moved == {"sdram": Moved(fetched, 0)}
    found = proof(graph, made)
    assert (found.litert, found.tflm) == (True, True)
    assert found.tflm_head_bytes == made.plan.size_bytes


def test_the_commands_go_with_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = tmp_path / "chain.tflite"
    write(chain(), model)
    code = main([
        "deploy", str(model), "--board", BOARD.name, "--policy", STREAM.format(",feed_rows=4"),
        "-o", str(tmp_path / "out"), "--json",
    ])  # fmt: skip
    found = json.loads(capsys.readouterr().out)
    assert code == 0
    assert found["deploy"]["verified"]["tflm"] is True
    header = (tmp_path / "out" / "model_config.h").read_text()
    assert "#define SPILLWAY_INPUT_COUNT 0" in header
    assert "#define SPILLWAY_FED_ROWS_COUNT 3" in header
    for slot, (first, rows) in enumerate(((0, 4), (4, 4), (8, 1))):
        scale, zero = "0.0500000007f", 0
        row = f'{{"input0", {slot}u, {first}u, {rows}u, {rows * 32}u, {scale}, {zero}}}'
        assert row in header
    assert found["results"][0]["moved_bytes"]["sdram"] == {"read": 288, "written": 0}
    code = main(["verify", str(model), str(tmp_path / "out/model.tflite"), "--json"])
    assert code == 0
    assert json.loads(capsys.readouterr().out)["equal"] is True
