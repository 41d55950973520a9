"""The spans of a trace, packed for a page that unpacks and draws them itself."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from sim.render.colours import FAILURES, FATES, STALLS, WORK
from sim.trace import CORE, STALL, Frame, Span, Trace, frames_lane

COLUMNS = {
    "start": "<f8", "stop": "<f8", "frame": "<i4", "step": "<i4", "bytes": "<u4",
    "name": "<u4", "lane": "<u2", "category": "<u2",
}  # fmt: skip
"""Columns in the order in which they lie behind each other, widest first; times in ms."""


def packed_timeline(trace: Trace) -> dict[str, Any]:
    """The document: lanes, categories with their colours, the spans' columns, and the frames.

    The columns are deflated and in base64: a hundred frames of a thousand ops take little.
    """
    models = dict.fromkeys((CORE, *(frame.model for frame in trace.records)))
    lanes = (*(frames_lane(model) for model in models), *_active(trace))
    packer = _Packer(lanes, _categories(trace))
    rows = [packer.frame(frame) for frame in trace.records]
    rows += [packer.span(span) for span in trace.spans]
    rows.sort(key=lambda row: row[:2])
    columns = zip(*rows, strict=True) if rows else ((),) * len(COLUMNS)
    raw = b"".join(
        np.array(column, dtype).tobytes()
        for column, dtype in zip(columns, COLUMNS.values(), strict=True)
    )
    return {
        "lanes": list(packer.lanes),
        "categories": [{"name": n, "colour": colour} for n, colour in packer.colours.items()],
        "names": list(packer.names),
        "columns": COLUMNS,
        "count": len(rows),
        "spans": base64.b64encode(zlib.compress(raw, 9)).decode(),
        "core": packer.lanes[CORE],
        "frames": [
            [f.number, f.arrived_ps / 10**9, f.start_ps / 10**9, f.stop_ps / 10**9, f.lost]
            for f in sorted(trace.records, key=lambda f: f.number)
            if f.model == CORE
        ],
    }


def _active(trace: Trace) -> Iterator[str]:
    """The core, and who else was at anything: what some users do stands on a storage's lane."""
    found = {span.actor for span in trace.spans}
    return (actor for actor in trace.actors if actor == CORE or actor in found)


def category(span: Span) -> str:
    """What a span is shown as: a stall by its cause, a failed transfer as such."""
    if span.kind == STALL:
        return waits(span.cause)
    return f"{span.word} failed" if span.cause else span.word


def waits(cause: str) -> str:
    return f"waits: {cause}"


def _categories(trace: Trace) -> dict[str, str]:
    """Colours by name, work before waits, so that waits are drawn on top."""
    found = {category(s) for s in trace.spans}
    found |= {_fate(frame) for frame in trace.records}
    colours = {
        **FATES,
        **WORK,
        **{f"{word} failed": colour for word, colour in FAILURES.items()},
        **{waits(cause): colour for cause, colour in STALLS.items()},
    }
    return {name: colour for name, colour in colours.items() if name in found}


def _fate(frame: Frame) -> str:
    return "lost" if frame.lost else "done"


Row = tuple[float, float, int, int, int, int, int, int]


class _Packer:
    """Turns frames and spans into rows of the columns."""

    def __init__(self, lanes: Sequence[str], colours: Mapping[str, str]) -> None:
        self.lanes = {lane: number for number, lane in enumerate(lanes)}
        self.colours = colours
        self.numbers = {name: number for number, name in enumerate(colours)}
        self.names: dict[str, int] = {}

    def frame(self, frame: Frame) -> Row:
        name = f"frame: {frame.lost}" if frame.lost else "frame"
        shown = self.numbers[_fate(frame)]
        return (
            frame.start_ps / 10**9, frame.stop_ps / 10**9, frame.number, -1, 0,
            self._name(name), self.lanes[frames_lane(frame.model)], shown,
        )  # fmt: skip

    def span(self, span: Span) -> Row:
        shown = self.numbers[category(span)]
        return (
            span.start_ps / 10**9, span.stop_ps / 10**9, span.frame, span.step, span.nbytes,
            self._name(span.subject), self.lanes[span.actor], shown,
        )  # fmt: skip

    def _name(self, name: str) -> int:
        return self.names.setdefault(name, len(self.names))
