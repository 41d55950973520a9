"""How many bytes a picture of the arena shows: the blocks stay legible beneath a far budget."""

from __future__ import annotations

FAR, ROOM = 3, 1.2
"""A line so many times above the highest block is told in words instead of being drawn, unless the
lines below it bring the picture nearly as high anyway."""
MARGIN, FAR_MARGIN = 1.08, 1.25
"""What is left free above all that is drawn, and where something lies far above."""


def map_height(
    head_bytes: int, required_bytes: int, budget_bytes: int
) -> tuple[float, dict[str, int]]:
    """Up to where to draw, and which of the lines, by name, lie far above that."""
    height, far = max(1, head_bytes), {}
    lines = {"required arena": required_bytes, "budget": budget_bytes}
    for name, nbytes in sorted(lines.items(), key=lambda line: line[1]):
        if nbytes > max(FAR * head_bytes, ROOM * height):
            far[name] = nbytes
        else:
            height = max(height, nbytes)
    return height * (FAR_MARGIN if far else MARGIN), far
