"""The front against brute force, the budgets that are tried, and what the command makes of it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.cli import main
from sim.device.board import Board
from sim.device.loader import load_board
from sim.engine.run import play as engine
from sim.errors import CannotFitError, MissingToolError, PolicyError, SpillwayError
from sim.front import Front, front
from sim.graph.graph import Graph
from sim.graph.tflite_writer import write
from sim.policy import Choice, Goal, Policy, parse_choice
from sim.program import place
from sim.progress import listening, stop
from sim.render import front as render
from sim.render import plot
from sim.report import Report, report
from sim.system import System
from sim.trace import COMPUTE, CORE, SPILL, Span
from tests.graphs import Net, unet
from tests.traces import hand_made

BOARD_NAME = "arduino_portenta_h7"
BOARD = load_board(BOARD_NAME)
STORAGE = BOARD.storages[0].name
PLENTY = Goal(10**9)
Cost = tuple[int, int, int]


def net(size: int, name: str = "1000/0") -> Graph:
    made = Net(name=name)
    return made.graph(made.relu(made.input(1, 1, 1, size)))


def required(size: int) -> int:
    return place(net(size)).arena().required


BIG = net(20_000)
WHOLE = required(20_000)


@dataclass(frozen=True, slots=True)
class Way:
    """A graph of so many bytes that takes so long and moves so much."""

    size: int = 16
    work_ps: int = 1000
    moved: int = 0

    name: ClassVar[str] = "way"
    summary: ClassVar[str] = "costs what it says"
    packs: ClassVar[bool] = False

    def apply(self, graph: Graph, board: Board, goal: Goal) -> Graph:
        return net(self.size, f"{self.work_ps}/{self.moved}")

    def candidates(self, graph: Graph, board: Board, goal: Goal) -> Iterator[Policy]:
        yield self

    @property
    def cost(self) -> Cost:
        return required(self.size), self.work_ps, self.moved


@dataclass(frozen=True, slots=True)
class Ways(Way):
    """Tries all of its ways under each budget, apart from those in a range that it refuses."""

    ways: tuple[Way, ...] = ()
    refused: tuple[int, int] = (0, 0)

    def candidates(self, graph: Graph, board: Board, goal: Goal) -> Iterator[Policy]:
        if self.refused[0] <= goal.sram_bytes < self.refused[1]:
            raise CannotFitError("tensor 'x' is in the way")
        yield from self.ways


def play(system: System, board: Board, *, frames: int, seed: int) -> Report:
    """What the graph's name says, and every inference the same."""
    work_ps, moved = map(int, system.program.graph.name.split("/"))
    spans = []
    for frame in range(frames):
        start, stop_ps = frame * work_ps, (frame + 1) * work_ps
        spans.append(Span(start, stop_ps, CORE, COMPUTE, "RELU", frame, 0))
        spans.append(Span(start, stop_ps, STORAGE, SPILL, "x", frame, 0, moved))
    ends = tuple((frame * work_ps, (frame + 1) * work_ps) for frame in range(frames))
    return report(hand_made(spans, ends, (CORE, STORAGE)), board)


def found(*policies: Policy, goal: Goal = PLENTY, levels: int = 12, frames: int = 1) -> Front:
    choices = [Choice((policy,), ((),)) for policy in policies]
    return front(BIG, BOARD, goal, choices, play, levels=levels, frames=frames)


def costs(front: Front) -> list[Cost]:
    return [point.cost for point in front.points]


def beaten(cost: Cost, others: set[Cost]) -> bool:
    return any(
        o != cost and o[0] <= cost[0] and o[1] <= cost[1] and o[2] <= cost[2] for o in others
    )


WAYS = st.builds(
    Way,
    size=st.sampled_from([16, 64, 1000, 4000, 4016, 12_000, 20_000]),
    work_ps=st.sampled_from([1, 500, 1000, 2000]),
    moved=st.sampled_from([0, 8, 800]),
)


@given(st.lists(WAYS, min_size=1, max_size=8), st.sampled_from([200, 5000, 13_000, 10**9]))
def test_points_are_those_that_nothing_beats(ways: list[Way], sram: int) -> None:
    """Each way is a choice of its own, so all of them are found; those that fit count."""
    made = found(*ways, goal=Goal(sram))
    seen = {way.cost for way in ways}
    fitting = {cost for cost in seen if cost[0] <= sram} or seen
    assert costs(made) == sorted(c for c in fitting if not beaten(c, fitting))
    assert made.fits == any(cost[0] <= sram for cost in seen)
    for point in made.points:
        (policy,) = point.choice.policies
        assert isinstance(policy, Way) and policy.cost == point.cost


def test_one_choice_is_asked_again_below_what_it_found() -> None:
    ways = tuple(Way(size, 10**6 // size) for size in (16_000, 8_000, 4_000, 2_000, 16))
    made = found(Ways(ways=ways))
    assert costs(made) == [way.cost for way in reversed(ways)]
    budgets = [point.budget_bytes for point in reversed(made.points)]
    assert budgets[0] == WHOLE
    for budget, above, way in zip(budgets[1:], ways, ways[1:], strict=False):
        assert budget < required(above.size)
        assert budget >= way.cost[0] or way is ways[-1]


def test_levels_are_geometric_until_the_first_that_nothing_meets() -> None:
    """What comes to exactly its budget is asked for ever smaller ones by one ratio."""
    tried: list[int] = []

    @dataclass(frozen=True, slots=True)
    class Exact(Way):
        def candidates(self, graph: Graph, board: Board, goal: Goal) -> Iterator[Policy]:
            tried.append(goal.sram_bytes)
            size = (goal.sram_bytes - required(0)) // 32 * 16  # an input and an output
            yield Way(max(2_000, size), 10**9 - goal.sram_bytes)

    made = found(Exact())
    ratios = [b / a for a, b in pairwise(tried)]
    assert tried[0] == WHOLE
    assert max(ratios) - min(ratios) < 0.02
    assert all(level >= required(2_000) for level in tried[:-1])
    assert tried[-1] < required(2_000)
    assert 6 < len(tried) < 12
    assert made.points[0].arena.required == required(2_000)


@pytest.mark.parametrize("sram", [0, WHOLE - 1, WHOLE, 10**9])
def test_no_level_lies_above_the_budget_or_the_unmodified_model(sram: int) -> None:
    tried: list[int] = []

    @dataclass(frozen=True, slots=True)
    class Noted(Way):
        def candidates(self, graph: Graph, board: Board, goal: Goal) -> Iterator[Policy]:
            tried.append(goal.sram_bytes)
            yield Way(12_000)

    found(Noted(), goal=Goal(sram))
    assert tried[0] == min(sram, WHOLE)
    assert tried == sorted(tried, reverse=True)


@pytest.mark.parametrize("levels", [1, 2, 5])
def test_no_more_levels_than_asked_for(levels: int) -> None:
    sizes = range(20_000, 160, -160)
    dear = Ways(ways=tuple(Way(size, 10**6 - size) for size in sizes))
    assert len(found(dear, levels=levels).points) == levels
    free = Ways(ways=tuple(Way(size, size) for size in sizes))  # the smallest is the quickest
    assert costs(found(free, levels=levels)) == [free.ways[-1].cost]


def test_a_budget_that_a_policy_refuses_is_skipped() -> None:
    ways = (Way(12_000, 5), Way(64, 9))
    refusing = Ways(ways=ways, refused=(WHOLE - 5_000, WHOLE + 1))
    assert costs(found(refusing)) == costs(found(Ways(ways=ways))) == [w.cost for w in ways[::-1]]


def test_only_if_all_fail_at_all_budgets_it_is_an_error() -> None:
    refusing = Ways(refused=(0, 10**9))
    with pytest.raises(PolicyError, match=r"^tensor 'x' is in the way$"):
        found(refusing)
    with pytest.raises(PolicyError, match=r"^no policy was named$"):
        found()
    assert costs(found(refusing, Way(64))) == [Way(64).cost]


def test_where_nothing_fits_the_front_of_what_was_found_is_shown() -> None:
    made = found(Way(4_000, 5), Way(12_000, 2), Way(12_000, 3), goal=Goal(3_000))
    assert costs(made) == [Way(4_000, 5).cost, Way(12_000, 2).cost]
    assert not made.fits


def test_of_equals_the_one_with_fewest_parameters_stays() -> None:
    same = Way(64, 5)
    made = found(Ways(ways=(Ways(64, 5),)), same)
    assert [point.choice.policies for point in made.points] == [(same,)]


def test_the_baseline_is_the_model_as_it_is_for_all_frames() -> None:
    made = found(Way(64, 7), frames=9)
    assert made.baseline.cost == (WHOLE, 1000, 0)
    assert made.baseline.program == place(BIG)
    assert made.baseline.report.frames == made.points[0].report.frames == 9


def test_a_stop_that_is_asked_for_ends_it_with_what_there_is() -> None:
    ways = tuple(Way(size, 10**6 // size) for size in (16_000, 8_000, 64))

    @dataclass(frozen=True, slots=True)
    class Stopping(Ways):
        def candidates(self, graph: Graph, board: Board, goal: Goal) -> Iterator[Policy]:
            stop()
            yield from self.ways

    with listening(lambda _: None):
        assert costs(found(Stopping(ways=ways))) == [ways[0].cost]


def test_with_the_engine_it_is_the_same_every_time() -> None:
    graph = unet(16, 24, (4, 8, 16))
    choices = [parse_choice(text) for text in ("baseline", "plan", "spill", "spill(storage=sd)")]
    told: list[str] = []
    made, again = (
        front(graph, BOARD, PLENTY, choices, engine, frames=3, seed=2, progress=told.append)
        for _ in range(2)
    )
    assert made == again
    assert len(made.points) > 1
    assert made.points[0].report.moved_bytes > 0
    for point in made.points:
        goal = Goal(point.budget_bytes)
        assert place(point.choice.apply(graph, BOARD, goal)).graph.ops == point.program.graph.ops
    assert any("spill(storage=sd) under" in text for text in told)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "unet.tflite"
    write(unet(16, 24, (4, 8, 16)), path)
    return path


ASKED = ["--board", BOARD_NAME, "--policy", "plan", "spill", "--front"]


def test_the_command_prints_one_document(
    capsys: pytest.CaptureFixture[str], model: Path, tmp_path: Path
) -> None:
    assert main(["compare", str(model), *ASKED, "--json"]) == 0
    made: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert made["schema_version"] == 2
    arenas = [point["arena_bytes"]["required"] for point in made["front"]]
    assert arenas == sorted(set(arenas)) and len(arenas) > 1
    assert all(point["fits"] for point in made["front"])
    assert made["front"][0]["policy"] == "spill"
    assert made["front"][0]["params"]["storage"] == "sdram"
    assert made["baseline"]["moved_bytes"] == {}
    assert made["baseline"]["arena_bytes"]["required"] > arenas[-1]
    assert {"latency_us", "energy_uj", "ops", "macs"} <= set(made["baseline"])


def test_the_table_is_good_at_80_columns(capsys: pytest.CaptureFixture[str], model: Path) -> None:
    assert main(["compare", str(model), *ASKED, "--policy", "spill(storage=sd,window=0)"]) == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80
    assert "as it is" in shown and "spill(storage=sdram, target=" in shown


def test_exit_1_if_no_point_fits(capsys: pytest.CaptureFixture[str], model: Path) -> None:
    assert main(["compare", str(model), *ASKED, "--sram", "1KiB"]) == 1
    assert "Nothing fits: the smallest is" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "wanted"),
    [
        (["--plot", "a.png"], "--plot: found no --front, wanted it"),
        (["--front", "--plot", "a.pdf"], "--plot: found 'a.pdf', wanted a name in .png or .svg"),
        (["--front", "--plot", ""], "--plot: found '', wanted"),
    ],
)
def test_wrong_use_is_one_sentence_and_exit_2(
    capsys: pytest.CaptureFixture[str], model: Path, flags: list[str], wanted: str
) -> None:
    assert main(["compare", str(model), "--board", BOARD_NAME, *flags]) == 2
    out, err = capsys.readouterr()
    assert out == "" and wanted in err


def test_without_matplotlib_the_error_names_the_extra(
    capsys: pytest.CaptureFixture[str],
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(plot, "find_spec", lambda name: None)
    target = tmp_path / "front.png"
    assert main(["compare", str(model), *ASKED, "--plot", str(target)]) == 2
    assert "found no matplotlib, wanted it: pip install 'spillway-mcu[plot]'" in (
        capsys.readouterr().err
    )
    with pytest.raises(MissingToolError):
        render.plot_front(found(Way(64)), "net", str(target), budget=False)
    assert list(tmp_path.iterdir()) == []


def test_the_table_needs_no_matplotlib(
    capsys: pytest.CaptureFixture[str], model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(["compare", str(model), *ASKED]) == 0
    assert "moved B" in capsys.readouterr().out


@pytest.mark.parametrize(("suffix", "starts"), [(".png", b"\x89PNG"), (".SVG", b"<?xml")])
def test_the_plot_is_written_whole_and_the_same_each_time(
    model: Path, tmp_path: Path, suffix: str, starts: bytes
) -> None:
    pytest.importorskip("matplotlib")
    target = tmp_path / "new" / f"front{suffix}"
    drawn = []
    for _ in range(2):
        assert main(["compare", str(model), *ASKED, "--plot", str(target)]) == 0
        drawn.append(target.read_bytes())
    assert drawn[0] == drawn[1]
    assert drawn[0].startswith(starts)
    assert [p.name for p in target.parent.iterdir()] == [target.name]


def test_the_plot_says_what_is_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    ways = (Way(16_000, 10**9), Way(8_000, 4 * 10**10, 900), Way(64, 9 * 10**10, 90_000))
    target = tmp_path / "front.svg"
    made = found(*ways, goal=Goal(16_800))
    import matplotlib

    with matplotlib.rc_context({"svg.fonttype": "none"}):
        render.plot_front(made, "net", str(target), budget=True)
    # Text is drawn as paths; matplotlib leaves each one's words in a comment beside it.
    svg = target.read_text()
    for words in ("required arena (kB)", "latency (ms)", "moved per inference (kB)", "as it is",
                  "budget", "way", "budget 16.8 kB"):  # fmt: skip
        assert words in svg, words
    render.plot_front(found(Way(64)), "net", str(target), budget=False)
    still = target.read_text()
    assert "moved per inference" not in still and "way (nothing is moved)" in still
    assert ">budget" not in still and "<!-- budget" not in still


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    (tmp_path / "file").write_text("")
    with pytest.raises(SpillwayError, match="can't be written"):
        render.plot_front(found(Way(64)), "net", str(tmp_path / "file" / "a.png"), budget=False)
