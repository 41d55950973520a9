"""Storage times as closed forms on both sides of each edge; what a board answers."""

from __future__ import annotations

import pickle
import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.device.board import Board, Busy, Core, CostProfile, Memory, Storage
from sim.errors import PolicyError

MS = 10**9
FLASH = Storage(
    name="flash", kind="internal_flash", size_bytes=2**20,
    read_setup_ps=7, write_setup_ps=11, read_bytes_per_s=10**12, write_bytes_per_s=10**11,
    granule_bytes=32, page_bytes=256, page_program_ps=400, block_bytes=4096,
    block_erase_ps=45_000, read_pj_per_byte=2, write_pj_per_byte=3, erase_pj_per_block=5,
)  # fmt: skip
CARD = Storage(
    name="sd", kind="sd_spi", size_bytes=2**30, read_setup_ps=1, write_setup_ps=2,
    read_bytes_per_s=10**12, write_bytes_per_s=10**12, granule_bytes=512,
)  # fmt: skip
AXI = Memory("axi", 512, 100, holds=frozenset({"arena", "slots"}))
DTCM = Memory("dtcm", 400, 0, holds=frozenset({"arena"}))
BIG = Memory("big", 4096, 0, holds=frozenset({"slots"}))
PROFILE = CostProfile("p", {}, {}, {}, {}, {}, dispatch_cycles=1, calibrated=False)
BOARD = Board(
    name="toy", title="Toy", vendor="us", mcu="none",
    core=Core("c", "cortex-m7", 10**6, PROFILE, 1000, 100, sources={"clock": "us"}),
    memories=(AXI, DTCM, BIG), storages=(FLASH, CARD), bus_bytes_per_s=10**6, dma_channels=1,
    weights_in="flash", weight_stall_cycles_per_byte=0, supply_mv=3300, sources={"bus": "us"},
)  # fmt: skip


@pytest.mark.parametrize(
    ("nbytes", "granules", "pages", "blocks"),
    [(1, 1, 1, 1), (32, 1, 1, 1), (33, 2, 1, 1), (256, 8, 1, 1), (257, 9, 2, 1),
     (4096, 128, 16, 1), (4097, 129, 17, 2)],
)  # fmt: skip
def test_flash_times(nbytes: int, granules: int, pages: int, blocks: int) -> None:
    moved = granules * 32
    assert FLASH.read_ps(nbytes) == 7 + moved
    assert FLASH.program_ps(nbytes) == 11 + moved * 10 + pages * 400
    assert FLASH.erase_ps(nbytes) == blocks * 45_000
    assert FLASH.write_ps(nbytes) == FLASH.erase_ps(nbytes) + FLASH.program_ps(nbytes)
    assert FLASH.read_pj(nbytes) == moved * 2
    assert FLASH.write_pj(nbytes) == moved * 3 + blocks * 5
    assert FLASH.slot_bytes(nbytes) == blocks * 4096


@pytest.mark.parametrize(("nbytes", "moved"), [(1, 512), (512, 512), (513, 1024)])
def test_card_times(nbytes: int, moved: int) -> None:
    assert CARD.read_ps(nbytes) == 1 + moved
    assert CARD.write_ps(nbytes) == 2 + moved
    assert CARD.slot_bytes(nbytes) == moved
    assert CARD.pages(nbytes) == CARD.blocks(nbytes) == CARD.write_pj(nbytes) == 0


def test_transfer_time_is_rounded_up() -> None:
    slow = replace(CARD, granule_bytes=1, read_bytes_per_s=3)
    assert slow.read_ps(1) == 1 + 333_333_333_334


def test_kinds() -> None:
    assert FLASH.needs_erase and not CARD.needs_erase
    assert not FLASH.is_link
    assert replace(CARD, kind="wifi").is_link


def test_busy_mean() -> None:
    assert Busy(0.01, 2 * MS, 14 * MS, 254 * MS).mean_ps == 270 * MS // 300
    assert Busy(0, 1, 1, 1).mean_ps == 0
    assert Busy(1.0, 1, 1, 2).mean_ps == 2


@given(st.lists(st.integers(0, 10**12), min_size=3, max_size=3).map(sorted), st.floats(0, 1))
def test_busy_quantile_inverts_the_triangle(times: list[int], share: float) -> None:
    low, peak, high = times
    wait = Busy(1, low, peak, high).quantile_ps(share)
    assert low <= wait <= high
    if wait <= peak:
        below = (wait - low) ** 2 / max(1, (high - low) * (peak - low))
    else:
        below = 1 - (high - wait) ** 2 / max(1, (high - low) * (high - peak))
    if high - low > 10**6:
        assert below == pytest.approx(share, abs=1e-3)


def test_busy_quantile_at_the_ends() -> None:
    busy = Busy(1, 2 * MS, 14 * MS, 250 * MS)
    assert [busy.quantile_ps(x) for x in (0, 12 / 248, 1)] == [2 * MS, 14 * MS, 250 * MS]
    assert Busy(1, 5, 5, 5).quantile_ps(0.5) == 5


def test_arena_memory_is_the_one_with_most_usable_bytes() -> None:
    assert BOARD.arena_memory is AXI
    assert BOARD.largest_usable_bytes == 412
    assert replace(BOARD, memories=(replace(AXI, reserved_bytes=113), DTCM)).arena_memory is DTCM


def test_board_says_what_it_has() -> None:
    assert BOARD.storage("sd") is CARD
    assert BOARD.memory("big") is BIG
    with pytest.raises(PolicyError, match="storage: found 'qspi', wanted one of: flash, sd"):
        BOARD.storage("qspi")
    with pytest.raises(PolicyError, match="memory: found 'sd', wanted one of: axi, dtcm, big"):
        BOARD.memory("sd")
    with pytest.raises(PolicyError, match="toy: memories: found none that holds the arena"):
        _ = replace(BOARD, memories=(BIG,)).arena_memory


def test_board_is_a_value() -> None:
    assert pickle.loads(pickle.dumps(BOARD)) == BOARD
    assert hash(BOARD) == hash(replace(BOARD))


def test_all_sources_by_path() -> None:
    assert BOARD.all_sources() == {"bus": "us", "core.clock": "us"}


def test_import_is_light() -> None:
    code = "import sys, sim.device.board; print({'yaml', 'numpy'} & set(sys.modules))"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "set()"
