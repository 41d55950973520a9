"""The winner on the console: a line of bars, and waits with what to do about them."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.compare import Comparison, compare
from sim.device.loader import load_board
from sim.engine.run import play
from sim.policy import Goal, parse_choice
from sim.render.winner import ASCII, BLOCKS, show_winner, sparkline
from tests.graphs import unet

VALUES = st.lists(st.integers(0, 10**7), max_size=300)


@given(VALUES, st.integers(1, 80))
def test_a_line_of_bars_is_no_wider_and_shows_the_highest(values: list[int], width: int) -> None:
    line = sparkline(values, width)
    assert len(line) == min(len(values), width) and set(line) <= set(BLOCKS)
    if any(values):
        assert BLOCKS[-1] in line
    if len(values) <= width:
        order = sorted(range(len(values)), key=lambda i: values[i])
        heights = [BLOCKS.index(line[i]) for i in order]
        assert heights == sorted(heights)


@pytest.fixture(scope="module")
def found() -> Comparison:
    graph, board = unet(40, 64), load_board("arduino_portenta_h7")
    choice = parse_choice("spill(storage=sd, window=0, lead=0)")
    return compare(graph, board, Goal(60_000), [choice], play)


def test_the_winner_at_80_columns(
    found: Comparison, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    show_winner(found)
    shown = capsys.readouterr().out
    program = found.best.program
    assert program is not None
    assert f"peak {program.plan.size_bytes:,} B at op" in shown
    assert "The core waits" in shown and "window" in shown and "lead" in shown
    assert all(len(line) <= 80 for line in shown.splitlines())
    assert "\x1b" not in shown


def test_plain_characters_where_the_output_knows_no_others(
    found: Comparison, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("out") / "shown"
    with path.open("w", encoding="ascii") as file:
        monkeypatch.setattr(sys, "stdout", file)
        show_winner(found)
    lines = path.read_text("ascii").splitlines()
    assert set(lines[2]) <= set(ASCII) and ASCII[-1] in lines[2]
