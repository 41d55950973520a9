"""Runs LiteRT or TFLM for another process, which survives when the runtime crashes.

Requests come on stdin, answers go to what was stdout. Whatever a runtime itself prints, from
Python or from C, goes to stderr, where the other side finds it.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import numpy as np

from sim.deploy.runtime_protocol import LITERT, Answer, Arrays, Request, receive, send


def main() -> None:
    """Serves requests until stdin ends."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    while isinstance(request := receive(sys.stdin.buffer), Request):
        send(answers, serve(request))


def serve(request: Request) -> Answer:
    """The outputs of every set, each from the model's initial state."""
    try:
        return Answer(_litert(request) if request.runtime == LITERT else _tflm(request))
    except Exception as error:
        return Answer([], str(error) or type(error).__name__)


def _litert(request: Request) -> list[Arrays]:
    """A fresh interpreter for each set, since LiteRT can't reset resource variables."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    output_sets = []
    for arrays in request.input_sets:
        interpreter = Interpreter(
            model_content=request.model, experimental_op_resolver_type=OpResolverType.BUILTIN_REF
        )
        interpreter.allocate_tensors()
        for details, array in zip(interpreter.get_input_details(), arrays, strict=True):
            interpreter.set_tensor(details["index"], array)
        interpreter.invoke()
        outputs = interpreter.get_output_details()
        output_sets.append([np.array(interpreter.get_tensor(d["index"])) for d in outputs])
    return output_sets


def _tflm(request: Request) -> list[Arrays]:
    """Also logs the bytes that TFLM recorded."""
    from tflite_micro.python.tflite_micro import runtime

    interpreter = runtime.Interpreter.from_bytes(request.model, arena_size=request.arena_bytes)
    output_sets = [_run_tflm(interpreter, arrays, request) for arrays in request.input_sets]
    interpreter.print_allocations()
    return output_sets


def _run_tflm(interpreter: Any, arrays: Arrays, request: Request) -> Arrays:
    interpreter.reset()
    for index, array in enumerate(arrays):
        interpreter.set_input(array, index)
    interpreter.invoke()
    return [interpreter.get_output(index) for index in range(request.output_count)]


if __name__ == "__main__":
    main()
