"""What DMA carries, as lanes of their own beside the storages that it serves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from sim.device.board import Board
from sim.trace import CARRY, FETCH, FILL, SPILL, Span, Trace, dma_lane


def with_dma(trace: Trace, board: Board) -> Trace:
    """The trace with actors "DMA", "DMA 2" and so on, as many as ever carry bytes at a time.

    Each transfer that needs no core is there once more, on the first lane that is free.
    """
    served = {storage.name for storage in board.storages if storage.dma}
    carried = sorted(_carried(trace, served), key=lambda span: (span.start_ps, span.stop_ps))
    free_ps: list[int] = []
    added = []
    for span in carried:
        lane = next((n for n, ps in enumerate(free_ps) if ps <= span.start_ps), len(free_ps))
        free_ps[lane : lane + 1] = [span.stop_ps]
        added.append(replace(span, actor=dma_lane(lane)))
    lanes = tuple(dma_lane(lane) for lane in range(len(free_ps)))
    spans = sorted((*trace.spans, *added), key=lambda span: span.stop_ps)
    core, *others = trace.actors
    return Trace(tuple(spans), trace.records, (core, *lanes, *others))


def _carried(trace: Trace, served: set[str]) -> Iterator[Span]:
    for span in trace.spans:
        of_storage = span.kind in (SPILL, FETCH) and span.actor in served
        if (of_storage or span.kind in (FILL, CARRY)) and span.duration_ps:
            yield span
