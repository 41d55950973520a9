"""Tally: figures counted while a simulation runs, in memory that its frames don't fill."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

from sim.device.board import Board
from sim.errors import SpillwayError
from sim.statistics import Sample
from sim.trace import CORE, ERASE, FETCH, OTHERS, SPILL, STALL, Frame


class Log(Protocol):
    """Takes spans, field by field as sim.trace.Span has them."""

    def __call__(
        self, start_ps: int, stop_ps: int, actor: str, kind: str, subject: str, frame: int,
        step: int, nbytes: int, cause: str, /,
    ) -> None: ...  # fmt: skip


Move = tuple[str, str, int, str, bool]
"""Storage, kind, bytes, why they came to harm, and whether somebody else than a model asked."""


@dataclass(slots=True)
class Bytes:
    """What a storage moved for somebody; `failed` bytes were moved and came to harm."""

    read: int = 0
    written: int = 0
    failed: int = 0


@dataclass(slots=True)
class Counts:
    """Frames of one model by what became of them."""

    offered: int = 0
    done: int = 0
    missed: int = 0
    recomputed: int = 0
    lost: dict[str, int] = field(default_factory=dict)


class Tally:
    """Spans and frames in, sums out; `warm_up` frames of the main model are left out of the sums.

    `tasks` are the actors that work on the core beside the models. Times are summed by actor,
    stalls by actor, cause and subject; a model's inferences are checked to be accounted for to the
    picosecond. `arrived` are the bytes that came safely through each storage, warm-up and all.
    """

    def __init__(
        self,
        board: Board,
        *,
        models: Iterable[str] = (CORE,),
        tasks: Iterable[str] = (),
        warm_up: int = 0,
    ) -> None:
        self.board, self.warm_up, self.tasks = board, warm_up, tuple(tasks)
        self.storages = {s.name: s for s in board.storages}
        self.accounted = dict.fromkeys(models, 0)
        self.began_ps = 0
        self.arrived: dict[str, int] = defaultdict(int)
        self.busy: dict[str, int] = defaultdict(int)
        self._restart()

    def _restart(self) -> None:
        self.busy.clear()
        self.stalls: dict[tuple[str, str, str], int] = defaultdict(int)
        self.moves: dict[Move, int] = defaultdict(int)
        self.latency, self.service = Sample(), Sample()
        self.counts: dict[str, Counts] = defaultdict(Counts)

    def add(
        self, start_ps: int, stop_ps: int, actor: str, kind: str, subject: str, frame: int,
        step: int, nbytes: int, cause: str, /,
    ) -> None:  # fmt: skip
        """Counts a span."""
        duration_ps = stop_ps - start_ps
        if actor in self.accounted:
            self.accounted[actor] += duration_ps
        if kind == STALL:
            self.stalls[actor, cause, subject] += duration_ps
            return
        self.busy[actor] += duration_ps
        if nbytes and actor in self.storages:
            self.moves[actor, kind, nbytes, cause, frame == OTHERS] += 1
            if kind != ERASE and not cause:
                self.arrived[actor] += nbytes

    def worked(self, model: str, work_ps: int) -> None:
        """Counts a model's computing that nobody wants the spans of."""
        self.busy[model] += work_ps
        self.accounted[model] += work_ps

    def bytes(self, actor: str, *, others: bool) -> Bytes:
        """What a storage moved for the models, or for all others."""
        found = Bytes()
        for (name, kind, nbytes, cause, by_others), count in self.moves.items():
            if name != actor or by_others != others or kind == ERASE:
                continue
            if cause:
                found.failed += count * nbytes
            elif kind == FETCH:
                found.read += count * nbytes
            else:
                found.written += count * nbytes
        return found

    def erased(self, actor: str) -> int:
        """Blocks that were erased: ahead, or with each write."""
        storage = self.storages[actor]
        blocks = 0
        for (name, kind, nbytes, _, _), count in self.moves.items():
            if name != actor or kind == FETCH:
                continue
            if kind == ERASE:
                blocks += count * (nbytes // storage.block_bytes)
            elif not storage.behaviour.erase_ahead:
                blocks += count * storage.blocks(nbytes)
        return blocks

    @property
    def storage_pj(self) -> int:
        """Energy of all transfers and erases, those that failed among them."""
        total = 0
        for (name, kind, nbytes, _, _), count in self.moves.items():
            storage = self.storages[name]
            if kind == FETCH:
                total += count * storage.read_pj(nbytes)
            elif kind == SPILL:
                total += count * storage.program_pj(nbytes)
        return total + sum(
            self.erased(name) * storage.erase_pj_per_block
            for name, storage in self.storages.items()
        )

    def inference(self, model: str, start_ps: int, stop_ps: int) -> None:
        """An inference is over: the model's spans must add up to the time that passed.

        Raises SpillwayError if they don't.
        """
        found, self.accounted[model] = self.accounted[model], 0
        if found != stop_ps - start_ps:
            raise SpillwayError(
                f"trace: {model}: inference from {start_ps} ps: found {found} ps accounted for, "
                f"wanted the {stop_ps - start_ps} ps that passed"
            )

    def frame(self, frame: Frame, deadline_ps: int) -> None:
        """Counts a frame that is over; the end of the warm-up sets everything back to 0."""
        counts = self.counts[frame.model]
        counts.offered += 1
        counts.recomputed += max(0, frame.runs - 1)
        if frame.lost:
            counts.lost[frame.lost] = counts.lost.get(frame.lost, 0) + 1
        else:
            counts.done += 1
            latency_ps = frame.stop_ps - frame.arrived_ps
            counts.missed += bool(deadline_ps) and latency_ps > deadline_ps
            if frame.model == CORE:
                self.latency.add(latency_ps)
                self.service.add(frame.stop_ps - frame.start_ps)
        if frame.model == CORE and self.warm_up and counts.offered == self.warm_up:
            self.warm_up = 0
            self.began_ps = frame.stop_ps
            self._restart()

    def core_busy_ps(self) -> int:
        """Time in which the core worked: for models and for other tasks."""
        return sum(self.busy[actor] for actor in (*self.accounted, *self.tasks))
