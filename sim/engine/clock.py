"""SimPy's environment with whole picoseconds."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
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


class Alarm(simpy.Event):
    """Calls `ring` at each instant of a series; lighter than a process."""

    def __init__(self, env: Clock, instants: Iterator[int], ring: Callable[[], None]) -> None:
        super().__init__(env)
        self._ok = True
        self._value = None
        self._clock, self._instants, self._ring = env, instants, ring
        self._wait(None)

    def _wait(self, rung: simpy.Event | None) -> None:
        if rung is not None:
            self._ring()
        for at_ps in self._instants:
            self.callbacks = [self._wait]
            env = self._clock
            heappush(env._queue, (max(env._now, at_ps), NORMAL, next(env._eid), self))
            return


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
