"""What stands in the way where no program meets the budget: by how much, which op and tensors."""

from __future__ import annotations

from dataclasses import dataclass

from sim.memory_map import memory_map
from sim.program import Program

SHOWN = 4
"""The most tensors that are named."""


@dataclass(frozen=True, slots=True)
class Shortfall:
    """What stands in the way: the parts add up to `smallest_bytes`.

    That is the least budget that something was found for, by `over_bytes` more than what was
    wanted. `step`, `kind` and, in words, `where` are the op where most is alive: `alive` the
    largest of what is, with bytes, `others` how many more and their bytes, less `overlap_bytes`
    that lie in several. `idle_bytes` of the arena are not in use then, `fixed_bytes` are the
    runtime's.
    """

    smallest_bytes: int
    over_bytes: int
    step: int
    kind: str
    where: str
    alive: tuple[tuple[str, int], ...]
    others: tuple[int, int]
    overlap_bytes: int
    idle_bytes: int
    fixed_bytes: int


def shortfall(program: Program, budget_bytes: int) -> Shortfall:
    """Why the program, the smallest that was found, is larger than the budget."""
    found = memory_map(program)
    worst = max(found.steps, key=lambda step: (step.live_bytes, -step.number))
    alive = [(b.name, b.span.length) for b in found.alive(worst.number)]
    return Shortfall(
        smallest_bytes=found.arena.required,
        over_bytes=found.arena.required - budget_bytes,
        step=worst.number,
        kind=worst.kind,
        where=worst.where,
        alive=tuple(alive[:SHOWN]),
        others=(len(alive[SHOWN:]), sum(nbytes for _, nbytes in alive[SHOWN:])),
        overlap_bytes=found.overlap_bytes(worst.number),
        idle_bytes=found.peak_bytes - worst.live_bytes,
        fixed_bytes=found.arena.required - found.peak_bytes,
    )
