"""Plays a program on a board: SimPy's events in, a trace of spans out."""

from __future__ import annotations

import simpy

from sim.device.board import Board
from sim.engine.bus import Bus
from sim.engine.clock import Clock
from sim.engine.core import Core
from sim.engine.storage import Process, StorageActor
from sim.program import Program
from sim.trace import CORE, Span, Trace
from sim.transfers import transfers


def simulate(program: Program, board: Board, *, frames: int = 1, seed: int = 0) -> Trace:
    """Runs `frames` inferences back to back.

    Raises PolicyError if the program uses a storage that the board lacks. The same program, board,
    frames and seed give the same trace.
    """
    env = Clock()
    moves = transfers(program)
    used = dict.fromkeys(t.storage for t in moves)
    spans: list[Span] = []
    bus = Bus(env, board.bus_bytes_per_s)
    dma = simpy.Resource(env, capacity=board.dma_channels)
    storages = {
        name: StorageActor(env, board.storage(name), bus, dma, seed, spans.append) for name in used
    }
    core = Core(
        env, program.graph, program.cycles(board), board.core.clock_hz, moves, bus, storages,
        spans.append,
    )  # fmt: skip
    times: list[tuple[int, int]] = []

    def play() -> Process:
        for frame in range(frames):
            start_ps = env.now_ps
            yield from core.infer(frame)
            times.append((start_ps, env.now_ps))

    env.process(play())
    env.run()
    spans.sort(key=lambda span: span.stop_ps)
    return Trace(tuple(spans), tuple(times), (CORE, *used))
