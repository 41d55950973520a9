"""Slots read ahead: nothing touches what is on its way, and the wait for it shrinks."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from policies.stages import Stage, staged
from sim.device.board import Board
from sim.device.loader import load_board
from sim.engine.run import simulate
from sim.errors import CannotFitError
from sim.graph.cut import Cut
from sim.graph.feed import Feed
from sim.graph.graph import Graph
from sim.graph.rewrite import ASSIGN, READ, VAR_HANDLE
from sim.graph.stripes import stripe
from sim.graph.tflite_reader import read_bytes
from sim.graph.tflite_writer import to_bytes
from sim.plan.runtime import RUNTIMES, Runtime
from sim.policy import Goal, parse_choice
from sim.program import pack_graph
from sim.ranges import Range
from sim.report import report
from sim.trace import FETCH, FETCH_NOT_DONE
from sim.transfers import transfers
from tests.engine.toy import timed
from tests.graphs import SAME, VALID, Net
from tests.proof import proven

BOARD = load_board("arduino_portenta_h7")
AHEAD = (0, 1, 2, 3)


def named(graph: Graph) -> Graph:
    """As it is read from its file."""
    return read_bytes(to_bytes(graph), graph.name)


def chain(height: int = 16, stride: int = 1, padding: int = SAME) -> Graph:
    net = Net(seed=2, name="chain")
    x = net.conv(net.input(1, height, 12, 3), 8)
    x = net.conv(x, 8, stride=stride, padding=padding)
    return named(net.graph(net.conv(x, 6, 1)))


def skip(height: int = 16) -> Graph:
    """The first output waits for an ADD far behind."""
    net = Net(seed=4, name="skip")
    first = net.conv(net.input(1, height, 12, 3), 8)
    x = first
    for _ in range(3):
        x = net.conv(x, 8)
    return named(net.graph(net.conv(net.add(x, first), 4)))


def fed(graph: Graph, ahead: int, rows: int = 1, how: Cut | None = None, drain: int = 0) -> Graph:
    """The graph's input comes by rows from a storage, into a stage of all ops."""
    feed = Feed("sdram", rows, ahead=ahead, drain=drain)
    return stripe(graph, Range(0, len(graph.ops)), how or Cut(1), feed)


def between(graph: Graph, ahead: int, rows: int = 1, drain: int = 0) -> Graph:
    """What the first op makes leaves by rows as it is made, and comes back into a second stage."""
    name = graph.tensors[graph.ops[0].outputs[0]].name
    feed = Feed("sdram", rows, frozenset({name}), ahead=ahead, drain=drain)
    stages = [
        Stage(Range(0, 1), Cut(2), feed=feed),
        Stage(Range(1, len(graph.ops)), Cut(1, roll=True), feed=feed),
    ]
    return staged(graph, stages, drain)


def slots(graph: Graph, kind: str) -> list[tuple[int, str]]:
    """The steps of ops of this kind, and the slots that they use."""
    opened = {
        op.outputs[0]: op.options.text("shared_name") or ""
        for op in graph.ops
        if op.kind == VAR_HANDLE
    }
    return [(s, opened[op.inputs[0]]) for s, op in enumerate(graph.ops) if op.kind == kind]


def first_readers(graph: Graph) -> list[tuple[int, int]]:
    """The step of each fetch, and of the first op that touches what it brings."""
    found = []
    for step, op in enumerate(graph.ops):
        if op.kind == READ:
            piece = op.outputs[0]
            reader = next(s for s in range(step, len(graph.ops)) if piece in graph.ops[s].reads)
            found.append((step, reader))
    return found


def keeps_ahead(graph: Graph, ahead: int) -> None:
    """No piece is touched before `ahead` more slots are asked for, as far as there are more."""
    found = first_readers(graph)
    fetches = [step for step, _ in found]
    for number, (_, reader) in enumerate(found):
        following = fetches[number + 1 : number + 1 + ahead]
        assert all(step < reader for step in following), (number, reader, following)


# Structure


@pytest.mark.parametrize("ahead", AHEAD)
@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("how", [Cut(1), Cut(2, 1, roll=True)], ids=["asked", "few"])
def test_nothing_touches_a_piece_before_its_time(how: Cut, rows: int, ahead: int) -> None:
    keeps_ahead(fed(chain(), ahead, rows, how), ahead)


@pytest.mark.parametrize("ahead", AHEAD)
@pytest.mark.parametrize("rows", [1, 3])
def test_nor_what_another_stage_made(rows: int, ahead: int) -> None:
    keeps_ahead(between(chain(), ahead, rows), ahead)


def test_without_ahead_a_row_is_touched_before_the_next_one_is_asked_for() -> None:
    """So the check above can fail."""
    net = Net()
    graph = named(net.graph(net.conv(net.conv(net.input(1, 8, 8, 2), 4, 1), 4, 1)))
    made = fed(graph, 0)
    with pytest.raises(AssertionError):
        keeps_ahead(made, 1)
    keeps_ahead(fed(graph, 1), 1)
    with pytest.raises(AssertionError):
        keeps_ahead(fed(graph, 1), 2)


@pytest.mark.parametrize("ahead", AHEAD)
@pytest.mark.parametrize("rows", [1, 2, 5])
def test_each_slot_is_read_once_in_order(rows: int, ahead: int) -> None:
    graph = chain(height=13)
    name = graph.tensors[graph.inputs[0]].name
    wanted = [f"{name}/rows{start}" for start in range(0, 13, rows)]
    assert [slot for _, slot in slots(fed(graph, ahead, rows), READ)] == wanted
    inner = graph.tensors[graph.ops[0].outputs[0]].name
    made = between(graph, ahead, rows)
    for kind in (ASSIGN, READ):
        found = [slot for _, slot in slots(made, kind)]
        assert found == [f"{inner}/rows{start}" for start in range(0, 13, rows)]


@pytest.mark.parametrize("ahead", AHEAD)
def test_ahead_moves_fetches_and_no_more(ahead: int) -> None:
    """As many ops of each kind, in another order."""

    def counted(graph: Graph) -> Counter[str]:
        return Counter(op.kind for op in graph.ops)

    assert counted(fed(chain(), ahead)) == counted(fed(chain(), 0))


@pytest.mark.parametrize("drain", [0, 1, 4])
def test_drain_is_the_window_of_every_write(drain: int) -> None:
    for made in (between(chain(), 1, drain=drain), between(skip(), 1, drain=drain)):
        last = len(made.ops) - 1
        windows = [
            (op.window, min(drain, last - step))
            for step, op in enumerate(made.ops)
            if op.kind == ASSIGN
        ]
        assert windows
        assert all(found == wanted for found, wanted in windows)


@pytest.mark.parametrize("drain", [0, 3])
def test_drain_of_what_no_stage_makes(drain: int) -> None:
    """Written after its maker: until so many of the model's own ops have run."""
    graph = skip()
    name = graph.tensors[graph.ops[0].outputs[0]].name
    text = f"fused_fetch(stages=[[4,6,1,0,0]], tensors=[{name}], storage=sdram, drain={drain})"
    made = parse_choice(text).apply(graph, BOARD, Goal(10**9))
    windows = [op.window for op in made.ops if op.kind == ASSIGN]
    assert windows
    assert all(w > 0 for w in windows) == bool(drain)
    proven(graph, made)


# Values


@pytest.mark.parametrize("ahead", AHEAD)
@pytest.mark.parametrize("stride", [1, 2])
def test_the_same_comes_out(stride: int, ahead: int) -> None:
    graph = chain(13, stride, VALID)
    proven(graph, fed(graph, ahead, 2, Cut(2, 1, roll=True)))
    proven(graph, between(graph, ahead, 2, drain=ahead))


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.integers(3, 14), st.sampled_from([1, 2]), st.sampled_from([SAME, VALID]),
    st.integers(0, 4), st.integers(1, 4), st.integers(0, 3), st.integers(1, 5),
    st.sampled_from([None, 1, 2]), st.booleans(), st.booleans(),
)  # fmt: skip
def test_any_cut_with_any_slots(
    height: int,
    stride: int,
    padding: int,
    ahead: int,
    rows: int,
    drain: int,
    cut: int,
    chunk: int | None,
    keep: bool,
    roll: bool,
) -> None:
    graph = chain(height, stride, padding)
    made = fed(graph, ahead, rows, Cut(cut, chunk, keep, roll), drain)
    if keep:
        keeps_ahead(made, ahead)
    proven(graph, made)


@pytest.mark.parametrize("ahead", [0, 1, 3])
def test_a_skip_that_waits(ahead: int) -> None:
    graph = skip()
    name = graph.tensors[graph.ops[0].outputs[0]].name
    text = (
        f"fused_fetch(stages=[[4,6,1,0,1]], tensors=[{name}], storage=sdram, rows=2, "
        f"ahead={ahead}, drain=2)"
    )
    made = parse_choice(text).apply(graph, BOARD, Goal(10**9))
    keeps_ahead(made, ahead)
    proven(graph, made)


@pytest.mark.parametrize("ahead", [0, 1])
def test_what_comes_by_rows_may_go_on_in_strips(ahead: int) -> None:
    graph = chain()
    name = graph.tensors[graph.ops[0].outputs[0]].name
    text = (
        f"fused_fetch(stages=[[0,1,2,0,1],[1,3,2,0,1,5]], tensors=[{name}], storage=sdram, "
        f"rows=2, ahead={ahead})"
    )
    proven(graph, parse_choice(text).apply(graph, BOARD, Goal(10**9)))


def test_what_is_made_in_strips_does_not_leave_by_rows() -> None:
    graph = chain()
    name = graph.tensors[graph.ops[0].outputs[0]].name
    text = (
        f"fused_fetch(stages=[[0,1,2,0,1,5],[1,3,2,0,1]], tensors=[{name}], storage=sdram, rows=2)"
    )
    with pytest.raises(CannotFitError, match="in strips of columns they can't write"):
        parse_choice(text).apply(graph, BOARD, Goal(10**9))


# Time


def waits(graph: Graph, board: Board, runtime: str, nbytes: int) -> tuple[int, int]:
    """The stalls for fetches and the latency, both in picoseconds."""
    program, _ = pack_graph(graph, Runtime(runtime), effort=0)
    found = report(simulate(program, board, frames=1, seed=0), board)
    assert sum(m.nbytes for m in transfers(program) if m.kind == FETCH) == nbytes
    return found.stall_ps.get(FETCH_NOT_DONE, 0), found.latency.mean_ps


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("storage", ["sdram", "qspi"])
def test_what_is_read_ahead_is_waited_for_less(storage: str, runtime: str) -> None:
    graph = chain(24)
    nbytes = graph.tensors[graph.inputs[0]].nbytes
    whole = Range(0, len(graph.ops))
    seen = [
        waits(stripe(graph, whole, Cut(1), Feed(storage, ahead=a)), BOARD, runtime, nbytes)
        for a in AHEAD
    ]
    stalls, times = [s for s, _ in seen], [t for _, t in seen]
    assert stalls[1] < stalls[0]
    assert times[1] < times[0]
    assert all(later <= before for before, later in pairwise(stalls[1:]))


def test_only_the_first_slots_are_waited_for_where_ops_take_longer() -> None:
    """With one slot ahead, and fetches quicker than an op, the first window alone is late."""
    graph = chain(16)
    reads = 1_000_000
    board = replace(
        BOARD, storages=(timed("sdram", read_ps=reads, write_ps=1),), bus_bytes_per_s=10**15
    )
    late = [
        waits(fed(graph, a), board, "tflm", graph.tensors[graph.inputs[0]].nbytes)[0] for a in AHEAD
    ]
    assert late[0] > 8 * reads
    assert late[1] <= 3 * reads


def test_without_dma_reading_ahead_hides_nothing() -> None:
    slow = replace(BOARD.storage("sdram"), dma=False)
    board = replace(BOARD, storages=(slow,))
    nbytes = chain().tensors[chain().inputs[0]].nbytes
    times = [waits(fed(chain(), a), board, "tflm", nbytes)[1] for a in (0, 2)]
    assert times[1] == pytest.approx(times[0], rel=0.01)
