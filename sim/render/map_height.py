"""How many bytes a picture of the arena shows: the blocks stay legible beneath a far budget."""

from __future__ import annotations

from collections.abc import Mapping

FAR = 3
"""A line so many times above the highest block is told in words instead of being drawn."""


def map_height(head_bytes: int, lines: Mapping[str, int]) -> tuple[int, dict[str, int]]:
    """The height up to which to draw, and which of the lines, by name, lie far above it."""
    far = {name: nbytes for name, nbytes in lines.items() if nbytes > FAR * max(1, head_bytes)}
    near = (nbytes for name, nbytes in lines.items() if name not in far)
    return max(1, head_bytes, *near), far


def bounds(required_bytes: int, budget_bytes: int) -> dict[str, int]:
    """What the blocks are measured against."""
    return {"required arena": required_bytes, "budget": budget_bytes}
