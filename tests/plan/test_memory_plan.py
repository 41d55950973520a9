"""MemoryPlan.verify against painted bytes, and the words of its errors."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.errors import PlanError
from sim.plan.memory_plan import MemoryPlan, Placement, describe
from sim.program import place
from sim.ranges import Range
from tests.graphs import Net, unet

GRAPH = unet(8, 8, (2, 2))

PLACEMENTS = st.lists(
    st.builds(
        lambda offset, size, start, steps: Placement(
            0, None, 16 * offset, 16 * size, Range(start, start + steps)
        ),
        st.integers(0, 12),
        st.integers(0, 4),
        st.integers(-2, 12),
        st.integers(1, 5),
    ),
    max_size=7,
)


def painted_twice(placements: list[Placement]) -> bool:
    """Whether some byte at some step has two owners."""
    owners: set[tuple[int, int]] = set()
    for placement in placements:
        for step in range(placement.claim.start, placement.claim.stop):
            for byte in range(placement.offset_bytes, placement.span.stop):
                if (step, byte) in owners:
                    return True
                owners.add((step, byte))
    return False


@given(placements=PLACEMENTS)
@settings(max_examples=300)
def test_verify_finds_what_painting_finds(placements: list[Placement]) -> None:
    plan = MemoryPlan(tuple(placements))
    if painted_twice(placements):
        with pytest.raises(PlanError, match="overwrites"):
            plan.verify(GRAPH)
    else:
        plan.verify(GRAPH)


@given(placements=PLACEMENTS)
def test_size_and_offsets(placements: list[Placement]) -> None:
    plan = MemoryPlan(tuple(placements))
    assert plan.size_bytes == max([p.offset_bytes + p.size_bytes for p in placements], default=0)
    assert plan.offset_of(0) == (placements[0].offset_bytes if placements else None)
    assert plan.offset_of(1) is None


def test_a_plan_touches_but_does_not_overlap() -> None:
    """Side by side in bytes at the same step, or one after the other in the same bytes."""
    MemoryPlan((
        Placement(0, None, 0, 16, Range(0, 2)),
        Placement(1, None, 16, 16, Range(0, 2)),
        Placement(2, None, 0, 32, Range(2, 3)),
    )).verify(GRAPH)  # fmt: skip


@pytest.mark.parametrize("shift", [-1, 0])
def test_one_byte_or_one_step_too_much(shift: int) -> None:
    first = Placement(0, None, 0, 16, Range(0, 2))
    beside = Placement(1, None, 16 + shift, 16, Range(1, 3))
    behind = Placement(1, None, 0, 16, Range(2 + shift, 4))
    for second in (beside, behind):
        plan = MemoryPlan((first, second))
        if shift:
            with pytest.raises(PlanError):
                plan.verify(GRAPH)
        else:
            plan.verify(GRAPH)


def test_the_words_of_an_overlap() -> None:
    net = Net(name="kws")
    x = net.input(1, 4, 4, 4)
    graph = net.graph(net.transpose_conv(x, 2))
    tensor = Placement(x, None, 32, 64, Range(-1, 1))
    scratch = Placement(None, 0, 64, 512, Range(0, 1))
    with pytest.raises(PlanError) as caught:
        MemoryPlan((scratch, tensor)).verify(graph)
    assert str(caught.value) == (
        "kws: scratch of op 0 (bytes 64..576, steps 0..1) overwrites "
        "tensor 'input0' (bytes 32..96, steps -1..1) while it is needed"
    )


def test_the_words_of_a_negative_offset() -> None:
    placement = Placement(GRAPH.inputs[0], None, -16, 192, Range(-1, 1))
    with pytest.raises(PlanError) as caught:
        MemoryPlan((placement,)).verify(GRAPH)
    assert str(caught.value) == (
        "unet: tensor 'input0' (bytes -16..176, steps -1..1): offset: found -16, wanted 0 or more"
    )


def test_tflms_own_plan_passes_and_any_two_swapped_buffers_do_not_hide() -> None:
    """Each placement moved onto each other that is alive with it is found."""
    placements = place(GRAPH).plan.placements
    MemoryPlan(placements).verify(GRAPH)
    for index, moved in enumerate(placements):
        for other in placements:
            if other is moved or not other.claim.overlaps(moved.claim):
                continue
            onto = Placement(
                moved.tensor, moved.scratch_of, other.offset_bytes, moved.size_bytes, moved.claim
            )
            broken = MemoryPlan((*placements[:index], onto, *placements[index + 1 :]))
            with pytest.raises(PlanError) as caught:
                broken.verify(GRAPH)
            assert describe(onto, GRAPH) in str(caught.value)
