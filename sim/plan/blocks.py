"""What the packer has to place: a block for each group of tensors, and one for each scratch."""

from __future__ import annotations

from collections.abc import Sequence

from sim.graph.graph import Graph
from sim.graph.groups import Group, byte_needs, groups, untied
from sim.graph.lifetimes import Buffer, buffers
from sim.plan.packer import Block, Rect


def tie(graph: Graph, *, aliasing: bool) -> tuple[Group, ...]:
    """The groups of tensors that are placed together; each tensor by itself without aliasing."""
    return groups(graph) if aliasing else untied(graph)


def group_blocks(graph: Graph, kernels: str, *, aliasing: bool) -> list[Block]:
    """The blocks of a graph, groups first."""
    return blocks(graph, tie(graph, aliasing=aliasing), kernels)


def blocks(graph: Graph, tied: Sequence[Group], kernels: str) -> list[Block]:
    """A block for each group in order, then one for each scratch buffer.

    A tensor of a group counts only the bytes that are needed, but where an op has scratch, all of
    it: TFLM looks for the scratch's place among whole tensors.
    """
    held = buffers(graph, kernels, claims=True)
    life = {b.tensor: b for b in held if b.tensor is not None}
    scratch = [b for b in held if b.tensor is None]
    needs = byte_needs(graph)
    made = []
    for group in tied:
        if len(group.members) == 1:
            made.append(_block(life[group.members[0][0]]))
            continue
        rects = [
            Rect(at + need.span.start, need.span.length, need.steps.start, need.steps.stop)
            for tensor, at in group.members
            for need in needs[tensor]
        ]
        rects += [
            Rect(at, life[tensor].size, buffer.lifetime.start, buffer.lifetime.stop)
            for tensor, at in group.members
            for buffer in scratch
            if life[tensor].lifetime.overlaps(buffer.lifetime)
        ]
        made.append(Block(tuple(rects)))
    return [*made, *map(_block, scratch)]


def live_profile(graph: Graph, kernels: str, *, aliasing: bool) -> dict[int, int]:
    """Bytes needed at each step, those that tensors of a group share counted once."""
    return live_bytes_of(group_blocks(graph, kernels, aliasing=aliasing))


def live_bytes_of(made: Sequence[Block]) -> dict[int, int]:
    """Bytes that blocks need at each step."""
    live: dict[int, int] = {}
    for block in made:
        for step, nbytes in covered(block).items():
            live[step] = live.get(step, 0) + nbytes
    return live


def covered(block: Block) -> dict[int, int]:
    """The bytes of a block that are needed at each of its steps."""
    if len(block.rects) == 1:
        rect = block.rects[0]
        return dict.fromkeys(range(rect.start, rect.stop), rect.size)
    found: dict[int, list[tuple[int, int]]] = {}
    for rect in block.rects:
        for step in range(rect.start, rect.stop):
            found.setdefault(step, []).append((rect.offset, rect.offset + rect.size))
    return {step: _union(spans) for step, spans in found.items()}


def _union(spans: list[tuple[int, int]]) -> int:
    total, reached = 0, -(10**12)
    for start, stop in sorted(spans):
        total += max(0, stop - max(start, reached))
        reached = max(reached, stop)
    return total


def _block(buffer: Buffer) -> Block:
    return Block((Rect(0, buffer.size, buffer.lifetime.start, buffer.lifetime.stop),))
