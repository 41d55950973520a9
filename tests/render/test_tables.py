"""Tables for people: sentences that say what is so, names that leave room for the rest."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sim.compare import Comparison, compare, over_seeds
from sim.engine.run import play
from sim.graph.graph import Tensor
from sim.policy import Goal, parse_choice
from sim.render.map_height import FAR, FAR_MARGIN, MARGIN, ROOM, map_height
from sim.render.tables import brief, show_comparison
from tests.graphs import unet
from tests.render.material import BOARD

GRAPH = unet(16, 24, (4, 8))
CHOICES = [parse_choice("baseline"), parse_choice("spill(storage=sd)")]


@pytest.fixture(scope="module")
def found() -> Comparison:
    return compare(GRAPH, BOARD, Goal(BOARD.largest_usable_bytes), CHOICES, play)


def shown(found: Comparison, capsys: pytest.CaptureFixture[str]) -> str:
    show_comparison(found, "title")
    return " ".join(capsys.readouterr().out.split())


def test_both_budgets_are_only_told_where_the_energy_is_what_is_missing(
    found: Comparison, capsys: pytest.CaptureFixture[str]
) -> None:
    least = min(o.frame_pj for o in found.outcomes)
    sentence = "Nothing keeps to both budgets"
    needed = [o.arena.required for o in found.outcomes if o.arena is not None]
    for sram, energy, told in (
        (max(needed), least - 1, True),
        (max(needed), least, False),
        (min(needed) - 1, least - 1, False),  # then it is the SRAM
        (max(needed), 0, False),
    ):
        goal = replace(found.goal, sram_bytes=sram, energy_pj=energy)
        assert (sentence in shown(replace(found, goal=goal), capsys)) == told


def test_many_seeds_are_told(found: Comparison, capsys: pytest.CaptureFixture[str]) -> None:
    told = over_seeds(found, play, frames=2, seed=0, seeds=3)
    assert "Over 3 seeds: mean and half of its 95 % interval" in shown(told, capsys)


def test_a_long_name_keeps_its_ends() -> None:
    assert brief("short") == "short" and brief("x" * 60) == "x" * 60
    assert brief("begin" + "x" * 90 + "end", 21) == "beginxxxxx…xxxxxxxend"


@pytest.mark.parametrize(
    ("name", "label"), [("a", "a"), ("", "tensor 7"), (" \n", "tensor 7"), ("a\tb\x00", "a b")]
)
def test_a_tensor_s_name_is_shown_on_one_line(name: str, label: str) -> None:
    assert Tensor(7, name, (1,)).label == label


def test_a_line_far_above_the_blocks_is_told_instead_of_drawn() -> None:
    assert map_height(100, 120, 100 * FAR) == (MARGIN * 100 * FAR, {})
    assert map_height(100, 120, 100 * FAR + 1) == (FAR_MARGIN * 120, {"budget": 100 * FAR + 1})
    assert map_height(0, 0, 10) == (FAR_MARGIN, {"budget": 10})
    assert map_height(1, 90, 99) == (FAR_MARGIN, {"required arena": 90, "budget": 99})


def test_unless_the_lines_below_bring_the_picture_nearly_as_high() -> None:
    near = 100 * FAR
    assert map_height(100, near, int(ROOM * near)) == (MARGIN * int(ROOM * near), {})
    above = int(ROOM * near) + 1
    assert map_height(100, near, above) == (FAR_MARGIN * near, {"budget": above})
