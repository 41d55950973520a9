"""Op profiles: no time of the core is lost or counted twice."""

from __future__ import annotations

import pytest

from sim.engine.run import traced
from sim.memory_map import memory_map
from sim.op_profile import op_profiles
from sim.system import System
from tests.render.material import BOARD, PROGRAM, WORDS, WORKLOAD


@pytest.mark.parametrize("system", [System(PROGRAM), System(PROGRAM, WORKLOAD, (WORDS,))])
def test_the_ops_of_a_frame_take_the_whole_frame(system: System) -> None:
    trace = traced(system, BOARD, frames=1, seed=0)
    (frame,) = trace.frames
    profiles = op_profiles(PROGRAM, memory_map(PROGRAM), trace)
    assert sum(profile.latency_ps for profile in profiles) == frame[1] - frame[0]
    assert any(profile.stall_ps for profile in profiles)


def test_times_are_means_over_the_frames_that_ran_through() -> None:
    """The card is out while some frames run; those are left out."""
    trace = traced(System(PROGRAM, WORKLOAD), BOARD, frames=12, seed=0)
    assert any(record.lost for record in trace.records)
    frames = [stop - start for start, stop in trace.frames]
    profiles = op_profiles(PROGRAM, memory_map(PROGRAM), trace)
    total = sum(profile.latency_ps for profile in profiles)
    assert total == pytest.approx(sum(frames) / len(frames), abs=len(frames) * len(profiles))


def test_what_is_moved_stands_with_its_op() -> None:
    trace = traced(System(PROGRAM), BOARD, frames=1, seed=0)
    profiles = op_profiles(PROGRAM, memory_map(PROGRAM), trace)
    moves = [profile.transfer for profile in profiles if profile.transfer]
    assert {move.storage for move in moves} == {"sd"}
    assert {move.kind for move in moves} == {"spill", "fetch"}
    assert all(profile.kind in ("ASSIGN_VARIABLE", "READ_VARIABLE")
               for profile in profiles if profile.transfer)  # fmt: skip
    assert max(profile.top_bytes for profile in profiles) == PROGRAM.plan.size_bytes
