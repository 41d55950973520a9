"""System: the models of a board and what it lives through; what the engine plays."""

from __future__ import annotations

from dataclasses import dataclass

from sim.graph.graph import Graph
from sim.program import Arena, Program
from sim.workload.arrivals import Arrivals
from sim.workload.workload import IDLE, Workload

SHARED_ARENA, OWN_ARENA = "shared", "own"


@dataclass(frozen=True, slots=True)
class Role:
    """What another model on the board is there for.

    With `gates` it sees each frame before the main model, which then runs for that share of them;
    else it has `arrivals`, `priority` and `deadline_ps` of its own. In a shared arena it never runs
    while another model is under way; with one of its own it may, between that one's ops.
    """

    arena: str = SHARED_ARENA
    gates: float | None = None
    arrivals: Arrivals | None = None
    priority: int = 0
    deadline_ps: int = 0


@dataclass(frozen=True, slots=True)
class Resident:
    """Another model on the board, with its program."""

    name: str
    program: Program
    role: Role


@dataclass(frozen=True, slots=True)
class System:
    """A main program, other residents of the board, and the workload."""

    program: Program
    workload: Workload = IDLE
    residents: tuple[Resident, ...] = ()


def input_bytes(graph: Graph) -> int:
    """Bytes of a model's inputs: what a frame is."""
    return sum(graph.tensors[t].nbytes for t in graph.inputs)


def taken_bytes(residents: tuple[Resident, ...], camera_bytes: int) -> int:
    """SRAM that the main program can't have: buffers, arenas of others, their part of a shared one.

    In a shared arena what persists adds up, and the rest is there for whoever runs.
    """
    return camera_bytes + sum(_taken(resident.program.arena(), resident) for resident in residents)


def _taken(arena: Arena, resident: Resident) -> int:
    return arena.required if resident.role.arena == OWN_ARENA else arena.persistent
