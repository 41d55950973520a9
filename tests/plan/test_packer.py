"""The packer against brute force and painted bytes: valid, as small as it says, repeatable."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.errors import MissingToolError, PlanError
from sim.plan.packer import Block, Rect, lower_bound, pack, verify
from sim.plan.packing import exact
from sim.ranges import round_up


def plain(size: int, start: int, stop: int, alignment: int = 16) -> Block:
    return Block((Rect(0, size, start, stop),), alignment)


RECTS = st.builds(
    lambda offset, size, start, steps: Rect(offset, size, start, start + steps),
    st.integers(0, 4),
    st.integers(1, 6),
    st.integers(-1, 4),
    st.integers(1, 3),
)


def grounded(rects: list[Rect]) -> tuple[Rect, ...]:
    low = min(r.offset for r in rects)
    return tuple(Rect(r.offset - low, r.size, r.start, r.stop) for r in rects)


BLOCKS = st.builds(
    lambda rects, alignment: Block(grounded(rects), alignment),
    st.lists(RECTS, min_size=1, max_size=3),
    st.sampled_from([1, 2, 4]),
)


def painted(blocks: Sequence[Block], offsets: Sequence[int]) -> int | None:
    """The size by painting every byte of every step; None if two blocks paint the same."""
    owner: dict[tuple[int, int], int] = {}
    for number, (block, offset) in enumerate(zip(blocks, offsets, strict=True)):
        for rect in block.rects:
            for step in range(rect.start, rect.stop):
                for byte in range(offset + rect.offset, offset + rect.offset + rect.size):
                    if owner.setdefault((step, byte), number) != number:
                        return None
    return max((byte + 1 for _, byte in owner), default=0)


def brute_force(blocks: Sequence[Block], most: int) -> int:
    places = [range(0, most + 1, block.alignment) for block in blocks]
    sizes = (painted(blocks, offsets) for offsets in itertools.product(*places))
    return min(size for size in sizes if size is not None)


@given(st.lists(BLOCKS, max_size=8))
@settings(max_examples=150)
def test_every_packing_is_valid_and_as_large_as_it_says(blocks: list[Block]) -> None:
    found = pack(blocks)
    assert painted(blocks, found.offsets) == found.size_bytes
    assert all(at % b.alignment == 0 for at, b in zip(found.offsets, blocks, strict=True))
    assert found.lower_bound_bytes <= found.size_bytes
    assert found.optimal == (found.lower_bound_bytes == found.size_bytes)
    assert pack(blocks) == found


@given(st.lists(BLOCKS, min_size=1, max_size=3))
@settings(max_examples=40)
def test_the_bound_is_never_above_the_best_and_a_proof_is_one(blocks: list[Block]) -> None:
    found = pack(blocks)
    best = brute_force(blocks, found.size_bytes)
    assert lower_bound(blocks) <= found.lower_bound_bytes <= best <= found.size_bytes
    if found.optimal:
        assert found.size_bytes == best


@given(st.lists(BLOCKS, min_size=1, max_size=3))
@settings(max_examples=25)
def test_the_exact_solver_equals_brute_force(blocks: list[Block]) -> None:
    pytest.importorskip("ortools")
    found = pack(blocks, effort=1, exact=True)
    assert found.size_bytes == brute_force(blocks, found.size_bytes)
    assert found.optimal


@given(st.lists(BLOCKS, max_size=6), st.data())
@settings(max_examples=100)
def test_the_verifier_agrees_with_painted_bytes(blocks: list[Block], data: st.DataObject) -> None:
    offsets = [data.draw(st.integers(0, 6)) * b.alignment for b in blocks]
    if painted(blocks, offsets) is None:
        with pytest.raises(PlanError, match="overlap"):
            verify(blocks, offsets)
    else:
        verify(blocks, offsets)


def test_what_is_fixed_stays() -> None:
    blocks = [plain(32, 0, 4), Block((Rect(0, 16, 0, 4),), 16, fixed=16), plain(16, 2, 6)]
    found = pack(blocks)
    assert found.offsets[1] == 16
    assert painted(blocks, found.offsets) == found.size_bytes


def test_fixed_blocks_that_overlap_are_refused() -> None:
    blocks = [Block((Rect(0, 32, 0, 2),), 16, fixed=0), Block((Rect(0, 16, 1, 3),), 16, fixed=16)]
    with pytest.raises(PlanError):
        pack(blocks)


def test_nothing_takes_nothing() -> None:
    assert pack([]).size_bytes == 0
    assert lower_bound([]) == 0


def test_greedy_by_size_is_beaten_where_it_wastes() -> None:
    """Three tensors that follow each other, as in a chain that narrows and widens."""
    sizes = [18_432, 18_432, 36_864, 9_216, 18_432]
    blocks = [plain(size, step, step + 2) for step, size in enumerate(sizes)]
    found = pack(blocks)
    assert found.size_bytes == 55_296 == lower_bound(blocks)
    assert found.optimal


def test_a_view_counts_once() -> None:
    parent = Block((Rect(0, 64, 0, 3), Rect(16, 16, 2, 6)))
    assert lower_bound([parent]) == 64
    assert pack([parent, plain(48, 4, 6)]).size_bytes <= round_up(64 + 48, 16)


def test_the_missing_solver_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exact, "find_spec", lambda _name: None)
    hard = [plain(s, a, b, 1) for s, a, b in ((3, 0, 2), (2, 1, 3), (3, 2, 4), (2, 3, 5))]
    assert pack(hard).optimal
    problem = pytest.importorskip("sim.plan.packing.problem").problem_of(hard)
    with pytest.raises(MissingToolError, match=r"pip install 'spillway-mcu\[exact\]'"):
        exact.solve(problem, None, 1.0, 0)  # type: ignore[arg-type]
