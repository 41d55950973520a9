"""Random graphs through random compositions of policies compute the same, in the bytes planned.

`pytest tests/policies/test_compositions.py --cases 2000` is the long run; see CONTRIBUTING.md.
"""

from __future__ import annotations

import dataclasses
import itertools
import typing
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, assume, given, note
from hypothesis import settings as rules
from hypothesis import strategies as st
from hypothesis.internal.conjecture.providers import AVAILABLE_PROVIDERS

from sim.deploy.feeder import fed, is_fed
from sim.deploy.inputs import input_sets
from sim.deploy.runtime_protocol import Arrays
from sim.deploy.runtimes import run_litert, run_tflm
from sim.device.board import Board
from sim.device.loader import load_board
from sim.errors import CannotFitError
from sim.graph.graph import Graph
from sim.graph.lifetimes import in_arena
from sim.graph.macs import macs
from sim.graph.stripes import is_segment
from sim.graph.tflite_reader import read_bytes
from sim.graph.tflite_writer import to_bytes
from sim.policy import MINIMIZE, Choice, Goal, Policy, parameters, policy_classes
from sim.program import Program, pack_graph, place
from sim.ranges import Range
from tests.strategies import graphs

pytest.importorskip("tflite_micro")
pytest.importorskip("ai_edge_litert")

AVAILABLE_PROVIDERS["independent"] = AVAILABLE_PROVIDERS["hypothesis"]
"""Hypothesis varies each case it finds a few times; any other backend draws each anew."""

PHASES = [phase for phase in Phase if phase is not Phase.explain]
BOARDS = ("arduino_portenta_h7", "stm32f746g_disco", "arduino_nano_33_ble")
SIZES = st.integers(6, 18) | st.integers(1, 18)
MOST_MACS = 300_000
MOST_OPS = 120
"""A graph that a policy made longer than this goes to no further policy: it would take too long."""
CANDIDATES_TRIED = 8
COMPOSITIONS = ("plan", "reorder+stream", "spill(window=2)", "split+spill")
"""What auto may be told to do."""
LEAST_AT_WORK = 0.7


@dataclass
class Tally:
    """What the cases of a run did, so that it can be seen what the run shows."""

    count: Counter[str] = field(default_factory=Counter)
    policies: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        n = self.count
        took_part = ", ".join(f"{name} {self.policies[name]}" for name in policy_classes())
        return (
            f"{n['cases']} cases: {n['refused']} could not be applied, {n['planned']} planned, "
            f"{n['rewritten']} of them with other ops\npolicies applied: {took_part}"
        )


@dataclass(frozen=True)
class Model:
    """A graph as read from its file, shown by its ops."""

    file: bytes
    graph: Graph

    def _repr_pretty_(self, printer: Any, _cycle: bool) -> None:
        """As hypothesis prints a case that fails."""
        t = self.graph.tensors
        for op in self.graph.ops:
            read, made = ([t[i].shape for i in some] for some in (op.reads, op.outputs))
            printer.text(f"\n  {op.kind} {read} -> {made} {dict(op.options.fields)}")


@st.composite
def models(draw: st.DrawFn) -> Model:
    graph = draw(graphs(sizes=SIZES, varied=True))
    assume(sum(macs(graph, op) for op in graph.ops) <= MOST_MACS)
    file = to_bytes(graph)
    return Model(file, read_bytes(file, graph.name))


@cache
def board(name: str) -> Board:
    return load_board(name)


@dataclass(frozen=True)
class Situation:
    """What a policy gets to see, and what draws its parameters."""

    data: st.DataObject
    graph: Graph
    board: Board
    goal: Goal

    def draw(self, strategy: st.SearchStrategy[Any], label: str) -> Any:
        return self.data.draw(strategy, label=label)

    def setting(self, cls: type[Policy]) -> Policy:
        """The policy without parameters, with random ones, or one of its candidates."""
        how = self.draw(st.sampled_from(["fields", "candidate", "fields", "plain"]), cls.name)
        if how == "plain" or not _fields(cls):
            return cls()
        if how == "fields":
            return cls(**self.fields(cls))
        found = cls().candidates(self.graph, self.board, self.goal)
        tried = list(itertools.islice(found, CANDIDATES_TRIED))
        return tried[self.draw(st.integers(0, len(tried) - 1), "candidate")] if tried else cls()

    def fields(self, cls: type[Policy]) -> dict[str, Any]:
        """Values for all fields or some: by its name where that says more than its type."""
        hints = typing.get_type_hints(cls)
        every = self.draw(st.booleans(), "all are given")
        drawn: dict[str, Any] = {}
        for f in _fields(cls):
            if f.name in drawn:
                continue
            kinds = typing.get_args(hints[f.name]) or (hints[f.name],)
            if not every and type(None) in kinds and self.draw(st.booleans(), f"no {f.name}"):
                continue
            if f.name == "start" and "stop" in hints:
                drawn |= self.steps()
            else:
                drawn[f.name] = self.draw(self.values(f.name, kinds), f.name)
        if "feed" in hints and not drawn.get("feed"):
            drawn.pop("drain", None)
        return drawn

    def steps(self) -> dict[str, int]:
        """Mostly ops that can run by rows, else any."""
        ends = st.integers(0, len(self.graph.ops))
        able = segments(self.graph) if self.draw(st.integers(0, 9), "any") < 9 else []
        if not able:
            return {"start": self.draw(ends, "start"), "stop": self.draw(ends, "stop")}
        found = self.draw(st.sampled_from(able), "steps")
        return {"start": found.start, "stop": found.stop}

    def stages(self) -> st.SearchStrategy[tuple[tuple[int, ...], ...]]:
        """One segment or two behind each other, mostly long ones, cut in any way."""
        able = sorted(segments(self.graph), key=lambda s: -s.length)[:12]
        if not able:
            return st.just(())
        how = st.tuples(st.integers(1, 6), st.integers(0, 3), st.integers(0, 1))
        one = st.tuples(st.sampled_from(able), how).map(lambda d: (d[0].start, d[0].stop, *d[1]))
        return st.lists(one, min_size=1, max_size=2).map(in_a_row)

    def values(self, name: str, kinds: tuple[Any, ...]) -> st.SearchStrategy[Any]:
        graph = self.graph
        placed = [t for t in graph.tensors if in_arena(graph)[t.id]]
        named: dict[str, Callable[[], st.SearchStrategy[Any]]] = {
            "storage": lambda: st.sampled_from(sorted(s.name for s in self.board.storages)),
            "target": lambda: st.integers(0, max(t.nbytes for t in placed)),
            "tensors": lambda: st.lists(
                st.sampled_from(sorted({t.name for t in placed})), min_size=1
            ).map(tuple),
            "axis": lambda: st.sampled_from(["channels", "rows"]),
            "parts": lambda: st.integers(1, 8),
            "stages": self.stages,
            "feed": lambda: st.sampled_from(sorted(s.name for s in self.board.storages)),
            "feed_rows": lambda: st.integers(1, 3),
            "rows": lambda: st.integers(1, 4),
            "ahead": lambda: st.integers(0, 3),
            "drain": lambda: st.booleans() if bool in kinds else st.integers(0, 4),
            "pools": lambda: st.just(()),
            "effort": lambda: st.just(0),
            "does": lambda: st.sampled_from(COMPOSITIONS),
        }
        if name == "feed" and bool in kinds:
            return st.booleans()
        if name in named:
            return named[name]()
        if bool in kinds:
            return st.booleans()
        assert int in kinds, f"{name}: nobody says here which values it takes"
        return st.integers(0, 8)


def in_a_row(stages: list[tuple[int, ...]]) -> tuple[tuple[int, ...], ...]:
    """The stages by their first ops, without those that begin before the one ahead ends."""
    kept: list[tuple[int, ...]] = []
    for stage in sorted(stages):
        if not kept or kept[-1][1] <= stage[0]:
            kept.append(stage)
    return tuple(kept)


def _fields(cls: type[Policy]) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(cls)  # type: ignore[arg-type]


def segments(graph: Graph) -> list[Range]:
    steps = range(len(graph.ops) + 1)
    return [Range(a, b) for a in steps for b in steps[a + 1 :] if is_segment(graph, Range(a, b))]


def made(
    data: st.DataObject, start: Graph, with_board: Board, goal: Goal, tally: Tally
) -> tuple[Choice, Program]:
    """The program that one to three policies make, each setting drawn for what came before it."""
    classes = policy_classes()
    count = data.draw(st.sampled_from([2, 1, 3]), label="policies")
    often = [name for name, cls in classes.items() for _ in range(3 if _fields(cls) else 1)]
    names = data.draw(st.tuples(*[st.sampled_from(often[::-1])] * count), label="in a row")
    graph, policies = start, []
    for name in names:
        setting = Situation(data, graph, with_board, goal).setting(classes[name])
        policies.append(setting)
        note(f"policy: {setting}")
        graph = setting.apply(graph, with_board, goal)
        if len(graph.ops) > MOST_OPS:
            break
    asked = tuple(
        tuple((k, v) for k, v in parameters(p).items() if v is not None) for p in policies
    )
    choice = Choice(tuple(policies), asked)
    tally.policies.update(p.name for p in policies)
    tally.count["planned"] += choice.packs
    tally.count["rewritten"] += [op.kind for op in graph.ops] != [op.kind for op in start.ops]
    return choice, pack_graph(graph)[0] if choice.packs else place(graph)


def prove(model: Model, program: Program) -> None:
    """It is valid, and both runtimes make of it what they make of the model, in its bytes."""
    program.verify()
    sets, file = input_sets(model.graph, 2, seed=0), to_bytes(program.graph)
    assert run_tflm(file, ()).head_bytes == program.plan.size_bytes
    if is_fed(model.graph, program.graph):
        file = to_bytes(fed(model.graph, program.graph))
    wanted, found = run_tflm(model.file, sets), run_tflm(file, sets)
    assert_same(wanted.outputs, found.outputs)
    assert_same(run_litert(model.file, sets), run_litert(file, sets))


def assert_same(wanted: list[Arrays], found: list[Arrays]) -> None:
    for before, after in zip(wanted, found, strict=True):
        for was, now in zip(before, after, strict=True):
            np.testing.assert_array_equal(now, was, strict=True)


def judge(model: Model, data: st.DataObject, folder: Path, tally: Tally) -> None:
    with_board = board(data.draw(st.sampled_from(BOARDS), label="board"))
    percent = data.draw(st.integers(20, 150), label="percent of the required arena")
    minimize = data.draw(st.sampled_from(MINIMIZE), label="minimize")
    goal = Goal(place(model.graph).arena().required * percent // 100, minimize)
    note(f"{goal} on {with_board.name}")
    try:
        choice, program = made(data, model.graph, with_board, goal, tally)
        note(f"--policy '{choice.label}'")
        prove(model, program)
    except CannotFitError:
        tally.count["refused"] += 1
    except Exception:
        original = folder / "original.tflite"
        original.write_bytes(model.file)
        note(f"model: {original}")
        raise
    tally.count["cases"] += 1


def test_any_composition_computes_the_same(
    request: pytest.FixtureRequest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cases, tally = request.config.getoption("cases"), Tally()

    @rules(
        max_examples=cases,
        backend="independent",
        suppress_health_check=list(HealthCheck),
        phases=PHASES,
    )
    @given(model=models(), data=st.data())
    def run(model: Model, data: st.DataObject) -> None:
        judge(model, data, tmp_path, tally)

    try:
        run()
    finally:
        with capsys.disabled():
            print(f"\n{tally}")
    assert tally.count["planned"] >= LEAST_AT_WORK * tally.count["cases"]
