"""Advice: what the core waits for the longest, and what could be done about it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sim import trace
from sim.device.board import Board
from sim.program import Program
from sim.report import Report
from sim.transfers import Transfer, subjects, transfers
from sim.units import counted, format_time

FASTER = 2
"""Another storage is named where it would take at most one part in so many of the time."""


@dataclass(frozen=True, slots=True)
class Stall:
    """Picoseconds that the core waits a frame, by cause and by tensor or op; what may help."""

    cause: str
    subject: str
    ps: int
    advice: str


SENTENCES = {
    trace.FETCH_NOT_DONE: "start the fetch earlier{turn}{elsewhere}",
    trace.WINDOW_NOT_DRAINED: "give the spill more steps{turn}{elsewhere}",
    trace.STORAGE_BUSY: "{storage} keeps its users waiting now and then: start transfers earlier, "
    "or keep less in it{elsewhere}",
    trace.SHARED: "others use {storage} too: give them a lower priority or smaller pieces"
    "{elsewhere}",
    trace.ERASING: "{storage} erases before it writes: spill less often{elsewhere}",
    trace.BUS: "core and DMA want the bus at once: have bytes move beside ops that mostly compute",
    trace.FLASH_WAIT: "no code can be fetched while the flash programs or erases: spill elsewhere, "
    "or run the code from RAM{elsewhere}",
    trace.PREEMPTED: "interrupts and tasks of higher priority take the core: do less in them, or "
    "less often",
    trace.LINK_RETRY: "{storage} loses packets and sends them again{elsewhere}",
    trace.LINK_ASLEEP: "{storage} wakes up at intervals only{elsewhere}",
}
"""What may help, by cause."""
TURNED = {trace.FETCH_NOT_DONE: ("lead", "ahead"), trace.WINDOW_NOT_DRAINED: ("window", "drain")}
"""By cause, what policies call the parameter that is to be larger."""


def largest_stalls(
    report: Report, program: Program, board: Board, parameters: Iterable[str], count: int
) -> tuple[Stall, ...]:
    """The longest waits of a run, the longest first, each with what to do about it.

    `parameters` are those that the policy has, so that none is named that it lacks. Waits with the
    same cause for the same storage are told together, and so are those that may meet any op; the
    subject is what is waited for the longest.
    """
    all_moves = transfers(program)
    names = subjects(program.graph, all_moves)
    moves = {names[move.tensor]: move for move in all_moves}
    groups: dict[tuple[str, str], list[tuple[str, int]]] = {}
    for (cause, subject), ps in report.longest_stalls():
        storage = moves[subject].storage if subject in moves else ""
        groups.setdefault((cause, storage), []).append((subject, ps))
    waits = [(cause, sum(ps for _, ps in met), met) for (cause, _), met in groups.items()]
    waits.sort(key=lambda wait: (-wait[1], wait[0]))
    known = {name.rsplit(".", 1)[-1] for name in parameters}
    return tuple(
        Stall(cause, _several(met), ps, _advice(cause, moves.get(met[0][0]), board, known))
        for cause, ps, met in waits[:count]
    )


def _advice(cause: str, move: Transfer | None, board: Board, known: set[str]) -> str:
    larger = next((name for name in TURNED.get(cause, ()) if name in known), None)
    return SENTENCES[cause].format(
        turn=f" (a larger {larger})" if larger else "",
        storage=move.storage if move is not None else "the storage",
        elsewhere=_elsewhere(move, board),
    )


def _several(met: Sequence[tuple[str, int]]) -> str:
    (first, _), *others = met
    return f"{first} and {counted(len(others), 'other')}" if others else first


def _elsewhere(move: Transfer | None, board: Board) -> str:
    """A storage of the board that takes the same bytes and gives them back much faster."""
    if move is None:
        return ""
    nbytes = move.nbytes
    times = {
        s.name: s.write_ps(nbytes) + s.read_ps(nbytes)
        for s in board.storages
        if s.size_bytes >= s.slot_bytes(nbytes)
    }
    took_ps = times.pop(move.storage)
    best = min(times, key=lambda name: (times[name], name), default=None)
    if best is None or FASTER * times[best] > took_ps:
        return ""
    there, here = format_time(times[best]), format_time(took_ps)
    return f"; {best} takes {there} for these bytes, there and back, {move.storage} {here}"
