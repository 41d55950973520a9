"""Runs a .tflite in LiteRT's reference kernels and in TFLM, each in a process of its own."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec

from sim.deploy.runtime_process import runtime_process
from sim.deploy.runtime_protocol import LITERT, TFLM, Arrays, Request
from sim.errors import MissingToolError, SpillwayError
from sim.graph.graph import Graph
from sim.graph.tflite_reader import read_bytes
from sim.plan.offline import offline_offsets

INSTALL = "pip install 'spillway-mcu[verify]'"

InputSets = Sequence[Arrays]
"""Sets of inputs; a set holds one array per input, in the order of the main subgraph."""

_RECORDED = re.compile(r"Arena allocation (head|tail|total) (\d+) bytes")
_MESSAGE_CHARACTERS = 300


class RuntimeRefusal(SpillwayError):  # noqa: N818
    """A runtime did not load or run the model; holds its own message, and whether it crashed."""

    exit_code = 1

    def __init__(self, runtime: str, message: str, *, crashed: bool = False) -> None:
        super().__init__(f"{runtime}: {message}")
        self.runtime, self.crashed = runtime, crashed


@dataclass(frozen=True, slots=True)
class TflmRun:
    """Outputs of each set of inputs, and the arena bytes as TFLM recorded them (64-bit).

    The head holds activations and scratch, the tail what persists; `total_bytes` is their sum.
    """

    outputs: list[Arrays]
    head_bytes: int
    tail_bytes: int
    total_bytes: int


def run_litert(model: bytes, inputs: InputSets) -> list[Arrays]:
    """The outputs of each set, from reference kernels without delegates.

    Raises RuntimeRefusal if LiteRT can't load or run the model, or crashes; MissingToolError
    without LiteRT; ModelError if the bytes are no model.
    """
    _need("ai_edge_litert")
    outputs, _ = _ask(Request(LITERT, model, _lists(inputs), _facts(model).output_count))
    return outputs


def run_tflm(model: bytes, inputs: InputSets, arena_bytes: int | None = None) -> TflmRun:
    """The outputs of each set from stock TFLM, its state reset before each; and recorded bytes.

    Without `arena_bytes` the arena is larger than any model could need. No inputs: only allocates.

    Raises RuntimeRefusal with TFLM's message if it can't allocate or run, or crashes;
    MissingToolError without TFLM; ModelError if the bytes are no model.
    """
    _need("tflite_micro")
    facts = _facts(model)
    size = facts.roomy_arena_bytes if arena_bytes is None else arena_bytes
    outputs, log = _ask(Request(TFLM, model, _lists(inputs), facts.output_count, size))
    recorded = {part: int(count) for part, count in _RECORDED.findall(log)}
    if recorded.keys() != {"head", "tail", "total"}:
        raise RuntimeRefusal(TFLM, _short(f"recorded no allocation\n{log}"))
    return TflmRun(outputs, recorded["head"], recorded["tail"], recorded["total"])


def tflm_fits(model: bytes, arena_bytes: int) -> bool:
    """Whether TFLM can allocate the model in an arena of that many bytes (64-bit, recording)."""
    try:
        run_tflm(model, (), arena_bytes)
    except RuntimeRefusal:
        return False
    return True


@dataclass(frozen=True, slots=True)
class _Facts:
    output_count: int
    roomy_arena_bytes: int


@lru_cache(maxsize=4)
def _facts(model: bytes) -> _Facts:
    graph = read_bytes(model)
    return _Facts(len(graph.outputs), _roomy_arena_bytes(graph, len(model)))


def _ask(request: Request) -> tuple[list[Arrays], str]:
    answer, log = runtime_process(request.runtime, os.getpid()).ask(request)
    if answer is None:
        raise RuntimeRefusal(request.runtime, _short(log), crashed=True)
    if answer.error:
        raise RuntimeRefusal(request.runtime, _short(f"{answer.error}\n{log}"))
    return answer.output_sets, log


def _lists(inputs: InputSets) -> list[Arrays]:
    return [list(arrays) for arrays in inputs]


def _need(package: str) -> None:
    if find_spec(package) is None:
        raise MissingToolError(f"{package} is needed to run models and not installed: {INSTALL}")


def _roomy_arena_bytes(graph: Graph, model_bytes: int) -> int:
    """More than any plan needs; pages of the arena that are not used are never touched."""
    activations = sum(t.nbytes for t in graph.tensors if not t.is_constant)
    ops = sum(1 for _ in graph.all_ops())
    highest = max(offline_offsets(graph) or (0,), default=0)
    return 2**20 + 8 * activations + 4 * model_bytes + 4096 * ops + max(highest, 0)


def _short(message: str) -> str:
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    text = "; ".join(lines)
    return text if len(text) <= _MESSAGE_CHARACTERS else f"{text[:_MESSAGE_CHARACTERS]}..."
