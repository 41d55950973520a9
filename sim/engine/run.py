"""Plays a system on a board: SimPy's events in, a report or a trace of spans out."""

from __future__ import annotations

from dataclasses import replace

import simpy

from sim.device.board import Board, Storage
from sim.engine.background import Background
from sim.engine.bus import Bus
from sim.engine.clock import Clock
from sim.engine.core import Model
from sim.engine.faults import start_faults
from sim.engine.frames import CAMERA, Filling, Gate, Stream
from sim.engine.processor import Processor, Turn
from sim.engine.storage import StorageActor
from sim.errors import PolicyError
from sim.program import Program
from sim.report import Report, summed
from sim.system import SHARED_ARENA, Resident, System
from sim.tally import Log, Tally
from sim.trace import CORE, Frame, Span, Trace
from sim.transfers import Transfer, transfers
from sim.workload.workload import BUS_USE, CORE_USE


def simulate(program: Program, board: Board, *, frames: int = 1, seed: int = 0) -> Trace:
    """Runs `frames` inferences back to back on a board that does nothing else.

    Raises PolicyError if the program uses a storage that the board lacks. The same program, board,
    frames and seed give the same trace.
    """
    return traced(System(program), board, frames=frames, seed=seed)


def traced(system: System, board: Board, *, frames: int, seed: int) -> Trace:
    """Plays the system and keeps every span; memory grows with the frames."""
    spans: list[Span] = []
    records: list[Frame] = []

    def log(
        start_ps: int, stop_ps: int, actor: str, kind: str, subject: str, frame: int, step: int,
        nbytes: int, cause: str, /,
    ) -> None:  # fmt: skip
        spans.append(Span(start_ps, stop_ps, actor, kind, subject, frame, step, nbytes, cause))

    simulation = Simulation(system, board, frames=frames, seed=seed, log=log, keep=records.append)
    simulation.run()
    spans.sort(key=lambda span: span.stop_ps)
    return Trace(tuple(spans), tuple(records), simulation.actors)


def play(system: System, board: Board, *, frames: int, seed: int) -> Report:
    """Plays the system in memory that does not grow with the frames.

    Raises PolicyError if it uses a storage that the board lacks, SpillwayError if time or bytes
    are not accounted for.
    """
    simulation = Simulation(system, board, frames=frames, seed=seed)
    simulation.run()
    tally = simulation.tally
    return summed(tally, simulation.actors, simulation.env.now_ps - tally.began_ps)


class Simulation:
    """All actors of a board, ready to run; spans go to `log` too, and frames to `keep`."""

    def __init__(
        self,
        system: System,
        board: Board,
        *,
        frames: int,
        seed: int,
        log: Log | None = None,
        keep: object = None,
    ) -> None:
        self.env, self.system, self.board, self.seed = Clock(), system, board, seed
        self.keep = keep
        workload, residents = system.workload, system.residents
        models = (CORE, *(r.name for r in residents))
        self.tally = Tally(board, models=models, warm_up=workload.warm_up)
        self.log = self.tally.add if log is None else _both(self.tally.add, log)
        self.bus = Bus(self.env, board.bus_bytes_per_s)
        self.cpu = Processor(self.env, self.bus)
        moves = {name: transfers(p) for name, p in _programs(system)}
        used = dict.fromkeys(t.storage for ts in moves.values() for t in ts)
        others = [u.uses for u in workload.background if u.uses not in (CORE_USE, BUS_USE)]
        parts = [board.storage(name) for name in dict.fromkeys((*used, *others))]
        self.storages = self._storages(parts, moves)
        self.actors = (*models, *(p.name for p in parts), *(u.name for u in workload.background))
        made = {
            name: Model(
                self.env, name, program, board, moves[name], self.cpu, self.bus, self.storages,
                self.log, _priority(system, name),
            )
            for name, program in _programs(system)
        }  # fmt: skip
        shared = Turn(self.env)
        gates = [Gate(made[r.name], r.gates) for r in residents if r.gates is not None]
        self.main = self._stream(made[CORE], workload, shared, frames, gates)
        self.streams = [self.main]
        for resident in residents:
            if resident.arrivals is not None:
                arena = shared if resident.arena == SHARED_ARENA else Turn(self.env)
                own = _own_workload(system, resident)
                self.streams.append(self._stream(made[resident.name], own, arena, None, ()))
        if workload.camera is not None:
            nbytes = workload.camera.size_bytes or input_bytes(system)
            self.main.camera = Filling(self.env, workload.camera, nbytes, self.bus, self.log)
            self.main.room = None
            self.actors += (CAMERA,)
        self.users = [
            Background(self.env, user, self.cpu, self.bus, self.storages, seed, self.log)
            for user in workload.background
        ]
        start_faults(self.env, workload.faults, self.storages, self.streams, seed)

    def run(self) -> None:
        """Until the last frame of the main model is over.

        Raises SpillwayError if a storage's bytes are not accounted for.
        """
        for stream in self.streams:
            stream.begin()
        self.env.run(until=self.main.finished)
        for name, actor in self.storages.items():
            actor.check(self.tally.arrived[name])

    def _storages(
        self, parts: list[Storage], moves: dict[str, tuple[Transfer, ...]]
    ) -> dict[str, StorageActor]:
        movers = len(parts) + len(self.system.workload.background) + 1
        channels = self.board.dma_channels
        dma = simpy.Resource(self.env, channels) if channels < movers else None
        made = {}
        for part in parts:
            slots = {
                (name, t.slot): t.nbytes
                for name, ts in moves.items()
                for t in ts
                if t.storage == part.name
            }
            kept = sum(part.blocks(nbytes) for nbytes in slots.values())
            behaviour = part.behaviour
            if behaviour.area_bytes and part.blocks(behaviour.area_bytes) <= kept:
                raise PolicyError(
                    f"storage {part.name}: area: found {behaviour.area_bytes} B, wanted more than "
                    f"the {kept * part.block_bytes} B of its slots"
                )
            made[part.name] = StorageActor(
                self.env, part, self.bus, dma, self.seed, self.log, kept
            )
        return made

    def _stream(
        self, model: Model, workload: object, arena: Turn, frames: int | None, gates: object
    ) -> Stream:
        return Stream(
            self.env, model, workload, arena, self.seed, self.tally, self._done, frames, gates
        )

    def _done(self, frame: Frame, deadline_ps: int) -> None:
        self.tally.frame(frame, deadline_ps)
        if self.keep is not None:
            self.keep(frame)


def input_bytes(system: System) -> int:
    """Bytes of the main model's inputs: what a frame is."""
    graph = system.program.graph
    return sum(graph.tensors[t].nbytes for t in graph.inputs)


def _programs(system: System) -> list[tuple[str, Program]]:
    return [(CORE, system.program), *((r.name, r.program) for r in system.residents)]


def _priority(system: System, name: str) -> int:
    of = {resident.name: resident.priority for resident in system.residents}
    return of.get(name, system.workload.priority)


def _own_workload(system: System, resident: Resident) -> object:
    assert resident.arrivals is not None
    return replace(
        system.workload,
        arrivals=resident.arrivals,
        deadline_ps=resident.deadline_ps,
        priority=resident.priority,
        camera=None,
    )


def _both(first: Log, second: Log) -> Log:
    def log(*span: object) -> None:
        first(*span)
        second(*span)

    return log
