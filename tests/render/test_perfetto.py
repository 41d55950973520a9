"""Traces for Perfetto, against the rules of the Trace Event Format and the trace itself."""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise
from typing import Any

import pytest

from sim.engine.run import traced
from sim.render.perfetto import perfetto
from sim.system import Resident, Role, System
from sim.trace import STALL, Trace
from sim.workload.arrivals import PERIODIC, Arrivals
from sim.workload.workload import Workload
from tests.render.material import BOARD, MS, PROGRAM, WORDS, WORKLOAD


@pytest.fixture(scope="module")
def trace() -> Trace:
    return traced(System(PROGRAM, WORKLOAD, (WORDS,)), BOARD, frames=12, seed=0)


@pytest.fixture(scope="module")
def events(trace: Trace) -> list[dict[str, Any]]:
    document = json.loads(json.dumps(perfetto(trace, PROGRAM, "test")))
    assert document["displayTimeUnit"] == "ms"
    found: list[dict[str, Any]] = document["traceEvents"]
    return found


def of(events: list[dict[str, Any]], phase: str) -> list[dict[str, Any]]:
    return [event for event in events if event["ph"] == phase]


def slices(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Slices with the time of their end, added up as a reader does it."""
    return [{**event, "end": event["ts"] + event["dur"]} for event in of(events, "X")]


def test_each_event_has_what_its_phase_needs(events: list[dict[str, Any]]) -> None:
    needed = {
        "M": {"name", "pid", "tid", "args"},
        "X": {"name", "cat", "ts", "dur", "pid", "tid", "args"},
        "C": {"name", "ts", "pid", "args"},
        "i": {"name", "ts", "pid", "tid", "s"},
        "s": {"name", "cat", "id", "ts", "pid", "tid"},
        "f": {"name", "cat", "id", "ts", "pid", "tid", "bp"},
    }
    assert {event["ph"] for event in events} <= set(needed)
    for event in events:
        assert needed[event["ph"]] <= event.keys()
        assert event.get("ts", 0) >= 0 and event.get("dur", 0) >= 0


def test_slices_of_a_track_never_overlap(events: list[dict[str, Any]]) -> None:
    for track in {event["tid"] for event in of(events, "X")}:
        mine = sorted((e["ts"], e["end"]) for e in slices(events) if e["tid"] == track)
        assert all(a[1] <= b[0] for a, b in pairwise(mine))


def test_nor_where_starts_and_durations_are_rounded(events: list[dict[str, Any]]) -> None:
    """Perfetto makes whole nanoseconds of each, and drops a slice that overlaps another one."""
    for track in {event["tid"] for event in of(events, "X")}:
        mine = [e for e in of(events, "X") if e["tid"] == track]
        spans = sorted((round(1000 * e["ts"]), round(1000 * e["dur"])) for e in mine)
        assert all(ns + lasts <= after for (ns, lasts), (after, _) in pairwise(spans))


def us(ps: int) -> float:
    return ps // 1000 / 1000


def test_no_slice_is_left_out(trace: Trace, events: list[dict[str, Any]]) -> None:
    wanted = sorted((us(s.start_ps), us(s.stop_ps)) for s in trace.spans)
    found = sorted((e["ts"], e["end"]) for e in slices(events) if e["cat"] != "frame")
    assert found == wanted


def test_every_actor_has_a_track_with_its_name(trace: Trace, events: list[dict[str, Any]]) -> None:
    names = {e["tid"]: e["args"]["name"] for e in of(events, "M") if e["name"] == "thread_name"}
    assert list(names.values()) == ["frames", "words frames", *trace.actors]
    assert {event["tid"] for event in of(events, "X")} <= set(names)


def test_every_stall_is_there_by_its_cause(trace: Trace, events: list[dict[str, Any]]) -> None:
    wanted = sorted((s.cause, us(s.start_ps)) for s in trace.spans if s.kind == STALL)
    found = sorted((e["name"], e["ts"]) for e in of(events, "X") if e["cat"] == STALL)
    assert found == wanted and len({cause for cause, _ in found}) >= 3


def test_the_counters_peak_is_the_plans_size(events: list[dict[str, Any]]) -> None:
    used = [e["args"]["used"] for e in of(events, "C") if e["name"] == "arena bytes"]
    assert max(used) == PROGRAM.plan.size_bytes


def test_arrows_lead_from_a_spill_to_its_fetch(events: list[dict[str, Any]]) -> None:
    starts = {e["id"]: e for e in of(events, "s")}
    ends = {e["id"]: e for e in of(events, "f")}
    assert starts.keys() == ends.keys() and starts
    begun = {(e["tid"], e["ts"]): e for e in slices(events)}
    for number, start in starts.items():
        spill = begun[start["tid"], start["ts"]]
        fetch = begun[ends[number]["tid"], ends[number]["ts"]]
        assert (spill["cat"], fetch["cat"]) == ("spill", "fetch")
        assert spill["args"]["frame"] == fetch["args"]["frame"]
        assert spill["end"] <= fetch["ts"]
        assert spill["args"]["bytes"] == fetch["args"]["bytes"]


def test_no_frame_is_left_out() -> None:
    """A resident of higher priority runs all the time, while the main model's frames go on."""
    busy = Resident(
        "words", WORDS.program, Role("own", arrivals=Arrivals(PERIODIC, MS), priority=1)
    )
    load = Workload(arrivals=Arrivals(PERIODIC, 10 * MS), queue=1)
    crowded = traced(System(PROGRAM, load, (busy,)), BOARD, frames=5, seed=0)
    found = perfetto(crowded, PROGRAM, "crowded")["traceEvents"]
    names = {e["tid"]: e["args"]["name"] for e in found if e["name"] == "thread_name"}
    told = Counter(names[e["tid"]] for e in found if e.get("cat") == "frame")
    wanted = Counter(record.model for record in crowded.records)
    assert told == {"frames": wanted["core"], "words frames": wanted["words"]}
    assert wanted["core"] == 5
