"""Workload: the frames, the camera, the other users of the board, and what goes wrong."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sim.workload.arrivals import BACK_TO_BACK, STEADY, Arrivals

NEWEST, OLDEST = "newest", "oldest"
RUN, SKIP = "run", "skip"
DROP, RECOMPUTE = "drop", "recompute"
CORE_USE, BUS_USE = "core", "bus"
"""What a background user may use, beside a storage or link by its name."""

CRC, REMOVED, LINK_DOWN, HOST_ABSENT, BROWN_OUT = (
    "crc", "removed", "link_down", "host_absent", "brown_out",
)  # fmt: skip
FAULTS = (CRC, REMOVED, LINK_DOWN, HOST_ABSENT, BROWN_OUT)


@dataclass(frozen=True, slots=True)
class Camera:
    """DMA that fills one of `buffers` buffers of `size_bytes` in `fill_ps`; then a frame is there.

    A frame keeps its buffer until its inference is over. 0 bytes: as many as the model's inputs
    have. The buffers take SRAM of the arena's bank, unless `memory` names another.
    """

    buffers: int
    fill_ps: int
    size_bytes: int = 0
    memory: str = ""


@dataclass(frozen=True, slots=True)
class User:
    """Another user of core, bus, storage or link.

    On the core `work_ps` at a time: as a task it gets the core between two ops of what has less
    priority, as an `interrupt` at once. On the bus `size_bytes` at up to `bytes_per_s`. On a
    storage a request to read or write `size_bytes`. It asks again at its next instant even while it
    still waits, for at most `queue` requests at a time; more are left out and counted.
    """

    name: str
    uses: str
    arrivals: Arrivals
    work_ps: int = 0
    size_bytes: int = 0
    bytes_per_s: int = 0
    writes: bool = False
    priority: int = 1
    interrupt: bool = False
    queue: int = 4


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that breaks: at given instants, on average each `every_ps`, or by request.

    `crc`: the bytes of a request arrive damaged and the request is made again. `removed`,
    `link_down`, `host_absent`: nothing can be had from `on` for `lasts_ps`. `brown_out`: before the
    next frame the board starts anew, which takes `lasts_ps`; waiting frames are lost.
    """

    kind: str
    on: str = ""
    at_ps: tuple[int, ...] = ()
    every_ps: int = 0
    probability: float = 0.0
    lasts_ps: int = 0


@dataclass(frozen=True, slots=True)
class Workload:
    """What the board lives through.

    The first `warm_up` frames are played and not counted. `deadline_ps` is from a frame's arrival
    to its result, 0 for none. `queue` frames may wait, None for any number; where there is no room
    the `drop`ped one is the newest or the oldest. `late` frames, whose deadline has passed before
    they begin, are run or skipped. A frame whose bytes a storage lost is dropped, or recomputed up
    to `attempts` times.
    """

    arrivals: Arrivals = STEADY
    warm_up: int = 0
    deadline_ps: int = 0
    queue: int | None = 1
    drop: str = NEWEST
    late: str = RUN
    fallback: str = DROP
    attempts: int = 1
    priority: int = 0
    camera: Camera | None = None
    background: tuple[User, ...] = ()
    faults: tuple[Fault, ...] = ()

    @property
    def paced(self) -> bool:
        """Whether frames come by themselves, and not each after the one before."""
        return self.arrivals.kind != BACK_TO_BACK

    @property
    def eventful(self) -> bool:
        """Whether there is more to a frame than its inference."""
        return self != replace(IDLE, warm_up=self.warm_up)


IDLE = Workload()
"""Frames one after the other on a board that does nothing else."""
