"""A storage serves one transfer after another, storages work side by side, channels are few."""

from __future__ import annotations

import pytest

from sim.device.board import Storage
from sim.graph.rewrite import Rewrite
from sim.trace import CORE, FETCH, SPILL, Span, Trace
from tests.engine.toy import RELU_PS, board, fork, laid_out, play, the, timed

WAITS = 6
LONG_PS = 20 * RELU_PS
LEFT = timed("left", read_ps=700, write_ps=LONG_PS)
RIGHT = timed("right", read_ps=500, write_ps=LONG_PS)


def two_spills(first: str, second: str, *storages: Storage, channels: int = 8) -> tuple[Span, Span]:
    """The spills of t1 and, one RELU later, t2; both with a window over the whole chain."""
    edit = Rewrite(fork(WAITS, kept=2))
    edit.spill(1, first, 0, [(2 + WAITS, 2 + WAITS)], 1 + WAITS)
    edit.spill(2, second, 1, [(3 + WAITS, 3 + WAITS)], 1 + WAITS)
    trace = play(laid_out(edit.graph()), board(*storages, dma_channels=channels))
    return the(trace, first, SPILL, "t1"), the(trace, second, SPILL, "t2")


def asked(trace: Trace, kind: str) -> list[int]:
    """When each op of the kind handed its transfer over."""
    return [s.stop_ps for s in trace.of(CORE) if s.subject == kind]


def test_one_storage_serves_one_after_another() -> None:
    one, other = two_spills("left", "left", LEFT)
    assert other.start_ps == one.stop_ps == one.start_ps + LONG_PS
    assert other.stop_ps == one.start_ps + 2 * LONG_PS


def test_two_storages_work_side_by_side() -> None:
    one, other = two_spills("left", "right", LEFT, RIGHT)
    assert one.start_ps < other.start_ps < one.stop_ps
    assert other.duration_ps == one.duration_ps == LONG_PS


@pytest.mark.parametrize(("channels", "beside"), [(1, False), (2, True)])
def test_channels_limit_how_many_transfers_run(channels: int, beside: bool) -> None:
    one, other = two_spills("left", "right", LEFT, RIGHT, channels=channels)
    assert (other.start_ps < one.stop_ps) == beside
    if not beside:
        assert other.start_ps == one.stop_ps


def test_a_storage_serves_in_the_order_asked() -> None:
    """The fetch depends on the first spill, and the second spill still does not overtake it."""
    edit = Rewrite(fork(WAITS, kept=2))
    edit.spill(1, "left", 0, [(1, 2 + WAITS)], 1)
    edit.spill(2, "left", 1, [(3 + WAITS, 3 + WAITS)], 1 + WAITS)
    trace = play(laid_out(edit.graph()), board(LEFT))
    served = [(s.kind, s.subject) for s in trace.of("left")]
    assert served == [(SPILL, "t1"), (FETCH, "t1/fetch"), (SPILL, "t2"), (FETCH, "t2/fetch")]
    first, fetch, second, _ = trace.of("left")
    assert asked(trace, "ASSIGN_VARIABLE")[1] < first.stop_ps == fetch.start_ps
    assert second.start_ps == fetch.stop_ps == fetch.start_ps + LEFT.read_ps(64)
