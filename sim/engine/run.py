"""Plays a system on a board: SimPy's events in, a report or a trace of spans out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import simpy

from sim.device.board import Board, Storage
from sim.engine.background import Background
from sim.engine.bus import Bus
from sim.engine.clock import Clock
from sim.engine.core import Model
from sim.engine.faults import start_faults
from sim.engine.frames import CAMERA, Filling, Gate, Stream
from sim.engine.machine import Machine
from sim.engine.processor import Processor, Turn
from sim.engine.storage import StorageActor
from sim.errors import PolicyError
from sim.program import Program
from sim.report import Report, summed
from sim.system import SHARED_ARENA, System, input_bytes
from sim.tally import Log, Tally
from sim.trace import CORE, Frame, Span, Trace
from sim.transfers import Transfer, transfers
from sim.workload.workload import BUS_USE, CORE_USE

Moves = dict[str, tuple[Transfer, ...]]
"""The transfers of each model."""


def simulate(program: Program, board: Board, *, frames: int = 1, seed: int = 0) -> Trace:
    """Runs `frames` inferences back to back on a board that does nothing else.

    Raises PolicyError if the program uses a storage that the board lacks. The same program, board,
    frames and seed give the same trace.
    """
    return traced(System(program), board, frames=frames, seed=seed)


def traced(system: System, board: Board, *, frames: int, seed: int) -> Trace:
    """Plays the system and keeps every span; memory grows with the frames. Raises as `play`."""
    spans: list[Span] = []
    records: list[Frame] = []

    def log(*span: object) -> None:
        spans.append(Span(*span))  # type: ignore[arg-type]

    simulation = Simulation(system, board, frames=frames, seed=seed, spans=log, keep=records.append)
    simulation.run()
    spans.sort(key=lambda span: span.stop_ps)
    return Trace(tuple(spans), tuple(records), simulation.actors)


def play(system: System, board: Board, *, frames: int, seed: int) -> Report:
    """Plays the system in memory that does not grow with the frames.

    Raises PolicyError if it uses a storage that the board lacks or one that is too small for its
    slots, SpillwayError if time or bytes are not accounted for.
    """
    simulation = Simulation(system, board, frames=frames, seed=seed)
    simulation.run()
    tally = simulation.machine.tally
    return summed(tally, simulation.actors, simulation.machine.env.now_ps - tally.began_ps)


class Simulation:
    """All actors of a board, ready to run; spans go to `spans` too, and frames to `keep`."""

    def __init__(
        self,
        system: System,
        board: Board,
        *,
        frames: int,
        seed: int,
        spans: Log | None = None,
        keep: Callable[[Frame], None] | None = None,
    ) -> None:
        self.system, self.seed, self.keep = system, seed, keep
        workload, residents = system.workload, system.residents
        programs = {CORE: system.program, **{r.name: r.program for r in residents}}
        moves: Moves = {name: transfers(program) for name, program in programs.items()}
        users = workload.background
        tasks = [user.name for user in users if user.uses == CORE_USE]
        tally = Tally(board, models=programs, tasks=tasks, warm_up=workload.warm_up)
        env = Clock()
        bus = Bus(env, board.bus_bytes_per_s)
        self.machine = Machine(env, board, bus, Processor(env, bus), tally, spans)
        asked = [t.storage for ts in moves.values() for t in ts]
        asked += [user.uses for user in users if user.uses not in (CORE_USE, BUS_USE)]
        self._add_storages([board.storage(name) for name in dict.fromkeys(asked)], moves)
        alone = not users and not residents and workload.camera is None
        models = {
            name: Model(
                self.machine, name, program, moves[name],
                priority=_priority(system, name), alone=alone,
            )
            for name, program in programs.items()
        }  # fmt: skip
        self.streams = self._streams(models, frames)
        self.users = [Background(self.machine, user, seed) for user in users]
        start_faults(env, workload.faults, self.machine.storages, self.streams, seed)
        cameras = [] if workload.camera is None else [CAMERA]
        self.actors = (*programs, *self.machine.storages, *(u.name for u in users), *cameras)

    def run(self) -> None:
        """Until the last frame of the main model is over.

        Raises SpillwayError if a storage's bytes are not accounted for.
        """
        for stream in self.streams:
            stream.begin()
        self.machine.env.play_until(self.streams[0].finished)
        for name, actor in self.machine.storages.items():
            actor.check(self.machine.tally.arrived[name])

    def _add_storages(self, parts: Sequence[Storage], moves: Moves) -> None:
        """An actor for each storage that anybody uses."""
        machine = self.machine
        movers = len(parts) + len(self.system.workload.background) + 1
        channels = machine.board.dma_channels
        dma = simpy.Resource(machine.env, channels) if channels < movers else None
        for part in parts:
            kept = _kept_blocks(part, moves)
            area = part.blocks(part.behaviour.area_bytes)
            if area and area <= kept:
                raise PolicyError(
                    f"storage {part.name}: area: found {part.behaviour.area_bytes} B, wanted more "
                    f"than the {kept * part.block_bytes} B of its slots"
                )
            machine.storages[part.name] = StorageActor(
                machine.env, part, machine.bus, dma, self.seed, machine.log, kept
            )

    def _streams(self, models: dict[str, Model], frames: int) -> list[Stream]:
        """The main model's stream first, with the models that see its frames before it."""
        machine, workload, residents = self.machine, self.system.workload, self.system.residents
        shared = Turn(machine.env)
        roles = {r.name: r.role for r in residents}
        gates = [Gate(models[n], r.gates) for n, r in roles.items() if r.gates is not None]
        camera = None
        if workload.camera is not None:
            nbytes = workload.camera.size_bytes or input_bytes(self.system.program.graph)
            camera = Filling(machine, workload.camera, nbytes)
        made = [
            Stream(
                machine, models[CORE], workload, shared, self.seed, self._done, frames, gates,
                camera,
            )
        ]  # fmt: skip
        for name, role in roles.items():
            if role.arrivals is not None:
                arena = shared if role.arena == SHARED_ARENA else Turn(machine.env)
                own = replace(
                    workload, arrivals=role.arrivals, deadline_ps=role.deadline_ps,
                    priority=role.priority, camera=None,
                )  # fmt: skip
                made.append(Stream(machine, models[name], own, arena, self.seed, self._done))
        return made

    def _done(self, frame: Frame, deadline_ps: int) -> None:
        self.machine.cpu.taken_ps(frame.stop_ps)  # interrupts up to here belong to this frame
        self.machine.tally.frame(frame, deadline_ps)
        if self.keep is not None:
            self.keep(frame)


def _kept_blocks(part: Storage, moves: Moves) -> int:
    """Blocks of a flash chip that the models' slots take."""
    slots = {
        (model, t.slot): t.nbytes
        for model, ts in moves.items()
        for t in ts
        if t.storage == part.name
    }
    return sum(part.blocks(nbytes) for nbytes in slots.values())


def _priority(system: System, name: str) -> int:
    of = {resident.name: resident.role.priority for resident in system.residents}
    return of.get(name, system.workload.priority)
