"""How many bytes a picture of the arena shows: the blocks stay legible beneath a far budget."""

from __future__ import annotations

from collections.abc import Mapping

FAR, ROOM = 3, 1.2
"""A line so many times above the highest block is told in words instead of being drawn, unless the
lines below it bring the picture nearly as high anyway."""


def map_height(head_bytes: int, lines: Mapping[str, int]) -> tuple[int, dict[str, int]]:
    """The height up to which to draw, and which of the lines, by name, lie far above it."""
    height, far = max(1, head_bytes), {}
    for name, nbytes in sorted(lines.items(), key=lambda line: line[1]):
        if nbytes > max(FAR * head_bytes, ROOM * height):
            far[name] = nbytes
        else:
            height = max(height, nbytes)
    return height, far


def bounds(required_bytes: int, budget_bytes: int) -> dict[str, int]:
    """What the blocks are measured against."""
    return {"required arena": required_bytes, "budget": budget_bytes}
