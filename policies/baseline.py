"""baseline: the model as it is, placed by TFLM itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from sim.device.board import Board
from sim.graph.graph import Graph
from sim.policy import Goal, Policy


@dataclass(frozen=True, slots=True)
class Baseline:
    """What everybody gets today; the yardstick of the others."""

    name: ClassVar[str] = "baseline"
    summary: ClassVar[str] = "the model as it is, placed by TFLM at run time"
    packs: ClassVar[bool] = False

    def apply(self, graph: Graph, board: Board, goal: Goal) -> Graph:
        return graph

    def candidates(self, graph: Graph, board: Board, goal: Goal) -> Iterator[Policy]:
        yield self
