"""The scratch buffers that TensorFlow Lite Micro's kernels request while an op is prepared."""

from __future__ import annotations

from sim.errors import ModelError
from sim.graph.graph import Graph, Op
from sim.graph.scratch.call import Call, Rule
from sim.graph.scratch.cmsis_nn import CMSIS_NN, FLAVORS
from sim.graph.scratch.reference import REFERENCE

KERNELS = ("reference", *FLAVORS)
"""The kernel libraries known here: TFLM's own, and its CMSIS-NN glue in each build of CMSIS-NN."""

__all__ = ["KERNELS", "check_kernels", "scratch_bytes"]


def scratch_bytes(
    graph: Graph, op: Op, kernels: str = "reference", bits: int = 32
) -> tuple[int, ...]:
    """Bytes of each scratch buffer that the op's Prepare requests, unrounded, in request order.

    `bits` is the target's pointer width: ADD_N and Ethos-U ask for arrays of pointers. A buffer of
    0 bytes is still a request. Empty for an op kind that is not known. Tensors compressed by TFLM's
    own COMPRESSION_METADATA, which ask for their decompressed bytes, are not covered.

    Raises ModelError if the kernel library is not known, or if the op lacks a tensor that its
    kernel reads.

    Source: every RequestScratchBufferInArena in tensorflow/lite/micro/kernels and signal/micro.
    """
    check_kernels(kernels)
    call = Call(graph, op, bits)
    rule = _rule(call.name, kernels)
    return rule(call) if rule else ()


def check_kernels(kernels: str) -> None:
    """Raises ModelError if the kernel library is not one of KERNELS."""
    if kernels not in KERNELS:
        raise ModelError(f"kernels: found {kernels!r}, wanted one of {', '.join(KERNELS)}")


def _rule(name: str, kernels: str) -> Rule | None:
    if kernels in FLAVORS and name in CMSIS_NN:
        flavor, own = FLAVORS[kernels], CMSIS_NN[name]
        return lambda call: own(call, flavor)
    return REFERENCE.get(name)
