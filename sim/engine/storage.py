"""One process a storage or link: serves spills, fetches and other requests one after another."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from heapq import heappop, heappush

import simpy

from sim.device.behaviour import CALM
from sim.device.board import Storage
from sim.engine.bus import Bus, Use, rate
from sim.engine.clock import Clock, Process, Tick
from sim.engine.outage import Outages
from sim.errors import SpillwayError
from sim.tally import Log
from sim.trace import (
    ERASE,
    ERASING,
    LINK_ASLEEP,
    LINK_LOST,
    LINK_RETRY,
    OTHERS,
    SHARED,
    SPILL,
    STALL,
    STORAGE_BUSY,
)


@dataclass(slots=True, eq=False)
class Request:
    """Bytes to write or read; `owner` is whose they are: a model's or another user's name.

    It may begin when all of `after` are done. `failed` says why the bytes did not get through.
    """

    kind: str
    nbytes: int
    subject: str
    owner: str
    frame: int
    step: int
    priority: int
    done: simpy.Event
    after: list[Request] = field(default_factory=list)
    started_ps: int = 0
    failed: str = ""
    over: bool = False


class StorageActor:
    """Serves requests by priority, and those of one owner in the order in which they were made.

    A request waits for its turn, for the requests it has to come after, for the storage's moods,
    and for a DMA channel. `delays` are the times for which somebody's request had to wait since
    the storage last had nothing to do, each with its cause.
    """

    def __init__(
        self,
        env: Clock,
        storage: Storage,
        bus: Bus,
        dma: simpy.Resource | None,
        seed: int,
        log: Log,
        kept_blocks: int = 0,
    ) -> None:
        self.env, self.storage, self.bus, self.dma, self.log = env, storage, bus, dma, log
        self.moods = storage.behaviour
        self.outages = Outages(env, random.Random(f"{seed}/{storage.name}/faults"))
        self.queue: list[tuple[int, int, Request]] = []
        self.asked = 0
        self.delays: list[tuple[int, int, str]] = []
        self.random = random.Random(f"{seed}/{storage.name}")
        self.calm = storage.busy is None and storage.behaviour == CALM
        self.use = Use()
        self.move = self._move if dma is None or not storage.dma else self._move_by_channel
        self.times: dict[tuple[str, int], tuple[int, int, bool]] = {}
        self.arrival: simpy.Event | None = None
        self.written_since_collection = 0
        self.asked_bytes = self.waiting_bytes = self.given_up_bytes = 0
        self.awake_until_ps = self.moods.sleep_after_ps
        area = storage.blocks(self.moods.area_bytes) if storage.needs_erase else 0
        self.most_erased = max(0, area - kept_blocks) if self.moods.erase_ahead else 0
        self.erased = self.most_erased
        env.process(self._serve())

    def start(self, request: Request) -> None:
        """Queues the request; its `done` event tells when it is over, one way or the other."""
        if not self.waiting_bytes:
            self.delays.clear()
        self.asked += 1
        self.asked_bytes += request.nbytes
        self.waiting_bytes += request.nbytes
        heappush(self.queue, (-request.priority, self.asked, request))
        if self.arrival is not None:
            arrival, self.arrival = self.arrival, None
            arrival.succeed()

    def delays_since(self, start_ps: int) -> list[tuple[int, int, str]]:
        """The delays that ended after that time, in order."""
        return [delay for delay in self.delays if delay[1] > start_ps]

    def check(self, arrived_bytes: int) -> None:
        """Raises SpillwayError unless all bytes asked for arrived, were given up, or still wait."""
        found = arrived_bytes + self.given_up_bytes + self.waiting_bytes
        if found != self.asked_bytes:
            raise SpillwayError(
                f"{self.storage.name}: bytes: found {found} accounted for, "
                f"wanted the {self.asked_bytes} asked for"
            )

    def _serve(self) -> Process:
        env = self.env
        while True:
            request = self._next() if self.queue else None
            if request is None:
                if self.erased < self.most_erased and not self.queue:
                    yield from self._erase_ahead()
                else:
                    yield self._something_new()
                continue
            began_ps = env.now_ps
            if self.calm and not self.outages.on:
                yield from self.move(request)
            else:
                yield from self._serve_moodily(request)
            self.waiting_bytes -= request.nbytes
            if request.failed:
                self.given_up_bytes += request.nbytes
            if request.frame == OTHERS and self.waiting_bytes:
                self.delays.append((began_ps, env.now_ps, SHARED))
            request.over = True
            request.done.succeed()

    def _serve_moodily(self, request: Request) -> Process:
        if not self.outages.reason:
            yield from self._wake(request)
            yield from self._be_busy(request)
        yield from self._attempts(request)
        self.awake_until_ps = self.env.now_ps + self.moods.sleep_after_ps

    def _next(self) -> Request | None:
        """Takes the first request that may begin; None where none of them may."""
        if _ready(self.queue[0][2]):
            return heappop(self.queue)[2]
        blocked: set[str] = set()
        for entry in sorted(self.queue):
            request = entry[2]
            if request.owner in blocked:
                continue
            if _ready(request):
                self.queue.remove(entry)
                self.queue.sort()
                return request
            blocked.add(request.owner)
        return None

    def _something_new(self) -> simpy.Event:
        """A request's arrival, or the end of what those in the queue wait for."""
        if self.arrival is None:
            self.arrival = self.env.event()
        pending = [
            earlier.done
            for _, _, request in self.queue
            for earlier in request.after
            if not earlier.over
        ]
        return self.env.any_of([self.arrival, *pending]) if pending else self.arrival

    def _wake(self, request: Request) -> Process:
        moods = self.moods
        if moods.wake_ps and self.env.now_ps >= self.awake_until_ps:
            yield from self._delay(request, moods.wake_ps, LINK_ASLEEP)

    def _be_busy(self, request: Request) -> Process:
        busy, moods = self.storage.busy, self.moods
        writing = request.kind == SPILL
        meets = busy is not None and busy.meets(writing=writing)
        if busy is not None and meets and self.random.random() < busy.probability:
            spike_ps = busy.quantile_ps(self.random.random())
            yield from self._delay(request, spike_ps, STORAGE_BUSY)
        if moods.collect_every_bytes and writing:
            if self.written_since_collection >= moods.collect_every_bytes:
                self.written_since_collection %= moods.collect_every_bytes
                least, most = moods.collect_minimum_ps, moods.collect_maximum_ps
                yield from self._delay(request, self.random.randint(least, most), STORAGE_BUSY)
            self.written_since_collection += request.nbytes

    def _attempts(self, request: Request) -> Process:
        """Moves the bytes, again where they got lost, until they are there or it is given up."""
        request.started_ps = self.env.now_ps
        for attempt in range(self.moods.retries + 1):
            request.failed = self.outages.reason
            if not request.failed and self._lost():
                request.failed = LINK_LOST
            if request.failed:
                yield from self._delay(request, self.moods.waits_ps(attempt), LINK_RETRY)
                continue
            yield from self._erase_for(request)
            yield from self.move(request)
            if not request.failed:
                return

    def _lost(self) -> bool:
        return bool(self.moods.loss) and self.random.random() < self.moods.loss

    def _move_by_channel(self, request: Request) -> Process:
        assert self.dma is not None
        with self.dma.request() as channel:
            yield channel
            yield from self._move(request)

    def _move(self, request: Request) -> Process:
        """Moves the bytes once; where an outage or damage hits them, the request has failed."""
        key = request.kind, request.nbytes
        if key not in self.times:
            self.times[key] = self.cost(*key)
        duration_ps, demand, stalls_core = self.times[key]
        request.started_ps = start_ps = self.env.now_ps
        if demand or stalls_core:
            self.use.priority = request.priority
            self.use.begin(demand, duration_ps, start_ps)
            yield from self.bus.carry(self.use, stalls_core=stalls_core)
        else:
            yield Tick(self.env, duration_ps)
        request.failed = self.outages.harm(start_ps) if self.outages.on else ""
        self._log(request, start_ps, request.kind, request.nbytes, request.failed)

    def cost(self, kind: str, nbytes: int) -> tuple[int, int, bool]:
        """Picoseconds of a transfer, bytes a second that it wants, whether it stops the core."""
        storage, writing = self.storage, kind == SPILL
        if not writing:
            duration_ps = storage.read_ps(nbytes)
        elif self.most_erased:
            duration_ps = storage.program_ps(nbytes)
        else:
            duration_ps = storage.write_ps(nbytes)
        demand = rate(storage.rounded_bytes(nbytes), duration_ps) if storage.dma else 0
        return duration_ps, demand, writing and storage.stalls_core

    def _erase_for(self, request: Request) -> Process:
        """What the blocks that were erased ahead do not cover is erased now."""
        if not self.most_erased or request.kind != SPILL:
            return
        needed = self.storage.blocks(request.nbytes)
        at_hand = min(self.erased, needed)
        self.erased -= at_hand
        if needed > at_hand:
            yield from self._erase(needed - at_hand, request.frame, ERASING)

    def _erase_ahead(self) -> Process:
        yield from self._erase(1, -1, SHARED)
        self.erased += 1

    def _erase(self, blocks: int, frame: int, cause: str) -> Process:
        storage, start_ps = self.storage, self.env.now_ps
        self.use.begin(0, blocks * storage.block_erase_ps, start_ps)
        yield from self.bus.carry(self.use, stalls_core=storage.stalls_core)
        if self.waiting_bytes:
            self.delays.append((start_ps, self.env.now_ps, ERASING))
        self.log(
            start_ps, self.env.now_ps, storage.name, ERASE, "", frame, -1,
            blocks * storage.block_bytes, cause,
        )  # fmt: skip

    def _delay(self, request: Request, duration_ps: int, cause: str) -> Process:
        if not duration_ps:
            return
        start_ps = self.env.now_ps
        yield Tick(self.env, duration_ps)
        self.delays.append((start_ps, self.env.now_ps, cause))
        self._log(request, start_ps, STALL, 0, cause)

    def _log(self, request: Request, start_ps: int, kind: str, nbytes: int, cause: str) -> None:
        self.log(
            start_ps, self.env.now_ps, self.storage.name, kind, request.subject,
            request.frame, request.step, nbytes, cause,
        )  # fmt: skip


def _ready(request: Request) -> bool:
    """Whether all is done that the request has to come after."""
    for earlier in request.after:  # noqa: SIM110 - a loop is quicker than a generator here
        if not earlier.over:
            return False
    return True
