"""Report: the figures of a run, per frame, and the laws that every trace has to keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sim.device.board import Board, Storage
from sim.errors import SpillwayError
from sim.statistics import Distribution
from sim.tally import Bytes, Counts, Tally
from sim.trace import CORE, PREEMPTED, TASK, Trace


@dataclass(frozen=True, slots=True)
class Moved:
    """Bytes per inference that a storage took and gave back."""

    read: int
    written: int


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of a model's frames; `lost` by reason."""

    offered: int
    done: int
    missed: int = 0
    recomputed: int = 0
    lost: Mapping[str, int] = field(default_factory=dict)

    @property
    def lost_frames(self) -> int:
        return sum(self.lost.values())

    @property
    def failed_share(self) -> float:
        """The part of the frames that have no result, or have it too late."""
        return (self.lost_frames + self.missed) / self.offered if self.offered else 0.0


@dataclass(frozen=True, slots=True)
class Report:
    """What a run says; figures per frame are means over the frames that have a result, rounded.

    `latency` is from a frame's arrival to its result, `service` the inference alone. `stall_ps` is
    the core's waiting per frame by cause, `stalled_on` the same by cause and by tensor or op kind.
    `moved` are the bytes per frame that the model's transfers moved, `others` the bytes that
    everybody else moved in all, `failed` the bytes that were moved and came to harm. `busy_ps` is
    each actor's work over the `elapsed_ps`. `energy_pj` per frame counts the core active and
    waiting and each storage's own transfers; `awake_ps` is the time per frame in which the core was
    not at rest. `erased` are the blocks erased per frame.
    """

    frames: int
    elapsed_ps: int
    latency: Distribution
    service: Distribution
    stall_ps: dict[str, int]
    moved: dict[str, Moved]
    busy_ps: dict[str, int]
    energy_pj: int
    awake_ps: int = 0
    stalled_on: Mapping[tuple[str, str], int] = field(default_factory=dict)
    others: Mapping[str, Moved] = field(default_factory=dict)
    failed: Mapping[str, int] = field(default_factory=dict)
    erased: Mapping[str, float] = field(default_factory=dict)
    fates: Mapping[str, Fate] = field(default_factory=dict)

    @property
    def total_stall_ps(self) -> int:
        return sum(self.stall_ps.values())

    @property
    def moved_bytes(self) -> int:
        return sum(m.read + m.written for m in self.moved.values())

    @property
    def fate(self) -> Fate:
        """Of the main model's frames."""
        return self.fates.get(CORE, Fate(self.frames, self.frames))

    def longest_stalls(self, count: int | None = None) -> list[tuple[tuple[str, str], int]]:
        """What the core waits for in a frame, cause and subject, the longest first."""
        found = [item for item in self.stalled_on.items() if item[1]]
        return sorted(found, key=lambda item: (-item[1], item[0]))[:count]

    def utilisation(self, actor: str) -> float:
        """The share of the elapsed time in which the actor worked."""
        return self.busy_ps.get(actor, 0) / self.elapsed_ps if self.elapsed_ps else 0.0


def report(trace: Trace, board: Board) -> Report:
    """The figures of a trace with at least one inference."""
    models = dict.fromkeys((CORE, *(record.model for record in trace.records)))
    tasks = dict.fromkeys(span.actor for span in trace.spans if span.kind == TASK)
    tally = Tally(board, models=models, tasks=tasks)
    for span in trace.spans:
        tally.add(
            span.start_ps, span.stop_ps, span.actor, span.kind, span.subject, span.frame,
            span.step, span.nbytes, span.cause,
        )  # fmt: skip
    for record in trace.records:
        tally.frame(record, 0)
    return summed(tally, trace.actors, trace.elapsed_ps)


def summed(tally: Tally, actors: Sequence[str], elapsed_ps: int) -> Report:
    """The report of a tally, of `actors` that may have done nothing, over the time that it counts.

    A run of which no frame has a result has a latency of 0.
    """
    frames = max(1, tally.latency.count)
    stalls: dict[str, int] = {}
    by_subject: dict[tuple[str, str], int] = {}
    for (actor, cause, subject), ps in sorted(tally.stalls.items()):
        if actor == CORE:
            stalls[cause] = stalls.get(cause, 0) + ps
            by_subject[cause, subject] = ps // frames
    waiting_ps = sum(
        ps
        for (actor, cause, _), ps in tally.stalls.items()
        if actor in tally.accounted and cause != PREEMPTED
    )
    core = tally.board.core
    core_pj = (core.active_uw * tally.core_busy_ps() + core.waiting_uw * waiting_ps) // 10**6
    storages = [a for a in actors if a in tally.storages]
    own = {a: tally.bytes(a, others=False) for a in storages}
    others = {a: tally.bytes(a, others=True) for a in storages}
    return Report(
        frames=frames,
        elapsed_ps=elapsed_ps,
        latency=tally.latency.distribution(),
        service=tally.service.distribution(),
        stall_ps={cause: stalls[cause] // frames for cause in sorted(stalls)},
        stalled_on=by_subject,
        moved={
            a: Moved(m.read // frames, m.written // frames)
            for a, m in own.items()
            if m != Bytes() or others[a] == Bytes()
        },
        others={a: Moved(m.read, m.written) for a, m in others.items() if m.read or m.written},
        failed={a: failed for a in storages if (failed := own[a].failed + others[a].failed)},
        busy_ps={a: tally.busy[a] for a in actors},
        energy_pj=(core_pj + tally.storage_pj) // frames,
        awake_ps=(tally.core_busy_ps() + waiting_ps) // frames,
        erased={a: blocks / frames for a in storages if (blocks := tally.erased(a))},
        fates={model: _fate(counts) for model, counts in sorted(tally.counts.items())},
    )


def _fate(counts: Counts) -> Fate:
    lost = dict(sorted(counts.lost.items()))
    return Fate(counts.offered, counts.done, counts.missed, counts.recomputed, lost)


def inferences_until_worn(storage: Storage, written: int, erased: float = 0) -> int | None:
    """How often `written` bytes can be spilled before the storage wears out; None if it does not.

    What has no blocks, a card, spreads its writes over its whole size. A flash chip's slots stay
    where they are, and each inference erases them once; where they move over an area, each of its
    blocks bears its part of the `erased` blocks per inference.
    """
    if not storage.endurance_cycles or not written:
        return None
    area = storage.blocks(storage.behaviour.area_bytes)
    if storage.block_bytes and area and erased:
        return int(storage.endurance_cycles * area / erased)
    if storage.block_bytes:
        return storage.endurance_cycles
    return storage.size_bytes * storage.endurance_cycles // written


def check(trace: Trace) -> None:
    """Raises SpillwayError where an actor is in two spans at once or an inference has a hole.

    Within an inference busy + stall = elapsed for the model; for every actor
    busy + stall + idle = elapsed with idle never below 0.
    """
    for actor in trace.actors:
        at = 0
        for span in sorted(trace.of(actor), key=lambda s: s.start_ps):
            if span.start_ps < at or span.stop_ps < span.start_ps:
                raise SpillwayError(f"trace: {actor} is in two places at {span.start_ps} ps")
            at = span.stop_ps
    whole = {(f.model, f.number): f for f in trace.records if not f.lost}
    accounted = dict.fromkeys(whole, 0)
    for span in trace.spans:
        frame = whole.get((span.actor, span.frame))
        if frame is not None:
            inside = min(span.stop_ps, frame.stop_ps) - max(span.start_ps, frame.start_ps)
            accounted[span.actor, span.frame] += max(0, inside)
    for key, frame in whole.items():
        if accounted[key] != frame.stop_ps - frame.start_ps:
            raise SpillwayError(
                f"trace: {frame.model}: inference {frame.number}: found {accounted[key]} ps "
                f"accounted for, wanted the {frame.stop_ps - frame.start_ps} ps that passed"
            )
