"""MemoryPlan: where each buffer lies in the arena, and the check that nothing is overwritten."""

from __future__ import annotations

from dataclasses import dataclass

from sim.errors import PlanError
from sim.graph.graph import Graph
from sim.ranges import Range


@dataclass(frozen=True, slots=True)
class Placement:
    """Bytes of a tensor (or of an op's scratch: `tensor` is None) at an offset of the arena.

    `claim` are the steps during which nothing else may be written there.
    """

    tensor: int | None
    scratch_of: int | None
    offset_bytes: int
    size_bytes: int
    claim: Range

    @property
    def span(self) -> Range:
        """The bytes of the arena that it takes."""
        return Range(self.offset_bytes, self.offset_bytes + self.size_bytes)


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """Placements in TFLM's order of buffers; `size_bytes` is what TFLM records as the head."""

    placements: tuple[Placement, ...]

    @property
    def size_bytes(self) -> int:
        return max((p.span.stop for p in self.placements), default=0)

    def offset_of(self, tensor: int) -> int | None:
        """The tensor's offset, None if it has no place in the arena."""
        return next((p.offset_bytes for p in self.placements if p.tensor == tensor), None)

    def verify(self, graph: Graph) -> None:
        """Raises PlanError where two placements share a byte at the same step, or one is below 0.

        A dull sweep over the steps that shares nothing with the planners.
        """
        for placement in self.placements:
            if placement.offset_bytes < 0:
                raise PlanError(
                    f"{graph.name}: {describe(placement, graph)}: "
                    f"offset: found {placement.offset_bytes}, wanted 0 or more"
                )
        active: list[Placement] = []
        taking = [p for p in self.placements if p.size_bytes]
        for placement in sorted(taking, key=lambda p: (p.claim.start, p.claim.stop)):
            active = [p for p in active if p.claim.stop > placement.claim.start]
            for other in active:
                if other.span.overlaps(placement.span) and other.claim.overlaps(placement.claim):
                    raise PlanError(
                        f"{graph.name}: {describe(placement, graph)} overwrites "
                        f"{describe(other, graph)} while it is needed"
                    )
            active.append(placement)


def describe(placement: Placement, graph: Graph) -> str:
    """A placement in words, for errors and tables."""
    name = (
        f"scratch of op {placement.scratch_of}"
        if placement.tensor is None
        else f"tensor {graph.tensors[placement.tensor].name!r}"
    )
    span, claim = placement.span, placement.claim
    return f"{name} (bytes {span.start}..{span.stop}, steps {claim.start}..{claim.stop})"
