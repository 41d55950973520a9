"""The frames of one model: they arrive, wait for room, run, and come to an end that is counted."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import simpy

from sim.engine.bus import Use, rate
from sim.engine.clock import Process, Task
from sim.engine.core import Model
from sim.engine.machine import Machine
from sim.engine.processor import Turn
from sim.errors import SpillwayError
from sim.trace import (
    BROWNED_OUT,
    FILL,
    NO_BUFFER,
    OTHERS,
    QUEUE_FULL,
    TOO_LATE,
    Frame,
)
from sim.units import PS_PER_S, format_time
from sim.workload.workload import OLDEST, RECOMPUTE, SKIP, Camera, Workload

CAMERA = "camera"
PATIENCE, PATIENCE_PS = 100, 60 * PS_PER_S
"""A frame that takes longer than this many times its work and this is taken to never end."""

Done = Callable[[Frame, int], None]


@dataclass(slots=True)
class Waiting:
    """A frame that has arrived and has not begun."""

    index: int
    arrived_ps: int


@dataclass(frozen=True, slots=True)
class Gate:
    """A model that sees each frame first and lets a share of them through to the next."""

    model: Model
    share: float


class Stream:
    """Serves the frames of `model` one after another; `finished` is triggered by the last one.

    `arena` is held while a frame runs, so that models which share one never run at a time.
    `count` None: frames come for ever. `done` takes each frame that is over, and its deadline.
    """

    def __init__(
        self,
        machine: Machine,
        model: Model,
        workload: Workload,
        arena: Turn,
        seed: int,
        done: Done,
        count: int | None = None,
        gates: Sequence[Gate] = (),
        camera: Filling | None = None,
    ) -> None:
        self.env, self.tally, self.model = machine.env, machine.tally, model
        self.workload, self.arena, self.done = workload, arena, done
        self.count, self.gates, self.camera = count, gates, camera
        self.random = random.Random(f"{seed}/{model.actor}/gates")
        self.arrivals = workload.arrivals.instants(random.Random(f"{seed}/{model.actor}/frames"))
        self.attempts = 1 + (workload.attempts if workload.fallback == RECOMPUTE else 0)
        self.queue: deque[Waiting] = deque()
        self.room = workload.queue if camera is None else None
        self.wake: simpy.Event | None = None
        self.running = self.off = False
        self.brown_out_ps: int | None = None
        self.over = 0
        self.finished = self.env.event()

    def begin(self) -> None:
        """Lets the frames come."""
        if self.workload.paced:
            self.env.process(self._arrive())
        self.env.process(self._work())
        if not self.model.alone:
            self.env.process(self._watch())

    def _watch(self) -> Process:
        """Raises SpillwayError if a frame never comes to its end, since others leave it no room."""
        limit_ps = PATIENCE_PS + PATIENCE * sum(self.model.works_ps)
        seen = -1
        while not self.finished.triggered:
            yield self.env.timeout(limit_ps)
            if self.running and self.over == seen:
                raise SpillwayError(
                    f"{self.model.actor}: frame {self.over} has been running for more than "
                    f"{format_time(limit_ps)}: others with more priority ask for more than the "
                    "core or a storage can do"
                )
            seen = self.over

    def brown_out(self, lasts_ps: int) -> None:
        """The board starts anew before the next frame."""
        self.brown_out_ps = max(lasts_ps, self.brown_out_ps or 0)
        self._wake_up()

    def offer(self, frame: Waiting) -> None:
        """A frame is there; it waits, or takes the room of the oldest, or is lost."""
        if self.off:
            self._lose(frame, BROWNED_OUT)
            return
        next_in_line = not self.running
        if self.room is not None and len(self.queue) >= self.room + next_in_line:
            if self.workload.drop == OLDEST and self.queue:
                self._lose(self.queue.popleft(), QUEUE_FULL)
            else:
                self._lose(frame, QUEUE_FULL)
                return
        self.queue.append(frame)
        self._wake_up()

    def _arrive(self) -> Process:
        arrived = 0
        for index, at_ps in enumerate(self.arrivals):
            if index == self.count:
                return
            yield self.env.until(at_ps)
            frame = Waiting(index, self.env.now_ps)
            if self.camera is None:
                self.offer(frame)
            elif self.off:
                self._lose(frame, BROWNED_OUT, buffered=False)
            elif self._has_buffer():
                self.camera.fill(frame, self.offer)
            else:
                self._lose(frame, NO_BUFFER, buffered=False)
            arrived = index + 1
        self.count = arrived  # a file of instants may hold fewer than were asked for
        self._end()

    def _has_buffer(self) -> bool:
        """Whether the camera has a buffer; the oldest frame that waits may have to give up its."""
        assert self.camera is not None
        if not self.camera.free and self.workload.drop == OLDEST and self.queue:
            self._lose(self.queue.popleft(), NO_BUFFER)
        return self.camera.free > 0

    def _work(self) -> Process:
        """Runs whatever frame comes next, after those that see it first."""
        env, arena, model = self.env, self.arena, self.model
        while self.count is None or self.over < self.count:
            frame = yield from self._next()
            self.running = True
            if not arena.take():
                yield arena.turn(self.workload.priority)
            if not self.gates or (yield from self._let_through(frame)):
                lost, runs = "not run", 0
                while lost and runs < self.attempts:
                    runs += 1
                    start_ps = env.now_ps
                    lost = yield from model.infer(frame.index)
                    self.tally.inference(model.actor, start_ps, env.now_ps)
                self._over(frame, start_ps, lost, runs)
            arena.release()
            self.running = False
            self._let_go()

    def _next(self) -> Task[Waiting]:
        """Waits for a frame that is to be run; those that are too late are lost on the way."""
        while True:
            if self.brown_out_ps is not None:
                yield from self._start_anew()
            elif not self.workload.paced:
                return Waiting(self.over, self.env.now_ps)
            elif self.queue:
                frame = self.queue.popleft()
                if not self._too_late(frame):
                    return frame
                self._lose(frame, TOO_LATE)
            else:
                self.wake = self.env.event()
                yield self.wake

    def _let_through(self, frame: Waiting) -> Task[bool]:
        """Whether all models that see the frame first let it through to the main one."""
        for gate in self.gates:
            start_ps = self.env.now_ps
            lost = yield from gate.model.infer(frame.index)
            self.tally.inference(gate.model.actor, start_ps, self.env.now_ps)
            self._over(frame, start_ps, lost, 1, gate.model.actor)
            if lost or self.random.random() >= gate.share:
                return False
        return True

    def _too_late(self, frame: Waiting) -> bool:
        limit_ps = self.workload.deadline_ps
        skips = self.workload.late == SKIP and limit_ps > 0
        return skips and self.env.now_ps - frame.arrived_ps > limit_ps

    def _start_anew(self) -> Process:
        lasts_ps, self.brown_out_ps = self.brown_out_ps or 0, None
        while self.queue:
            self._lose(self.queue.popleft(), BROWNED_OUT)
        self.off = True
        yield self.env.timeout(lasts_ps)
        self.off = False

    def _lose(self, frame: Waiting, reason: str, *, buffered: bool = True) -> None:
        now_ps = self.env.now_ps
        self._over(frame, now_ps, reason, 0)
        self._let_go(buffered=buffered)

    def _over(
        self, frame: Waiting, start_ps: int, lost: str, runs: int, model: str | None = None
    ) -> None:
        """Tells what became of a frame, in the main model or in one that sees it first."""
        deadline_ps = self.workload.deadline_ps if model is None else 0
        name = self.model.actor if model is None else model
        self.done(
            Frame(frame.index, frame.arrived_ps, start_ps, self.env.now_ps, lost, runs, name),
            deadline_ps,
        )

    def _let_go(self, *, buffered: bool = True) -> None:
        """A frame is over."""
        self.over += 1
        if self.camera is not None and buffered:
            self.camera.free += 1
        self._end()

    def _end(self) -> None:
        """Tells when the last frame is over."""
        if self.over == self.count and not self.finished.triggered:
            self.finished.succeed()
            self._wake_up()

    def _wake_up(self) -> None:
        if self.wake is not None:
            wake, self.wake = self.wake, None
            wake.succeed()


class Filling:
    """The camera's DMA: fills one buffer at a time, over the bus."""

    def __init__(self, machine: Machine, camera: Camera, nbytes: int) -> None:
        self.machine, self.camera, self.nbytes = machine, camera, nbytes
        self.env, self.bus = machine.env, machine.bus
        self.free = camera.buffers
        self.turn = Turn(self.env)

    def fill(self, frame: Waiting, offer: Callable[[Waiting], None]) -> None:
        """Takes a free buffer and offers the frame when it is full."""
        self.free -= 1
        self.env.process(self._fill(frame, offer))

    def _fill(self, frame: Waiting, offer: Callable[[Waiting], None]) -> Process:
        if not self.turn.take():
            yield self.turn.turn(0)
        start_ps, fill_ps = self.env.now_ps, self.camera.fill_ps
        if fill_ps:
            use = Use()
            use.begin(rate(self.nbytes, fill_ps), fill_ps, start_ps)
            yield from self.bus.carry(use)
        stop_ps = self.env.now_ps
        self.machine.log(start_ps, stop_ps, CAMERA, FILL, CAMERA, OTHERS, -1, self.nbytes, "")
        self.turn.release()
        offer(frame)
