"""How long a program takes, about: transfers against ops in one pass, without events.

The order is the engine's: an op waits at its fences, then runs, then starts its transfer; a storage
serves one transfer after another. What the bus slows down is left out, and a storage that is busy
now and then is taken to be so for its mean.
"""

from __future__ import annotations

from dataclasses import dataclass

from sim.device.board import Board, Storage
from sim.program import Program
from sim.trace import SPILL
from sim.transfers import fences, transfers
from sim.units import cycles_to_ps


@dataclass(frozen=True, slots=True)
class Timing:
    """One inference: picoseconds in all, of them waited; picojoules; bytes moved."""

    latency_ps: int
    stall_ps: int
    energy_pj: int
    moved: int


def timing(program: Program, board: Board) -> Timing:
    """The estimate. Raises PolicyError if the program uses a storage that the board lacks."""
    moves = {move.step: move for move in transfers(program)}
    waits = fences(tuple(moves.values()), len(program.graph.ops))
    work = [cycles_to_ps(n, board.core.clock_hz) for n in program.cycles(board)]
    now = stall = energy = moved = 0
    free: dict[str, int] = {}
    done: dict[int, int] = {}
    for step, busy in enumerate(work):
        ready = max((done[s] for s in waits[step]), default=0)
        stall += max(0, ready - now)
        now = max(now, ready) + busy
        move = moves.get(step)
        if move is None:
            continue
        storage, writes = board.storage(move.storage), move.kind == SPILL
        start = max([now, free.get(storage.name, 0), *(done[s] for s in move.after)])
        start += _mean_busy_ps(storage, writes)
        took = storage.write_ps(move.nbytes) if writes else storage.read_ps(move.nbytes)
        free[storage.name] = done[step] = start + took
        moved += move.nbytes
        energy += storage.write_pj(move.nbytes) if writes else storage.read_pj(move.nbytes)
        if not storage.dma:
            stall += start - now
            now = start + took
        elif writes and storage.stalls_core:
            stall += start + took - now
            now = start + took
    ready = max((done[s] for s in waits[-1]), default=0)
    stall += max(0, ready - now)
    now = max(now, ready)
    core = board.core.active_uw * (now - stall) + board.core.waiting_uw * stall
    return Timing(now, stall, energy + core // 10**6, moved)


def _mean_busy_ps(storage: Storage, writes: bool) -> int:
    busy = storage.busy
    if busy is None or not busy.meets(writing=writes):
        return 0
    shares = range(5, 100, 10)
    return int(busy.probability * sum(busy.quantile_ps(s / 100) for s in shares) / len(shares))
