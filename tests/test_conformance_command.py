"""`sim policies --check`: what a bad policy does wrong is found, by the check that is for it."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from sim import conformance_checks
from sim.cli import main
from sim.conformance import FAILED, PASSED, SKIPPED, Finding, check_policy, judge, judge_value
from sim.conformance_case import graph_of, make_case
from sim.conformance_checks import CHECKS
from sim.conformance_models import MODELS
from sim.deploy.inputs import input_sets
from sim.deploy.runtimes import TflmRun, run_litert
from sim.device.board import Board
from sim.errors import CannotFitError, MissingToolError
from sim.graph.graph import WINDOWS_METADATA, Graph
from sim.graph.tflite_writer import to_bytes
from sim.plan.offline import with_offline_plan
from sim.plan.runtime import Runtime
from sim.policy import Goal, Policy
from sim.program import place

ROOT = Path(__file__).parents[1]
HERE = "tests.test_conformance_command"
COUNTER = itertools.count()


@dataclass(frozen=True)
class Good:
    """The graph as it is; the bad ones differ from it in one thing."""

    name = "good"
    summary = "changes nothing"
    packs = False

    def apply(self, graph: Graph, board: Board, goal: Goal) -> Graph:
        return graph

    def candidates(self, graph: Graph, board: Board, goal: Goal) -> Iterator[Policy]:
        yield self


class Mutates(Good):
    def apply(self, graph: Graph, board: Board, goal: Goal) -> Graph:
        before = replace(graph)
        object.__setattr__(graph, "description", "seen")
        return before


class MutatesOptions(Good):
    """Inside a dict, where no frozen dataclass helps, and while it only looks."""

    def candidates(self, graph: Graph, board: Board, goal: Goal) -> Iterator[Policy]:
        for op in graph.ops:
            op.options.fields.update(seen=True)  # type: ignore[attr-defined]
        yield self


class SwapsWeights(Good):
    """The first two of equal shape."""

    def apply(self, graph: Graph, board: Board, goal: Goal) -> Graph:
        weights = [t for t in graph.tensors if t.name == "weights"]
        for a, b in itertools.combinations(weights, 2):
            if a.shape == b.shape:
                data = {a.id: b.data, b.id: a.data}
                changed = (replace(t, data=data.get(t.id, t.data)) for t in graph.tensors)
                return replace(graph, tensors=tuple(changed))
        return graph


class Counts(Good):
    def apply(self, graph: Graph, board: Board, goal: Goal) -> Graph:
        return replace(graph, description=f"run {next(COUNTER)}")


@dataclass(frozen=True)
class CountsCandidates(Good):
    number: int = 0

    def candidates(self, graph: Graph, board: Board, goal: Goal) -> Iterator[Policy]:
        yield CountsCandidates(next(COUNTER))


class Raises(Good):
    def apply(self, graph: Graph, board: Board, goal: Goal) -> Graph:
        raise ValueError("what [a] day")


class RaisesWithoutRoom(Good):
    def candidates(self, graph: Graph, board: Board, goal: Goal) -> Iterator[Policy]:
        assert 1 // goal.sram_bytes == 0
        yield self


class ForgetsToYield(Good):
    def candidates(self, graph: Graph, board: Board, goal: Goal) -> Iterator[Policy]:
        return None  # type: ignore[return-value]


class OffersNothing(Good):
    def candidates(self, graph: Graph, board: Board, goal: Goal) -> Iterator[Policy]:
        yield from ()


class ForgetsToReturn(Good):
    def apply(self, graph: Graph, board: Board, goal: Goal) -> Graph:
        return None  # type: ignore[return-value]


class Reverses(Good):
    def apply(self, graph: Graph, board: Board, goal: Goal) -> Graph:
        return replace(graph, ops=graph.ops[::-1])


class ChangesOutput(Good):
    def apply(self, graph: Graph, board: Board, goal: Goal) -> Graph:
        first = graph.outputs[0]
        shaped = replace(graph.tensors[first], shape=(graph.tensors[first].elements,))
        tensors = (shaped if t.id == first else t for t in graph.tensors)
        return replace(graph, tensors=tuple(tensors))


class DropsOutput(Good):
    """On the one model that has two."""

    def apply(self, graph: Graph, board: Board, goal: Goal) -> Graph:
        return replace(graph, outputs=graph.outputs[:1])


class HidesPlan(Good):
    def apply(self, graph: Graph, board: Board, goal: Goal) -> Graph:
        placed = place(graph, Runtime(kernels=goal.kernels)).plan.placements
        starts = {p.tensor: p.span.start for p in placed if p.tensor is not None}
        return with_offline_plan(graph, starts)


class Wastes(Good):
    """TFLM places tensors that nobody uses, too."""

    def apply(self, graph: Graph, board: Board, goal: Goal) -> Graph:
        new = replace(graph.tensors[graph.inputs[0]], id=len(graph.tensors), shape=(100_000,))
        return replace(graph, tensors=(*graph.tensors, replace(new, shape_signature=())))


class Smuggles(Good):
    """A window that only the file's reader sees."""

    def apply(self, graph: Graph, board: Board, goal: Goal) -> Graph:
        return replace(graph, metadata=(*graph.metadata, (WINDOWS_METADATA, b"[[0, 1]]")))


class Refuses(Good):
    def apply(self, graph: Graph, board: Board, goal: Goal) -> Graph:
        tensor = graph.tensors[graph.inputs[0]]
        raise CannotFitError(f"tensor {tensor.name!r} ({tensor.nbytes} B): no room in axi")


class RefusesWithoutTensor(Good):
    def candidates(self, graph: Graph, board: Board, goal: Goal) -> Iterator[Policy]:
        if goal.sram_bytes == 0:
            raise CannotFitError("input000 has no room in axi")
        yield self


class RefusesWithoutMemory(Good):
    def candidates(self, graph: Graph, board: Board, goal: Goal) -> Iterator[Policy]:
        if goal.sram_bytes == 0:
            raise CannotFitError("input0 has no room")
        yield self


class Plain:
    name, summary, packs = "plain", "no dataclass, else like Good", False
    apply, candidates = Good.apply, Good.candidates


NotFrozen = dataclass(type("NotFrozen", (Plain,), {}))
NotHashable = dataclass(frozen=True)(
    type(
        "NotHashable", (Plain,), {"__annotations__": {"x": list}, "x": field(default_factory=list)}
    )
)
NeedsParameters = dataclass(frozen=True)(
    type("NeedsParameters", (Plain,), {"__annotations__": {"x": int}})
)
NotEqual = dataclass(frozen=True, eq=False)(type("NotEqual", (Plain,), {}))
NoSummary = dataclass(frozen=True)(type("NoSummary", (Plain,), {"summary": ""}))
PacksPerhaps = dataclass(frozen=True)(type("PacksPerhaps", (Plain,), {"packs": "perhaps"}))
NoCandidates = dataclass(frozen=True)(type("NoCandidates", (Plain,), {"candidates": None}))


def verdicts(cls: type[Policy]) -> dict[str, set[tuple[str, str]]]:
    """For each verdict the checks and models that got it."""
    found: dict[str, set[tuple[str, str]]] = {PASSED: set(), FAILED: set(), SKIPPED: set()}
    for finding in check_policy(cls):
        assert (finding.verdict == PASSED) == (finding.message == "")
        found[finding.verdict].add((finding.check, finding.model))
    return found


def test_a_good_policy_passes_every_check_on_every_model() -> None:
    wanted = {(check, model) for check in CHECKS for model in MODELS}
    wanted |= {("frozen value", ""), ("applied somewhere", "")}
    assert verdicts(Good) == {PASSED: wanted, FAILED: set(), SKIPPED: set()}


NOWHERE = ("applied somewhere", "")


def everywhere(check: str) -> set[tuple[str, str]]:
    return {(check, model) for model in MODELS}


@pytest.mark.parametrize(
    ("cls", "wanted"),
    [
        (Mutates, everywhere("input untouched")),
        (MutatesOptions, everywhere("input untouched")),
        (SwapsWeights, {("exact in LiteRT", "residual"), ("exact in TFLM", "residual")}),
        (Counts, everywhere("deterministic")),
        (CountsCandidates, everywhere("deterministic")),
        (Raises, everywhere("errors name why") | {NOWHERE}),
        (RaisesWithoutRoom, everywhere("errors name why")),
        (ForgetsToYield, everywhere("errors name why") | everywhere("no worse than baseline")),
        (OffersNothing, everywhere("no worse than baseline")),
        (ForgetsToReturn, everywhere("valid graph") | {NOWHERE}),
        (Reverses, everywhere("valid graph") | {NOWHERE}),
        (ChangesOutput, everywhere("same interface") | {NOWHERE}),
        (DropsOutput, {("same interface", "siblings")}),
        (HidesPlan, everywhere("plan verified")),
        (Wastes, everywhere("no worse than baseline")),
        (Smuggles, everywhere("same when read back")),
        (Refuses, {NOWHERE}),
        (RefusesWithoutTensor, everywhere("errors name why")),
        (RefusesWithoutMemory, everywhere("errors name why")),
    ],
)
def test_the_right_check_fails(cls: type[Policy], wanted: set[tuple[str, str]]) -> None:
    assert verdicts(cls)[FAILED] == wanted


@pytest.mark.parametrize(
    ("cls", "wanted"),
    [
        (Good, ""),
        (Plain, "is no dataclass"),
        (NotFrozen, r"is not frozen, wanted @dataclass\(frozen=True\); .* hashed: .*unhashable"),
        (NotHashable, r"NotHashable\(\) can't be made, compared and hashed: .*unhashable"),
        (NeedsParameters, r"NeedsParameters\(\) can't be made, .* argument: 'x'"),
        (NotEqual, r"NotEqual\(\) does not equal another"),
        (NoSummary, "summary: found '', wanted a str"),
        (PacksPerhaps, "packs: found 'perhaps', wanted a bool"),
        (NoCandidates, "candidates: found no such method"),
        (int, "is no dataclass; name: found None, wanted a str; summary"),
    ],
)
def test_what_is_no_frozen_value_is_told(cls: type[Policy], wanted: str) -> None:
    finding = judge_value(cls)
    assert finding.verdict == (FAILED if wanted else PASSED)
    assert re.match(wanted, finding.message), finding.message


@pytest.mark.parametrize("cls", [int, NeedsParameters])
def test_what_can_not_be_asked_gets_no_further(cls: type[Policy]) -> None:
    assert [f.check for f in check_policy(cls)] == ["frozen value"]


def test_an_error_is_told_with_its_place() -> None:
    messages = [f.message for f in check_policy(Raises) if f.verdict == FAILED]
    place_of = r"raised ValueError: what \[a\] day \(test_conformance_command.py:\d+\)"
    assert all(re.search(place_of, message) for message in messages)
    assert "; wanted a CannotFitError (and 3 more)" in messages[0]


def test_a_refusal_stands_where_there_is_nothing_to_judge() -> None:
    finding = judge("plan verified", make_case(Refuses(), "pads"))
    message = "nothing to look at; tensor 'input0' (81 B): no room in axi"
    assert finding == Finding("plan verified", "pads", SKIPPED, message)


def test_without_a_runtime_its_checks_are_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object) -> None:
        raise MissingToolError("ai_edge_litert is needed to run models and not installed")

    monkeypatch.setattr(conformance_checks, "run_litert", missing)
    case = make_case(Good(), "chain")
    litert, tflm = judge("exact in LiteRT", case), judge("exact in TFLM", case)
    assert (litert.verdict, tflm.verdict) == (SKIPPED, PASSED)
    assert "not installed" in litert.message


def test_a_head_that_is_not_as_planned_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conformance_checks, "run_tflm", lambda *_: TflmRun([], 7, 0, 7))
    finding = judge("head as planned", make_case(Good(), "chain"))
    assert finding.verdict == FAILED
    assert "TFLM records a head of 7 B, planned " in finding.message


@pytest.mark.parametrize("model", MODELS)
def test_one_wrong_weight_shows_in_the_outputs(model: str) -> None:
    """Else the models would prove little."""
    graph = graph_of(model)
    sets = input_sets(graph, conformance_checks.INPUT_SETS, seed=0)
    right = run_litert(to_bytes(graph), sets)
    for weights in graph.tensors:
        if weights.name != "weights" or weights.data is None:
            continue
        wrong = replace(weights, data=bytes([weights.data[0] ^ 64]) + weights.data[1:])
        tensors = (wrong if t.id == wrong.id else t for t in graph.tensors)
        found = run_litert(to_bytes(replace(graph, tensors=tuple(tensors))), sets)
        same = (
            np.array_equal(a, b)
            for some, others in zip(found, right, strict=True)
            for a, b in zip(some, others, strict=True)
        )
        assert not all(same)


def test_the_command_prints_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["policies", "--check", "baseline", "--json"]) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert (found["policy"], found["passed"], err) == ("baseline", True, "")
    keys = {"check", "model", "verdict", "message"}
    assert all(set(finding) == keys for finding in found["findings"])
    assert len(found["findings"]) == 2 + len(CHECKS) * len(MODELS)


def test_a_failure_is_exit_1_and_a_row(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["policies", "--check", f"{HERE}:Raises"]) == 1
    out, err = capsys.readouterr()
    assert err == ""
    assert re.search("^errors name why +unet +failed +good for least", out, re.MULTILINE)
    assert "what [a] day" in out
    assert "Traceback" not in out
    assert max(map(len, out.splitlines())) <= 80
    assert re.fullmatch(r"\d+ passed, 7 failed, \d+ skipped", out.splitlines()[-1])


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("nosuch", "found 'nosuch', wanted one of auto, baseline"),
        ("nosuch:Class", "policy 'nosuch:Class': can't be loaded: No module named 'nosuch'"),
        (f"{HERE}:Nosuch", "can't be loaded: module"),
        (f"{HERE}:ROOT", "found PosixPath"),
        (":Class", "policy ':Class': can't be loaded: raised ValueError: Empty module name"),
        ("broken_policies:Class", "can't be loaded: raised ZeroDivisionError: "),
    ],
)
def test_what_can_not_be_loaded_is_exit_2(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    name: str,
    wanted: str,
) -> None:
    (tmp_path / "broken_policies.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert main(["policies", "--check", name]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert wanted in err
    assert "Traceback" not in err


def test_the_policy_of_the_guide_in_the_current_directory_passes(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "write_a_policy.md").read_text()
    code = re.search(r"```python[^\n]*\n(.*?)```", text, re.DOTALL)
    command = re.search(r"^\$ sim (policies --check .*)$", text, re.MULTILINE)
    assert code is not None and command is not None
    (tmp_path / "my_policies.py").write_text(code.group(1))
    called = [sys.executable, "-P", "-m", "sim.cli", *command.group(1).split()]
    shown = subprocess.run(called, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert " 0 failed" in shown.stdout
