"""What a scenario may say: one table of fields for each of its sections."""

from __future__ import annotations

from dataclasses import replace

from sim.device.schema import (
    BEHAVIOUR,
    BOOLEAN,
    COUNT,
    DURATION,
    SHARE,
    SOME_BYTES,
    SPEED,
    TEXT,
    Field,
    Kind,
    choice,
    quantity,
    unsourced,
)
from sim.plan.runtime import RUNTIMES
from sim.policy import MINIMIZE
from sim.system import OWN_ARENA, SHARED_ARENA
from sim.units import CHARGE, ENERGY, TIME, UnitError, parse_time
from sim.workload.arrivals import ARRIVALS
from sim.workload.workload import DROP, FAULTS, NEWEST, OLDEST, RECOMPUTE, RUN, SKIP

KERNELS = ("reference", "cmsis_nn")
UNLIMITED = "unlimited"


def _read_positive(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise UnitError(value, "a whole number, 1 or above")
    return value


def _read_queue(value: object) -> int | None:
    if value == UNLIMITED:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise UnitError(value, f"a whole number, 0 or above, or {UNLIMITED}")
    return value


def _read_times(value: object) -> tuple[int, ...]:
    if not isinstance(value, list) or not value:
        raise UnitError(value, "a list of times with units")
    return tuple(parse_time(item) for item in value)


def _read_priority(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise UnitError(value, "a whole number; more is more urgent")
    return value


_TIME, _SIZE, _SHARE = unsourced(DURATION), unsourced(SOME_BYTES), unsourced(SHARE)
_SOME_TIME = unsourced(quantity(TIME, positive=True))
_POSITIVE = Kind(
    "a whole number, 1 or above", _read_positive, False, {"type": "integer", "minimum": 1}
)
_QUEUE = Kind(
    f"a whole number or {UNLIMITED}", _read_queue, False,
    {"anyOf": [{"type": "integer", "minimum": 0}, {"const": UNLIMITED}]},
)  # fmt: skip
_TIMES = Kind(
    "a list of times", _read_times, False, {"type": "array", "items": _TIME.json, "minItems": 1}
)
_PRIORITY = Kind("a whole number", _read_priority, False, {"type": "integer"})

SCENARIO = (
    Field("name", "name", TEXT, "what it is called (the file's name)", False),
    Field("title", "title", TEXT, "for people", False),
    Field("model", "model", TEXT, "a .tflite, from the scenario's folder"),
    Field("board", "board", TEXT, "a board's name or YAML file"),
    Field("profile", "profile", TEXT, "core and kernel library (the board's)", False),
    Field("kernels", "kernels", choice(KERNELS), "of the runtime (reference)", False),
    Field("runtime", "runtime", choice(RUNTIMES), "what interprets the model (tflm)", False),
    Field("frames", "frames", _POSITIVE, "how many are played (1)", False),
    Field("warm_up", "warm_up", unsourced(COUNT), "of these are not counted (0)", False),
    Field("seed", "seed", unsourced(COUNT), "of everything random (0)", False),
    Field("period", "period_ps", _SOME_TIME, "from one frame to the next", False),
    Field(
        "battery", "battery_uah", unsourced(quantity(CHARGE, positive=True)), "its charge", False
    ),
)  # fmt: skip

GOAL = (
    Field("sram", "sram_bytes", unsourced(SOME_BYTES), "for the arena (the largest bank)", False),
    Field("minimize", "minimize", choice(MINIMIZE), "what is to be least (latency)", False),
    Field(
        "energy", "energy_pj", unsourced(quantity(ENERGY, positive=True)),
        "at most so much per frame, sleep until the next one included", False,
    ),
)  # fmt: skip

_ARRIVALS = (
    Field("arrivals", "kind", choice(ARRIVALS), "when they come (at each period)", False),
    Field("jitter", "jitter_ps", _TIME, "a period is off by up to this", False),
    Field("times", "times", TEXT, "a file with a time a line, for arrivals: trace", False),
)
_PACE = (Field("period", "period_ps", _SOME_TIME, "from one to the next, or mean", False),)

WORKLOAD = (
    *_ARRIVALS,
    Field("deadline", "deadline_ps", _SOME_TIME, "from arrival to result", False),
    Field("queue", "queue", _QUEUE, "frames that may wait (1)", False),
    Field("drop", "drop", choice((NEWEST, OLDEST)), "when there is no room (newest)", False),
    Field("late", "late", choice((RUN, SKIP)), "frames past their deadline (run)", False),
    Field("fallback", "fallback", choice((DROP, RECOMPUTE)), "when bytes got lost (drop)", False),
    Field("attempts", "attempts", _POSITIVE, "at computing a frame again (1)", False),
    Field("priority", "priority", _PRIORITY, "of the model, more is more urgent (0)", False),
)

CAMERA = (
    Field("buffers", "buffers", _POSITIVE, "that DMA fills in turn"),
    Field("fill", "fill_ps", _TIME, "time to fill one"),
    Field("size", "size_bytes", _SIZE, "of one (as the model's input)", False),
    Field("memory", "memory", TEXT, "the bank they lie in (the arena's)", False),
)

USER = (
    Field("uses", "uses", TEXT, "core, bus, or a storage's name"),
    *_PACE,
    *_ARRIVALS,
    Field("work", "work_ps", _SOME_TIME, "on the core, each time", False),
    Field("moves", "moves", _SIZE, "over the bus, each time", False),
    Field("reads", "reads", _SIZE, "from the storage, each time", False),
    Field("writes", "writes", _SIZE, "to the storage, each time", False),
    Field("rate", "bytes_per_s", unsourced(SPEED), "at which the bus is wanted", False),
    Field("priority", "priority", _PRIORITY, "more is more urgent (1)", False),
    Field("interrupt", "interrupt", BOOLEAN, "stops an op at once (false)", False),
    Field("queue", "queue", _POSITIVE, "requests that may wait (4)", False),
)

FAULT = (
    Field("kind", "kind", choice(FAULTS), "what breaks"),
    Field("storage", "on", TEXT, "the storage or link", False),
    Field("at", "at_ps", _TIMES, "instants", False),
    Field("every", "every_ps", _SOME_TIME, "on average, at random", False),
    Field("probability", "probability", _SHARE, "of each request, for crc", False),
    Field("lasts", "lasts_ps", _TIME, "until it works again", False),
)

RESIDENT = (
    Field("model", "model", TEXT, "a .tflite, from the scenario's folder"),
    Field("policy", "policy", TEXT, "how it runs (plan)", False),
    Field("passes", "gates", _SHARE, "it sees each frame first, lets these through", False),
    *_PACE,
    *_ARRIVALS,
    Field("deadline", "deadline_ps", _SOME_TIME, "from arrival to result", False),
    Field("priority", "priority", _PRIORITY, "more is more urgent (0)", False),
    Field("arena", "arena", choice((SHARED_ARENA, OWN_ARENA)), "shared in time, or own", False),
)

STORAGE_MOODS = tuple(replace(field, kind=unsourced(field.kind)) for field in BEHAVIOUR)
