"""The frames of one model: they arrive, wait for room, run, and come to an end that is counted."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import simpy

from sim.engine.bus import Bus, rate
from sim.engine.clock import Clock, Process
from sim.engine.core import Model
from sim.engine.processor import Turn
from sim.tally import Log, Tally
from sim.trace import (
    BROWNED_OUT,
    FILL,
    NO_BUFFER,
    OTHERS,
    QUEUE_FULL,
    TOO_LATE,
    Frame,
)
from sim.workload.workload import OLDEST, RECOMPUTE, SKIP, Camera, Workload

CAMERA = "camera"

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
    `count` None: frames come for ever.
    """

    def __init__(
        self,
        env: Clock,
        model: Model,
        workload: Workload,
        arena: Turn,
        seed: int,
        tally: Tally,
        done: Done,
        count: int | None = None,
        gates: Sequence[Gate] = (),
    ) -> None:
        self.env, self.model, self.workload, self.arena = env, model, workload, arena
        self.tally, self.done, self.count, self.gates = tally, done, count, gates
        self.random = random.Random(f"{seed}/{model.actor}/gates")
        self.arrivals = workload.arrivals.instants(random.Random(f"{seed}/{model.actor}/frames"))
        self.queue: deque[Waiting] = deque()
        self.room = workload.queue
        self.camera: Filling | None = None
        self.wake: simpy.Event | None = None
        self.running = self.off = False
        self.brown_outs_ps: list[int] = []
        self.over = 0
        self.finished = env.event()

    def begin(self) -> None:
        """Lets the frames come."""
        if self.workload.paced:
            self.env.process(self._arrive())
        self.env.process(self._work())

    def brown_out(self, lasts_ps: int) -> None:
        """The board starts anew before the next frame."""
        self.brown_outs_ps.append(lasts_ps)
        self._wake_up()

    def offer(self, frame: Waiting) -> None:
        """A frame is there; it waits, or takes the room of the oldest, or is lost."""
        if self.off:
            self._lose(frame, BROWNED_OUT)
            return
        if self.room is not None and self.running and len(self.queue) >= self.room:
            if self.workload.drop == OLDEST and self.queue:
                self._lose(self.queue.popleft(), QUEUE_FULL)
            else:
                self._lose(frame, QUEUE_FULL)
                return
        self.queue.append(frame)
        self._wake_up()

    def _arrive(self) -> Process:
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

    def _has_buffer(self) -> bool:
        """Whether the camera has a buffer; the oldest frame that waits may have to give up its."""
        assert self.camera is not None
        if not self.camera.free and self.workload.drop == OLDEST and self.queue:
            self._lose(self.queue.popleft(), NO_BUFFER)
        return self.camera.free > 0

    def _work(self) -> Process:
        index = 0
        while self.count is None or self.over < self.count:
            if self.brown_outs_ps:
                yield from self._start_anew()
            elif not self.workload.paced:
                frame = Waiting(index, self.env.now_ps)
                index += 1
                yield from self._run(frame)
            elif self.queue:
                frame = self.queue.popleft()
                if self._too_late(frame):
                    self._lose(frame, TOO_LATE)
                else:
                    yield from self._run(frame)
            else:
                self.wake = self.env.event()
                yield self.wake

    def _too_late(self, frame: Waiting) -> bool:
        limit_ps = self.workload.deadline_ps
        skips = self.workload.late == SKIP and limit_ps > 0
        return skips and self.env.now_ps - frame.arrived_ps > limit_ps

    def _start_anew(self) -> Process:
        lasts_ps = self.brown_outs_ps.pop()
        while self.queue:
            self._lose(self.queue.popleft(), BROWNED_OUT)
        self.off = True
        yield self.env.timeout(lasts_ps)
        self.off = False

    def _run(self, frame: Waiting) -> Process:
        self.running = True
        if not self.arena.take():
            yield self.arena.turn(self.workload.priority)
        began_ps, lost, runs, wanted = self.env.now_ps, "", 0, True
        for gate in self.gates:
            began_ps = self.env.now_ps
            lost, runs = yield from self._infer(gate.model, frame.index)
            wanted = not lost and self.random.random() < gate.share
            if not wanted:
                self._report(frame, began_ps, lost, runs, gate.model.actor)
                break
            self._report(frame, began_ps, "", runs, gate.model.actor)
        if wanted:
            began_ps = self.env.now_ps
            lost, runs = yield from self._infer(self.model, frame.index)
            self._report(frame, self.started_ps, lost, runs, self.model.actor)
        self.arena.release()
        self.running = False
        self._let_go()

    def _infer(self, model: Model, index: int) -> Process:
        """Returns why no result came, "" if one did, and how often the model was run."""
        attempts = self.workload.attempts if self.workload.fallback == RECOMPUTE else 0
        failed = ""
        for run in range(1, attempts + 2):
            self.started_ps = self.env.now_ps
            failed = yield from model.infer(index)
            self.tally.inference(model.actor, self.started_ps, self.env.now_ps)
            if not failed:
                return "", run
        return failed, attempts + 1

    def _lose(self, frame: Waiting, reason: str, *, buffered: bool = True) -> None:
        now_ps = self.env.now_ps
        self.done(
            Frame(frame.index, frame.arrived_ps, now_ps, now_ps, reason, 0, self.model.actor),
            self.workload.deadline_ps,
        )
        self._let_go(buffered=buffered)

    def _report(self, frame: Waiting, start_ps: int, lost: str, runs: int, model: str) -> None:
        record = Frame(
            frame.index, frame.arrived_ps, start_ps, self.env.now_ps, lost, runs, model
        )
        self.done(record, self.workload.deadline_ps if model == self.model.actor else 0)

    def _let_go(self, *, buffered: bool = True) -> None:
        """A frame is over."""
        self.over += 1
        if self.camera is not None and buffered:
            self.camera.free += 1
        if self.over == self.count:
            self.finished.succeed()
            self._wake_up()

    def _wake_up(self) -> None:
        if self.wake is not None:
            wake, self.wake = self.wake, None
            wake.succeed()


class Filling:
    """The camera's DMA: fills one buffer at a time, over the bus."""

    def __init__(self, env: Clock, camera: Camera, nbytes: int, bus: Bus, log: Log) -> None:
        self.env, self.camera, self.nbytes, self.bus, self.log = env, camera, nbytes, bus, log
        self.free = camera.buffers
        self.turn = Turn(env)

    def fill(self, frame: Waiting, offer: Callable[[Waiting], None]) -> None:
        """Takes a free buffer and offers the frame when it is full."""
        self.free -= 1
        self.env.process(self._fill(frame, offer))

    def _fill(self, frame: Waiting, offer: Callable[[Waiting], None]) -> Process:
        if not self.turn.take():
            yield self.turn.turn(0)
        start_ps, fill_ps = self.env.now_ps, self.camera.fill_ps
        if fill_ps:
            yield from self.bus.carry(rate(self.nbytes, fill_ps), fill_ps, 0, stalls_core=False)
        stop_ps = self.env.now_ps
        self.log(start_ps, stop_ps, CAMERA, FILL, CAMERA, OTHERS, -1, self.nbytes, "")
        self.turn.release()
        offer(frame)
