"""Tally: figures counted while the simulation runs, in memory that does not grow with the frames."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

from sim.device.board import Board
from sim.errors import SpillwayError
from sim.statistics import Sample
from sim.trace import CORE, ERASE, FETCH, OTHERS, SPILL, STALL, TASK, Frame


class Log(Protocol):
    """Takes spans, field by field as sim.trace.Span has them."""

    def __call__(
        self, start_ps: int, stop_ps: int, actor: str, kind: str, subject: str, frame: int,
        step: int, nbytes: int, cause: str, /,
    ) -> None: ...  # fmt: skip


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
    """Spans and frames in, sums out. `warm_up` frames of the main model are left out of all sums.

    Times are summed by actor, stalls by actor, cause and subject; a model's inferences are checked
    to be accounted for to the picosecond. `arrived` are the bytes that came safely through each
    storage since the start, warm-up and all.
    """

    def __init__(self, board: Board, *, models: Iterable[str] = (CORE,), warm_up: int = 0) -> None:
        self.board, self.warm_up = board, warm_up
        self.storages = {s.name: s for s in board.storages}
        self.accounted = dict.fromkeys(models, 0)
        self.began_ps = self.ended_ps = 0
        self.arrived: dict[str, int] = defaultdict(int)
        self._restart()

    def _restart(self) -> None:
        self.busy: dict[str, int] = defaultdict(int)
        self.stalls: dict[tuple[str, str, str], int] = defaultdict(int)
        self.own: dict[str, Bytes] = defaultdict(Bytes)
        self.others: dict[str, Bytes] = defaultdict(Bytes)
        self.tasks_ps = 0
        self.erased: dict[str, int] = defaultdict(int)
        self.storage_pj = 0
        self.latency, self.service = Sample(), Sample()
        self.counts: dict[str, Counts] = defaultdict(Counts)

    def add(
        self, start_ps: int, stop_ps: int, actor: str, kind: str, subject: str, frame: int,
        step: int, nbytes: int, cause: str, /,
    ) -> None:  # fmt: skip
        """Counts a span."""
        duration_ps = stop_ps - start_ps
        if kind == STALL:
            self.stalls[actor, cause, subject] += duration_ps
        else:
            self.busy[actor] += duration_ps
        if actor in self.accounted:
            self.accounted[actor] += duration_ps
        elif kind == TASK:
            self.tasks_ps += duration_ps
        elif kind in (SPILL, FETCH, ERASE):
            self._moved(actor, kind, frame, nbytes, cause)

    def _moved(self, actor: str, kind: str, frame: int, nbytes: int, cause: str) -> None:
        storage = self.storages[actor]
        ahead = storage.behaviour.erase_ahead
        if kind == ERASE:
            blocks = nbytes // storage.block_bytes
            self.erased[actor] += blocks
            self.storage_pj += blocks * storage.erase_pj_per_block
            return
        account = (self.others if frame == OTHERS else self.own)[actor]
        if kind == FETCH:
            self.storage_pj += storage.read_pj(nbytes)
        else:
            self.storage_pj += storage.program_pj(nbytes) if ahead else storage.write_pj(nbytes)
            if not ahead:
                self.erased[actor] += storage.blocks(nbytes)
        if not cause:
            self.arrived[actor] += nbytes
        if cause:
            account.failed += nbytes
        elif kind == FETCH:
            account.read += nbytes
        else:
            account.written += nbytes

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
        self.ended_ps = max(self.ended_ps, frame.stop_ps)
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

    @property
    def core_busy_ps(self) -> int:
        """Time in which the core worked: for models and for other tasks."""
        return sum(self.busy[model] for model in self.accounted) + self.tasks_ps

