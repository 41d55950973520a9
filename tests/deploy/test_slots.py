"""Slots: aligned, apart where they must be, sharing where they may; and deadlines of transfers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sim.deploy.slots import FETCH, SPILL, Slot, slot_table, transfers
from sim.errors import CannotFitError, PolicyError
from sim.ranges import Range
from tests.deploy.material import CARD, NOR, SDRAM, board, chain, spilled, storage, variables


def by_name(*spills: tuple[str, str, int, int, int]) -> dict[str, Slot]:
    return {slot.name: slot for slot in slot_table(variables(*spills), board())}


def test_a_spill_that_blocks_is_over_before_the_next_step() -> None:
    graph = spilled()
    spill, fetch = transfers(graph)
    kinds = [op.kind for op in graph.ops]
    assert (spill.kind, spill.step) == (SPILL, kinds.index("ASSIGN_VARIABLE"))
    assert (fetch.kind, fetch.step) == (FETCH, kinds.index("READ_VARIABLE"))
    assert spill.done_before == spill.step + 1
    assert fetch.done_before == kinds.index("ADD") == fetch.step + 1
    assert (spill.storage, spill.slot) == (fetch.storage, fetch.slot)
    assert spill.size_bytes == fetch.size_bytes == 8 * 8 * 4


def test_a_window_and_a_lead_move_the_deadlines() -> None:
    graph = spilled(hold_until=3, fetch_at=4)
    spill, fetch = transfers(graph)
    assert graph.ops[spill.step].window > 0
    assert spill.done_before == spill.step + graph.ops[spill.step].window + 1
    assert graph.ops[fetch.done_before].kind == "ADD"
    assert fetch.done_before == fetch.step + 2


def test_a_fetched_output_is_awaited_at_the_end() -> None:
    graph = variables(("sdram", "a", 64, 0, 9))
    unread = replace(graph, ops=graph.ops[:-1])
    assert transfers(unread)[1].done_before == len(unread.ops)


def test_a_window_beyond_the_last_step_ends_with_the_inference() -> None:
    graph = variables(("sdram", "a", 64, 0, 9))
    step = transfers(graph)[0].step
    ops = list(graph.ops)
    ops[step] = replace(ops[step], window=100)
    assert transfers(replace(graph, ops=tuple(ops)))[0].done_before == len(ops)


def test_slots_alive_together_lie_one_after_another() -> None:
    slots = by_name(("sdram", "a", 100, 0, 8), ("sdram", "b", 300, 1, 9), ("sdram", "c", 50, 2, 7))
    assert [slots[n].offset_bytes for n in "bac"] == [0, 320, 448]
    assert [slots[n].reserved_bytes for n in "bac"] == [300, 100, 50]
    assert all(slot.offset_bytes % 32 == 0 for slot in slots.values())


@pytest.mark.parametrize(("name", "shared"), [("sdram", True), ("nor", False), ("sd-card", False)])
def test_only_in_ram_a_slot_may_follow_another_in_place(name: str, shared: bool) -> None:
    early, late = slot_table(
        variables((name, "early", 64, 0, 1), (name, "late", 64, 1, 2)), board()
    )
    assert early.span.overlaps(late.span) is shared


def test_slots_that_meet_for_a_step_are_apart() -> None:
    early, late = slot_table(
        variables(("sdram", "early", 64, 0, 2), ("sdram", "late", 64, 1, 3)), board()
    )
    assert not early.span.overlaps(late.span)


def test_a_slot_is_held_until_a_late_transfer_is_over() -> None:
    graph = variables(("sdram", "early", 64, 0, 1), ("sdram", "late", 64, 1, 2))
    ops = list(graph.ops)
    ops.append(ops.pop(transfers(graph)[1].step + 1))
    assert ops[-1].kind == "SINK"
    early, late = slot_table(replace(graph, ops=tuple(ops)), board())
    assert not early.span.overlaps(late.span)


def test_state_that_is_read_before_it_is_written_keeps_its_bytes() -> None:
    graph = variables(("sdram", "state", 64, 0, 1), ("sdram", "late", 64, 1, 2))
    fill, handle, spill, fetch, sink, *late_ops = graph.ops
    kept = replace(graph, ops=(fill, handle, fetch, sink, spill, *late_ops))
    assert [m.kind for m in transfers(kept)][:2] == [FETCH, SPILL]
    state, late = slot_table(kept, board())
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
    table = slot_table(variables(("nor", "n", 8, 0, 9), ("sdram", "s", 8, 1, 9)), board())
    assert [(s.storage, s.name) for s in table] == [("nor", "n"), ("sdram", "s")]


def test_a_full_storage_is_an_error_with_its_numbers() -> None:
    tiny = board(storage("sdram", "sdram", 127))
    graph = variables(("sdram", "a", 64, 0, 9), ("sdram", "b", 64, 0, 9))
    with pytest.raises(CannotFitError, match=r"storage 'sdram': .*found 127 B, wanted 128 B"):
        slot_table(graph, tiny)
    assert slot_table(graph, board(storage("sdram", "sdram", 128)))


def test_a_storage_that_the_board_lacks_is_an_error() -> None:
    with pytest.raises(PolicyError, match=r"storage: found 'psram', wanted one of: sdram"):
        slot_table(variables(("psram", "a", 64, 0, 9)), board(SDRAM, NOR, CARD))


def test_variables_without_a_container_are_the_model_s_own() -> None:
    graph = variables(("", "state", 64, 0, 9))
    assert transfers(graph) == ()
    assert slot_table(graph, board()) == ()
    assert slot_table(chain(), board()) == ()
