"""The bus that core and DMA share: who gets how much of it, and when that changes."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from math import ceil

import simpy

from sim.engine.clock import Clock, Process
from sim.trace import BUS, FLASH_WAIT, PREEMPTED
from sim.units import PS_PER_S

FULL = Fraction(1)
NOTHING = Fraction(0)


class Use:
    """Somebody's work on the bus: how much of it is left, in picoseconds at full speed.

    `share` is the part of its full speed that it has now. What it lost stands in `lost_ps` by cause
    when the work is done, to the whole picosecond in sum.
    """

    __slots__ = (
        "cause", "changed", "demand", "left_ps", "lost_ps", "priority", "share", "since_ps",
        "taken_ps",
    )  # fmt: skip

    def __init__(self, priority: int = 0) -> None:
        self.priority = priority
        self.demand = 0
        self.left_ps: int | Fraction = 0
        self.since_ps = self.taken_ps = 0
        self.share = FULL
        self.cause = BUS
        self.lost_ps: dict[str, int | Fraction] = {}
        self.changed: simpy.Event | None = None

    def begin(self, demand: int, work_ps: int, now_ps: int) -> None:
        """Starts on work of `work_ps` that moves `demand` bytes a second."""
        self.demand, self.left_ps, self.since_ps = demand, work_ps, now_ps
        self.share = FULL
        self.lost_ps.clear()


class Bus:
    """Core and DMA each have half of the bus for sure, and what the other leaves of its half.

    DMA's part goes to its users by priority; among equals each gets what it wants as long as that
    is no more than an even share (max-min fairness). While a flash that the core runs from is
    written, the core stands still. `taken_ps` tells how much time interrupts took from the core
    so far, None where there have been none.
    """

    def __init__(self, env: Clock, bytes_per_s: int) -> None:
        self.env = env
        self.bytes_per_s = bytes_per_s
        self.users: list[Use] = []
        self.core: Use | None = None
        self.blockers = 0
        self.taken_ps: Callable[[int], int] | None = None

    def carry(self, demand: int, work_ps: int, priority: int, *, stalls_core: bool) -> Process:
        """A transfer by DMA that takes work_ps where nobody else wants the bus.

        Demand 0 moves nothing over the bus and is never slowed.
        """
        use = Use(priority)
        use.begin(demand, work_ps, self.env.now_ps)
        self._settle()
        self.users.append(use)
        self.blockers += stalls_core
        self._divide()
        yield from self.finish(use)
        self._settle()
        self.users.remove(use)
        self.blockers -= stalls_core
        self._divide()

    def begin_core(self, use: Use) -> None:
        """The core is on the bus now, with work that has begun."""
        self.core = use
        if self.taken_ps is not None:
            use.taken_ps = self.taken_ps(self.env.now_ps)
        if self.users:
            self._divide()

    def end_core(self) -> None:
        """The core's work is over."""
        self.core = None
        if self.users:
            self._settle()
            self._divide()

    def finish(self, use: Use) -> Process:
        """Waits until the work is done, however often the shares change."""
        while use.left_ps > 0:
            share = use.share
            if share is FULL:
                yield self.env.timeout(ceil(use.left_ps))
            else:
                use.changed = self.env.event()
                if share is NOTHING:
                    yield use.changed
                else:
                    yield self.env.timeout(ceil(use.left_ps / share)) | use.changed
                use.changed = None
            self._settle_one(use, self.env.now_ps)
        if use.lost_ps:
            _round(use.lost_ps)

    def settle_core(self) -> None:
        """Counts what the core has done so far."""
        if self.core is not None:
            self._settle_one(self.core, self.env.now_ps)

    def _settle(self) -> None:
        now_ps = self.env.now_ps
        for use in self.users:
            self._settle_one(use, now_ps)
        self.settle_core()

    def _settle_one(self, use: Use, now_ps: int) -> None:
        """Counts what was done at the share that the use had until now."""
        passed_ps = now_ps - use.since_ps
        use.since_ps = now_ps
        if use is self.core and self.taken_ps is not None:
            taken_ps = self.taken_ps(now_ps)
            stolen_ps, use.taken_ps = taken_ps - use.taken_ps, taken_ps
            if stolen_ps:
                use.lost_ps[PREEMPTED] = use.lost_ps.get(PREEMPTED, 0) + stolen_ps
                passed_ps -= stolen_ps
        done_ps = min(use.left_ps, passed_ps if use.share is FULL else passed_ps * use.share)
        use.left_ps -= done_ps
        if passed_ps > done_ps:
            use.lost_ps[use.cause] = use.lost_ps.get(use.cause, 0) + passed_ps - done_ps

    def _divide(self) -> None:
        """Gives each its share; who waits for a change is told."""
        core, capacity = self.core, self.bytes_per_s
        wanted = sum(use.demand for use in self.users)
        needed = min(core.demand, capacity) if core is not None else 0
        if core is not None:
            left = capacity - min(wanted, capacity // 2)
            share = FULL if needed <= left else Fraction(left, needed)
            cause = BUS
            if self.blockers:
                share, cause = NOTHING, FLASH_WAIT
            _give(core, share, cause)
        if wanted + needed <= capacity:
            for use in self.users:
                _give(use, FULL, BUS)
            return
        room = Fraction(max(capacity - needed, capacity // 2, 1))
        for priority in sorted({use.priority for use in self.users}, reverse=True):
            same = [use for use in self.users if use.priority == priority]
            for index, use in enumerate(sorted(same, key=_demand)):
                even = room / (len(same) - index)
                given = min(Fraction(use.demand), even)
                room -= given
                whole = not use.demand or given == use.demand
                _give(use, FULL if whole else given / use.demand, BUS)


def rate(nbytes: int, duration_ps: int) -> int:
    """Bytes a second of a transfer, rounded down."""
    return nbytes * PS_PER_S // max(duration_ps, 1)


def _round(lost_ps: dict[str, int | Fraction]) -> None:
    """Makes the parts whole without changing their sum, which is whole."""
    told = 0
    so_far: int | Fraction = 0
    for cause, part_ps in lost_ps.items():
        so_far += part_ps
        lost_ps[cause] = round(so_far) - told
        told = round(so_far)


def _demand(use: Use) -> int:
    return use.demand


def _give(use: Use, share: Fraction, cause: str) -> None:
    if share == use.share and cause == use.cause:
        return
    use.share = NOTHING if not share else share
    use.cause = cause
    if use.changed is not None and not use.changed.triggered:
        use.changed.succeed()
