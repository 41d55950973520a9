"""Runs TFLM for another process, which survives when TFLM crashes.

Requests come on stdin, answers go to what was stdout. Whatever TFLM itself prints, from Python or
from C, goes to stderr, where the other side finds it.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from sim.deploy.tflm_protocol import Answer, Arrays, Request, receive, send


def main() -> None:
    """Serves requests until stdin ends."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    while isinstance(request := receive(sys.stdin.buffer), Request):
        send(answers, serve(request))
        sys.stdout.flush()


def serve(request: Request) -> Answer:
    """Allocates, runs every set from the model's initial state, and logs the recorded bytes."""
    from tflite_micro.python.tflite_micro import runtime

    try:
        interpreter = runtime.Interpreter.from_bytes(request.model, arena_size=request.arena_bytes)
        outputs = [_run(interpreter, inputs, request) for inputs in request.input_sets]
        interpreter.print_allocations()
    except Exception as error:
        return Answer([], f"{error}" or type(error).__name__)
    return Answer(outputs)


def _run(interpreter: Any, inputs: Arrays, request: Request) -> Arrays:
    interpreter.reset()
    for index, array in enumerate(inputs):
        interpreter.set_input(array, index)
    interpreter.invoke()
    return [interpreter.get_output(index) for index in range(request.output_count)]


if __name__ == "__main__":
    main()
