"""Runtimes: what each takes beside the head, and that a goal's runtime reaches all who ask."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sim.cli import main
from sim.compare import compare
from sim.deploy.runtimes import run_tflm
from sim.deploy.verify import verify
from sim.device.cost import op_cycles
from sim.device.loader import board_names, load_board
from sim.engine.run import play
from sim.graph.graph import Graph, Table
from sim.graph.lifetimes import ARENA_ALIGNMENT
from sim.graph.tflite_writer import to_bytes, write
from sim.plan.runtime import RUNTIMES, STATIC, TFLM, Runtime
from sim.plan.runtime_overhead import required_arena, runtime_overhead
from sim.policy import Goal, parse_choice
from sim.program import Program, pack_graph, place
from sim.ranges import round_up
from tests.graphs import Net, unet
from tests.strategies import graphs, spilled

BOARD = load_board("arduino_portenta_h7")
ENGINE = Runtime(STATIC)
STAGE = "stream(stages=[[1, 3, 1, 0, 1]])"


def with_own_variables(*sizes: int, container: str = "") -> Graph:
    """A chain that writes each of so many bytes to a variable of its own, and reads it back."""
    net = Net(name="own")
    x = net.input(1, 1, 1, 16)
    for number, size in enumerate(sizes):
        made = net.tensor((1, 1, 1, size))
        net.op("PAD", [x, net.ints(0, 0, 0, 0, 0, 0, 0, size - 16, shape=(4, 2))], [made])
        handle = net.tensor((), "RESOURCE")
        names = {"container": container, "shared_name": f"v{number}"}
        net.op("VAR_HANDLE", [], [handle], Table("VarHandleOptions", names))
        net.op("ASSIGN_VARIABLE", [handle, made], [])
        back = net.like(made)
        net.op("READ_VARIABLE", [handle], [back])
        x = net.crop(back, (0, 0, 0, 0), (1, 1, 1, 16))
    return net.graph(x)


def with_state(size: int) -> Graph:
    """An ADD of the input to a tensor that keeps its value between inferences."""
    net = Net(name="state")
    x, state = net.input(1, 1, 1, size), net.tensor((1, 1, 1, size), name="state")
    net.tensors[state] = replace(net.tensors[state], is_variable=True)
    return net.graph(net.add(x, state))


# What a runtime takes


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(graph=graphs(unused=True))
def test_a_static_engine_takes_the_head_alone(graph: Graph) -> None:
    for program in (place(graph, ENGINE), pack_graph(graph, ENGINE, effort=0)[0]):
        arena = program.arena()
        assert (arena.persistent, arena.temporary) == (0, 0)
        assert arena.required == arena.activations == program.plan.size_bytes


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(graph=graphs(), data=st.data())
def test_spilled_tensors_are_not_counted(graph: Graph, data: st.DataObject) -> None:
    made = data.draw(spilled(graph)).graph()
    arena = place(made, ENGINE).arena()
    assert arena.required == arena.activations


@pytest.mark.parametrize("sizes", [(16,), (17,), (100, 33), (64, 64, 64)])
def test_variables_of_the_model_s_own_are_counted_and_aligned(sizes: tuple[int, ...]) -> None:
    arena = place(with_own_variables(*sizes), ENGINE).arena()
    assert arena.persistent == sum(round_up(n, ARENA_ALIGNMENT) for n in sizes)
    assert arena.required == arena.activations + arena.persistent
    away = place(with_own_variables(*sizes, container="sdram"), ENGINE).arena()
    assert away.persistent == 0
    assert away.required == away.activations == arena.activations


@pytest.mark.parametrize("size", [16, 100])
def test_a_state_is_counted_once_planned_or_not(size: int) -> None:
    graph = with_state(size)
    assert ENGINE.overhead(graph, 0).tail_bytes == round_up(size, ARENA_ALIGNMENT)
    for program in (place(graph, ENGINE), pack_graph(graph, ENGINE)[0]):
        planned = {p.tensor for p in program.plan.placements}
        states = [t for t in program.graph.tensors if t.is_variable and t.id not in planned]
        arena = program.arena()
        assert arena.persistent == sum(round_up(t.nbytes, ARENA_ALIGNMENT) for t in states)
        assert arena.required == arena.activations + arena.persistent


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(graph=graphs(), kernels=st.sampled_from(["reference", "cmsis_nn"]))
def test_tflm_takes_what_it_always_took(graph: Graph, kernels: str) -> None:
    head = place(graph, Runtime(kernels=kernels)).plan.size_bytes
    runtime = Runtime(TFLM, kernels)
    assert runtime.overhead(graph, head) == runtime_overhead(
        graph, head_bytes=head, kernels=kernels
    )
    wanted = required_arena(graph, head_bytes=head, kernels=kernels)
    assert runtime.required(graph, head) == wanted
    assert place(graph, runtime).arena().required == wanted


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(graph=graphs())
def test_bytes_lie_at_the_same_places_whoever_runs_them(graph: Graph) -> None:
    tflm, static = (pack_graph(graph, Runtime(name), effort=0)[0] for name in RUNTIMES)
    assert tflm.graph == static.graph
    assert tflm.plan == static.plan
    assert tflm.arena().required > static.arena().required


# What an engine compiled ahead of time costs in time


@pytest.mark.parametrize("name", board_names())
def test_ops_are_called_directly(name: str) -> None:
    board = load_board(name)
    without, profile = board.without_interpreter(), board.core.profile
    assert 0 < profile.call_cycles < profile.dispatch_cycles
    assert without.core.profile == replace(profile, dispatch_cycles=profile.call_cycles)
    assert replace(without, core=board.core) == board
    graph = unet(16, 24, (4, 8))
    saved = profile.dispatch_cycles - profile.call_cycles
    for op in graph.ops:
        assert op_cycles(graph, op, board) - op_cycles(graph, op, without) == saved


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(graph=graphs())
def test_no_op_takes_longer_without_an_interpreter(graph: Graph) -> None:
    program = pack_graph(graph, ENGINE, effort=0)[0]
    interpreted = Program(program.graph, program.plan).cycles(BOARD)
    profile = BOARD.core.profile
    saved = profile.dispatch_cycles - profile.call_cycles
    for slow, fast in zip(interpreted, program.cycles(BOARD), strict=True):
        assert 0 < fast <= slow - saved


def copying() -> tuple[Graph, int]:
    """A RELU, a crop of its lower half, a RELU; the step of the crop."""
    net = Net(name="copying")
    x = net.relu(net.input(1, 4, 8, 16))
    return net.graph(net.relu(net.crop(x, (0, 2, 0, 0), (1, 2, 8, 16)))), 1


def test_bytes_that_lie_at_their_place_are_not_copied() -> None:
    graph, crop = copying()
    aliased, _ = pack_graph(graph, ENGINE)
    apart, _ = pack_graph(graph, ENGINE, aliasing=False)
    nbytes = graph.tensors[graph.ops[crop].outputs[0]].nbytes
    board = BOARD.without_interpreter()
    whole = op_cycles(graph, graph.ops[crop], board)
    rest = op_cycles(graph, graph.ops[crop], board, staying_bytes=nbytes)
    assert rest < whole
    assert apart.cycles(BOARD)[crop] == whole
    assert aliased.cycles(BOARD)[crop] == rest
    interpreted, _ = pack_graph(graph, Runtime(TFLM))
    assert interpreted.cycles(BOARD)[crop] == op_cycles(graph, graph.ops[crop], BOARD)


# A goal's runtime


def test_a_goal_names_its_runtime() -> None:
    assert Goal(1).target == Runtime(TFLM)
    assert Goal(1, kernels="cmsis_nn", runtime=STATIC).target == Runtime(STATIC, "cmsis_nn")
    assert [Runtime(STATIC, k).allows_aliasing for k in ("reference", "cmsis_nn")] == [True, False]


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("policy", ["baseline", "plan", "spill(storage=sdram, window=0)"])
def test_compare_places_for_the_goal_s_runtime(runtime: str, policy: str) -> None:
    goal = Goal(10**9, runtime=runtime)
    found = compare(unet(16, 24, (4, 8)), BOARD, goal, [parse_choice(policy)], play).best
    assert found.program is not None
    assert found.arena is not None
    assert found.program.runtime == goal.target
    assert found.arena == found.program.arena()
    assert (found.arena.required == found.arena.activations) == (runtime == STATIC)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "small.tflite"
    write(unet(16, 24, (4, 8)), path)
    return path


def document(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, Any]:
    code = main([str(a) for a in arguments])
    return code, json.loads(capsys.readouterr().out)


def result_of(found: Any) -> Any:
    (result,) = found["results"]
    return result


def test_the_command_line_compares_for_a_runtime(
    capsys: pytest.CaptureFixture[str], model: Path
) -> None:
    arguments = ("compare", model, "--board", BOARD.name, "--policy", "plan", "--json")
    seen = {}
    for runtime in RUNTIMES:
        code, found = document(capsys, *arguments, "--runtime", runtime)
        assert code == 0
        seen[runtime] = result_of(found)
    _, unsaid = document(capsys, *arguments)
    assert result_of(unsaid) == seen[TFLM]
    tflm, static = (seen[name]["arena_bytes"] for name in RUNTIMES)
    assert static["required"] == static["activations"] == tflm["activations"]
    assert static["required"] < tflm["required"]
    assert seen[STATIC]["latency_us"]["mean"] < seen[TFLM]["latency_us"]["mean"]


def test_a_budget_between_the_two_fits_the_static_one_alone(
    capsys: pytest.CaptureFixture[str], model: Path
) -> None:
    program, _ = pack_graph(unet(16, 24, (4, 8)))
    arguments = ("compare", model, "--board", BOARD.name, "--policy", "plan", "--json")
    budget = (program.plan.size_bytes + program.arena().required) // 2
    codes = [
        document(capsys, *arguments, "--sram", f"{budget}B", "--runtime", runtime)[0]
        for runtime in RUNTIMES
    ]
    assert codes == [1, 0]


def test_an_unknown_runtime_is_refused(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["compare", str(model), "--board", BOARD.name, "--runtime", "iree"])
    assert caught.value.code == 2
    assert "--runtime: invalid choice: 'iree'" in capsys.readouterr().err


@pytest.mark.parametrize("policy", ["plan", STAGE, "spill(window=2)"])
def test_what_is_deployed_for_a_static_engine_verifies_in_tflm(
    policy: str, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("tflite_micro")
    pytest.importorskip("ai_edge_litert")
    code, found = document(
        capsys, "deploy", model, "--board", BOARD.name, "--policy", policy,
        "--runtime", STATIC, "-o", tmp_path / "out", "--json",
    )  # fmt: skip
    assert code == 0
    head = result_of(found)["arena_bytes"]["activations"]
    deployed = (tmp_path / "out" / "model.tflite").read_bytes()
    assert run_tflm(deployed, ()).head_bytes == head
    assert verify(model.read_bytes(), deployed, planned_bytes=head, samples=2).passed
    proof = json.loads((tmp_path / "out" / "verify.json").read_text())
    assert (proof["equal"], proof["planned_bytes"], proof["tflm_head_bytes"]) == (True, head, head)
    header = (tmp_path / "out" / "model_config.h").read_text()
    assert f"{head}" in header


def test_both_runtimes_get_the_same_model() -> None:
    graph = unet(16, 24, (4, 8))
    files = {to_bytes(pack_graph(graph, Runtime(name))[0].graph) for name in RUNTIMES}
    assert len(files) == 1
