"""The core as a resource: who runs next, and what interrupts take from whoever runs."""

from __future__ import annotations

from heapq import heappop, heappush

import simpy

from sim.engine.bus import Bus, Use
from sim.engine.clock import Clock, Process


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


class Processor(Turn):
    """The core: whoever holds it is not thrown out within an op.

    Interrupts run at once, one after another. They don't hold the core: they take their time from
    whoever does, which `taken_ps` tells.
    """

    def __init__(self, env: Clock, bus: Bus) -> None:
        super().__init__(env)
        self.bus = bus
        self.interrupts_ps = 0
        bus.taken_ps = self.taken_ps
        self.interrupted_until_ps = 0

    def interrupt(self, now_ps: int, work_ps: int) -> int:
        """Takes so much time from now on, behind earlier interrupts; until when."""
        self.interrupted_until_ps = max(self.interrupted_until_ps, now_ps)
        self.interrupted_until_ps += work_ps
        self.interrupts_ps += work_ps
        return self.interrupted_until_ps

    def taken_ps(self, now_ps: int) -> int:
        """Time that interrupts have run up to now."""
        return self.interrupts_ps - max(0, self.interrupted_until_ps - now_ps)

    def work(self, use: Use, demand: int, work_ps: int) -> Process:
        """Runs on the core, which the caller holds; `use` tells then what was lost to whom."""
        use.begin(demand, work_ps, self.env.now_ps)
        use.taken_ps = self.interrupts_ps
        self.bus.begin_core(use)
        yield from self.bus.finish(use)
        self.bus.end_core()
