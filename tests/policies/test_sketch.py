"""Sketches against what they stand for: the same stage made, its bytes and its time."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from statistics import median

import pytest

from policies.cuts import CHUNKS, COARSE, PARTS
from policies.sketch import Sketcher
from policies.stages import Stage
from sim.device.cost import op_cycles
from sim.device.loader import load_board
from sim.graph.cut import Cut
from sim.graph.extract import extract
from sim.graph.graph import Graph
from sim.graph.padding import COLUMNS
from sim.graph.stripes import Feed, is_segment
from sim.graph.tflite_reader import read
from sim.plan.blocks import puzzle
from sim.policy import Goal
from sim.program import pack_graph
from sim.ranges import Range
from sim.transfers import transfers
from sim.units import cycles_to_ps

FOLDER = Path(__file__).parents[2] / "scenarios" / "models"
MODELS = ("ds_cnn", "mobilenet_v2_small", "branchy", "drone_seg")
BOARD = load_board("arduino_portenta_h7")
GOAL = Goal(10**9)
SAMPLES = {False: 40, True: 12}
MOST_LAYERS = 24
MOST_OPS = 700
STRIPS = (2, 4)


@cache
def model(name: str) -> Graph:
    return read(FOLDER / f"{name}.tflite")


@cache
def segments(name: str, strips: bool) -> tuple[Range, ...]:
    graph = model(name)
    count = len(graph.ops)
    ends = [(a, b) for a in range(count) for b in range(a + 2, min(count, a + MOST_LAYERS) + 1)]
    found = [Range(a, b) for a, b in ends if is_segment(graph, Range(a, b))]
    return tuple(s for s in found if not strips or is_segment(graph, s, COLUMNS))


def cuts(graph: Graph, last: int, strips: bool) -> Iterator[tuple[Cut, int]]:
    """The cuts that policies.fusion looks at, without those that leave all in one piece."""
    _, height, width, _ = graph.tensors[graph.ops[last].outputs[0]].shape
    if strips:
        sizes = [-(-width // count) for count in STRIPS if count <= width]
        yield from ((Cut(min(n, height), n, roll=True), size) for size in sizes for n in (4, 1))
        return
    for rows in dict.fromkeys(-(-height // n) for n in PARTS if n <= height):
        if rows * COARSE >= height:
            yield Cut(rows), 0
        yield Cut(rows, roll=True), 0
    yield from ((Cut(n, n, roll=True), 0) for n in CHUNKS if n < height)


@dataclass(frozen=True)
class Sample:
    """What a sketch says of a stage, as a part of what the stage is."""

    nbytes: float
    time: float
    what: str


@cache
def samples(name: str, strips: bool) -> tuple[Sample, ...]:
    """Random stages of a model, the same each time."""
    graph, dice = model(name), random.Random(7)
    to, found = Sketcher(graph, BOARD, GOAL, None), list[Sample]()
    while len(found) < SAMPLES[strips]:
        steps = dice.choice(segments(name, strips))
        able = list(cuts(graph, steps.stop - 1, strips))
        if not able:
            continue
        cut, columns = dice.choice(able)
        part = extract(graph, steps)
        made = Stage(Range(0, len(part.ops)), cut, columns).apply(part)
        if len(made.ops) > MOST_OPS:
            continue
        sketch = to.stage(steps, cut, columns)
        assert sketch is not None
        cycles = sum(op_cycles(made, op, BOARD) for op in made.ops)
        nbytes = puzzle(made, GOAL.kernels, aliasing=GOAL.aliasing).floor()
        time_ps = cycles_to_ps(cycles, BOARD.core.clock_hz)
        what = f"{name} {steps} {cut} columns {columns}"
        found.append(Sample(sketch.peak / nbytes, sketch.time_ps / time_ps, what))
    return tuple(found)


def error(parts: list[float]) -> float:
    return median(abs(part - 1) for part in parts)


@pytest.mark.parametrize("name", MODELS)
def test_stages_by_rows(name: str) -> None:
    for sample in samples(name, False):
        assert 0.95 <= sample.time <= 1.05, sample
        assert 0.5 <= sample.nbytes <= 2, sample


def test_half_of_the_stages_by_rows_are_closer() -> None:
    found = [s for name in MODELS for s in samples(name, False)]
    assert error([s.time for s in found]) <= 0.02
    assert error([s.nbytes for s in found]) <= 0.25


@pytest.mark.parametrize("name", MODELS[:3])
def test_stages_in_strips(name: str) -> None:
    """Halos across overlap in ways that a sketch does not see: it is a rougher guide there."""
    for sample in samples(name, True):
        assert 0.55 <= sample.time <= 1.45, sample
        assert 0.4 <= sample.nbytes <= 2.1, sample


def test_half_of_the_strips_are_closer() -> None:
    found = [s for name in MODELS[:3] for s in samples(name, True)]
    assert error([s.time for s in found]) <= 0.15
    assert error([s.nbytes for s in found]) <= 0.3


@pytest.mark.parametrize("name", MODELS)
def test_an_op_as_it_is(name: str) -> None:
    graph = model(name)
    to = Sketcher(graph, BOARD, GOAL, None)
    for step, op in enumerate(graph.ops):
        cycles = op_cycles(graph, op, BOARD)
        assert to.whole(step) == cycles_to_ps(cycles, BOARD.core.clock_hz)


@pytest.mark.parametrize("rows", [1, 4])
@pytest.mark.parametrize("ahead", [0, 1])
def test_bytes_moved_are_those_of_the_stage(rows: int, ahead: int) -> None:
    graph = model("mobilenet_v2_small")
    steps = Range(0, 4)
    storage = BOARD.storage("sdram")
    source, out = graph.tensors[graph.inputs[0]], graph.tensors[graph.ops[3].outputs[0]]
    to = Sketcher(graph, BOARD, GOAL, storage)
    sketch = to.stage(
        steps, Cut(2, roll=True), fed=frozenset({source.id}), tapped=frozenset({out.id}),
        leaves=True, slot_rows=rows, ahead=ahead,
    )  # fmt: skip
    names = frozenset({source.name, out.name})
    part = extract(graph, steps, names, leaves=True)
    feed = Feed(storage.name, rows, names, ahead=ahead)
    made = Stage(Range(0, 4), Cut(2, roll=True), feed=feed).apply(part)
    program, _ = pack_graph(made, effort=0)
    assert sketch is not None
    assert sketch.moved == sum(m.nbytes for m in transfers(program))
    assert sketch.moved == source.nbytes + out.nbytes


def test_a_static_engine_pays_for_no_ops() -> None:
    graph = model("ds_cnn")
    for runtime in ("tflm", "static"):
        to = Sketcher(graph, BOARD, replace(GOAL, runtime=runtime), None)
        sketch = to.stage(Range(0, 4), Cut(2, roll=True))
        assert sketch is not None
        assert (sketch.extra > 0) == (runtime == "tflm")


def test_an_op_without_a_rule_has_no_sketch() -> None:
    graph = model("ds_cnn")
    to = Sketcher(graph, BOARD, GOAL, None)
    last = len(graph.ops) - 1
    assert len(graph.tensors[graph.ops[last].outputs[0]].shape) != 4
    assert to.stage(Range(last, last + 1), Cut(1)) is None
