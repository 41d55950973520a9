"""A quick estimate of a rewritten graph, before it is placed and simulated."""

from __future__ import annotations

from dataclasses import dataclass

from sim.device.board import Board
from sim.device.cost import op_cycles
from sim.graph.graph import Graph
from sim.plan.blocks import puzzle
from sim.plan.packer import pack
from sim.policy import Goal

MOST_OPS = 1500
CANDIDATES = 3


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a rewritten graph takes, before it is placed: bytes and cycles."""

    activations: int
    required: int
    cycles: int


def estimate(graph: Graph, board: Board, goal: Goal, *, packed: bool = False) -> Estimate:
    """Live bytes of the groups, TFLM's own bytes exactly, and cycles without transfers.

    With `packed`, the bytes of a placement in the stead of live bytes.
    """
    made = puzzle(graph, goal.kernels, aliasing=goal.aliasing)
    head = made.floor()
    if packed:
        head = pack(made.blocks, made.apart, floor=head).size_bytes
    cycles = sum(op_cycles(graph, op, board) for op in graph.ops)
    return Estimate(head, goal.target.required(graph, head), cycles)
