"""Laws of every trace: random graphs, spills, windows, leads, boards, frames and seeds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from policies.cold import cold_ranges
from sim.device.board import Board, Busy, Storage
from sim.device.cost import op_cycles
from sim.device.loader import load_board
from sim.engine.run import simulate
from sim.graph.rewrite import ASSIGN, READ, VAR_HANDLE, Rewrite
from sim.program import Program, place
from sim.ranges import Range
from sim.report import check, report
from sim.trace import (
    BUS,
    CAUSES,
    COMPUTE,
    COPY,
    CORE,
    FETCH,
    FETCH_NOT_DONE,
    SPILL,
    STALL,
    STORAGE_BUSY,
    WINDOW_NOT_DRAINED,
    Trace,
)
from tests.strategies import graphs

BOARDS = tuple(
    load_board(name)
    for name in (
        "arduino_portenta_h7", "arduino_nano_33_ble", "esp32_s3_devkitc", "stm32f746g_disco",
        "raspberry_pi_pico", "nucleo_f446re",
    )
)  # fmt: skip
"""Every kind of storage, with and without DMA."""


@dataclass(frozen=True, slots=True)
class Play:
    """What is played, and the trace."""

    program: Program
    board: Board
    frames: int
    seed: int
    trace: Trace


def hurried(storage: Storage) -> Storage:
    """A thousand times as quick, so that several transfers fit beside one op; busy every third."""
    busy = Busy(0.3, *(10**3 * n for n in (2, 14, 250)))
    return replace(
        storage,
        read_setup_ps=storage.read_setup_ps // 1000,
        write_setup_ps=storage.write_setup_ps // 1000,
        read_bytes_per_s=storage.read_bytes_per_s * 1000,
        write_bytes_per_s=storage.write_bytes_per_s * 1000,
        page_program_ps=storage.page_program_ps // 1000,
        block_erase_ps=storage.block_erase_ps // 1000,
        busy=busy if storage.busy else None,
    )


@st.composite
def boards(draw: st.DrawFn) -> Board:
    """A built-in one as it is, or with quick storages that compete for bus and channels."""
    board = draw(st.sampled_from(BOARDS))
    if draw(st.booleans()):
        return board
    storages = tuple(hurried(s) for s in board.storages)
    channels, slower = draw(st.integers(1, 3)), draw(st.sampled_from([1, 10, 1000]))
    return replace(
        board,
        storages=storages,
        dma_channels=channels,
        bus_bytes_per_s=board.bus_bytes_per_s // slower,
    )


@st.composite
def plays(draw: st.DrawFn) -> Play:
    """Some cold tensors of a random graph go to storages of one board and come back."""
    graph = draw(graphs().filter(lambda g: bool(cold_ranges(g))))
    board = draw(boards())
    names = [s.name for s in board.storages]
    edit, steps = Rewrite(graph), len(graph.ops)
    cold = cold_ranges(graph)
    for tensor in dict.fromkeys(c.tensor for c in cold):
        gaps = [c for c in cold if c.tensor == tensor and draw(st.integers(0, 3))]
        if not gaps:
            continue
        reads = [(c.gap.stop - draw(st.integers(0, c.gap.length - 1)), c.gap.stop) for c in gaps]
        hold = draw(st.integers(-1, steps - 1))
        edit.spill(tensor, draw(st.sampled_from(names)), gaps[0].made, reads, hold)
    program = place(edit.graph())
    frames, seed = draw(st.integers(1, 3)), draw(st.integers(0, 9))
    return Play(program, board, frames, seed, simulate(program, board, frames=frames, seed=seed))


laws = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def moved(play: Play, kind: str) -> Iterator[tuple[str, int]]:
    """Storage and bytes of each ASSIGN_VARIABLE or READ_VARIABLE, from the ops alone."""
    graph, home = play.program.graph, {}
    for op in graph.ops:
        if op.kind == VAR_HANDLE:
            home[op.outputs[0]] = op.options.text("container")
        elif op.kind == kind:
            tensor = op.inputs[1] if kind == ASSIGN else op.outputs[0]
            yield home[op.inputs[0]], graph.tensors[tensor].nbytes


@laws
@given(plays())
def test_the_core_is_accounted_for_to_the_picosecond(play: Play) -> None:
    check(play.trace)
    graph, hz = play.program.graph, play.board.core.clock_hz
    work = [-(-op_cycles(graph, op, play.board) * 10**12 // hz) for op in graph.ops]
    assert len(play.trace.frames) == play.frames
    for number, (start, stop) in enumerate(play.trace.frames):
        spans = [s for s in play.trace.of(CORE) if s.frame == number]
        computed = {s.step: s.duration_ps for s in spans if s.kind == COMPUTE}
        assert [computed.get(step, 0) for step in range(len(work))] == work
        copied = sum(s.duration_ps for s in spans if s.kind == COPY)
        stalled = sum(s.duration_ps for s in spans if s.kind == STALL)
        assert stop - start == sum(work) + copied + stalled >= sum(work)


@laws
@given(plays())
def test_busy_stall_and_idle_make_up_the_time_of_every_actor(play: Play) -> None:
    trace = play.trace
    for actor in trace.actors:
        spans = sorted(trace.of(actor), key=lambda s: (s.start_ps, s.stop_ps))
        idle = at = 0
        for span in spans:
            assert at <= span.start_ps < span.stop_ps
            idle, at = idle + span.start_ps - at, span.stop_ps
        idle += trace.elapsed_ps - at
        busy = report(trace, play.board).busy_ps[actor]
        stall = sum(s.duration_ps for s in spans if s.kind == STALL)
        assert busy + stall + idle == trace.elapsed_ps
        assert actor != CORE or idle == 0


@laws
@given(plays())
def test_bytes_are_conserved(play: Play) -> None:
    told = report(play.trace, play.board).moved
    for kind, span_kind in ((ASSIGN, SPILL), (READ, FETCH)):
        wanted: dict[str, int] = {}
        for storage, nbytes in moved(play, kind):
            wanted[storage] = wanted.get(storage, 0) + nbytes
        for name in play.trace.actors[1:]:
            spans = [s for s in play.trace.of(name) if s.kind == span_kind]
            assert sum(s.nbytes for s in spans) == wanted.get(name, 0) * play.frames
            part = told[name].written if span_kind == SPILL else told[name].read
            assert part == wanted.get(name, 0)
        assert wanted.keys() <= told.keys()


@laws
@given(plays())
def test_storages_are_busy_for_the_closed_forms(play: Play) -> None:
    wanted = dict.fromkeys(play.trace.actors[1:], 0)
    for name, nbytes in moved(play, ASSIGN):
        wanted[name] += play.board.storage(name).write_ps(nbytes) * play.frames
    for name, nbytes in moved(play, READ):
        wanted[name] += play.board.storage(name).read_ps(nbytes) * play.frames
    busy = report(play.trace, play.board).busy_ps
    rates = sum(max(s.read_bytes_per_s, s.write_bytes_per_s) for s in play.board.storages)
    if rates <= play.board.bus_bytes_per_s // 2:
        assert {name: busy[name] for name in wanted} == wanted
    else:  # they may have to share the bus
        assert all(busy[name] >= wanted[name] for name in wanted)


@laws
@given(plays())
def test_the_same_again_is_the_same(play: Play) -> None:
    assert simulate(play.program, play.board, frames=play.frames, seed=play.seed) == play.trace


@laws
@given(plays())
def test_spans_are_whole_in_their_frame_and_in_order(play: Play) -> None:
    trace = play.trace
    assert all(type(t) is int for frame in trace.frames for t in frame)
    assert [s.stop_ps for s in trace.spans] == sorted(s.stop_ps for s in trace.spans)
    for span in trace.spans:
        numbers = [getattr(span, f.name) for f in fields(span) if f.type == "int"]
        assert len(numbers) == 5
        assert all(type(number) is int for number in numbers)
        start, stop = trace.frames[span.frame]
        assert start <= span.start_ps < span.stop_ps <= stop
        assert span.actor in trace.actors
        assert 0 <= span.step < len(play.program.graph.ops)
        assert (span.cause in CAUSES) if span.kind == STALL else (span.cause == "")
    assert trace.elapsed_ps == trace.frames[-1][1]


@laws
@given(plays())
def test_causes_have_their_reasons(play: Play) -> None:
    """A core waits for a fetch, a spill or a busy storage only while there is one."""
    for stall in play.trace.of(CORE):
        kind = {FETCH_NOT_DONE: FETCH, WINDOW_NOT_DRAINED: SPILL}.get(stall.cause)
        if kind is not None:
            ends = [s for s in play.trace.spans if (s.kind, s.subject) == (kind, stall.subject)]
            assert any(stall.start_ps < s.stop_ps for s in ends)
        if stall.cause == STORAGE_BUSY:
            spikes = [s for s in play.trace.spans if s.actor != CORE and s.cause == STORAGE_BUSY]
            assert any(s.start_ps <= stall.start_ps < stall.stop_ps <= s.stop_ps for s in spikes)


@laws
@given(plays())
def test_no_byte_is_used_by_two_at_once(play: Play) -> None:
    """An oracle that knows the plan and the trace, and nothing of fences."""
    use = _Use(play.program)
    for number in range(play.frames):
        spans = [s for s in play.trace.spans if s.frame == number and s.kind != STALL]
        moves = [s for s in spans if s.actor != CORE]
        works = [s for s in spans if s.kind == COMPUTE]
        ended = {s.step: s.stop_ps for s in works}
        for move in moves:
            assert ended[move.step] <= move.start_ps  # not before its op has run
            for work in works:
                clash = use.writes(work.step) if move.kind == SPILL else use.touches(work.step)
                if _overlap(use.moved(move.step), clash):
                    assert work.stop_ps <= move.start_ps or move.stop_ps <= work.start_ps
        for spill in (m for m in moves if m.kind == SPILL):
            for other in (m for m in moves if m.kind == FETCH):
                apart = other.stop_ps <= spill.start_ps or spill.stop_ps <= other.start_ps
                assert apart or not _overlap(use.moved(spill.step), use.moved(other.step))
                same_slot = use.slot(spill.step) == use.slot(other.step)
                assert not same_slot or spill.stop_ps <= other.start_ps


class _Use:
    """Bytes of the arena that each op uses, and those of its transfer."""

    def __init__(self, program: Program) -> None:
        self.ops = program.graph.ops
        self.places = {p.tensor: p.span for p in program.plan.placements}
        self.scratch = [p for p in program.plan.placements if p.tensor is None]

    def writes(self, step: int) -> list[Range]:
        op = self.ops[step]
        if op.kind == READ:
            return []
        scratch = [p.span for p in self.scratch if p.scratch_of == step]
        return [self.places[t] for t in op.outputs if t in self.places] + scratch

    def touches(self, step: int) -> list[Range]:
        op = self.ops[step]
        read = [] if op.kind == ASSIGN else [self.places[t] for t in op.reads if t in self.places]
        return self.writes(step) + read

    def moved(self, step: int) -> list[Range]:
        op = self.ops[step]
        return [self.places[op.inputs[1] if op.kind == ASSIGN else op.outputs[0]]]

    def slot(self, step: int) -> int:
        return self.ops[step].inputs[0]


def _overlap(some: list[Range], others: list[Range]) -> bool:
    return any(a.overlaps(b) for a in some for b in others)


def test_spans_tell_what_the_strategy_reaches() -> None:
    """The strategy is of use only if transfers of every kind on every board come up."""
    seen: set[tuple[str, str]] = set()

    @settings(max_examples=150, deadline=None, derandomize=True, database=None)
    @given(plays())
    def collect(play: Play) -> None:
        seen.update((play.board.name, s.kind) for s in play.trace.spans if s.actor != CORE)
        seen.update(("core", s.cause) for s in play.trace.of(CORE) if s.cause)

    collect()
    assert {(b.name, kind) for b in BOARDS for kind in (SPILL, FETCH)} <= seen
    causes = (FETCH_NOT_DONE, WINDOW_NOT_DRAINED, STORAGE_BUSY, BUS)
    assert {("core", cause) for cause in causes} <= seen
