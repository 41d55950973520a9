"""Places buffers exactly as TFLM's GreedyMemoryPlanner does, around an offline plan if given.

Source: tensorflow/lite/micro/memory_planner/greedy_memory_planner.cc, CalculateOffsetsIfNeeded.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence

from sim.graph.lifetimes import Buffer

ONLINE = -1
"""An offline plan's mark for "planned at run time"."""


def tflm_greedy(held: Sequence[Buffer], fixed: Sequence[int] | None = None) -> tuple[int, ...]:
    """The offset in bytes of each buffer.

    `held` are all buffers in TFLM's order; `fixed[i]` is the offline offset of `held[i]`, ONLINE
    where TFLM decides. Fixed buffers go first, in order. The others follow by size, largest first
    and of equal ones the later first, each into the first gap that is large enough among the
    buffers alive at the same time.
    """
    wanted = list(fixed) if fixed is not None else [ONLINE] * len(held)
    order = [i for i, offset in enumerate(wanted) if offset != ONLINE]
    online = [i for i, offset in enumerate(wanted) if offset == ONLINE]
    order += sorted(online, key=lambda i: (-held[i].size, -i))
    offsets = [0] * len(held)
    placed: list[tuple[int, int, int]] = []  # (offset, rank of placement, buffer)
    for rank, index in enumerate(order):
        offset = wanted[index]
        if offset == ONLINE:
            offset = _first_gap(held, placed, index) if placed else 0
        offsets[index] = offset
        insort(placed, (offset, rank, index))
    return tuple(offsets)


def _first_gap(held: Sequence[Buffer], placed: Sequence[tuple[int, int, int]], index: int) -> int:
    size, lifetime = held[index].size, held[index].lifetime
    candidate = 0
    for offset, _, other in placed:
        if not held[other].lifetime.overlaps(lifetime):
            continue
        if offset - candidate >= size:
            break
        candidate = max(candidate, offset + held[other].size)
    return candidate
