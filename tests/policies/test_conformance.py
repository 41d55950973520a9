"""What every registered policy has to keep, a built-in one or an outsider's."""

from __future__ import annotations

import dataclasses
import itertools
import pickle
from contextlib import suppress
from functools import cache

import numpy as np
import pytest
from hypothesis import Phase, given
from hypothesis import settings as rules

from sim.compare import compare
from sim.deploy.inputs import input_sets
from sim.deploy.runtime_protocol import Arrays
from sim.deploy.runtimes import run_litert, run_tflm
from sim.device.loader import load_board
from sim.engine.run import simulate
from sim.errors import CannotFitError
from sim.graph.graph import Graph
from sim.graph.tflite_reader import read_bytes
from sim.graph.tflite_writer import to_bytes
from sim.policy import MINIMIZE, Choice, Goal, Policy, policy_classes
from sim.program import Program, Runtime, pack_graph, place
from tests.graphs import Net, unet
from tests.strategies import graphs

BOARD = load_board("arduino_portenta_h7")
"""Graphs below are few rows high: what cuts by rows tries every height."""
NAMES = tuple(policy_classes())
CANDIDATES_TRIED = 2
MOST_OPS = 6


def chain() -> Graph:
    """No tensor waits for anybody."""
    net = Net(1, "chain")
    x = net.conv(net.input(1, 4, 12, 3), 8)
    return net.graph(net.dense(net.pool(net.depthwise(x)), 10))


def residual() -> Graph:
    """Three blocks whose input waits beside a wider middle; the head asks for scratch."""
    net = Net(2, "residual")
    x = net.conv(net.input(1, 4, 12, 3), 4)
    for _ in range(3):
        x = net.add(x, net.conv(net.depthwise(net.conv(x, 24, 1)), 4, 1, activation=0))
    return net.graph(net.softmax(net.dense(net.mean(x), 5)))


def siblings() -> Graph:
    """Two inputs, one of which waits, and two outputs, one of them the last op's input."""
    net = Net(3, "siblings")
    late, x = net.input(1, 4, 16, 4), net.input(1, 4, 16, 4)
    early = net.conv(x, 4)
    y = net.conv(net.conv(net.conv(early, 16), 16), 4)
    return net.graph(net.add(net.add(y, late), early), early)


def in_place() -> Graph:
    """A tensor waits whose next reader could overwrite it."""
    net = Net(4, "in_place")
    waiting = net.conv(net.input(1, 4, 16, 3), 8)
    y = net.relu(waiting)
    for channels in (32, 8):
        y = net.conv(y, channels)
    return net.graph(net.add(y, waiting))


def pads() -> Graph:
    """A copy whose bytes end off the alignment, at the end of the arena."""
    net = Net(5, "pads")
    return net.graph(net.pad(net.pad(net.input(1, 3, 3, 9), 1, 0, 0, 0)))


MODELS = {
    "unet": lambda: unet(4, 12, (4, 8)),
    "chain": chain,
    "residual": residual,
    "siblings": siblings,
    "in_place": in_place,
    "pads": pads,
}


@cache
def model(name: str) -> Graph:
    return read_bytes(to_bytes(MODELS[name]()), name)


@cache
def baseline(name: str) -> Program:
    return place(model(name))


@cache
def wanted(name: str) -> tuple[list[Arrays], list[Arrays], list[Arrays]]:
    """Inputs, and what the model makes of them in LiteRT and in TFLM."""
    sets = input_sets(model(name), 3, seed=0)
    original = to_bytes(model(name))
    return sets, run_litert(original, sets), run_tflm(original, sets).outputs


def goal(name: str, minimize: str) -> Goal:
    """Somewhat less memory than the model takes."""
    return Goal(baseline(name).arena().required * 9 // 10, minimize)


@cache
def settings(policy: str, name: str, minimize: str) -> list[Policy]:
    """The policy as it is without parameters, and the first of its candidates."""
    plain = policy_classes()[policy]()
    tried = plain.candidates(model(name), BOARD, goal(name, minimize))
    with suppress(CannotFitError):
        return [plain, *itertools.islice(tried, CANDIDATES_TRIED)]
    return [plain]


def made(setting: Policy, graph: Graph, wish: Goal) -> Program:
    """The program as sim.compare makes it."""
    rewritten = setting.apply(graph, BOARD, wish)
    return pack_graph(rewritten)[0] if setting.packs else place(rewritten)


@cache
def programs(policy: str, name: str, minimize: str) -> tuple[tuple[Policy, Program], ...]:
    """Of each setting; a policy may say that it can't, and no more than that."""
    found: dict[Policy, Program] = {}
    for setting in settings(policy, name, minimize):
        with suppress(CannotFitError):
            found[setting] = made(setting, model(name), goal(name, minimize))
    return tuple(found.items())


cases = [
    pytest.mark.parametrize("name", MODELS),
    pytest.mark.parametrize("policy", NAMES),
    pytest.mark.parametrize("minimize", ["latency", "activations"]),
]


def every_case(test):  # type: ignore[no-untyped-def]
    for mark in cases:
        test = mark(test)
    return test


def test_the_built_in_policies_are_registered() -> None:
    assert {"baseline", "plan", "spill"} <= set(NAMES)


@pytest.mark.parametrize("policy", NAMES)
def test_a_policy_is_a_value_with_a_name(policy: str) -> None:
    cls = policy_classes()[policy]
    plain = cls()
    assert cls.name == policy
    assert isinstance(plain, Policy)
    assert cls.summary
    assert type(cls.packs) is bool
    assert dataclasses.is_dataclass(cls)
    assert plain == cls() and hash(plain) == hash(cls())
    for field in dataclasses.fields(cls):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(plain, field.name, None)


@every_case
def test_the_graph_is_valid_and_the_plan_verified(policy: str, name: str, minimize: str) -> None:
    for setting, program in programs(policy, name, minimize):
        program.verify()
        assert setting.packs == (program.graph.meta("OfflineMemoryAllocation") is not None)
        assert _interface(program.graph) == _interface(model(name))


def _interface(graph: Graph) -> list[tuple[tuple[int, ...], str]]:
    tensors = (graph.tensors[t] for t in (*graph.inputs, *graph.outputs))
    return [(t.shape, t.dtype) for t in tensors]


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("policy", NAMES)
def test_the_input_is_left_alone_and_the_same_comes_out(policy: str, name: str) -> None:
    graph, wish = model(name), goal(name, "latency")
    before = pickle.dumps(graph)
    tried = settings(policy, name, "latency")
    assert settings.__wrapped__(policy, name, "latency") == tried
    with suppress(CannotFitError):
        once, again = (tried[-1].apply(graph, BOARD, wish) for _ in range(2))
        assert pickle.dumps(once) == pickle.dumps(again)
    assert pickle.dumps(graph) == before


@every_case
def test_it_computes_the_same_in_the_bytes_planned(policy: str, name: str, minimize: str) -> None:
    sets, litert, tflm = wanted(name)
    found = [program for _, program in programs(policy, name, minimize)]
    for file, planned in {to_bytes(p.graph): p.plan.size_bytes for p in found}.items():
        run = run_tflm(file, sets)
        assert run.head_bytes == planned
        _assert_same(run.outputs, tflm)
        _assert_same(run_litert(file, sets), litert)


def _assert_same(found: list[Arrays], right: list[Arrays]) -> None:
    assert len(found) == len(right)
    for some, others in zip(found, right, strict=True):
        for array, other in zip(some, others, strict=True):
            np.testing.assert_array_equal(array, other, strict=True)


def least_activations(policy: str, graph: Graph, kernels: str = "reference") -> int:
    """Of the setting that sim.compare chooses; a policy's own estimate only has to propose it."""
    choice = Choice((policy_classes()[policy](),), ((),))
    wish = Goal(10**9, "activations", kernels)
    arena = compare(graph, BOARD, wish, [choice], simulate).best.arena
    assert arena is not None
    return arena.activations


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("policy", NAMES)
def test_it_never_takes_more_activations_than_the_baseline(policy: str, name: str) -> None:
    assert least_activations(policy, model(name)) <= baseline(name).plan.size_bytes


@pytest.mark.parametrize("kernels", ["cmsis_nn", "cmsis_nn_mve"])
@pytest.mark.parametrize("policy", NAMES)
def test_it_goes_with_vendor_kernels(policy: str, kernels: str) -> None:
    """They ask for more scratch, some of it of no bytes, and allow no aliasing."""
    placed = place(model("unet"), Runtime(kernels=kernels))
    assert least_activations(policy, model("unet"), kernels) <= placed.plan.size_bytes


@pytest.mark.parametrize("policy", NAMES)
def test_random_graphs_never_take_more(policy: str) -> None:
    small = graphs().filter(lambda g: len(g.ops) <= MOST_OPS)

    @given(small)
    @rules(max_examples=10, deadline=None, derandomize=True, database=None, phases=[Phase.generate])
    def judge(graph: Graph) -> None:
        assert least_activations(policy, graph) <= place(graph).plan.size_bytes

    judge()


@every_case
def test_a_file_read_back_is_the_same_program(policy: str, name: str, minimize: str) -> None:
    for _, program in programs(policy, name, minimize):
        again = place(read_bytes(to_bytes(program.graph), program.graph.name))
        assert again.plan == program.plan
        assert simulate(again, BOARD, frames=2) == simulate(program, BOARD, frames=2)


@pytest.mark.parametrize(("name", "minimize"), zip(MODELS, itertools.cycle(MINIMIZE)))
def test_all_policies_can_be_compared(name: str, minimize: str) -> None:
    """Each has a setting for each of these models."""
    choices = [Choice((cls(),), ((),)) for cls in policy_classes().values()]
    found = compare(model(name), BOARD, goal(name, minimize), choices, simulate)
    assert [(o.choice.name, o.error) for o in found.outcomes] == [(name, "") for name in NAMES]


@pytest.mark.parametrize("policy", NAMES)
def test_a_budget_of_nothing_is_no_crash(policy: str) -> None:
    """It may say that it can't; it may not fail otherwise."""
    plain, graph = policy_classes()[policy](), model("residual")
    for minimize in ("latency", "arena"):
        wish = Goal(0, minimize)
        with suppress(CannotFitError):
            tried = plain.candidates(graph, BOARD, wish)
            for setting in (plain, *itertools.islice(tried, CANDIDATES_TRIED)):
                setting.apply(graph, BOARD, wish).verify()
