"""What a policy does to a model, before and after: programs that are really made and played.

A page of a policy says in a comment what is drawn:

    <!-- picture
    model: drone_seg
    board: arduino_portenta_h7
    before: plan
    after: spill(storage=sdram)
    -->

`model` is one of scenarios/models; `sram`, `runtime` and `minimize` are those of `sim compare`. The
word `unshared` in place of a policy stands for the model with a place of its own for each tensor.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml

from generate.memory_map import Panel, draw
from sim.compare import compare
from sim.device.loader import load_board
from sim.engine.run import play
from sim.graph.lifetimes import ARENA_ALIGNMENT
from sim.graph.tflite_reader import read as read_model
from sim.plan.memory_plan import MemoryPlan
from sim.policy import Goal, parse_choice
from sim.program import Program
from sim.ranges import round_up
from sim.render.plot import save_plot
from sim.units import parse_size

MODELS = Path(__file__).parents[2] / "scenarios" / "models"
SIZE_INCHES = (11.5, 6.9)
UNSHARED = "unshared"


@dataclass(frozen=True, slots=True)
class Picture:
    """A model on a board under a goal, before a policy and after it."""

    model: str
    board: str
    before: str
    after: str
    sram: str = ""
    runtime: str = "tflm"
    minimize: str = "latency"


def read(text: str) -> Picture:
    """What a page's comment asks for."""
    asked: Mapping[str, str] = yaml.safe_load(text)
    return Picture(**asked)


def figure(picture: Picture, file_name: str) -> str:
    """The picture in a page, with what it shows in words."""
    before, after = (panel.told for panel in programs(picture))
    real = "Both were placed and played when this page was built."
    if picture.before == UNSHARED:
        real = "The first is there to compare with: no runtime does that."
    return f"""\
<figure markdown="span">
  [![{picture.model} before: {before}. After: {after}.]({file_name})]({file_name})
  <figcaption><code>{picture.model}</code> on <code>{picture.board}</code>. Before: {before}.
  After: {after}. {real}
  The bytes are activations and scratch; what TFLM needs for itself comes on top.</figcaption>
</figure>"""


def drawn(picture: Picture) -> str:
    """The picture as SVG; the same picture, the same text."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "picture.svg"
        save(picture, path)
        return path.read_text()


def save(picture: Picture, path: Path) -> None:
    """The picture as a file, PNG or SVG by its name."""
    save_plot(str(path), SIZE_INCHES, lambda made: draw(made, programs(picture)))


@cache
def programs(picture: Picture) -> tuple[Panel, Panel]:
    """The program before and the one after."""
    return _panel(picture, picture.before), _panel(picture, picture.after)


def _panel(picture: Picture, policy: str) -> Panel:
    graph = read_model(MODELS / f"{picture.model}.tflite")
    board = load_board(picture.board)
    sram = parse_size(picture.sram) if picture.sram else board.largest_usable_bytes
    goal = Goal(sram, picture.minimize, runtime=picture.runtime)
    choice = parse_choice("baseline" if policy == UNSHARED else policy)
    found = compare(graph, board, goal, [choice], play).best
    if found.program is None or found.report is None:
        raise ValueError(f"{picture}: {policy}: {found.error}")
    program = found.program
    if policy == UNSHARED:
        return Panel("a place for each tensor, none shared", _unshared(program))
    milliseconds = found.report.latency.mean_ps / 10**9
    does = found.choice.params.get("does")  # what auto comes to
    title = f"{policy}, which is {does}" if does else policy
    return Panel(title, program, f"{milliseconds:.1f} ms")


def _unshared(program: Program) -> Program:
    """The program with a place of its own for each tensor and each scratch buffer, for good."""
    placements, top = [], 0
    for placement in program.plan.placements:
        placements.append(replace(placement, offset_bytes=top))
        top += round_up(placement.size_bytes, ARENA_ALIGNMENT)
    return replace(program, plan=MemoryPlan(tuple(placements)))
