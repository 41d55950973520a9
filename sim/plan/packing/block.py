"""What is packed and what comes back: Rect, Block, Apart, Packing."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rect:
    """A byte range of a block, alive during the steps [start, stop); `offset` is the block's own.

    Raises ValueError if it holds no byte or no step.
    """

    offset: int
    size: int
    start: int
    stop: int

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"rect: size: found {self.size}, wanted 1 or more")
        if self.stop <= self.start:
            raise ValueError(f"rect: stop: found {self.stop}, wanted more than {self.start}")


@dataclass(frozen=True, slots=True)
class Block:
    """Rectangles that move together; `fixed` is an offset in bytes that has to be kept.

    Raises ValueError if it is empty, or the alignment is not positive.
    """

    rects: tuple[Rect, ...]
    alignment: int = 16
    fixed: int | None = None

    def __post_init__(self) -> None:
        if not self.rects:
            raise ValueError("block: rects: found none, wanted 1 or more")
        if self.alignment < 1:
            raise ValueError(f"block: alignment: found {self.alignment}, wanted 1 or more")


@dataclass(frozen=True, slots=True)
class Apart:
    """Forbids the distances [low, high) from the offset of block `first` to that of `second`."""

    first: int
    second: int
    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Packing:
    """An offset per block; `optimal` when no packing can be smaller than `size_bytes`.

    `lower_bound_bytes` is proven; `method` says which rule found the offsets.
    """

    offsets: tuple[int, ...]
    size_bytes: int
    lower_bound_bytes: int
    optimal: bool
    method: str
