"""A policy's figures in two documents, each change as a sum of parts that adds up exactly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sim.report import Fate
from sim.trace import BROWNED_OUT, CORE, NO_BUFFER, QUEUE_FULL, TOO_LATE

Document = Mapping[str, Any]
"""A document that `read_result` gave, or a piece of it."""
Split = dict[str, int]
"""A figure as the parts that add up to it; "" where nothing is known of it but itself."""

NEVER_RAN = frozenset((QUEUE_FULL, NO_BUFFER, TOO_LATE, BROWNED_OUT))
"""Frames lost for these reasons never began, and so waited for no transfer."""


@dataclass(frozen=True, slots=True)
class Part:
    """What a figure is made of, in the figure's unit."""

    name: str
    a: int
    b: int

    @property
    def change(self) -> int:
        return self.b - self.a


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure in both documents; its name ends with the unit, or with what is counted.

    `parts` are those that changed, the largest change first; where there are any, their changes
    add up to the figure's.
    """

    name: str
    a: int
    b: int
    parts: tuple[Part, ...] = ()

    @property
    def change(self) -> int:
        return self.b - self.a

    @property
    def changed(self) -> bool:
        return self.a != self.b or bool(self.parts)


def measured(entry: Document) -> bool:
    """Whether the policy could be applied, so that there are figures."""
    return entry.get("error") is None


def fate(entry: Document) -> Fate:
    """What became of the main model's frames."""
    found = entry["frames"].get(CORE)
    if found is None:
        return Fate(0, 0)
    keys = ("offered", "done", "missed_deadline", "recomputed", "lost")
    return Fate(*(found[key] for key in keys))


def picoseconds(us: float) -> int:
    """Microseconds of a document as the picoseconds that they were written from."""
    return round(us * 10**6)


def nanojoules(uj: float) -> int:
    """Microjoules of a document, which have three decimals."""
    return round(uj * 10**3)


def figures(a: Document, b: Document) -> tuple[Figure, ...]:
    """The figures that both entries have, those that did not change among them."""
    if not (measured(a) and measured(b)):
        return ()
    waits = _waits_are_told(a) and _waits_are_told(b)
    first, second = _splits(a, waits=waits), _splits(b, waits=waits)
    return tuple(_figure(name, first[name], second[name]) for name in first if name in second)


def _figure(name: str, a: Split, b: Split) -> Figure:
    parts = [Part(part, a.get(part, 0), b.get(part, 0)) for part in dict.fromkeys((*a, *b))]
    changed = [part for part in parts if part.change and part.name]
    changed.sort(key=lambda part: (-abs(part.change), part.name))
    return Figure(name, sum(a.values()), sum(b.values()), tuple(changed))


def _waits_are_told(entry: Document) -> bool:
    """Whether the waits per frame are those of the frames that have a result, and no others'.

    Where a frame was lost on its way or run again, its waits are counted, and its time is not.
    """
    found = fate(entry)
    return not found.recomputed and found.lost.keys() <= NEVER_RAN


def _splits(entry: Document, *, waits: bool) -> dict[str, Split]:
    """All figures of an entry; those per frame only where a frame has a result."""
    arena, frames = entry["arena_bytes"], entry["frames"]
    kinds = {kind: arena[kind] for kind in ("activations", "persistent", "temporary")}
    lost = {
        reason if model == CORE else f"{model}: {reason}": count
        for model, found in frames.items()
        for reason, count in found["lost"].items()
    }
    return {
        "arena_bytes": kinds | {"other": arena["required"] - sum(kinds.values())},
        **(_frame_splits(entry, waits=waits) if fate(entry).done else {}),
        "lost_frames": lost,
        "late_frames": {"": fate(entry).missed},
        "ops": {"": entry["ops"]},
        "macs": {"": entry["macs"]},
    }


def _frame_splits(entry: Document, *, waits: bool) -> dict[str, Split]:
    """Means per frame that has a result; without `waits`, an inference is told as a whole.

    What an inference does not wait for, it computes, or copies where no DMA serves a storage.
    """
    latency = picoseconds(entry["latency_us"]["mean"])
    inference = picoseconds(entry["inference_us"]["mean"])
    stalls = {cause: picoseconds(us) for cause, us in entry["stall_us"].items() if cause != "total"}
    computing = {"computing": inference - sum(stalls.values())}
    return {
        "latency_mean_ps": {
            "waiting_to_begin": latency - inference,
            **(stalls | computing if waits else {"inference": inference}),
        },
        "latency_p99_ps": {"": picoseconds(entry["latency_us"]["p99"])},
        "stall_ps": stalls,
        "moved_bytes": {
            f"{storage} {way}": moved[way]
            for storage, moved in entry["moved_bytes"].items()
            for way in ("read", "written")
        },
        "frame_nj": {"": nanojoules(entry["frame_uj"])},
    }
