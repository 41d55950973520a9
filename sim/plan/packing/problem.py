"""The problem as searches see it: what keeps which distance, and what is alive together."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sim.plan.packing.block import Apart, Block
from sim.ranges import round_up

_Lists = list[list[int]]


class Cell(NamedTuple):
    """Bytes [bottom, top) of a block, counted from its offset, alive in the steps [start, stop).

    Cells of one block never overlap, and at no step do two of them touch.
    """

    block: int
    bottom: int
    top: int
    start: int
    stop: int


class Section(NamedTuple):
    """All cells alive at one step; each begins at a multiple of `unit`, wherever its block lies."""

    cells: tuple[Cell, ...]
    unit: int

    def least_bytes(self) -> int:
        """What the section takes at least: all but the topmost cell fill whole units."""
        sizes = [c.top - c.bottom for c in self.cells]
        filled = [round_up(size, self.unit) for size in sizes]
        return sum(filled) - max(f - s for f, s in zip(filled, sizes, strict=True))


@dataclass(frozen=True, slots=True)
class Problem:
    """Blocks by index. For the k-th neighbour j of block i one of these holds:

    `offset[j] >= offset[i] + above[i][k]` (j lies above i), or
    `offset[i] >= offset[j] + below[i][k]` (j lies below i).
    Blocks with holes can be neighbours several times: once for each range of forbidden distances.
    """

    alignment: tuple[int, ...]
    fixed: tuple[int | None, ...]
    lowest: tuple[int, ...]
    height: tuple[int, ...]
    neighbours: _Lists
    above: _Lists
    below: _Lists
    cells: tuple[Cell, ...]
    sections: tuple[Section, ...]
    apart: tuple[Apart, ...]

    def size(self, offsets: Sequence[int]) -> int:
        return max(o + h for o, h in zip(offsets, self.height, strict=True))

    def lower_bound(self) -> int:
        """The most that a section takes, or a block that lies as low as it may."""
        return max(self.size(self.lowest), *(s.least_bytes() for s in self.sections))

    def is_ordered(self) -> bool:
        """Whether of two neighbours one always lies higher, so that no cycles of them can arise."""
        return all(
            len(set(near)) == len(near) and min(a, default=1) > 0 and min(b, default=1) > 0
            for near, a, b in zip(self.neighbours, self.above, self.below, strict=True)
        )


def problem_of(blocks: Sequence[Block], apart: Sequence[Apart] = ()) -> Problem:
    """The problem of these blocks, at least one, that keep the further distances apart."""
    cells = tuple(cell for i, block in enumerate(blocks) for cell in _cells(i, block))
    neighbours, above, below = _distances(blocks, cells, apart)
    return Problem(
        alignment=tuple(b.alignment for b in blocks),
        fixed=tuple(b.fixed for b in blocks),
        lowest=tuple(_lowest(b) for b in blocks),
        height=tuple(max(r.offset + r.size for r in b.rects) for b in blocks),
        neighbours=neighbours,
        above=above,
        below=below,
        cells=cells,
        sections=tuple(_sections(blocks, cells)),
        apart=tuple(apart),
    )


def _lowest(block: Block) -> int:
    if block.fixed is not None:
        return block.fixed
    return round_up(max(0, -min(r.offset for r in block.rects)), block.alignment)


def _cells(index: int, block: Block) -> list[Cell]:
    if len(block.rects) == 1:
        (r,) = block.rects
        return [Cell(index, r.offset, r.offset + r.size, r.start, r.stop)]
    steps = sorted({step for r in block.rects for step in (r.start, r.stop)})
    made: list[Cell] = []
    growing: dict[tuple[int, int], int] = {}  # bytes -> the step since which they are alive
    for start, _ in itertools.pairwise(steps):
        spans = _joined(
            (r.offset, r.offset + r.size) for r in block.rects if r.start <= start < r.stop
        )
        made += [
            Cell(index, *span, since, start) for span, since in growing.items() if span not in spans
        ]
        growing = {span: growing.get(span, start) for span in spans}
    return made + [Cell(index, *span, since, steps[-1]) for span, since in growing.items()]


def _joined(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The union of half-open spans as spans that neither overlap nor touch."""
    made: list[tuple[int, int]] = []
    for low, high in sorted(spans):
        if made and low <= made[-1][1]:
            made[-1] = made[-1][0], max(high, made[-1][1])
        else:
            made.append((low, high))
    return made


def _sections(blocks: Sequence[Block], cells: Sequence[Cell]) -> Iterator[Section]:
    """The steps at which most is alive: each last one before a cell ends after others began."""
    ends = [(c.stop, 0, k) for k, c in enumerate(cells)]
    starts = [(c.start, 1, k) for k, c in enumerate(cells)]
    live: dict[int, Cell] = {}
    grown = False
    for _, begins, k in sorted(ends + starts):
        if begins:
            live[k] = cells[k]
        else:
            if grown:
                unit = math.gcd(*(_unit(blocks[c.block], c) for c in live.values()))
                yield Section(tuple(live.values()), unit)
            del live[k]
        grown = bool(begins)


def _unit(block: Block, cell: Cell) -> int:
    """What the cell's place is always a multiple of."""
    if block.fixed is not None:
        return block.fixed + cell.bottom
    return math.gcd(block.alignment, cell.bottom)


def _distances(
    blocks: Sequence[Block], cells: Sequence[Cell], apart: Sequence[Apart]
) -> tuple[_Lists, _Lists, _Lists]:
    """Neighbours and the distances that they keep, as `Problem` holds them."""
    neighbours: _Lists = [[] for _ in blocks]
    above: _Lists = [[] for _ in blocks]
    below: _Lists = [[] for _ in blocks]

    def keep_apart(i: int, j: int, low: int, high: int) -> None:
        """Forbids the distances [low, high) from the offset of i to that of j."""
        neighbours[i].append(j)
        above[i].append(high)
        below[i].append(1 - low)
        neighbours[j].append(i)
        above[j].append(1 - low)
        below[j].append(high)

    forbidden: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for a in apart:
        if a.first < a.second:
            forbidden.setdefault((a.first, a.second), []).append((a.low, a.high))
        else:
            forbidden.setdefault((a.second, a.first), []).append((1 - a.high, 1 - a.low))
    listed = frozenset(forbidden)
    active: list[Cell] = []
    for cell in sorted(cells, key=lambda c: c.start):
        active = [c for c in active if c.stop > cell.start]
        for other in active:
            i, j = other.block, cell.block
            low, high = other.bottom - cell.top + 1, other.top - cell.bottom
            simple = len(blocks[i].rects) == len(blocks[j].rects) == 1
            if simple and (min(i, j), max(i, j)) not in listed:
                keep_apart(i, j, low, high)
            elif i < j:
                forbidden.setdefault((i, j), []).append((low, high))
            elif j < i:
                forbidden.setdefault((j, i), []).append((1 - high, 1 - low))
        active.append(cell)
    for (i, j), ranges in forbidden.items():
        for low, high in _joined(ranges):
            keep_apart(i, j, low, high)
    return neighbours, above, below
