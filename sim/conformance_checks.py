"""The checks of the conformance suite: each looks at one case and tells what is wrong with it."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import TypeVar

from sim.compare import compare
from sim.conformance_case import (
    BOARD,
    PLENTY_BYTES,
    Answer,
    Case,
    ask_again,
    copy_of,
    flaws,
    gave_graph,
    graph_of,
    interface_flaws,
    pickled,
    raised,
    validity_flaws,
)
from sim.deploy.inputs import input_sets
from sim.deploy.runtime_protocol import Arrays
from sim.deploy.runtimes import InputSets, RuntimeRefusal, run_litert, run_tflm
from sim.device.loader import load_board
from sim.engine.run import play, simulate
from sim.errors import CannotFitError, MissingToolError, PolicyError
from sim.graph.graph import OFFLINE_PLAN, Graph
from sim.graph.tflite_reader import read_bytes
from sim.graph.tflite_writer import to_bytes
from sim.plan.runtime import Runtime
from sim.policy import Choice, Goal, Policy
from sim.program import Program, place

KERNELS = ("reference", "cmsis_nn")
INPUT_SETS = 3

_Result = TypeVar("_Result")


class NotJudgedError(Exception):
    """A check has nothing to look at, or lacks what it needs."""


def refusal(case: Case) -> str:
    """Why there is no program to look at: the first thing that went wrong."""
    errors = (f"{a.what}: {raised(a.error)}" for a in case.answers if a.error is not None)
    unsound = (flaw for a in case.usual if gave_graph(a) for flaw in flaws(a, case.model))
    return next(itertools.chain(errors, unsound, case.unplaced), "")


def least_activations(policy: Policy, graph: Graph, kernels: str = KERNELS[0]) -> int:
    """Of the setting that `sim compare` chooses; a policy's own estimate only has to propose it.

    Raises PolicyError if no setting can be applied.
    """
    goal = Goal(PLENTY_BYTES, "activations", kernels)
    choice = Choice((policy,), ((),))
    arena = compare(graph, load_board(BOARD), goal, [choice], play).best.arena
    assert arena is not None
    return arena.activations


def _untouched(case: Case) -> Iterator[str]:
    return (f"{a.what}: changed the graph that it was given" for a in case.answers if a.touched)


def _deterministic(case: Case) -> Iterator[str]:
    for answer in case.usual:
        again = ask_again(answer, case.model)
        if repr(answer.error) != repr(again.error):
            yield f"{answer.what}: once {answer.error!r}, once {again.error!r}"
        elif answer.setting is None and answer.made != again.made:
            yield f"{answer.what}: not the same settings twice"
        elif answer.setting is not None and pickled(answer.made) != pickled(again.made):
            yield f"{answer.what}: not the same graph twice"


def _names_what_is_in_the_way(case: Case) -> Iterator[str]:
    board = load_board(BOARD)
    tensors = [t.name for t in graph_of(case.model).tensors if not t.is_constant]
    memories = ["SRAM", *(m.name for m in board.memories), *(s.name for s in board.storages)]
    for answer in case.answers:
        if answer.error is None:
            continue
        if not isinstance(answer.error, CannotFitError):
            yield f"{answer.what}: {raised(answer.error)}; wanted a CannotFitError"
            continue
        for kind, names in (("tensor", tensors), ("memory", memories)):
            if not any(
                re.search(rf"(?<!\w){re.escape(n)}(?!\w)", str(answer.error)) for n in names
            ):
                yield f"{answer.what}: its CannotFitError names no {kind}: {answer.error}"


def _names_one_of(names: Iterable[str], text: str) -> bool:
    return any(re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text) for name in names)


def _valid(case: Case) -> Iterator[str]:
    for answer in _given(case):
        yield from validity_flaws(answer)


def _same_interface(case: Case) -> Iterator[str]:
    valid = [answer for answer in _given(case) if not list(validity_flaws(answer))]
    if not valid:
        raise NotJudgedError("nothing to look at that is valid")
    for answer in valid:
        yield from interface_flaws(answer, case.model)


def _given(case: Case) -> list[Answer]:
    """What the settings made, where they made something."""
    given = [answer for answer in case.answers if gave_graph(answer)]
    if not given:
        raise _nothing(case)
    return given


def _plan_verified(case: Case) -> Iterator[str]:
    yield from case.unplaced
    for answer, program in case.programs if case.unplaced else _placed(case):
        try:
            program.verify()
        except Exception as error:
            yield f"{answer.what}: {raised(error)}"
        packs = answer.setting is not None and answer.setting.packs
        if packs != (program.graph.meta(OFFLINE_PLAN) is not None):
            has = "no offline plan" if packs else "an offline plan of its own"
            yield f"{answer.what}: packs is {packs}, and the graph has {has}"


def _read_back(case: Case) -> Iterator[str]:
    board = load_board(BOARD)
    for answer, program in _placed(case):
        again = place(read_bytes(to_bytes(program.graph), program.graph.name))
        if again.plan != program.plan:
            yield f"{answer.what}: read back from its file, the plan is another"
        elif simulate(again, board, frames=2) != simulate(program, board, frames=2):
            yield f"{answer.what}: read back from its file, it takes another time"


def _exact_in_litert(case: Case) -> Iterator[str]:
    return _differences(case, run_litert)


def _exact_in_tflm(case: Case) -> Iterator[str]:
    return _differences(case, lambda file, sets: run_tflm(file, sets).outputs)


def _differences(case: Case, run: Callable[[bytes, InputSets], list[Arrays]]) -> Iterator[str]:
    graph = graph_of(case.model)
    sets = input_sets(graph, INPUT_SETS, seed=0)
    wanted = _flat(_run(run, to_bytes(graph), sets))
    for file, (answer, _) in _files(case).items():
        try:
            found = _flat(_run(run, file, sets))
        except RuntimeRefusal as error:
            yield f"{answer.what}: {error}"
            continue
        wrong = sum(a != b for a, b in zip(found, wanted, strict=True))
        if wrong:
            yield f"{answer.what}: {wrong} of {len(wanted)} outputs differ"


def _flat(output_sets: list[Arrays]) -> list[tuple[str, tuple[int, ...], bytes]]:
    return [(a.dtype.str, a.shape, a.tobytes()) for arrays in output_sets for a in arrays]


def _head_as_planned(case: Case) -> Iterator[str]:
    for file, (answer, program) in _files(case).items():
        try:
            found = _run(run_tflm, file, ()).head_bytes
        except RuntimeRefusal as error:
            yield f"{answer.what}: {error}"
            continue
        if found != program.plan.size_bytes:
            planned = f"planned {program.plan.size_bytes} B"
            yield f"{answer.what}: TFLM records a head of {found} B, {planned}"


def _run(run: Callable[[bytes, InputSets], _Result], file: bytes, sets: InputSets) -> _Result:
    try:
        return run(file, sets)
    except MissingToolError as error:
        raise NotJudgedError(str(error)) from None


def _files(case: Case) -> dict[bytes, tuple[Answer, Program]]:
    """The programs that differ, by their files."""
    return {to_bytes(program.graph): (answer, program) for answer, program in _placed(case)}


def _placed(case: Case) -> tuple[tuple[Answer, Program], ...]:
    if not case.programs:
        raise _nothing(case)
    return case.programs


def _nothing(case: Case) -> NotJudgedError:
    return NotJudgedError("; ".join(["nothing to look at", *_refused(case)[:1]]))


def _refused(case: Case) -> list[str]:
    """What the policy said that it can't do, for usual goals."""
    return [str(a.error) for a in case.usual if isinstance(a.error, CannotFitError)]


def _no_worse_than_baseline(case: Case) -> Iterator[str]:
    _placed(case)
    graph = graph_of(case.model)
    for kernels in KERNELS:
        try:
            found = least_activations(case.policy, copy_of(graph), kernels)
        except PolicyError as error:
            if _refused(case):
                raise NotJudgedError(f"nothing to compare: {error}") from None
            yield f"nothing to compare with {kernels} kernels: {error}"
            continue
        plain = place(graph, Runtime(kernels=kernels)).plan.size_bytes
        if found > plain:
            yield f"{found} B of activations with {kernels} kernels, the model as it is {plain} B"


CHECKS: Mapping[str, Callable[[Case], Iterable[str]]] = MappingProxyType(
    {
        "input untouched": _untouched,
        "deterministic": _deterministic,
        "errors name why": _names_what_is_in_the_way,
        "valid graph": _valid,
        "same interface": _same_interface,
        "plan verified": _plan_verified,
        "same when read back": _read_back,
        "exact in LiteRT": _exact_in_litert,
        "exact in TFLM": _exact_in_tflm,
        "head as planned": _head_as_planned,
        "no worse than baseline": _no_worse_than_baseline,
    }
)
"""By name; each raises NotJudgedError where it can't judge."""
