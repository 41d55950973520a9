"""Packs blocks of bytes with lifetimes into the least arena that a search finds.

First fit in several orders, then repair: what sticks out at the top is placed earlier next time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sim.errors import PlanError
from sim.ranges import round_up

ROUNDS_PER_EFFORT = 60
WORK_PER_EFFORT = 4_000_000
"""Intervals to look at in all rounds, so that thousands of blocks end in seconds."""


@dataclass(frozen=True, slots=True)
class Rect:
    """A byte range, alive during the steps [start, stop); `offset` is from the block's start."""

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
    """The best packing found, from the bottom up and from the top down; more effort, more rounds."""
    if not blocks:
        return Packing((), 0, 0, True, "empty")
    bound = lower_bound(blocks)
    best = _search(blocks, bound, effort)
    if best.size > bound and all(b.fixed is None for b in blocks):
        turned = _search([_upside_down(b) for b in blocks], bound, effort)
        if turned.size < best.size:
            offsets = [
                round_up(turned.size, b.alignment) - at - _height(b)
                for b, at in zip(blocks, turned.offsets, strict=True)
            ]
            best = _Found(_size(blocks, offsets), offsets, f"{turned.method}, from the top")
    verify(blocks, best.offsets)
    optimal = best.size == bound
    return Packing(tuple(best.offsets), best.size, bound, optimal, best.method)


@dataclass(frozen=True, slots=True)
class _Found:
    size: int
    offsets: list[int]
    method: str


def _search(blocks: Sequence[Block], bound: int, effort: int) -> _Found:
    problem = _Problem(blocks)
    orders = problem.orders()
    rounds = min(ROUNDS_PER_EFFORT, WORK_PER_EFFORT // (problem.work * len(orders))) * effort
    best: _Found | None = None
    for name, first in orders:
        order, offsets = first, problem.first_fit(first)
        for number in range(rounds + 1):
            size = problem.size(offsets)
            if best is None or size < best.size:
                best = _Found(size, offsets, f"{name}, repaired" if number else name)
            if best.size == bound:
                return best
            if number < rounds:
                order = problem.raised(order, offsets, size)
                offsets = problem.first_fit(order)
    assert best is not None
    return best


def _height(block: Block) -> int:
    return round_up(max(r.offset + r.size for r in block.rects), block.alignment)


def _upside_down(block: Block) -> Block:
    height = _height(block)
    turned = (Rect(height - r.offset - r.size, r.size, r.start, r.stop) for r in block.rects)
    return Block(tuple(turned), block.alignment)


def _size(blocks: Sequence[Block], offsets: Sequence[int]) -> int:
    return max(
        at + r.offset + r.size for b, at in zip(blocks, offsets, strict=True) for r in b.rects
    )


class _Problem:
    """Blocks with, for each two that meet in time, the relative offsets that they can't have."""

    def __init__(self, blocks: Sequence[Block]) -> None:
        self.blocks = blocks
        self.low = [-min(r.offset for r in b.rects) for b in blocks]
        self.top = [max(r.offset + r.size for r in b.rects) for b in blocks]
        self.start = [min(r.start for r in b.rects) for b in blocks]
        self.stop = [max(r.stop for r in b.rects) for b in blocks]
        self.clashes: list[dict[int, list[tuple[int, int]]]] = [{} for _ in blocks]
        active: list[int] = []
        for i in sorted(range(len(blocks)), key=lambda i: self.start[i]):
            active = [j for j in active if self.stop[j] > self.start[i]]
            for j in active:
                between = _clashes(blocks[i].rects, blocks[j].rects)
                if between:
                    self.clashes[i][j] = between
                    self.clashes[j][i] = [(-high, -low) for low, high in between]
            active.append(i)

    def orders(self) -> list[tuple[str, list[int]]]:
        """Block indices in the orders worth starting from, fixed blocks always first."""
        indices = range(len(self.blocks))
        size = [self.top[i] + self.low[i] for i in indices]
        life = [self.stop[i] - self.start[i] for i in indices]
        load = [sum(size[j] for j in self.clashes[i]) for i in indices]
        area = [sum(r.size * (r.stop - r.start) for r in b.rects) for b in self.blocks]
        keys = {
            "first fit by size": lambda i: (-size[i], -life[i], i),
            "first fit by area": lambda i: (-area[i], i),
            "first fit by conflicts": lambda i: (-load[i], -size[i], i),
            "first fit by lifetime": lambda i: (-life[i], -size[i], i),
            "first fit by step": lambda i: (self.start[i], -size[i], i),
        }
        fixed = [i for i in indices if self.blocks[i].fixed is not None]
        free = [i for i in indices if self.blocks[i].fixed is None]
        return [(name, fixed + sorted(free, key=key)) for name, key in keys.items()]

    @property
    def work(self) -> int:
        """Intervals that one first fit looks at."""
        return sum(len(between) for clashes in self.clashes for between in clashes.values()) + 1

    def first_fit(self, order: Sequence[int]) -> list[int]:
        """Each block in turn at the lowest offset that clashes with none placed before."""
        offsets: dict[int, int] = {}
        for i in order:
            block = self.blocks[i]
            if block.fixed is not None:
                offsets[i] = block.fixed
                continue
            taken = [
                (offsets[j] + low, offsets[j] + high)
                for j, between in self.clashes[i].items()
                if j in offsets
                for low, high in between
            ]
            at = round_up(self.low[i], block.alignment)
            for low, high in sorted(taken):
                if at <= low:
                    break
                if at < high:
                    at = round_up(high, block.alignment)
            offsets[i] = at
        return [offsets[i] for i in range(len(self.blocks))]

    def size(self, offsets: Sequence[int]) -> int:
        return max(o + t for o, t in zip(offsets, self.top, strict=True))

    def raised(self, order: Sequence[int], offsets: Sequence[int], size: int) -> list[int]:
        """The order with the blocks at the very top moved before all that are in their way."""
        moved = list(order)
        for i in order:
            if self.blocks[i].fixed is None and offsets[i] + self.top[i] == size:
                at = moved.index(i)
                near = self.clashes[i]
                first = next((k for k, j in enumerate(moved[:at]) if j in near), at)
                if self.blocks[moved[first]].fixed is None:
                    moved.insert(first, moved.pop(at))
        return moved


def _clashes(mine: Sequence[Rect], others: Sequence[Rect]) -> list[tuple[int, int]]:
    """The open intervals that a block's offset, less another's, must not lie in; merged."""
    found = sorted(
        (q.offset - r.offset - r.size, q.offset + q.size - r.offset)
        for r in mine
        for q in others
        if q.start < r.stop and r.start < q.stop
    )
    merged: list[tuple[int, int]] = []
    for low, high in found:
        if merged and low < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return merged


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
