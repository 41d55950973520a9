"""Cuts worth trying for a run of ops, coarse ones first."""

from __future__ import annotations

from sim.graph.cut import Cut

PARTS = (2, 3, 4, 6, 8, 12, 16, 24, 32, 48)
"""Stripes of a block's output."""
STRIPS = (2, 4, 9)
"""Strips of columns, whose halos are computed again."""
SPLIT_PARTS = (2, 3, 4, 8, 16)
"""Into how many parts ops are split by channels."""
LONGEST_SPLIT = 3
"""Ops in a row that are split so."""
SPLIT_HOPE = 0.7
"""Of the bytes of a split's sketch, what is hoped for: parts overlap."""
COARSE = 4
"""Up to so many, rows that are kept need not roll."""
CHUNKS = (32, 16, 8, 6, 4, 3, 2, 1)
"""Rows of the tensors inside that are computed at once."""


Family = tuple[tuple[Cut, int], ...]
"""Cuts, each with the columns of a strip (0: no strips); finer ones need less and take longer."""


def families(shape: tuple[int, ...], *, moves: bool) -> tuple[Family, Family, Family]:
    """Families of cuts of an output of this shape.

    Rows inside come as many at a time as they are asked for, or a few at a time, or a few in strips
    of columns. Only what moves through a storage may be in one piece.
    """
    height, width = shape[1:3]
    heights = dict.fromkeys(-(-height // n) for n in PARTS if n <= height)
    asked = [(Cut(height, roll=True), 0)] if moves else []
    for rows in heights:
        if rows * COARSE >= height:
            asked.append((Cut(rows), 0))
        asked.append((Cut(rows, roll=True), 0))
    chunks = (n for n in CHUNKS if n < 2 * height)
    few = tuple((Cut(min(n, height), n, roll=True), 0) for n in chunks)
    strips = tuple(
        (Cut(min(n, height), n, roll=True), -(-width // count))
        for count in STRIPS
        if count <= width
        for n in (4, 1)
    )
    return tuple(asked), few, strips
