"""How a segment of a graph is cut into stripes (see sim.graph.stripes)."""

from __future__ import annotations

from dataclasses import dataclass

from sim.graph.padding import ROWS


@dataclass(frozen=True, slots=True)
class Cut:
    """How a segment is cut: output rows at a time, and rows inside at a time (None: as asked for).

    With `keep_halos` no row is computed twice; without, every stripe stands alone. With `roll` the
    rows of a tensor that are still needed lie together; when the first ones have been read, the
    rest moves down to where they began, and new ones join it there: least memory for one more op.
    Rows that wait long for a reader, as those of a skip do, stay apart. Along `axis` 2 rows are
    columns.
    """

    rows: int
    chunk: int | None = None
    keep_halos: bool = True
    roll: bool = False
    axis: int = ROWS
