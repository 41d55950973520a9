"""Spillway on the same models: at the same budgets, with the same storage, on the same boards."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.peers.process import Ran, our_tool, run
from benchmarks.peers.rows import Row
from sim.compare import Outcome, compare
from sim.device.board import Board
from sim.engine.run import play
from sim.errors import SpillwayError
from sim.graph.graph import Graph
from sim.graph.macs import macs
from sim.plan.runtime import STATIC, Runtime
from sim.policy import Choice, Goal, parse_choice, written_choice
from sim.program import pack_graph, place
from sim.units import cycles_to_ps

NAME = "ours"
NO_BUDGET = 1 << 40

Tell = Callable[[str], None]


def budget_row(
    path: Path, graph: Graph, board: Board, budget: int, policies: Sequence[str], tell: Tell
) -> Row:
    """The best of the policies for the least latency within the budget, its process timed.

    The runtime is static, as TiGrIS's budget counts its pool of tensors only.
    """
    goal = Goal(budget, "latency", runtime=STATIC)
    try:
        found = _best(graph, board, goal, policies, tell)
    except SpillwayError as error:
        return Row(NAME, budget, note=str(error))
    seconds = _process(path, board, goal, policies).seconds
    assert found.report is not None
    return replace(
        _row(found, budget, seconds),
        latency_ps={board.name: found.report.latency.mean_ps},
        note=found.choice.label if len(policies) > 1 else "",
    )


def no_storage_row(graph: Graph, board: Board, policies: Sequence[str], tell: Tell) -> Row:
    """The least activations that the policies come to without any storage."""
    goal = Goal(NO_BUDGET, "activations", runtime=STATIC)
    try:
        found = _best(graph, replace(board, storages=()), goal, policies, tell)
    except SpillwayError as error:
        return Row(f"{NAME}, alone", note=str(error))
    return replace(_row(found, None, None), tool=f"{NAME}, alone")


def tflm_row(graph: Graph, boards: Sequence[Board]) -> Row:
    """The unmodified model as TFLM places it, with the arena that we say it requires."""
    program = place(graph)
    arena = program.arena()
    return Row(
        "TFLM",
        activations=arena.activations,
        required=arena.required,
        macs=sum(macs(graph, op) for op in graph.ops),
        latency_ps={board.name: compute_ps(graph, board) for board in boards},
        note="unmodified; times are of computing alone, without an interpreter",
    )


def plan_row(graph: Graph) -> Row:
    """The unmodified graph, its tensors packed, with views and results inside their sources."""
    program, packing = pack_graph(graph)
    return Row(
        f"{NAME}, plan",
        activations=program.plan.size_bytes,
        required=program.arena().required,
        note="the least there is" if packing.optimal else "",
    )


def compute_ps(graph: Graph, board: Board) -> int:
    """Time to compute the unmodified graph, nothing spilled and no copies where none is needed."""
    program, _ = pack_graph(graph, Runtime(STATIC))
    return sum(cycles_to_ps(cycles, board.core.clock_hz) for cycles in program.cycles(board))


def only(board: Board, storage: str) -> Board:
    """The board with that storage and no other."""
    return replace(board, storages=(board.storage(storage),))


def _best(graph: Graph, board: Board, goal: Goal, policies: Sequence[str], tell: Tell) -> Outcome:
    choices: list[Choice] = [parse_choice(text) for text in policies]
    return compare(graph, board, goal, choices, play, progress=tell).best


def _row(found: Outcome, budget: int | None, seconds: float | None) -> Row:
    assert found.program is not None and found.arena is not None and found.report is not None
    graph = found.program.graph
    return Row(
        NAME,
        budget,
        activations=found.arena.activations,
        required=found.arena.required,
        written=sum(moved.written for moved in found.report.moved.values()),
        read=sum(moved.read for moved in found.report.moved.values()),
        macs=sum(macs(graph, op) for op in graph.ops),
        seconds=seconds,
        more={
            "policy": written_choice(found.choice.policies),
            "ops": len(graph.ops),
            "stall_ps": found.report.total_stall_ps,
        },
    )


def _process(path: Path, board: Board, goal: Goal, policies: Sequence[str]) -> Ran:
    """`sim compare` from start to end, on the board with all of its storages."""
    named = [word for text in policies for word in ("--policy", text)]
    return run(
        our_tool("sim"), "compare", str(path), "--board", board.name,
        "--sram", f"{goal.sram_bytes}B", "--runtime", goal.runtime, *named, "--json",
    )  # fmt: skip
