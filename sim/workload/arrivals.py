"""When something comes: one after the other, at a period, at random, or as a file says."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

BACK_TO_BACK, PERIODIC, POISSON, TRACE = "back_to_back", "periodic", "poisson", "trace"
ARRIVALS = (BACK_TO_BACK, PERIODIC, POISSON, TRACE)


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Instants in picoseconds from the start.

    PERIODIC: n * period, each moved by up to `jitter_ps` either way. POISSON: gaps of an
    exponential distribution with the period as its mean. TRACE: `times_ps`, once. BACK_TO_BACK has
    no instants of its own: each begins where the one before ended.
    """

    kind: str = BACK_TO_BACK
    period_ps: int = 0
    jitter_ps: int = 0
    times_ps: tuple[int, ...] = ()

    def instants(self, chance: random.Random) -> Iterator[int]:
        """The instants in order; endless, but for TRACE and BACK_TO_BACK, which has none."""
        if self.kind == POISSON:
            return self._poisson(chance)
        if self.kind == PERIODIC:
            return self._jittered(chance) if self.jitter_ps else count(0, self.period_ps)
        return iter(self.times_ps)

    def _poisson(self, chance: random.Random) -> Iterator[int]:
        at = 0
        while True:
            at += round(chance.expovariate(1.0) * self.period_ps)
            yield at

    def _jittered(self, chance: random.Random) -> Iterator[int]:
        at = 0
        for nominal in count(0, self.period_ps):
            at = max(at, nominal + chance.randint(-self.jitter_ps, self.jitter_ps))
            yield at

    @property
    def mean_gap_ps(self) -> int:
        """From one to the next on average; 0 where that depends on how long each takes."""
        if self.kind == TRACE:
            span = self.times_ps[-1] - self.times_ps[0] if self.times_ps else 0
            return span // max(1, len(self.times_ps) - 1)
        return self.period_ps


STEADY = Arrivals()
"""Each frame where the one before ended."""
