"""plan: the same ops in the same order, placed as well as the packer can, as an offline plan."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from sim.device.board import Board
from sim.graph.graph import Graph
from sim.graph.rewrite import drop_dead_tensors
from sim.policy import Goal, Policy


@dataclass(frozen=True, slots=True)
class Plan:
    """Costs no time: only the offsets change, and tensors that nothing uses are dropped."""

    name: ClassVar[str] = "plan"
    summary: ClassVar[str] = "the same ops, placed by the packer as an offline plan"
    packs: ClassVar[bool] = True

    def apply(self, graph: Graph, board: Board, goal: Goal) -> Graph:
        return drop_dead_tensors(graph)

    def candidates(self, graph: Graph, board: Board, goal: Goal) -> Iterator[Policy]:
        yield self
