"""A run of a TiGrIS plan as it was recorded: its ops and tensors, and what happened in order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sim.ranges import Range

TILES, WHOLE = ("chain", "tiled", "tiled_2d"), ("normal", "control")
"""Paths of execution whose events name rows of tensors, and those without tiles.

In the others (by_input, rows, transpose, reshape) a tile is a share of what the stage reads.
"""


@dataclass(frozen=True, slots=True)
class PlanOp:
    """An op of the plan; kernel, stride, dilation and pad (top, left) by height and width."""

    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    pad: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True)
class PlanTensor:
    name: str
    shape: tuple[int, ...]

    @property
    def extent(self) -> tuple[int, int]:
        """Height and width as tiles cut them; 1 where the tensor has no such axis."""
        rows = self.shape[1] if len(self.shape) >= 3 else 1
        return rows, self.shape[2] if len(self.shape) == 4 else 1


@dataclass(frozen=True, slots=True)
class Event:
    """An event of TiGrIS's runtime; `op` is a tile's number in a tile_begin. See tigris_trace.h."""

    kind: str
    path: str = ""
    pool: str = ""
    tensor: int = -1
    op: int = -1
    nbytes: int = 0
    rows: Range | None = None
    columns: Range | None = None


@dataclass(frozen=True, slots=True)
class Recording:
    """All of one run; `memory` is what the runtime says of its pools, in bytes."""

    ops: tuple[PlanOp, ...]
    tensors: tuple[PlanTensor, ...]
    events: tuple[Event, ...]
    memory: Mapping[str, int]

    def moved(self, kind: str, pool: str | None = None) -> int:
        """Bytes of all events of that kind, and into that pool where one is named."""
        return sum(
            e.nbytes for e in self.events if e.kind == kind and (pool is None or e.pool == pool)
        )


def parse(document: Mapping[str, Any]) -> Recording:
    """The recording in what tigris_events.py printed."""
    keys = ("inputs", "outputs", "kernel", "stride", "dilation", "pad")
    return Recording(
        tuple(PlanOp(op["kind"], *(tuple(op[key]) for key in keys)) for op in document["ops"]),
        tuple(PlanTensor(t["name"], tuple(t["shape"])) for t in document["tensors"]),
        tuple(_event(event) for event in document["events"]),
        dict(document["memory"]),
    )


def _event(found: Mapping[str, Any]) -> Event:
    rows, columns = (
        Range(found[f"{axis}0"], found[f"{axis}1"]) if f"{axis}0" in found else None
        for axis in ("row", "col")
    )
    return Event(
        found["kind"],
        found.get("path", ""),
        found.get("pool", ""),
        found.get("tensor", -1),
        found.get("op", -1),
        found.get("bytes", 0),
        rows,
        columns,
    )
