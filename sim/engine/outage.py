"""What is broken right now: a storage that is not there, and requests whose bytes get damaged."""

from __future__ import annotations

import random

from sim.engine.clock import Clock
from sim.trace import CRC_ERROR


class Outages:
    """The faults of one storage or link, told to it by whoever makes them happen.

    `on` says whether there are any at all. `reason` is why nothing can be had from it now, "" where
    it works; `last` why it was so last.
    """

    def __init__(self, env: Clock, chance: random.Random) -> None:
        self.env, self.random = env, chance
        self.on = False
        self.reason = self.last = ""
        self.began_ps = -1
        self.until_ps = 0
        self.damage_next = 0
        self.damage_probability = 0.0

    def begin(self, reason: str, until_ps: int) -> None:
        """From now on nothing can be had, until then or until a longer outage is over."""
        self.reason = self.last = reason
        self.began_ps = self.env.now_ps
        self.until_ps = max(self.until_ps, until_ps)

    def end(self) -> None:
        """It works again, unless another outage lasts longer."""
        if self.env.now_ps >= self.until_ps:
            self.reason = ""

    def harm(self, start_ps: int) -> str:
        """What befell a request that ran from then until now; "" if nothing did."""
        if self.reason or self.began_ps >= start_ps:
            return self.reason or self.last
        if self.damage_next:
            self.damage_next -= 1
            return CRC_ERROR
        if self.damage_probability and self.random.random() < self.damage_probability:
            return CRC_ERROR
        return ""
