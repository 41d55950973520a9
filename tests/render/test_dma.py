"""Lanes of DMA: every transfer that needs no core is there once, and no two at a time."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from sim.render.dma import with_dma
from sim.trace import CARRY, COMPUTE, CORE, FETCH, FILL, SPILL, Span
from tests.render.material import BOARD
from tests.traces import hand_made

CARD = BOARD.storage("sd")
SLOW = replace(CARD, name="by_hand", dma=False)
HOST = replace(BOARD, storages=(CARD, SLOW))
SPANS = st.builds(
    lambda at, lasts, where, kind: Span(at, at + lasts, where, kind, "x", 0, 0, 8),
    st.integers(0, 50), st.integers(0, 20), st.sampled_from(["sd", "by_hand", "camera"]),
    st.sampled_from([SPILL, FETCH, FILL, CARRY, COMPUTE]),
)  # fmt: skip


@given(st.lists(SPANS, max_size=12))
def test_each_transfer_has_a_lane(spans: list[Span]) -> None:
    trace = hand_made(tuple(spans), ((0, 80),), (CORE, "sd", "by_hand", "camera"))
    found = with_dma(trace, HOST)
    added = [span for span in found.spans if span.actor.startswith("DMA")]
    assert sorted(map(repr, (s for s in found.spans if s not in added))) == sorted(map(repr, spans))
    wanted = [
        span for span in spans
        if span.duration_ps
        and (span.kind in (FILL, CARRY) or (span.actor == "sd" and span.kind in (SPILL, FETCH)))
    ]  # fmt: skip
    assert sorted((s.start_ps, s.stop_ps, s.kind) for s in added) == sorted(
        (s.start_ps, s.stop_ps, s.kind) for s in wanted
    )
    lanes = [actor for actor in found.actors if actor.startswith("DMA")]
    for lane in lanes:
        mine = sorted((s.start_ps, s.stop_ps) for s in added if s.actor == lane)
        assert mine and all(a[1] <= b[0] for a, b in pairwise(mine))
    moments = {s.start_ps for s in wanted}
    most = max((sum(s.start_ps <= at < s.stop_ps for s in wanted) for at in moments), default=0)
    assert len(lanes) == most
