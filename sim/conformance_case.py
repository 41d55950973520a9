"""What the conformance suite looks at: all that a policy answers on one small model."""

from __future__ import annotations

import itertools
import pickle
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from sim.conformance_models import MODELS
from sim.device.board import Board
from sim.device.loader import load_board
from sim.graph.graph import Graph, Quantization
from sim.graph.tflite_reader import read_bytes
from sim.graph.tflite_writer import to_bytes
from sim.policy import Goal, Policy, parameters, written
from sim.program import Program, pack_graph, place

BOARD = "arduino_portenta_h7"
CANDIDATES_TRIED = 2
PLENTY_BYTES = 10**9


@dataclass(frozen=True, slots=True)
class Answer:
    """What the policy made of a graph: a graph or, if asked for candidates, a tuple of settings.

    `setting` is None where candidates were asked for. `ask` asks the same again. `touched`: the
    graph that was given is not what it was.
    """

    what: str
    ask: Callable[[Graph], object]
    setting: Policy | None
    made: object
    error: Exception | None
    touched: bool


@dataclass(frozen=True, slots=True)
class Case:
    """A policy on one model: its answers to usual goals, and where there is no room.

    `programs` are those of the graphs that are sound, `unplaced` why others of them have none.
    """

    policy: Policy
    model: str
    usual: tuple[Answer, ...]
    cornered: tuple[Answer, ...]
    programs: tuple[tuple[Answer, Program], ...]
    unplaced: tuple[str, ...]

    @property
    def answers(self) -> tuple[Answer, ...]:
        return (*self.usual, *self.cornered)


def make_case(policy: Policy, model: str) -> Case:
    """Asks the policy for all that the checks look at."""
    board = load_board(BOARD)
    bare = replace(board, storages=tuple(replace(s, size_bytes=1) for s in board.storages))
    needed = place(graph_of(model)).arena().required
    usual = (
        *_answers(policy, model, board, Goal(needed * 9 // 10, "latency")),
        *_answers(policy, model, board, Goal(PLENTY_BYTES, "activations")),
    )
    cornered = (
        *_answers(policy, model, board, Goal(0, "latency")),
        *_answers(policy, model, bare, Goal(0, "arena")),
    )
    programs, unplaced = [], []
    for answer in usual:
        if gave_graph(answer) and not list(flaws(answer, model)):
            try:
                programs.append((answer, _program(answer)))
            except Exception as error:
                unplaced.append(f"{answer.what}: {raised(error)}")
    return Case(policy, model, usual, cornered, tuple(programs), tuple(unplaced))


@cache
def graph_of(model: str) -> Graph:
    """One of MODELS as it is read from its file."""
    return read_bytes(to_bytes(MODELS[model]()), model)


def ask_again(answer: Answer, model: str) -> Answer:
    """The answer to the same question, on a copy of its own."""
    return _answer(answer.what, answer.ask, answer.setting, model)


def _answers(policy: Policy, model: str, board: Board, goal: Goal) -> Iterator[Answer]:
    """The first candidates; then what the policy itself and they make of the graph."""
    wish = f"for least {goal.minimize} in {goal.sram_bytes:,} B"

    def candidates(graph: Graph) -> tuple[Policy, ...]:
        return tuple(itertools.islice(policy.candidates(graph, board, goal), CANDIDATES_TRIED))

    proposed = _answer(f"candidates {wish}", candidates, None, model)
    yield proposed
    settings = proposed.made if isinstance(proposed.made, tuple) else ()
    for setting in (policy, *settings):

        def apply(graph: Graph, setting: Policy = setting) -> Graph:
            return setting.apply(graph, board, goal)

        yield _answer(f"{_label(setting)} {wish}", apply, setting, model)


def _answer(
    what: str, ask: Callable[[Graph], object], setting: Policy | None, model: str
) -> Answer:
    """The graph is a copy, so that what a policy does to it stays here."""
    graph = copy_of(graph_of(model))
    before = pickle.dumps(graph)
    made, error = None, None
    try:
        made = ask(graph)
    except Exception as caught:
        error = caught
    return Answer(what, ask, setting, made, error, pickled(graph) != before)


def _label(setting: Policy) -> str:
    name = str(getattr(setting, "name", setting))
    given = [f"{k}={written(v)}" for k, v in parameters(setting).items() if v is not None]
    return f"{name}({','.join(given)})" if given else name


def _program(answer: Answer) -> Program:
    """As `sim compare` makes it."""
    assert isinstance(answer.made, Graph) and answer.setting is not None
    return pack_graph(answer.made)[0] if answer.setting.packs else place(answer.made)


def gave_graph(answer: Answer) -> bool:
    """Whether it is what a setting made of the graph, sound or not."""
    return answer.setting is not None and answer.error is None


def flaws(answer: Answer, model: str) -> Iterator[str]:
    """Why what a setting made is no graph to run in the stead of the model."""
    found = list(validity_flaws(answer))
    return iter(found or interface_flaws(answer, model))


def validity_flaws(answer: Answer) -> Iterator[str]:
    """Why what a setting made is not a valid graph."""
    if not isinstance(answer.made, Graph):
        yield f"{answer.what}: made a {type(answer.made).__name__}, wanted a Graph"
        return
    try:
        answer.made.verify()
    except Exception as error:
        yield f"{answer.what}: {raised(error)}"


def interface_flaws(answer: Answer, model: str) -> Iterator[str]:
    """Inputs and outputs of a valid graph that are not those of the model."""
    assert isinstance(answer.made, Graph)
    for side in ("inputs", "outputs"):
        found, wanted = _interface(answer.made, side), _interface(graph_of(model), side)
        if found != wanted:
            yield f"{answer.what}: {side}: found {', '.join(found)}, wanted {', '.join(wanted)}"


def _interface(graph: Graph, side: str) -> list[str]:
    """Type, shape, scales and zero points of the inputs or outputs."""
    tensors = [graph.tensors[t] for t in getattr(graph, side)]
    return [f"{t.dtype} {list(t.shape)}{_scales(t.quantization)}" for t in tensors]


def _scales(quantization: Quantization | None) -> str:
    if quantization is None:
        return ""
    return f" scale {quantization.scale} zero point {quantization.zero_point}"


def raised(error: Exception) -> str:
    """An error's type, text, and the line that raised it."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    return f"raised {type(error).__name__}: {error}{where}"


def copy_of(graph: Graph) -> Graph:
    """The same graph, down to its mutable parts."""
    copy: Graph = pickle.loads(pickle.dumps(graph))
    return copy


def pickled(value: object) -> bytes:
    """The value's bytes; none if it can't be pickled."""
    try:
        return pickle.dumps(value)
    except Exception:
        return b""
