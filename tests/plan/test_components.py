"""Parts that have nothing to do with one another: packed apart they take what they take as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.plan import packer
from sim.plan.blocks import puzzle
from sim.plan.packer import Apart, Block, Packing, Rect, lower_bound, pack, verify
from sim.plan.packing.components import Part, components
from sim.plan.packing.improve import Found
from sim.plan.packing.problem import Problem, problem_of
from tests.graphs import unet
from tests.plan.test_packer import BLOCKS, painted

STEPS = 12
"""More than any block of BLOCKS lives: blocks so far apart have nothing to do with one another."""


def later(blocks: Sequence[Block], steps: int) -> list[Block]:
    """The blocks so many steps later."""
    return [
        replace(
            block,
            rects=tuple(
                Rect(r.offset, r.size, r.start + steps, r.stop + steps) for r in block.rects
            ),
        )
        for block in blocks
    ]


CLUMPS = st.lists(st.lists(BLOCKS, min_size=1, max_size=4), min_size=1, max_size=4)
SPREAD = CLUMPS.map(
    lambda clumps: [block for n, clump in enumerate(clumps) for block in later(clump, n * STEPS)]
)


@st.composite
def spaced(draw: st.DrawFn, fewest: int = 1) -> tuple[list[Block], list[Apart]]:
    """Blocks in clumps, shuffled, some of which keep further distances."""
    blocks = draw(SPREAD.filter(lambda b: len(b) >= fewest).flatmap(st.permutations))
    pairs = st.tuples(st.integers(0, len(blocks) - 1), st.integers(0, len(blocks) - 1))
    apart = []
    for first, second in draw(st.lists(pairs.filter(lambda p: p[0] != p[1]), max_size=3)):
        low = draw(st.integers(-4, 4))
        apart.append(Apart(first, second, low, low + draw(st.integers(1, 4))))
    return blocks, apart if len(blocks) > 1 else []


def one_part(problem: Problem, blocks: Sequence[Block], apart: Sequence[Apart]) -> list[Part]:
    """All blocks in one part, as if nobody had looked."""
    return [(list(range(len(blocks))), list(blocks), list(apart))]


def whole(
    blocks: Sequence[Block], apart: Sequence[Apart], *, effort: int = 1, exact: bool = False
) -> Packing:
    """The packing of all blocks at once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packer, "components", one_part)
        return pack(blocks, apart, effort=effort, exact=exact)


def share_a_step(a: Block, b: Block) -> bool:
    return any(r.start < s.stop and s.start < r.stop for r in a.rects for s in b.rects)


@given(spaced())
@settings(max_examples=60)
def test_parts_are_all_blocks_once_and_keep_no_distance(
    case: tuple[list[Block], list[Apart]],
) -> None:
    blocks, apart = case
    parts = components(problem_of(blocks, apart), blocks, apart)
    assert sorted(i for group, _, _ in parts for i in group) == list(range(len(blocks)))
    home = {i: number for number, (group, _, _) in enumerate(parts) for i in group}
    for i, block in enumerate(blocks):
        assert all(home[i] == home[j] for j in range(i) if share_a_step(block, blocks[j]))
    assert all(home[a.first] == home[a.second] for a in apart)
    for group, own, kept in parts:
        assert own == [blocks[i] for i in group]
        back = [replace(a, first=group[a.first], second=group[a.second]) for a in kept]
        assert back == [a for a in apart if a.first in group]


@given(st.lists(st.lists(BLOCKS, min_size=1, max_size=2), min_size=2, max_size=4))
def test_what_never_lives_together_is_apart(clumps: list[list[Block]]) -> None:
    blocks = [b for n, clump in enumerate(clumps) for b in later(clump, n * STEPS)]
    parts = components(problem_of(blocks), blocks, [])
    assert len(parts) >= len(clumps)


@given(spaced())
@settings(max_examples=60)
def test_parts_take_no_more_than_the_whole(case: tuple[list[Block], list[Apart]]) -> None:
    blocks, apart = case
    found = pack(blocks, apart)
    verify(blocks, found.offsets, apart)
    assert painted(blocks, found.offsets) == found.size_bytes
    assert found.lower_bound_bytes <= found.size_bytes <= whole(blocks, apart).size_bytes
    assert found.lower_bound_bytes >= lower_bound(blocks)
    assert pack(blocks, apart) == found


@given(spaced(fewest=4))
@settings(max_examples=25)
def test_the_exact_solver_finds_the_same_in_parts(case: tuple[list[Block], list[Apart]]) -> None:
    pytest.importorskip("ortools")
    blocks, apart = case
    found, wanted = pack(blocks, apart, exact=True), whole(blocks, apart, exact=True)
    assert (found.size_bytes, found.optimal) == (wanted.size_bytes, wanted.optimal)


@given(spaced())
@settings(max_examples=40)
def test_the_size_is_that_of_the_largest_part(case: tuple[list[Block], list[Apart]]) -> None:
    blocks, apart = case
    parts = components(problem_of(blocks, apart), blocks, apart)
    alone = [pack(own, kept) for _, own, kept in parts]
    found = pack(blocks, apart)
    assert found.size_bytes == max(p.size_bytes for p in alone)
    # a part that is small enough is not searched for a better bound of its own
    assert found.lower_bound_bytes <= max(p.lower_bound_bytes for p in alone)
    assert found.lower_bound_bytes >= max(lower_bound(own) for _, own, _ in parts)


@given(spaced(), st.integers(0, 40), st.sampled_from([0, 1]))
@settings(max_examples=60)
def test_enough_ends_the_search_early_or_changes_nothing(
    case: tuple[list[Block], list[Apart]], enough: int, effort: int
) -> None:
    blocks, apart = case
    found, best = (
        pack(blocks, apart, enough=enough, effort=effort),
        pack(blocks, apart, effort=effort),
    )
    verify(blocks, found.offsets, apart)
    assert painted(blocks, found.offsets) == found.size_bytes
    assert found.size_bytes <= enough or found == best
    assert found.size_bytes >= found.lower_bound_bytes
    assert found.lower_bound_bytes <= best.size_bytes


@given(spaced(), st.integers(0, 40))
@settings(max_examples=40)
def test_a_floor_is_a_bound_not_a_size(case: tuple[list[Block], list[Apart]], less: int) -> None:
    blocks, apart = case
    best = pack(blocks, apart)
    floor = max(0, best.size_bytes - less)
    found = pack(blocks, apart, floor=floor)
    assert found.size_bytes == best.size_bytes
    assert found.lower_bound_bytes >= floor
    assert found.lower_bound_bytes <= found.size_bytes


def test_enough_spares_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """First fit takes 12 B of blocks that can lie in 9 B."""
    times = ((5, 1, 3), (5, 4, 5), (3, 1, 4), (4, 3, 6))
    blocks = [Block((Rect(0, size, start, stop),), 1) for size, start, stop in times]
    asked: list[Found] = []

    def repair(problem: Problem, found: Found, *rest: object) -> Found:
        asked.append(found)
        return found

    monkeypatch.setattr(packer, "repair", repair)
    assert pack(blocks).size_bytes == 9
    assert asked
    asked.clear()
    assert pack(blocks, enough=12).size_bytes == 12
    assert not asked


def test_fixed_blocks_stay_in_their_parts() -> None:
    blocks = [
        Block((Rect(0, 16, 0, 2),), fixed=32),
        Block((Rect(0, 48, 0, 2),)),
        Block((Rect(0, 16, 4, 6),)),
        Block((Rect(0, 32, 5, 7),), fixed=0),
    ]
    assert len(components(problem_of(blocks), blocks, [])) == 2
    found = pack(blocks)
    assert (found.offsets[0], found.offsets[3]) == (32, 0)
    assert found.size_bytes == painted(blocks, found.offsets)


@pytest.mark.parametrize("aliasing", [False, True])
def test_a_model_s_own_puzzle(aliasing: bool) -> None:
    made = puzzle(unet(24, 32, (4, 8, 8)), "reference", aliasing=aliasing)
    found = pack(made.blocks, made.apart, floor=made.floor())
    verify(made.blocks, found.offsets, made.apart)
    assert found.size_bytes <= whole(made.blocks, made.apart).size_bytes
