"""Runs a .tflite in LiteRT's reference kernels and in TFLM, with all that they print kept away."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np

from sim.deploy.tflm_process import tflm_process
from sim.deploy.tflm_protocol import Arrays, Request
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

    Each set has a fresh interpreter, since LiteRT can't reset resource variables.

    Raises RuntimeRefusal if LiteRT can't load or run the model, MissingToolError without LiteRT.
    """
    _need("ai_edge_litert")
    try:
        return [_run_litert(model, arrays) for arrays in inputs]
    except (RuntimeError, ValueError) as error:
        raise RuntimeRefusal("LiteRT", _short(str(error))) from None


def run_tflm(model: bytes, inputs: InputSets, arena_bytes: int | None = None) -> TflmRun:
    """The outputs of each set from stock TFLM, its state reset before each; and recorded bytes.

    Without `arena_bytes` the arena is larger than any model could need. No inputs: only allocates.

    Raises RuntimeRefusal with TFLM's message if it can't allocate or run, or crashes;
    MissingToolError without TFLM; ModelError if the bytes are no model.
    """
    _need("tflite_micro")
    graph = read_bytes(model)
    request = Request(
        model=model,
        input_sets=[list(arrays) for arrays in inputs],
        output_count=len(graph.outputs),
        arena_bytes=_roomy_arena_bytes(graph, len(model)) if arena_bytes is None else arena_bytes,
    )
    answer, log = tflm_process(os.getpid()).ask(request)
    if answer is None:
        raise RuntimeRefusal("TFLM", _short(log), crashed=True)
    if answer.error:
        raise RuntimeRefusal("TFLM", _short(f"{answer.error}\n{log}"))
    recorded = {part: int(count) for part, count in _RECORDED.findall(log)}
    if recorded.keys() != {"head", "tail", "total"}:
        raise RuntimeRefusal("TFLM", _short(f"recorded no allocation\n{log}"))
    return TflmRun(answer.output_sets, recorded["head"], recorded["tail"], recorded["total"])


def tflm_fits(model: bytes, arena_bytes: int) -> bool:
    """Whether TFLM can allocate the model in an arena of that many bytes (64-bit, recording)."""
    try:
        run_tflm(model, (), arena_bytes)
    except RuntimeRefusal:
        return False
    return True


def _run_litert(model: bytes, arrays: Arrays) -> Arrays:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        model_content=model, experimental_op_resolver_type=OpResolverType.BUILTIN_REF
    )
    interpreter.allocate_tensors()
    for details, array in zip(interpreter.get_input_details(), arrays, strict=True):
        interpreter.set_tensor(details["index"], array)
    interpreter.invoke()
    outputs = interpreter.get_output_details()
    return [np.array(interpreter.get_tensor(details["index"])) for details in outputs]


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
