"""Blocks that have nothing to do with one another can be packed apart: each part by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sim.plan.packing.block import Apart, Block
from sim.plan.packing.problem import Problem

Part = tuple[list[int], list[Block], list[Apart]]
"""Indices of blocks, these blocks, and their further distances, counted among them alone."""


def components(problem: Problem, blocks: Sequence[Block], apart: Sequence[Apart]) -> list[Part]:
    """The blocks in groups, such that no block keeps a distance to one of another group."""
    home = [-1] * len(blocks)
    groups: list[list[int]] = []
    for first in range(len(blocks)):
        if home[first] >= 0:
            continue
        group, home[first] = [first], len(groups)
        for block in group:  # grows meanwhile
            for near in problem.neighbours[block]:
                if home[near] < 0:
                    home[near] = len(groups)
                    group.append(near)
        groups.append(sorted(group))
    inside: list[list[Apart]] = [[] for _ in groups]
    place = {block: at for group in groups for at, block in enumerate(group)}
    for a in apart:
        if home[a.first] == home[a.second]:
            moved = replace(a, first=place[a.first], second=place[a.second])
            inside[home[a.first]].append(moved)
    return [
        (group, [blocks[i] for i in group], kept)
        for group, kept in zip(groups, inside, strict=True)
    ]
