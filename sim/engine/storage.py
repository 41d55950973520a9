"""One process a storage or link: serves spills and fetches one after another."""

from __future__ import annotations

import random
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any

import simpy

from sim.device.board import Storage
from sim.engine.bus import Bus
from sim.engine.clock import Clock
from sim.engine.transfers import Transfer
from sim.trace import COPY, CORE, FETCH, SPILL, STALL, STORAGE_BUSY, Span

Process = Generator[simpy.Event, Any, None]


@dataclass(slots=True, eq=False)
class Job:
    """A transfer on its way in one frame; `spikes` are the intervals in which it was held up."""

    transfer: Transfer
    frame: int
    done: simpy.Event
    after: list[Job]
    spikes: list[tuple[int, int]] = field(default_factory=list)
    started_ps: int = 0


class StorageActor:
    """Requests wait for their turn, then for a busy storage, then for a DMA channel."""

    def __init__(
        self,
        env: Clock,
        storage: Storage,
        bus: Bus,
        dma: simpy.Resource,
        seed: int,
        log: Callable[[Span], None],
    ) -> None:
        self.env, self.storage, self.bus, self.dma, self.log = env, storage, bus, dma, log
        self.turn = simpy.Resource(env, capacity=1)
        self.random = random.Random(f"{seed}/{storage.name}")

    def start(self, job: Job) -> None:
        """Queues the job; its `done` event tells when the bytes are where they belong."""
        self.bus.outstanding += 1
        self.env.process(self._serve(job))

    def _serve(self, job: Job) -> Process:
        for earlier in job.after:
            if not earlier.done.processed:
                yield earlier.done
        with self.turn.request() as turn:
            yield turn
            yield from self._be_busy(job)
            if self.storage.dma:
                with self.dma.request() as channel:
                    yield channel
                    yield from self._move(job)
            else:
                yield from self._move(job)
        self.bus.outstanding -= 1
        job.done.succeed()

    def _be_busy(self, job: Job) -> Process:
        busy = self.storage.busy
        if busy is None or self.random.random() >= busy.probability:
            return
        start_ps = self.env.now_ps
        yield self.env.timeout(busy.quantile_ps(self.random.random()))
        job.spikes.append((start_ps, self.env.now_ps))
        self._log(job, start_ps, STALL, 0, STORAGE_BUSY)

    def _move(self, job: Job) -> Process:
        storage, nbytes = self.storage, job.transfer.nbytes
        job.started_ps = self.env.now_ps
        if job.transfer.kind == SPILL:
            duration_ps, writing = storage.write_ps(nbytes), True
        else:
            duration_ps, writing = storage.read_ps(nbytes), False
        stalls_core = writing and storage.stalls_core
        if storage.dma or stalls_core:
            rate = storage.rounded_bytes(nbytes) * 10**12 // max(duration_ps, 1)
            self.bus.enter(job, rate, stalls_core=stalls_core)
            yield self.env.timeout(duration_ps)
            self.bus.leave(job, stalls_core=stalls_core)
        else:
            yield self.env.timeout(duration_ps)
        self._log(job, job.started_ps, job.transfer.kind, nbytes)

    def _log(self, job: Job, start_ps: int, kind: str, nbytes: int, cause: str = "") -> None:
        transfer = job.transfer
        self.log(
            Span(
                start_ps, self.env.now_ps, self.storage.name, kind, transfer.tensor,
                job.frame, transfer.step, nbytes, cause,
            )
        )  # fmt: skip


__all__ = ["COPY", "CORE", "FETCH", "Job", "Process", "StorageActor"]
