"""Every number of every board, with its unit and source."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sim.device.constants import constants, digest
from sim.device.loader import board_names, load_board


@pytest.mark.parametrize("name", board_names())
def test_every_number_of_a_board_is_told(name: str) -> None:
    board = load_board(name)
    found = constants(board)
    assert {c.path: c.source for c in found} == board.all_sources()
    assert all(c.value and c.source for c in found)


def test_the_values_have_their_units() -> None:
    value = {c.path: c.value for c in constants(load_board("arduino_portenta_h7"))}
    assert value["core.clock"] == "480 MHz"
    assert value["memories.axi.size"] == "512 KiB"
    assert value["storages.flash.block_erase"] == "1 s"
    assert value["storages.sd.busy.maximum"] == "250 ms"
    assert value["storages.uart.read_rate"] == "0.09216 MB/s"
    assert value["supply"] == "3.3 V"
    assert float(value["core.profile.cycles_per_mac.conv"]) > 0


def test_an_edited_board_has_another_digest() -> None:
    board = load_board("arduino_portenta_h7")
    assert digest(board) == digest(load_board("arduino_portenta_h7"))
    (first, *others) = board.storages
    slow = replace(board, storages=(replace(first, dma=not first.dma), *others))
    assert digest(slow) != digest(board)
    assert digest(replace(board, note="other words", sources={})) == digest(board)
    assert digest(replace(board, bus_bytes_per_s=1 + board.bus_bytes_per_s)) != digest(board)
