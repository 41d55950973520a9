"""Slots: aligned, apart where they must be, sharing where they may."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sim.deploy.slots import Slot, slot_table
from sim.device.board import Board
from sim.errors import CannotFitError, PolicyError
from sim.graph.graph import Graph
from sim.program import place
from sim.ranges import Range
from sim.trace import FETCH, SPILL
from sim.transfers import Transfer, transfers
from tests.deploy.material import CARD, NOR, SDRAM, board, chain, storage, variables


def table(graph: Graph, host: Board) -> tuple[Slot, ...]:
    return slot_table(place(graph), host)


def transfers_of(graph: Graph) -> tuple[Transfer, ...]:
    return transfers(place(graph))


def by_name(*spills: tuple[str, str, int, int, int]) -> dict[str, Slot]:
    return {slot.name: slot for slot in table(variables(*spills), board())}


def test_slots_alive_together_lie_one_after_another() -> None:
    slots = by_name(("sdram", "a", 100, 0, 8), ("sdram", "b", 300, 1, 9), ("sdram", "c", 50, 2, 7))
    assert [slots[n].offset_bytes for n in "bac"] == [0, 320, 448]
    assert [slots[n].reserved_bytes for n in "bac"] == [300, 100, 50]
    assert all(slot.offset_bytes % 32 == 0 for slot in slots.values())


@pytest.mark.parametrize(("name", "shared"), [("sdram", True), ("nor", False), ("sd-card", False)])
def test_only_in_ram_a_slot_may_follow_another_in_place(name: str, shared: bool) -> None:
    early, late = table(variables((name, "early", 64, 0, 1), (name, "late", 64, 1, 2)), board())
    assert early.span.overlaps(late.span) is shared


def test_slots_that_meet_for_a_step_are_apart() -> None:
    early, late = table(
        variables(("sdram", "early", 64, 0, 2), ("sdram", "late", 64, 1, 3)), board()
    )
    assert not early.span.overlaps(late.span)


def test_a_slot_is_held_until_a_late_transfer_is_over() -> None:
    graph = variables(("sdram", "early", 64, 0, 1), ("sdram", "late", 64, 1, 2))
    ops = list(graph.ops)
    ops.append(ops.pop(transfers_of(graph)[1].step + 1))
    assert ops[-1].kind == "SINK"
    early, late = table(replace(graph, ops=tuple(ops)), board())
    assert not early.span.overlaps(late.span)


def test_state_that_is_read_before_it_is_written_keeps_its_bytes() -> None:
    graph = variables(("sdram", "state", 64, 0, 1), ("sdram", "late", 64, 1, 2))
    fill, handle, spill, fetch, sink, *late_ops = graph.ops
    kept = replace(graph, ops=(fill, handle, fetch, sink, spill, *late_ops))
    assert [m.kind for m in transfers_of(kept)][:2] == [FETCH, SPILL]
    state, late = table(kept, board())
    assert not state.span.overlaps(late.span)


def test_flash_gives_whole_blocks_and_a_card_whole_sectors() -> None:
    slots = by_name(
        ("nor", "a", 100, 0, 8), ("nor", "b", 5000, 0, 8),
        ("sd-card", "c", 100, 0, 8), ("sd-card", "d", 513, 0, 8),
    )  # fmt: skip
    assert slots["b"].span == Range(0, 8192)
    assert slots["a"].span == Range(8192, 12288)
    assert slots["d"].span == Range(0, 1024)
    assert slots["c"].span == Range(1024, 1536)


def test_storages_come_in_the_order_of_their_first_spill() -> None:
    slots = table(variables(("nor", "n", 8, 0, 9), ("sdram", "s", 8, 1, 9)), board())
    assert [(s.storage, s.name) for s in slots] == [("nor", "n"), ("sdram", "s")]


def test_a_full_storage_is_an_error_with_its_numbers() -> None:
    tiny = board(storage("sdram", "sdram", 127))
    graph = variables(("sdram", "a", 64, 0, 9), ("sdram", "b", 64, 0, 9))
    with pytest.raises(CannotFitError, match=r"storage 'sdram': .*found 127 B, wanted 128 B"):
        table(graph, tiny)
    assert table(graph, board(storage("sdram", "sdram", 128)))


def test_a_storage_that_the_board_lacks_is_an_error() -> None:
    with pytest.raises(PolicyError, match=r"storage: found 'psram', wanted one of: sdram"):
        table(variables(("psram", "a", 64, 0, 9)), board(SDRAM, NOR, CARD))


def test_variables_without_a_container_are_the_model_s_own() -> None:
    graph = variables(("", "state", 64, 0, 9))
    assert transfers_of(graph) == ()
    assert table(graph, board()) == ()
    assert table(chain(), board()) == ()
