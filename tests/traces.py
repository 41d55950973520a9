"""Traces made by hand."""

from __future__ import annotations

from collections.abc import Sequence

from sim.trace import Frame, Span, Trace


def hand_made(
    spans: Sequence[Span], ends: Sequence[tuple[int, int]], actors: Sequence[str]
) -> Trace:
    """A trace whose inferences of the main model ran from `start` to `stop`, each at once."""
    frames = tuple(Frame(n, start, start, stop) for n, (start, stop) in enumerate(ends))
    return Trace(tuple(spans), frames, tuple(actors))
