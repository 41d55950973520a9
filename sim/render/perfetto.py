"""A trace as Perfetto and Chrome open it: the Trace Event Format, in JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import inf, nextafter
from typing import Any

from sim.memory_map import memory_map
from sim.program import Program
from sim.trace import COMPUTE, CORE, FETCH, SPILL, STALL, Frame, Span, Trace, frames_lane
from sim.transfers import subjects, transfers
from sim.units import PS_PER_S

PROCESS, FIRST_TRACK = 1, 2
"""A track with the number of its process would be called its main thread."""
PS_PER_NS = 1000
Event = dict[str, Any]


def perfetto(trace: Trace, program: Program, title: str) -> dict[str, Any]:
    """The document: a track for each actor and one for each model's frames, in microseconds.

    Instants are cut to whole nanoseconds, since Perfetto keeps no less: it rounds starts and
    durations each by itself, and drops slices that overlap then. Stalls are named by their cause;
    a frame that was lost while another one ran is an instant. Counters tell the arena's bytes in
    use, of the main model, and what each storage moves a second; arrows lead from a spill to the
    fetches of the same slot.
    """
    models = dict.fromkeys((CORE, *(frame.model for frame in trace.records)))
    actors = (*(frames_lane(model) for model in models), *trace.actors)
    tracks = {actor: number for number, actor in enumerate(actors, FIRST_TRACK)}
    events: list[Event] = [_named("process_name", title, 0)]
    for actor, track in tracks.items():
        events.append(_named("thread_name", actor, track))
        order: Event = {"sort_index": track}
        events.append({**_meta("thread_sort_index", track), "args": order})
    for model in models:
        own = [frame for frame in trace.records if frame.model == model]
        events += _frames(own, tracks[frames_lane(model)])
    events += (_span(span, tracks[span.actor]) for span in trace.spans)
    events += _arena(trace, program)
    events += _rates(trace)
    events += _arrows(trace, program, tracks)
    return {"displayTimeUnit": "ms", "traceEvents": events}


def _meta(name: str, track: int) -> Event:
    return {"ph": "M", "name": name, "pid": PROCESS, "tid": track}


def _named(what: str, name: str, track: int) -> Event:
    return {**_meta(what, track), "args": {"name": name}}


def _us(ps: int) -> float:
    """The nanosecond in which an instant lies, in microseconds."""
    return ps // PS_PER_NS / 1000


def _slice(track: int, name: str, kind: str, start_ps: int, stop_ps: int, args: Event) -> Event:
    """A slice whose start and duration add up, in a reader's floating point, to just its end."""
    start, stop = _us(start_ps), _us(stop_ps)
    duration = stop - start
    while start + duration > stop:
        duration = nextafter(duration, 0)
    while start + duration < stop:
        duration = nextafter(duration, inf)
    return {
        "ph": "X", "name": name, "cat": kind, "ts": start, "dur": duration, "pid": PROCESS,
        "tid": track, "args": args,
    }  # fmt: skip


def _span(span: Span, track: int) -> Event:
    names = {COMPUTE: span.subject, STALL: span.cause}
    name = names.get(span.kind, f"{span.word} {span.subject}".strip())
    args = {
        "frame": span.frame,
        "step": span.step,
        "subject": span.subject,
        "bytes": span.nbytes,
        "cause": span.cause,
    }
    return _slice(track, name, span.word, span.start_ps, span.stop_ps, args)


def _frames(frames: Sequence[Frame], track: int) -> Iterator[Event]:
    """A model's frames, each beginning when the one before has ended, as slices have to.

    Those that wait, or are lost while another one runs, are told at the instant of their end.
    """
    at_ps = 0
    for frame in sorted(frames, key=lambda f: (f.start_ps, f.stop_ps)):
        name = f"frame {frame.number}" + (f": {frame.lost}" if frame.lost else "")
        arrived = _us(frame.arrived_ps)
        args = {"arrived_us": arrived, "lost": frame.lost, "runs": frame.runs}
        if frame.start_ps >= at_ps:
            at_ps = frame.stop_ps
            yield _slice(track, name, "frame", frame.start_ps, frame.stop_ps, args)
        else:
            yield {
                "ph": "i", "name": name, "cat": "frame", "ts": _us(frame.stop_ps),
                "pid": PROCESS, "tid": track, "s": "t", "args": args,
            }  # fmt: skip


def _counter(name: str, at_ps: int, **values: float) -> Event:
    return {
        "ph": "C",
        "name": name,
        "ts": _us(at_ps),
        "pid": PROCESS,
        "tid": 0,
        "args": values,
    }


def _arena(trace: Trace, program: Program) -> Iterator[Event]:
    """Where the highest byte in use ends, op by op; its peak is the plan's size."""
    found = memory_map(program)
    for span in trace.of(CORE):
        if span.kind == COMPUTE:
            yield _counter("arena bytes", span.start_ps, used=found.of_op(span.step).top_bytes)


def _rates(trace: Trace) -> Iterator[Event]:
    """Bytes a second of each storage, while it moves them."""
    for span in trace.spans:
        if span.kind in (SPILL, FETCH) and span.duration_ps:
            rate = span.nbytes * PS_PER_S // span.duration_ps
            yield _counter(f"{span.actor} B/s", span.start_ps, moved=rate)
            yield _counter(f"{span.actor} B/s", span.stop_ps, moved=0)


def _arrows(trace: Trace, program: Program, tracks: dict[str, int]) -> Iterator[Event]:
    """From each spill of the main model to the fetches of what it wrote, frame by frame."""
    moves = transfers(program)
    names = subjects(program.graph, moves)
    slots = {(t.step, names[t.tensor]): (t.storage, t.slot) for t in moves}
    spilled: dict[tuple[int, str, str], Span] = {}
    number = 0
    for span in _transfers_of(trace, slots):
        key = (span.frame, *slots[span.step, span.subject])
        if span.kind == SPILL:
            spilled[key] = span
        elif key in spilled and spilled[key].stop_ps <= span.start_ps:
            number += 1
            ends = (("s", spilled[key]), ("f", span))
            yield from (_arrow(phase, number, end, tracks) for phase, end in ends)


def _transfers_of(trace: Trace, slots: Mapping[tuple[int, str], tuple[str, str]]) -> Iterable[Span]:
    """Those of the main model that went well, in running order; known by op, tensor and storage."""
    moved = (s for s in trace.spans if s.kind in (SPILL, FETCH) and not s.cause and s.frame >= 0)
    ours = (s for s in moved if slots.get((s.step, s.subject), ("",))[0] == s.actor)
    return sorted(ours, key=lambda s: (s.frame, s.step, s.start_ps))


def _arrow(phase: str, number: int, span: Span, tracks: dict[str, int]) -> Event:
    made: Event = {
        "ph": phase,
        "id": number,
        "name": "slot",
        "cat": "slot",
        "ts": _us(span.start_ps),
        "pid": PROCESS,
        "tid": tracks[span.actor],
    }
    return {**made, "bp": "e"} if phase == "f" else made
