"""From a scenario to what is compared: the board as it is there, its other models, what is left."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sim.compare import Progress, compare
from sim.device.board import Board
from sim.device.loader import load_board_with
from sim.errors import CannotFitError, PolicyError
from sim.graph.graph import Graph
from sim.graph.tflite_reader import read_bytes
from sim.policy import Goal
from sim.result import Source, read_source
from sim.scenario import Companion, Scenario
from sim.seeds import Play
from sim.system import Resident, input_bytes, taken_bytes
from sim.trace import is_lane
from sim.workload.workload import BUS_USE, CORE_USE, Camera


@dataclass(frozen=True, slots=True)
class Prepared:
    """A scenario with everything found; the goal's SRAM is what cameras and other models leave."""

    source: Source
    graph: Graph
    board: Board
    goal: Goal
    residents: tuple[Resident, ...]


def prepare(scenario: Scenario, play: Play, progress: Progress) -> Prepared:
    """Reads the scenario's files and finds out how its other models run.

    Raises ConfigError, ModelError or PolicyError where something is missing or wrong, and
    CannotFitError if cameras and other models leave no SRAM.
    """
    board = load_board_with(scenario.board, scenario.profile)
    try:
        for name, changes in scenario.moods.items():
            board = board.with_behaviour(name, changes)
        _check(scenario, board)
    except PolicyError as error:
        raise PolicyError(f"{scenario.file}: {error}") from None
    source = read_source(scenario.model)
    graph = read_bytes(source.data, source.path)
    sram_bytes = scenario.sram_bytes or board.largest_usable_bytes
    goal = Goal(
        sram_bytes, scenario.minimize, scenario.kernels, scenario.runtime, scenario.energy_pj
    )
    camera = scenario.workload.camera
    buffers = _buffer_bytes(camera, graph, board)
    residents: tuple[Resident, ...] = ()
    for companion in scenario.companions:
        progress(f"placing {companion.name}")
        left = replace(goal, sram_bytes=sram_bytes - taken_bytes(residents, buffers), energy_pj=0)
        residents += (_resident(companion, board, left, play),)
    taken = taken_bytes(residents, buffers)
    if taken >= sram_bytes:
        raise CannotFitError(
            f"{scenario.file}: SRAM: cameras and other models take {taken:,} B, "
            f"wanted less than the {sram_bytes:,} B there are"
        )
    left = replace(goal, sram_bytes=sram_bytes - taken)
    return Prepared(source, graph, board, left, residents)


def _check(scenario: Scenario, board: Board) -> None:
    """Raises PolicyError if a storage is named that the board lacks, or a name that is taken."""
    workload = scenario.workload
    taken = {CORE_USE, BUS_USE, "camera", *(storage.name for storage in board.storages)}
    for name in (*(c.name for c in scenario.companions), *(u.name for u in workload.background)):
        if name in taken or is_lane(name):
            raise PolicyError(f"name: found {name!r}, wanted one that nobody else has")
        taken.add(name)
    for user in workload.background:
        if user.uses not in (CORE_USE, BUS_USE):
            board.storage(user.uses)
    for fault in workload.faults:
        if fault.on:
            board.storage(fault.on)


def _buffer_bytes(camera: Camera | None, graph: Graph, board: Board) -> int:
    """What the camera's buffers take of the arena's bank.

    Raises PolicyError if the board lacks the memory that they are to lie in, or DMA can't reach it.
    """
    if camera is None:
        return 0
    memory = board.memory(camera.memory) if camera.memory else board.arena_memory
    size = camera.size_bytes or input_bytes(graph)
    if not memory.dma:
        raise PolicyError(f"camera: memory: found {memory.name!r}, wanted one that DMA reaches")
    if camera.buffers * size > memory.usable_bytes:
        raise CannotFitError(
            f"camera: found {camera.buffers} buffers of {size:,} B, wanted no more than the "
            f"{memory.usable_bytes:,} B of {memory.name}"
        )
    return camera.buffers * size if memory == board.arena_memory else 0


def _resident(companion: Companion, board: Board, goal: Goal, play: Play) -> Resident:
    source = read_source(companion.model)
    graph = read_bytes(source.data, source.path)
    best = compare(graph, board, goal, [companion.choice], play).best
    assert best.program is not None
    return Resident(companion.name, best.program, companion.role)
