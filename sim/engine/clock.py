"""SimPy's environment with whole picoseconds."""

from __future__ import annotations

from collections.abc import Generator
from heapq import heappop, heappush
from typing import Any, TypeVar

import simpy
from simpy.events import NORMAL

Result = TypeVar("Result")
Task = Generator[simpy.Event, Any, Result]
"""Something that takes time and comes to a result."""
Process = Task[None]


class Tick(simpy.Event):
    """SimPy's Timeout without its calls: most events of a simulation are of this kind."""

    def __init__(self, env: Clock, delay_ps: int) -> None:
        self.env = env
        self.callbacks = []
        self._value = None
        self._ok = True
        heappush(env._queue, (env._now + delay_ps, NORMAL, next(env._eid), self))


class Clock(simpy.Environment):
    """Time is an int as long as every delay is one; SimPy only types it as float."""

    @property
    def now_ps(self) -> int:
        return self._now  # type: ignore[return-value]

    def until(self, at_ps: int) -> simpy.Event:
        """The event of that instant, or of now if it has passed."""
        return Tick(self, max(0, at_ps - self.now_ps))

    def play_until(self, end: simpy.Event) -> None:
        """As SimPy's `run(until=end)`, without a call for each event; raises what an event raises.

        Runs to the end of the events if that one never comes.
        """
        queue = self._queue
        while queue and end.callbacks is not None:
            self._now, _, _, event = heappop(queue)
            callbacks, event.callbacks = event.callbacks, None  # type: ignore[assignment]
            for callback in callbacks:
                callback(event)
            if not event._ok and not hasattr(event, "_defused"):
                raise event._value
