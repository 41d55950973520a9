"""The core as a resource: who runs next, and what interrupts take from whoever runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from heapq import heappop, heappush, heapreplace

import simpy

from sim.engine.bus import FULL, Bus, Use
from sim.engine.clock import Clock, Process, Tick
from sim.trace import PREEMPTED


class Turn:
    """Something that one can hold at a time: goes by priority, then in the order asked."""

    def __init__(self, env: Clock) -> None:
        self.env = env
        self.held = False
        self.waiting: list[tuple[int, int, simpy.Event]] = []
        self.asked = 0

    def take(self) -> bool:
        """Takes it, if nobody holds it."""
        if self.held:
            return False
        self.held = True
        return True

    def turn(self, priority: int) -> simpy.Event:
        """The event of getting it; whoever waits for it holds it afterwards."""
        event = self.env.event()
        self.asked += 1
        heappush(self.waiting, (-priority, self.asked, event))
        return event

    def release(self) -> None:
        """Hands it to the first who waits."""
        if self.waiting:
            heappop(self.waiting)[2].succeed()
        else:
            self.held = False

    def wanted(self, priority: int) -> bool:
        """Whether somebody with more priority waits."""
        return bool(self.waiting) and -self.waiting[0][0] > priority


Ring = Callable[[int, int], None]
"""Told of each interrupt: from when to when it ran."""


class Processor(Turn):
    """The core: whoever holds it is not thrown out within an op.

    Interrupts run at once, one after another. They don't hold the core: they take their time from
    whoever does, which `taken_ps` tells. Nothing else depends on them, so they need no events: they
    are made up for whenever somebody asks.
    """

    def __init__(self, env: Clock, bus: Bus) -> None:
        super().__init__(env)
        self.bus = bus
        self.saved_events = 0
        self._sources: list[tuple[int, int, int, Iterator[int], Ring]] = []
        self._taken_ps = 0
        self._until_ps = 0
        bus.taken_ps = self.taken_ps

    def add_interrupts(self, instants: Iterator[int], work_ps: int, ring: Ring) -> None:
        """Interrupts that each take `work_ps` from then on, behind earlier ones."""
        for at_ps in instants:
            heappush(self._sources, (at_ps, len(self._sources), work_ps, instants, ring))
            return

    def taken_ps(self, now_ps: int) -> int:
        """Time that interrupts have run up to now."""
        sources, until_ps = self._sources, self._until_ps
        while sources and sources[0][0] <= now_ps:
            at_ps, number, work_ps, instants, ring = sources[0]
            start_ps = until_ps if until_ps > at_ps else at_ps
            until_ps = start_ps + work_ps
            self._taken_ps += work_ps
            self.saved_events += 1
            ring(start_ps, until_ps)
            for following_ps in instants:
                heapreplace(sources, (following_ps, number, work_ps, instants, ring))
                break
            else:
                heappop(sources)
        self._until_ps = until_ps
        return self._taken_ps - (until_ps - now_ps if until_ps > now_ps else 0)

    def work(self, use: Use, demand: int, work_ps: int) -> Process:
        """Runs on the core, which the caller holds; `use` tells then what was lost to whom."""
        env, bus = self.env, self.bus
        start_ps = env.now_ps
        use.begin(demand, work_ps, start_ps)
        before_ps = taken_ps = use.taken_ps = self.taken_ps(start_ps)
        bus.core = use
        if bus.users:
            bus.begin_core()
        if use.share is FULL:
            yield Tick(env, work_ps)
        while use.since_ps == start_ps and use.share is FULL:
            stolen_ps = self.taken_ps(env.now_ps) - taken_ps
            if not stolen_ps:
                use.left_ps = 0
                break
            taken_ps += stolen_ps  # the common case: nothing but interrupts made it late
            yield Tick(env, stolen_ps)
        if use.left_ps:
            bus.settle_core()
            yield from bus.finish(use)
        elif taken_ps > before_ps:
            use.lost_ps[PREEMPTED] = taken_ps - before_ps
        bus.end_core()
