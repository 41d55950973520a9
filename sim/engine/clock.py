"""SimPy's environment with whole picoseconds."""

from __future__ import annotations

import simpy


class Clock(simpy.Environment):
    """Time is an int as long as every delay is one; SimPy only types it as float."""

    @property
    def now_ps(self) -> int:
        return int(self.now)
