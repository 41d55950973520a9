"""Advice: what the core waits for the longest, and what could be done about it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from sim import trace
from sim.device.board import Board
from sim.program import Program
from sim.report import Report
from sim.transfers import Transfer, subjects, transfers
from sim.units import format_time

FASTER = 2
"""Another storage is named where it would take at most one part in so many of the time."""


@dataclass(frozen=True, slots=True)
class Stall:
    """Picoseconds that the core waits a frame, by cause and by tensor or op; what may help."""

    cause: str
    subject: str
    ps: int
    advice: str


EARLIER, LONGER = ("lead", "ahead"), ("window", "drain")
"""What policies call the parameters that start fetches earlier, and give writing more time."""


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
    larger = next((name for name in _TURNED.get(cause, ()) if name in known), None)
    return _ADVICE[cause](move, board, f" (a larger {larger})" if larger else "")


def _several(met: Sequence[tuple[str, int]]) -> str:
    (first, _), *others = met
    return f"{first} and {len(others)} other{'s' * (len(others) > 1)}" if others else first


def _fetch(move: Transfer | None, board: Board, turn: str) -> str:
    return f"start the fetch earlier{turn}{_elsewhere(move, board)}"


def _window(move: Transfer | None, board: Board, turn: str) -> str:
    return f"give the spill more steps{turn}{_elsewhere(move, board)}"


def _busy(move: Transfer | None, board: Board, _: str) -> str:
    return (
        f"{_name(move)} keeps its users waiting now and then: start transfers earlier, or keep "
        f"less in it{_elsewhere(move, board)}"
    )


def _shared(move: Transfer | None, board: Board, _: str) -> str:
    return (
        f"others use {_name(move)} too: give them a lower priority or smaller pieces"
        f"{_elsewhere(move, board)}"
    )


def _erasing(move: Transfer | None, board: Board, _: str) -> str:
    return f"{_name(move)} erases before it writes: spill less often{_elsewhere(move, board)}"


def _retry(move: Transfer | None, board: Board, _: str) -> str:
    return f"{_name(move)} loses packets and sends them again{_elsewhere(move, board)}"


def _asleep(move: Transfer | None, board: Board, _: str) -> str:
    return f"{_name(move)} wakes up at intervals only{_elsewhere(move, board)}"


def _bus(_: Transfer | None, __: Board, ___: str) -> str:
    return "core and DMA want the bus at once: have bytes move beside ops that mostly compute"


def _flash(move: Transfer | None, board: Board, _: str) -> str:
    return (
        "no code can be fetched while the flash programs or erases: spill elsewhere, or run the "
        f"code from RAM{_elsewhere(move, board)}"
    )


def _preempted(_: Transfer | None, __: Board, ___: str) -> str:
    return "interrupts and tasks of higher priority take the core: do less in them, or less often"


_TURNED = {trace.FETCH_NOT_DONE: EARLIER, trace.WINDOW_NOT_DRAINED: LONGER}
_ADVICE: dict[str, Callable[[Transfer | None, Board, str], str]] = {
    trace.FETCH_NOT_DONE: _fetch,
    trace.WINDOW_NOT_DRAINED: _window,
    trace.STORAGE_BUSY: _busy,
    trace.SHARED: _shared,
    trace.ERASING: _erasing,
    trace.BUS: _bus,
    trace.FLASH_WAIT: _flash,
    trace.PREEMPTED: _preempted,
    trace.LINK_RETRY: _retry,
    trace.LINK_ASLEEP: _asleep,
}


def _name(move: Transfer | None) -> str:
    return move.storage if move is not None else "the storage"


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
