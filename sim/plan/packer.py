"""Packs blocks of bytes with lifetimes into the least arena that a search finds.

First fit in several orders, then repair: what sticks out at the top is placed earlier next time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sim.errors import PlanError
from sim.ranges import round_up

ROUNDS_PER_EFFORT = 60


@dataclass(frozen=True, slots=True)
class Rect:
    """A byte range of a block, alive during the steps [start, stop); `offset` is the block's own."""

    offset: int
    size: int
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Block:
    """Rectangles that move together; `fixed` is an offset in bytes that has to be kept."""

    rects: tuple[Rect, ...]
    alignment: int = 16
    fixed: int | None = None


@dataclass(frozen=True, slots=True)
class Packing:
    """An offset per block; `optimal` when the size is proven to be the least."""

    offsets: tuple[int, ...]
    size_bytes: int
    lower_bound_bytes: int
    optimal: bool
    method: str


def lower_bound(blocks: Sequence[Block]) -> int:
    """The most bytes alive at any step; in a block, overlapping ranges count once."""
    edges = sorted({step for b in blocks for r in b.rects for step in (r.start, r.stop)})
    return max((sum(_covered(b, step) for b in blocks) for step in edges), default=0)


def _covered(block: Block, step: int) -> int:
    spans = sorted((r.offset, r.offset + r.size) for r in block.rects if r.start <= step < r.stop)
    total, reached = 0, None
    for start, stop in spans:
        begin = start if reached is None else max(start, reached)
        total += max(0, stop - begin)
        reached = stop if reached is None else max(reached, stop)
    return total


def pack(blocks: Sequence[Block], *, effort: int = 1) -> Packing:
    """The best packing found; more effort, more rounds of repair."""
    if not blocks:
        return Packing((), 0, 0, True, "empty")
    problem = _Problem(blocks)
    bound = lower_bound(blocks)
    best: tuple[int, list[int], str] | None = None
    for name, order in problem.orders():
        offsets = problem.first_fit(order)
        size = problem.size(offsets)
        if best is None or size < best[0]:
            best = size, offsets, name
        for _ in range(ROUNDS_PER_EFFORT * effort):
            if best[0] == bound:
                break
            order = problem.raised(order, offsets, size)
            offsets = problem.first_fit(order)
            size = problem.size(offsets)
            if size < best[0]:
                best = size, offsets, f"{name}, repaired"
        if best[0] == bound:
            break
    assert best is not None
    verify(blocks, best[1])
    return Packing(tuple(best[1]), best[0], bound, best[0] == bound, best[2])


class _Problem:
    def __init__(self, blocks: Sequence[Block]) -> None:
        self.blocks = blocks
        self.low = [-min(r.offset for r in b.rects) for b in blocks]
        self.top = [max(r.offset + r.size for r in b.rects) for b in blocks]
        self.start = [min(r.start for r in b.rects) for b in blocks]
        self.stop = [max(r.stop for r in b.rects) for b in blocks]
        self.neighbours: list[list[int]] = [[] for _ in blocks]
        by_start = sorted(range(len(blocks)), key=lambda i: self.start[i])
        active: list[int] = []
        for i in by_start:
            active = [j for j in active if self.stop[j] > self.start[i]]
            for j in active:
                self.neighbours[i].append(j)
                self.neighbours[j].append(i)
            active.append(i)

    def orders(self) -> list[tuple[str, list[int]]]:
        """Block indices in the orders worth starting from, fixed blocks always first."""
        size = [self.top[i] + self.low[i] for i in range(len(self.blocks))]
        life = [self.stop[i] - self.start[i] for i in range(len(self.blocks))]
        load = [sum(size[j] for j in self.neighbours[i]) for i in range(len(self.blocks))]
        keys = {
            "first fit by size": lambda i: (-size[i], -life[i], i),
            "first fit by area": lambda i: (-size[i] * life[i], i),
            "first fit by conflicts": lambda i: (-load[i], -size[i], i),
            "first fit by lifetime": lambda i: (-life[i], -size[i], i),
            "first fit by step": lambda i: (self.start[i], -size[i], i),
        }
        indices = range(len(self.blocks))
        fixed = [i for i in indices if self.blocks[i].fixed is not None]
        free = [i for i in indices if self.blocks[i].fixed is None]
        return [(name, fixed + sorted(free, key=key)) for name, key in keys.items()]

    def first_fit(self, order: Sequence[int]) -> list[int]:
        placed = [False] * len(self.blocks)
        offsets = [0] * len(self.blocks)
        for i in order:
            block = self.blocks[i]
            if block.fixed is not None:
                offsets[i] = block.fixed
            else:
                taken = [
                    (
                        offsets[j] + q.offset - r.offset - r.size,
                        offsets[j] + q.offset + q.size - r.offset,
                    )
                    for j in self.neighbours[i]
                    if placed[j]
                    for q in self.blocks[j].rects
                    for r in block.rects
                    if q.start < r.stop and r.start < q.stop
                ]
                at = round_up(self.low[i], block.alignment)
                for below, above in sorted(taken):
                    if at <= below:
                        break
                    if at < above:
                        at = round_up(above, block.alignment)
                offsets[i] = at
            placed[i] = True
        return offsets

    def size(self, offsets: Sequence[int]) -> int:
        return max(o + t for o, t in zip(offsets, self.top, strict=True))

    def raised(self, order: Sequence[int], offsets: Sequence[int], size: int) -> list[int]:
        """The order with the blocks at the very top moved before all that are in their way."""
        moved = list(order)
        for i in order:
            if self.blocks[i].fixed is None and offsets[i] + self.top[i] == size:
                at = moved.index(i)
                near = set(self.neighbours[i])
                first = next((k for k, j in enumerate(moved[:at]) if j in near), at)
                if self.blocks[moved[first]].fixed is None:
                    moved.insert(first, moved.pop(at))
        return moved


def verify(blocks: Sequence[Block], offsets: Sequence[int]) -> None:
    """Raises PlanError where two blocks share a byte, or one is misaligned, below 0 or moved."""
    for number, (block, offset) in enumerate(zip(blocks, offsets, strict=True)):
        if any(offset + r.offset < 0 for r in block.rects):
            raise PlanError(f"block {number}: offset: found {offset}, wanted 0 or more")
        if block.fixed is not None and offset != block.fixed:
            raise PlanError(f"block {number}: offset: found {offset}, wanted {block.fixed}")
        if block.fixed is None and offset % block.alignment:
            raise PlanError(
                f"block {number}: offset: found {offset}, wanted a multiple of {block.alignment}"
            )
    rects = sorted(
        (r.start, r.stop, offset + r.offset, offset + r.offset + r.size, number)
        for number, (block, offset) in enumerate(zip(blocks, offsets, strict=True))
        for r in block.rects
    )
    active: list[tuple[int, int, int, int, int]] = []
    for rect in rects:
        active = [a for a in active if a[1] > rect[0]]
        for other in active:
            if other[4] != rect[4] and other[2] < rect[3] and rect[2] < other[3]:
                raise PlanError(f"blocks {other[4]} and {rect[4]} overlap at step {rect[0]}")
        active.append(rect)
