"""One process a storage or link: serves spills and fetches one after another."""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

import simpy

from sim.device.board import Storage
from sim.engine.bus import Bus
from sim.engine.clock import Clock
from sim.trace import SPILL, STALL, STORAGE_BUSY, Span
from sim.transfers import Transfer

Process = Generator[simpy.Event, Any, None]


@dataclass(slots=True, eq=False)
class Job:
    """A transfer on its way in one frame."""

    transfer: Transfer
    subject: str
    frame: int
    done: simpy.Event
    after: list[Job]
    started_ps: int = 0


class StorageActor:
    """Serves requests in the order in which they were made.

    A request waits for its turn, for the transfers it has to come after, for a busy storage, and
    for a DMA channel. `spikes` are the times at which the storage was busy.
    """

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
        self.spikes: list[tuple[int, int]] = []
        self.random = random.Random(f"{seed}/{storage.name}")

    def start(self, job: Job) -> None:
        """Queues the job; its `done` event tells when the bytes are where they belong."""
        self.bus.outstanding += 1
        self.env.process(self._serve(job))

    def spikes_since(self, start_ps: int) -> list[tuple[int, int]]:
        """The spikes that ended after that time."""
        return self.spikes[bisect_right(self.spikes, start_ps, key=lambda spike: spike[1]) :]

    def _serve(self, job: Job) -> Process:
        with self.turn.request() as turn:
            yield turn
            for earlier in job.after:
                if not earlier.done.processed:
                    yield earlier.done
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
        if busy is None or not busy.meets(writing=job.transfer.kind == SPILL):
            return
        if self.random.random() >= busy.probability:
            return
        start_ps = self.env.now_ps
        yield self.env.timeout(busy.quantile_ps(self.random.random()))
        self.spikes.append((start_ps, self.env.now_ps))
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
                start_ps, self.env.now_ps, self.storage.name, kind, job.subject,
                job.frame, transfer.step, nbytes, cause,
            )
        )  # fmt: skip
