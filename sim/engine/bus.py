"""The bus that core and DMA share: who gets how much of it, and when that changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import lru_cache

import simpy

from sim.engine.clock import Clock, Process, Tick
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
        "cause", "demand", "left_ps", "lost_ps", "priority", "process", "share", "since_ps",
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
        self.process: simpy.Process | None = None

    def begin(self, demand: int, work_ps: int, now_ps: int) -> None:
        """Starts on work of `work_ps` that moves `demand` bytes a second."""
        self.demand, self.left_ps, self.since_ps = demand, work_ps, now_ps
        self.share = FULL
        self.lost_ps.clear()

    def losses(self, at_ps: int) -> Iterator[tuple[str, int, int]]:
        """What was lost, as stalls that follow each other from then on: cause, start, stop."""
        for cause, lost_ps in self.lost_ps.items():
            start_ps, at_ps = at_ps, at_ps + int(lost_ps)
            yield cause, start_ps, at_ps


class Bus:
    """Core and DMA each have half of the bus for sure, and what the other leaves of its half.

    DMA's part goes to its users by priority; among equals each gets what it wants as long as that
    is no more than an even share (max-min fairness). While a flash that the core runs from is
    written, the core stands still. `crowded`: more is wanted than there is, or the core stands
    still; `slowed`: some transfer does not get all that it wants. `taken_ps` tells how much time
    interrupts took from the core so far.
    """

    def __init__(self, env: Clock, bytes_per_s: int) -> None:
        self.env = env
        self.bytes_per_s = bytes_per_s
        self.users: list[Use] = []
        self.wanted = 0
        self.core: Use | None = None
        self.blockers = 0
        self.crowded = self.slowed = False
        self.taken_ps: Callable[[int], int] = _nothing

    def carry(self, use: Use, *, stalls_core: bool = False) -> Process:
        """A transfer by DMA, with work that has begun just now, until it is done.

        Demand 0 moves nothing over the bus and is never slowed.
        """
        start_ps = use.since_ps
        self.users.append(use)
        self._change(use.demand, stalls_core)
        if not self.crowded:
            yield Tick(self.env, int(use.left_ps))
        if self.crowded or use.since_ps != start_ps:
            self._settle_one(use, self.env.now_ps)
            yield from self.finish(use)
        self.users.remove(use)
        self._change(-use.demand, -stalls_core)

    def begin_core(self) -> None:
        """The core is on the bus now, with work that has begun."""
        use, capacity, wanted = self.core, self.bytes_per_s, self.wanted
        assert use is not None
        if wanted + use.demand <= capacity and not self.blockers:
            return
        needed = min(use.demand, capacity)
        if self.blockers or self.slowed or wanted > max(capacity - needed, capacity // 2):
            self._divide()
            return
        left = capacity - min(wanted, capacity // 2)  # the common case: the core alone is slowed
        self.crowded = wanted + needed > capacity
        if needed > left:
            use.share, use.cause = _part(left, needed), BUS

    def end_core(self) -> None:
        """The core's work is over."""
        self.core = None
        if self.blockers or self.slowed:
            self._divide()
        else:
            self.crowded = self.wanted > self.bytes_per_s

    def _change(self, demand: int, blockers: int) -> None:
        """Somebody came or went; shares change only where the bus is or gets too narrow."""
        self.wanted += demand
        self.blockers += blockers
        needed = self.core.demand if self.core is not None else 0
        if self.crowded or self.blockers or self.wanted + needed > self.bytes_per_s:
            self._divide()

    def finish(self, use: Use) -> Process:
        """Waits until the work is done, however often the shares change.

        Whoever waits at less than full speed is interrupted when its share changes.
        """
        while use.left_ps > 0:
            share, since_ps, left_ps = use.share, use.since_ps, use.left_ps
            wait_ps = 0
            if share is NOTHING:
                ending = self.env.event()
            else:
                wait_ps = -(-left_ps * share.denominator // share.numerator)
                ending = Tick(self.env, wait_ps)
            use.process = None if share is FULL else self.env.active_process
            steady = True
            try:
                yield ending
            except simpy.Interrupt:
                steady = False
            use.process = None
            if use.since_ps != since_ps or share is not use.share:
                steady = False
            if steady and (use is not self.core or not self._stolen_ps(use)):
                use.left_ps, use.since_ps = 0, since_ps + wait_ps
                if wait_ps > left_ps:
                    _lose(use, use.cause, wait_ps - left_ps)
            else:
                self._settle_one(use, self.env.now_ps)
        if use.lost_ps:
            _round(use.lost_ps)

    def settle_core(self) -> None:
        """Counts what the core has done so far."""
        if self.core is not None:
            self._settle_one(self.core, self.env.now_ps)

    def _stolen_ps(self, use: Use) -> int:
        """What interrupts took from the core since its work was last counted."""
        return self.taken_ps(self.env.now_ps) - use.taken_ps

    def _settle_one(self, use: Use, now_ps: int) -> None:
        """Counts what was done at the share that the use had until now."""
        passed_ps = now_ps - use.since_ps
        if not passed_ps:
            return
        use.since_ps = now_ps
        if use is self.core:
            stolen_ps = self._stolen_ps(use)
            if stolen_ps:
                use.taken_ps += stolen_ps
                passed_ps -= stolen_ps
                _lose(use, PREEMPTED, stolen_ps)
        done_ps = min(use.left_ps, passed_ps if use.share is FULL else passed_ps * use.share)
        use.left_ps -= done_ps
        if passed_ps > done_ps:
            _lose(use, use.cause, passed_ps - done_ps)

    def _divide(self) -> None:
        """Gives each its share; who waits for a change is told."""
        core, capacity, wanted = self.core, self.bytes_per_s, self.wanted
        needed = min(core.demand, capacity) if core is not None else 0
        left = capacity - min(wanted, capacity // 2)
        self.crowded = bool(self.blockers) or wanted + needed > capacity
        if core is not None:
            if self.blockers:
                self._give(core, NOTHING, FLASH_WAIT)
            else:
                self._give(core, FULL if needed <= left else _part(left, needed), BUS)
        room = max(capacity - needed, capacity // 2)
        self.slowed = wanted > room
        if not self.slowed:
            for use in self.users:
                if use.share is not FULL:
                    self._give(use, FULL, BUS)
            return
        rest = Fraction(max(room, 1))
        for priority in sorted({use.priority for use in self.users}, reverse=True):
            same = [use for use in self.users if use.priority == priority]
            for index, use in enumerate(sorted(same, key=_demand)):
                given = min(Fraction(use.demand), rest / (len(same) - index))
                rest -= given
                whole = not use.demand or given == use.demand
                self._give(use, FULL if whole else given / use.demand, BUS)

    def _give(self, use: Use, share: Fraction, cause: str) -> None:
        """Changes a share; what was done at the old one is counted first."""
        if share is use.share or share == use.share:
            return
        self._settle_one(use, self.env.now_ps)
        use.share, use.cause = share or NOTHING, cause
        if use.process is not None:
            use.process.interrupt()
            use.process = None


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


def _lose(use: Use, cause: str, lost_ps: int | Fraction) -> None:
    use.lost_ps[cause] = use.lost_ps.get(cause, 0) + lost_ps


@lru_cache(maxsize=1024)
def _part(left: int, needed: int) -> Fraction:
    return Fraction(left, needed)


def _demand(use: Use) -> int:
    return use.demand


def _nothing(now_ps: int) -> int:
    return 0
