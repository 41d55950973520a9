"""Half-open ranges of steps or bytes, and the one test for their overlap."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Range:
    """From `start` up to, but not including, `stop`; empty when they are equal."""

    start: int
    stop: int

    @property
    def length(self) -> int:
        return self.stop - self.start

    def overlaps(self, other: Range) -> bool:
        return self.start < other.stop and other.start < self.stop

    def __contains__(self, point: int) -> bool:
        return self.start <= point < self.stop


def round_up(value: int, multiple: int) -> int:
    """The least multiple that is not below the value."""
    return -(-value // multiple) * multiple
