"""What stands in the way where no program meets the budget: by how much, which op and tensors."""

from __future__ import annotations

from dataclasses import dataclass

from sim.program import Program

SHOWN = 4
"""The most tensors that are named."""


@dataclass(frozen=True, slots=True)
class Shortfall:
    """`smallest_bytes` is the least budget that something was found for, `over_bytes` how much more

    that is than what was wanted. `step` and `kind` are the op where most is alive, `alive` the
    largest of what is, with bytes; `fixed_bytes` is what the runtime takes beside.
    """

    smallest_bytes: int
    over_bytes: int
    step: int
    kind: str
    alive: tuple[tuple[str, int], ...]
    fixed_bytes: int


def shortfall(program: Program, budget_bytes: int) -> Shortfall:
    """Why the program, the smallest that was found, is larger than the budget."""
    placements, graph = program.plan.placements, program.graph
    required = program.arena().required
    live: dict[int, int] = {}
    for placement in placements:
        for step in range(placement.claim.start, placement.claim.stop):
            live[step] = live.get(step, 0) + placement.span.length
    steps = [s for s in live if 0 <= s < len(graph.ops)]
    worst = max(steps, key=lambda s: (live[s], -s), default=0)
    alive = [
        (f"scratch of op {p.scratch_of}" if p.tensor is None else graph.tensors[p.tensor].name, p)
        for p in placements
        if worst in p.claim
    ]
    alive.sort(key=lambda found: (-found[1].span.length, found[0]))
    return Shortfall(
        smallest_bytes=required,
        over_bytes=required - budget_bytes,
        step=worst,
        kind=graph.ops[worst].kind if graph.ops else "none",
        alive=tuple((name, p.span.length) for name, p in alive[:SHOWN]),
        fixed_bytes=required - program.plan.size_bytes,
    )
