"""The bus that core and DMA share, and what is left of it for the core."""

from __future__ import annotations

from fractions import Fraction

from sim.engine.clock import Clock
from sim.trace import BUS, FLASH_WAIT
from sim.units import PS_PER_S


class Bus:
    """Transfers take their rate first, up to half of the bus; the core slows when the rest is less
    than its op needs, which is never more than the whole bus. While a flash that the core runs
    from is written, the core stands still.
    """

    def __init__(self, env: Clock, bytes_per_s: int) -> None:
        self.env = env
        self.bytes_per_s = bytes_per_s
        self.flows: dict[object, int] = {}
        self.blockers = 0
        self.outstanding = 0
        self.changed = env.event()

    def _change(self) -> None:
        changed, self.changed = self.changed, self.env.event()
        changed.succeed()

    def enter(self, flow: object, bytes_per_s: int, *, stalls_core: bool) -> None:
        self.flows[flow] = bytes_per_s
        self.blockers += stalls_core
        self._change()

    def leave(self, flow: object, *, stalls_core: bool) -> None:
        del self.flows[flow]
        self.blockers -= stalls_core
        self._change()

    def core_share(self, nbytes: int, work_ps: int) -> Fraction:
        """The share of its full speed at which an op that moves nbytes in work_ps runs now.

        1, or (bus - taken) / min(nbytes / work, bus) where that is less.
        """
        if self.blockers:
            return Fraction(0)
        if not self.flows or not nbytes:
            return Fraction(1)
        taken = min(sum(self.flows.values()), self.bytes_per_s // 2)
        needed = min(Fraction(nbytes * PS_PER_S, work_ps), Fraction(self.bytes_per_s))
        return min(Fraction(1), (self.bytes_per_s - taken) / needed)

    @property
    def cause(self) -> str:
        """Why the core is slow now."""
        return FLASH_WAIT if self.blockers else BUS
