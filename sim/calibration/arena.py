"""The arena that we predict for unmodified models beside the one that TFLM records."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sim.errors import SpillwayError
from sim.graph.tflite_reader import read_bytes
from sim.plan.runtime_overhead import runtime_overhead
from sim.program import place
from sim.result import read_source

WHEEL_BITS = 64
"""The PyPI wheel of TFLM has pointers of 64 bits; on a microcontroller its tail is smaller."""


@dataclass(frozen=True, slots=True)
class ArenaCheck:
    """Bytes of head (activations, scratch) and tail (what persists), predicted and recorded."""

    model: str
    head: int
    tflm_head: int
    tail: int
    tflm_tail: int

    @property
    def error(self) -> float:
        """Predicted over recorded total, less 1."""
        return (self.head + self.tail) / (self.tflm_head + self.tflm_tail) - 1


def check_arenas(
    paths: Sequence[str], recorded: Callable[[bytes], tuple[int, int]]
) -> tuple[ArenaCheck, ...]:
    """What TFLM recorded of each model's head and tail, beside the prediction for the same build.

    Raises ModelError for what is no model, and SpillwayError with the file where `recorded` does.
    """
    made = []
    for path in paths:
        source = read_source(path)
        graph = read_bytes(source.data, source.path)
        try:
            tflm_head, tflm_tail = recorded(source.data)
        except SpillwayError as error:
            raise SpillwayError(f"{path}: {error}") from error
        head = place(graph).plan.size_bytes
        tail = runtime_overhead(graph, head_bytes=head, bits=WHEEL_BITS).tail_bytes
        made.append(ArenaCheck(source.path, head, tflm_head, tail, tflm_tail))
    return tuple(made)
