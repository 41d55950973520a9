"""Other users of the board: tasks and interrupts, DMA on the bus, requests to storages."""

from __future__ import annotations

import random

import simpy

from sim.engine.bus import Use
from sim.engine.clock import Alarm, Process
from sim.engine.machine import Machine
from sim.engine.storage import Request
from sim.trace import CARRY, FETCH, OTHERS, SPILL, STALL, TASK
from sim.units import PS_PER_S, bytes_to_ps
from sim.workload.workload import BUS_USE, CORE_USE, User


class Background:
    """One user: asks at its instants, and is served one request after another.

    `left_out` counts the requests for which too many were waiting already.
    """

    def __init__(self, machine: Machine, user: User, seed: int) -> None:
        self.machine, self.user = machine, user
        self.env, self.cpu, self.bus = machine.env, machine.cpu, machine.bus
        self.owed = self.left_out = 0
        self.wake: simpy.Event | None = None
        self.use = Use(user.priority)
        instants = user.arrivals.instants(random.Random(f"{seed}/{user.name}"))
        if user.interrupt:
            self.cpu.add_interrupts(instants, user.work_ps, self._interrupted)
        else:
            Alarm(self.env, instants, self._ask)
            self.env.process(self._serve())

    def _interrupted(self, start_ps: int, stop_ps: int) -> None:
        if self.machine.spans is None:
            self.machine.tally.busy[self.user.name] += stop_ps - start_ps
        else:
            self._log(start_ps, stop_ps, TASK)

    def _ask(self) -> None:
        if self.owed >= self.user.queue:
            self.left_out += 1
            return
        self.owed += 1
        if self.wake is not None:
            wake, self.wake = self.wake, None
            wake.succeed()

    def _serve(self) -> Process:
        uses = self.user.uses
        serve = {CORE_USE: self._task, BUS_USE: self._carry}.get(uses, self._transfer)
        while True:
            if not self.owed:
                self.wake = self.env.event()
                yield self.wake
            yield from serve()
            self.owed -= 1

    def _get_core(self) -> Process:
        if not self.cpu.take():
            yield self.cpu.turn(self.user.priority)

    def _task(self) -> Process:
        yield from self._get_core()
        start_ps, work_ps = self.env.now_ps, self.user.work_ps
        demand = self.user.size_bytes * PS_PER_S // max(1, work_ps)
        yield from self.cpu.work(self.use, demand, work_ps)
        self.cpu.release()
        self._log(start_ps, start_ps + work_ps, TASK)
        for cause, since_ps, until_ps in self.use.losses(start_ps + work_ps):
            self._log(since_ps, until_ps, STALL, cause=cause)

    def _carry(self) -> Process:
        user, start_ps = self.user, self.env.now_ps
        work_ps = bytes_to_ps(user.size_bytes, user.bytes_per_s)
        self.use.begin(user.bytes_per_s, work_ps, start_ps)
        yield from self.bus.carry(self.use)
        self._log(start_ps, self.env.now_ps, CARRY, user.size_bytes)

    def _transfer(self) -> Process:
        """A request to a storage; the core itself copies where no DMA serves that."""
        user, storage = self.user, self.machine.storages[self.user.uses]
        copies = not storage.storage.dma
        if copies:
            yield from self._get_core()
        request = Request(
            SPILL if user.writes else FETCH, user.size_bytes, user.name, user.name, OTHERS, -1,
            user.priority, self.env.event(),
        )  # fmt: skip
        storage.start(request)
        yield request.done
        if copies:
            self.cpu.release()
            self._log(request.started_ps, self.env.now_ps, TASK)

    def _log(
        self, start_ps: int, stop_ps: int, kind: str, nbytes: int = 0, cause: str = ""
    ) -> None:
        name = self.user.name
        self.machine.log(start_ps, stop_ps, name, kind, name, OTHERS, -1, nbytes, cause)
