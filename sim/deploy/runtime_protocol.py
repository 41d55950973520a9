"""What Spillway and the process of a runtime say to each other: a request, an answer, by pipes."""

from __future__ import annotations

import pickle
import struct
from dataclasses import dataclass
from typing import IO, Any

import numpy as np

_LENGTH = struct.Struct("<Q")

LITERT, TFLM = "LiteRT", "TFLM"

Arrays = list[np.ndarray[Any, Any]]
"""One array per input or output of a model, in the order of its main subgraph."""


@dataclass(frozen=True, slots=True)
class Request:
    """Run the model once for each set of inputs; TFLM in an arena of that many bytes."""

    runtime: str
    model: bytes
    input_sets: list[Arrays]
    output_count: int
    arena_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """The outputs of each set; `error` is the exception's text, empty when all went well."""

    output_sets: list[Arrays]
    error: str = ""


def send(pipe: IO[bytes], message: Request | Answer) -> None:
    """Writes one message. Raises OSError if nobody reads any more."""
    data = pickle.dumps(message, protocol=5)
    pipe.write(_LENGTH.pack(len(data)))
    pipe.write(data)
    pipe.flush()


def receive(pipe: IO[bytes]) -> Request | Answer | None:
    """The next message; None when the other side is gone, in the middle of one too."""
    head = pipe.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    data = pipe.read(length)
    if len(data) < length:
        return None
    message: Request | Answer = pickle.loads(data)
    return message
