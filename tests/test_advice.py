"""Advice: every cause has one, and the longest waits come first."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sim.advice import largest_stalls
from sim.engine.run import play
from sim.report import Report
from sim.system import System
from sim.trace import CAUSES, FETCH_NOT_DONE, PREEMPTED, STORAGE_BUSY, WINDOW_NOT_DRAINED
from sim.transfers import transfers
from tests.render.material import BOARD, PROGRAM

MOVED = next(op.inputs[1] for op in PROGRAM.graph.ops if op.kind == "ASSIGN_VARIABLE")
KNOWN = ("storage", "window", "lead")
SPILLED = PROGRAM.graph.tensors[MOVED].name


@pytest.fixture(scope="module")
def report() -> Report:
    return play(System(PROGRAM), BOARD, frames=1, seed=0)


@pytest.mark.parametrize("cause", CAUSES)
def test_every_cause_has_advice(report: Report, cause: str) -> None:
    waits = {(cause, SPILLED): 5, (cause, "CONV_2D"): 4, (cause, "ADD"): 0}
    found = largest_stalls(replace(report, stalled_on=waits), PROGRAM, BOARD, KNOWN, 9)
    assert [(s.cause, s.subject, s.ps) for s in found] == [
        (cause, SPILLED, 5),
        (cause, "CONV_2D", 4),
    ]
    assert all(s.advice and s.advice[-1] != "." for s in found)


def test_the_longest_come_first_and_ops_are_told_together(report: Report) -> None:
    waits = {
        (PREEMPTED, "CONV_2D"): 30, (PREEMPTED, "ADD"): 20, (FETCH_NOT_DONE, SPILLED): 40,
        (STORAGE_BUSY, SPILLED): 10,
    }  # fmt: skip
    found = largest_stalls(replace(report, stalled_on=waits), PROGRAM, BOARD, KNOWN, 2)
    assert [(s.cause, s.subject, s.ps) for s in found] == [
        (PREEMPTED, "CONV_2D and 1 other", 50), (FETCH_NOT_DONE, SPILLED, 40),
    ]  # fmt: skip


def test_a_much_faster_storage_is_named(report: Report) -> None:
    """The SDRAM takes a fraction of the card's time, there and back."""
    waits = {(FETCH_NOT_DONE, SPILLED): 7}
    (stall,) = largest_stalls(replace(report, stalled_on=waits), PROGRAM, BOARD, KNOWN, 1)
    assert "; sdram takes" in stall.advice
    alone = replace(BOARD, storages=(BOARD.storage("sd"),))
    (stall,) = largest_stalls(replace(report, stalled_on=waits), PROGRAM, alone, KNOWN, 1)
    assert stall.advice == "start the fetch earlier (a larger lead)"


@pytest.mark.parametrize(
    ("parameters", "told"),
    [(("a.storage", "b.ahead", "b.drain"), (" (a larger ahead)", " (a larger drain)")),
     (("does", "effort"), ("", ""))],
)  # fmt: skip
def test_only_parameters_that_the_policy_has_are_named(
    report: Report, parameters: tuple[str, ...], told: tuple[str, str]
) -> None:
    alone = replace(BOARD, storages=(BOARD.storage("sd"),))
    waits = {(FETCH_NOT_DONE, SPILLED): 7, (WINDOW_NOT_DRAINED, SPILLED): 6}
    found = largest_stalls(replace(report, stalled_on=waits), PROGRAM, alone, parameters, 2)
    assert [stall.advice for stall in found] == [
        f"start the fetch earlier{told[0]}", f"give the spill more steps{told[1]}",
    ]  # fmt: skip


def test_nothing_is_said_where_nothing_waits(report: Report) -> None:
    assert largest_stalls(replace(report, stalled_on={}), PROGRAM, BOARD, KNOWN, 3) == ()


def test_waits_for_one_storage_are_told_together(report: Report) -> None:
    moved = [PROGRAM.graph.tensors[move.tensor].name for move in transfers(PROGRAM)]
    assert len(set(moved)) > 1
    waits = {(STORAGE_BUSY, name): n for n, name in enumerate(dict.fromkeys(moved), 1)}
    (stall,) = largest_stalls(replace(report, stalled_on=waits), PROGRAM, BOARD, KNOWN, 3)
    assert stall.ps == sum(waits.values())
    others = len(waits) - 1
    assert stall.subject == f"{list(waits)[-1][1]} and {others} other{'s' * (others > 1)}"


def test_tensors_that_share_a_name_keep_their_storages(report: Report) -> None:
    """Each is waited for and advised by itself, as if they had names of their own."""
    alike = tuple(replace(tensor, name="same") for tensor in PROGRAM.graph.tensors)
    program = replace(PROGRAM, graph=replace(PROGRAM.graph, tensors=alike))
    found = play(System(program), BOARD, frames=1, seed=0)
    assert sorted(found.stalled_on.values()) == sorted(report.stalled_on.values())
    moved = [move.tensor for move in transfers(program)]
    named = {f"same (tensor {tensor})" for tensor in moved}
    assert len(named) > 1
    subjects = {subject for (cause, subject), ps in found.stalled_on.items() if cause != PREEMPTED}
    assert subjects & named
    (stall,) = largest_stalls(found, program, BOARD, KNOWN, 1)
    (wanted,) = largest_stalls(report, PROGRAM, BOARD, KNOWN, 1)
    assert (stall.cause, stall.ps, stall.advice) == (wanted.cause, wanted.ps, wanted.advice)
