"""Span and Trace: what each actor of the board did, from when to when, and why it waited."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

CORE = "core"

COMPUTE, COPY, SPILL, FETCH, STALL = "compute", "copy", "spill", "fetch", "stall"
"""Kinds of spans. A core copies where no DMA serves a storage."""

FETCH_NOT_DONE = "fetch not done"
WINDOW_NOT_DRAINED = "spill window not drained"
STORAGE_BUSY = "storage busy"
BUS = "bus"
FLASH_WAIT = "flash wait"
LINK_RETRY = "link retry"
CAUSES = (FETCH_NOT_DONE, WINDOW_NOT_DRAINED, STORAGE_BUSY, BUS, FLASH_WAIT, LINK_RETRY)
"""Why an actor waited; a closed list."""


@dataclass(frozen=True, slots=True)
class Span:
    """An actor was at one thing during [start_ps, stop_ps).

    `subject` is the op's kind or the tensor's name, `step` the op's index; `nbytes` the bytes that
    the span moved, 0 for those that move none. `cause` is set for stalls.
    """

    start_ps: int
    stop_ps: int
    actor: str
    kind: str
    subject: str
    frame: int
    step: int
    nbytes: int = 0
    cause: str = ""

    @property
    def duration_ps(self) -> int:
        return self.stop_ps - self.start_ps


@dataclass(frozen=True, slots=True)
class Trace:
    """Spans in the order in which they ended; `frames` are the (start, stop) of each inference."""

    spans: tuple[Span, ...]
    frames: tuple[tuple[int, int], ...]
    actors: tuple[str, ...]

    @property
    def elapsed_ps(self) -> int:
        """From 0 until the last actor came to rest."""
        ends = [stop for _, stop in self.frames] + [s.stop_ps for s in self.spans]
        return max(ends, default=0)

    def of(self, actor: str) -> Iterator[Span]:
        return (s for s in self.spans if s.actor == actor)
