"""Span and Trace: what each actor of the board did, from when to when, and why it waited."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

CORE = "core"

COMPUTE, COPY, SPILL, FETCH, STALL = "compute", "copy", "spill", "fetch", "stall"
ERASE, TASK, FILL, CARRY = "erase", "task", "fill", "carry"
"""Kinds of spans. A core copies where no DMA serves a storage; a flash chip erases ahead; other
users run tasks, a camera fills buffers, and DMA carries bytes for somebody else."""
BY_OTHERS = {SPILL: "write", FETCH: "read"}
"""What a spill and a fetch are called that no frame asked for."""

FETCH_NOT_DONE = "fetch not done"
WINDOW_NOT_DRAINED = "spill window not drained"
STORAGE_BUSY = "storage busy"
SHARED = "storage shared"
ERASING = "erasing"
BUS = "bus"
FLASH_WAIT = "flash wait"
PREEMPTED = "preempted"
LINK_RETRY = "link retry"
LINK_ASLEEP = "link asleep"
CAUSES = (
    FETCH_NOT_DONE, WINDOW_NOT_DRAINED, STORAGE_BUSY, SHARED, ERASING, BUS, FLASH_WAIT, PREEMPTED,
    LINK_RETRY, LINK_ASLEEP,
)  # fmt: skip
"""Why an actor waited; a closed list."""

CRC_ERROR = "crc error"
LINK_LOST = "link lost"
QUEUE_FULL = "queue full"
NO_BUFFER = "no camera buffer"
TOO_LATE = "deadline passed"
BROWNED_OUT = "brown-out"
OUTAGES = {"removed": "card removed", "link_down": "link down", "host_absent": "host absent"}
LOSSES = (CRC_ERROR, LINK_LOST, QUEUE_FULL, NO_BUFFER, TOO_LATE, BROWNED_OUT, *OUTAGES.values())
"""Why a frame was lost; a closed list. A transfer whose bytes came to harm has one as its cause."""

DMA, FRAMES = "DMA", "frames"
"""Lanes that pictures add to the actors: what DMA carries, and each model's frames."""


def frames_lane(model: str) -> str:
    """The lane of a model's frames."""
    return FRAMES if model == CORE else f"{model} {FRAMES}"


def dma_lane(number: int) -> str:
    """The lane of what DMA carries, counted from 0 where several transfers go on at a time."""
    return f"{DMA} {number + 1}" if number else DMA


def is_lane(name: str) -> bool:
    """Whether a picture may call a lane so that is nobody's name."""
    return name == DMA or name.startswith(f"{DMA} ") or name.rsplit(" ", maxsplit=1)[-1] == FRAMES


OTHERS = -1
"""The frame of what no frame asked for."""


@dataclass(frozen=True, slots=True)
class Span:
    """An actor was at one thing during [start_ps, stop_ps).

    `subject` is the op's kind or the tensor's name, `step` the op's index; `nbytes` the bytes that
    the span moved, 0 for those that move none. `cause` is set for stalls, and for transfers that
    failed.
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

    @property
    def word(self) -> str:
        """The kind in a word: other users neither spill nor fetch, they write and read."""
        return BY_OTHERS.get(self.kind, self.kind) if self.frame == OTHERS else self.kind


class Frame(NamedTuple):
    """A frame of one model, from its arrival to its result or its loss.

    `lost` says why it has none, "" where it has one; `runs` is how often its inference was begun,
    the last time in [start_ps, stop_ps).
    """

    number: int
    arrived_ps: int
    start_ps: int
    stop_ps: int
    lost: str = ""
    runs: int = 1
    model: str = CORE


@dataclass(frozen=True, slots=True)
class Trace:
    """Spans in the order in which they ended, and frames in the order in which they were over."""

    spans: tuple[Span, ...]
    records: tuple[Frame, ...]
    actors: tuple[str, ...]

    @property
    def frames(self) -> tuple[tuple[int, int], ...]:
        """The (start, stop) of each inference of the main model that came to its end."""
        return tuple(
            (f.start_ps, f.stop_ps) for f in self.records if f.model == CORE and not f.lost
        )

    @property
    def elapsed_ps(self) -> int:
        """From 0 until the last actor came to rest."""
        ends = [f.stop_ps for f in self.records] + [s.stop_ps for s in self.spans]
        return max(ends, default=0)

    def first(self, frames: int) -> Trace:
        """The trace until the main model's first frames are over; what lasts beyond is left out."""
        own = [record for record in self.records if record.model == CORE]
        if len(own) <= frames:
            return self
        until_ps = max(record.stop_ps for record in own[:frames])
        return Trace(
            tuple(span for span in self.spans if span.stop_ps <= until_ps),
            tuple(record for record in self.records if record.stop_ps <= until_ps),
            self.actors,
        )

    def of(self, actor: str) -> Iterator[Span]:
        return (s for s in self.spans if s.actor == actor)
