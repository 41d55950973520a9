"""Report: the figures of a trace, per inference, and the laws that every trace has to keep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sim.device.board import Board, Storage
from sim.errors import SpillwayError
from sim.trace import CORE, FETCH, SPILL, STALL, Trace


@dataclass(frozen=True, slots=True)
class Distribution:
    """Picoseconds over the inferences; percentiles by nearest rank."""

    mean_ps: int
    p50_ps: int
    p99_ps: int
    max_ps: int


@dataclass(frozen=True, slots=True)
class Moved:
    """Bytes per inference that a storage took and gave back."""

    read: int
    written: int


@dataclass(frozen=True, slots=True)
class Report:
    """What a trace says, per inference (means are rounded to whole picoseconds).

    `stall_ps` is the core's waiting by cause; `busy_ps` each actor's work over the whole trace;
    `energy_pj` counts the core active and waiting, and each storage's own transfers.
    """

    frames: int
    elapsed_ps: int
    latency: Distribution
    stall_ps: dict[str, int]
    moved: dict[str, Moved]
    busy_ps: dict[str, int]
    energy_pj: int

    @property
    def total_stall_ps(self) -> int:
        return sum(self.stall_ps.values())

    @property
    def moved_bytes(self) -> int:
        return sum(m.read + m.written for m in self.moved.values())

    def utilisation(self, actor: str) -> float:
        """The share of the elapsed time in which the actor worked."""
        return self.busy_ps.get(actor, 0) / self.elapsed_ps if self.elapsed_ps else 0.0


def report(trace: Trace, board: Board) -> Report:
    """The figures of a trace with at least one inference."""
    frames = len(trace.frames)
    stalls: dict[str, int] = {}
    for span in trace.of(CORE):
        if span.kind == STALL:
            stalls[span.cause] = stalls.get(span.cause, 0) + span.duration_ps
    moved = {a: _moved(trace, a) for a in trace.actors if a != CORE}
    busy = {a: sum(s.duration_ps for s in trace.of(a) if s.kind != STALL) for a in trace.actors}
    return Report(
        frames=frames,
        elapsed_ps=trace.elapsed_ps,
        latency=distribution([stop - start for start, stop in trace.frames]),
        stall_ps={cause: stalls[cause] // frames for cause in sorted(stalls)},
        moved={a: Moved(m.read // frames, m.written // frames) for a, m in moved.items()},
        busy_ps=busy,
        energy_pj=(_core_pj(busy[CORE], sum(stalls.values()), board) + _storage_pj(trace, board))
        // frames,
    )


def distribution(times_ps: Sequence[int]) -> Distribution:
    """Mean, median, 99th percentile and maximum of at least one time."""
    ordered = sorted(times_ps)

    def rank(percent: int) -> int:
        return ordered[-(-percent * len(ordered) // 100) - 1]

    return Distribution(sum(ordered) // len(ordered), rank(50), rank(99), ordered[-1])


def _moved(trace: Trace, actor: str) -> Moved:
    read = sum(s.nbytes for s in trace.of(actor) if s.kind == FETCH)
    written = sum(s.nbytes for s in trace.of(actor) if s.kind == SPILL)
    return Moved(read, written)


def _core_pj(busy_ps: int, stall_ps: int, board: Board) -> int:
    return (board.core.active_uw * busy_ps + board.core.waiting_uw * stall_ps) // 10**6


def _storage_pj(trace: Trace, board: Board) -> int:
    total = 0
    for span in trace.spans:
        if span.actor == CORE or span.kind == STALL:
            continue
        storage = board.storage(span.actor)
        spill = span.kind == SPILL
        total += storage.write_pj(span.nbytes) if spill else storage.read_pj(span.nbytes)
    return total


def inferences_until_worn(storage: Storage, written: int) -> int | None:
    """How often `written` bytes can be spilled before the storage wears out; None if it does not.

    What has no blocks, a card, spreads its writes over its whole size; a flash chip's slots stay
    where they are, and each inference erases them once.
    """
    if not storage.endurance_cycles or not written:
        return None
    if storage.block_bytes:
        return storage.endurance_cycles
    return storage.size_bytes * storage.endurance_cycles // written


def check(trace: Trace) -> None:
    """Raises SpillwayError where an actor is in two spans at once or an inference has a hole.

    Within an inference busy + stall = elapsed for the core; for every actor
    busy + stall + idle = elapsed with idle never below 0.
    """
    for actor in trace.actors:
        at = 0
        for span in sorted(trace.of(actor), key=lambda s: s.start_ps):
            if span.start_ps < at or span.stop_ps < span.start_ps:
                raise SpillwayError(f"trace: {actor} is in two places at {span.start_ps} ps")
            at = span.stop_ps
    accounted = [0] * len(trace.frames)
    for span in trace.of(CORE):
        start_ps, stop_ps = trace.frames[span.frame]
        accounted[span.frame] += min(span.stop_ps, stop_ps) - max(span.start_ps, start_ps)
    for frame, ((start_ps, stop_ps), found) in enumerate(zip(trace.frames, accounted, strict=True)):
        if found != stop_ps - start_ps:
            raise SpillwayError(
                f"trace: core: inference {frame}: found {found} ps accounted for, "
                f"wanted the {stop_ps - start_ps} ps that passed"
            )
