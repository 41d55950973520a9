"""SimPy's environment with whole picoseconds."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import simpy

Process = Generator[simpy.Event, Any, None]


class Clock(simpy.Environment):
    """Time is an int as long as every delay is one; SimPy only types it as float."""

    @property
    def now_ps(self) -> int:
        return int(self.now)

    def until(self, at_ps: int) -> simpy.Event:
        """The event of that instant, or of now if it has passed."""
        return self.timeout(max(0, at_ps - self.now_ps))
