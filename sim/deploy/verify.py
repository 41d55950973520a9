"""Proves that an optimized model computes what the original does, and in the bytes promised."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from sim.deploy.feeder import fed, is_fed
from sim.deploy.inputs import input_sets, set_count, unknown_types
from sim.deploy.runtime_protocol import Arrays
from sim.deploy.runtimes import RuntimeRefusal, run_litert, run_tflm
from sim.errors import ModelError
from sim.graph.graph import Graph, Tensor
from sim.graph.tflite_reader import read_bytes
from sim.graph.tflite_writer import to_bytes

_Run = Callable[[bytes], list[Arrays]]


@dataclass(frozen=True, slots=True)
class Verification:
    """What two real runtimes say of a model; None means that it could not be judged there.

    `litert` and `tflm`: bit-exact on all inputs. `equal`: in every runtime that can run the
    original. `max_abs_diff` is in units of the outputs. `tflm_head_bytes` is the head that TFLM
    records. `problems` are failures, `notes` limits of what was judged.
    """

    equal: bool | None
    max_abs_diff: float | None
    litert: bool | None
    tflm: bool | None
    tflm_head_bytes: int | None
    planned_bytes: int | None
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Equal wherever it could be judged, at least once, and in the bytes promised."""
        return self.equal is True and not self.problems

    def to_json(self) -> dict[str, Any]:
        """As it stands in verify.json."""
        return {
            "equal": self.equal,
            "max_abs_diff": self.max_abs_diff,
            "litert": self.litert,
            "tflm": self.tflm,
            "tflm_head_bytes": self.tflm_head_bytes,
            "planned_bytes": self.planned_bytes,
            "problems": list(self.problems),
        }


@dataclass(frozen=True, slots=True)
class _Finding:
    exact: bool | None
    max_abs_diff: float | None = None
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def verify(
    original: bytes,
    optimized: bytes,
    *,
    planned_bytes: int | None = None,
    promised_arena_bytes: int | None = None,
    seed: int = 0,
    samples: int | None = None,
) -> Verification:
    """Runs both models in LiteRT and TFLM on the same inputs, and TFLM in the promised arena.

    `promised_arena_bytes` is for 64-bit TFLM with its recording allocator, as on PyPI. `samples`
    is the number of input sets, chosen by the model's cost if None.

    Raises ModelError if a model can't be read or their inputs or outputs are not alike,
    MissingToolError if a runtime is not installed.
    """
    before, after = read_bytes(original, "original"), read_bytes(optimized, "optimized")
    runnable = optimized
    if is_fed(before, after):
        after = fed(before, after)
        runnable = to_bytes(after)
    _require_same_signature(before, after)
    unknown = unknown_types(before)
    if unknown:
        note = f"can't be run here: inputs or outputs of type {', '.join(unknown)}"
        return Verification(None, None, None, None, None, planned_bytes, notes=(note,))
    sets = input_sets(before, set_count(before) if samples is None else samples, seed)
    litert = _judge("LiteRT", lambda model: run_litert(model, sets), original, runnable)
    tflm = _judge("TFLM", lambda model: run_tflm(model, sets).outputs, original, runnable)
    head, arena_problems = _arena(optimized, planned_bytes, promised_arena_bytes)
    judged = [f for f in (litert, tflm) if f.exact is not None]
    differences = [f.max_abs_diff for f in judged if f.max_abs_diff is not None]
    return Verification(
        equal=all(f.exact for f in judged) if judged else None,
        max_abs_diff=max(differences, default=None),
        litert=litert.exact,
        tflm=tflm.exact,
        tflm_head_bytes=head,
        planned_bytes=planned_bytes,
        problems=(*litert.problems, *tflm.problems, *arena_problems),
        notes=(*litert.notes, *tflm.notes),
    )


def _require_same_signature(before: Graph, after: Graph) -> None:
    for name in ("inputs", "outputs"):
        wanted = [before.tensors[t] for t in getattr(before, name)]
        found = [after.tensors[t] for t in getattr(after, name)]
        if len(wanted) != len(found):
            raise ModelError(f"optimized model: {name}: found {len(found)}, wanted {len(wanted)}")
        for index, (was, now) in enumerate(zip(wanted, found, strict=True)):
            if _kind_of(was) != _kind_of(now):
                raise ModelError(
                    f"optimized model: {name}[{index}]: found {_kind_of(now)}, "
                    f"wanted {_kind_of(was)}"
                )


def _kind_of(tensor: Tensor) -> str:
    text = f"{tensor.dtype} {list(tensor.shape)}"
    quantization = tensor.quantization
    if quantization is None or not quantization.scale:
        return text
    return f"{text} scale {quantization.scale} zero point {quantization.zero_point}"


def _judge(name: str, run: _Run, original: bytes, optimized: bytes) -> _Finding:
    try:
        wanted = run(original)
    except RuntimeRefusal as error:
        note = f"not judged in {name}, which can't run the original either: {error}"
        return _Finding(None, notes=(note,))
    try:
        found = run(optimized)
    except RuntimeRefusal as error:
        return _Finding(False, problems=(f"{name} runs the original only: {error}",))
    return _compare(name, wanted, found)


def _compare(name: str, wanted: list[Arrays], found: list[Arrays]) -> _Finding:
    differences = [
        _difference(was, now)
        for before, after in zip(wanted, found, strict=True)
        for was, now in zip(before, after, strict=True)
    ]
    wrong = [d for d in differences if d is not None]
    if not wrong:
        return _Finding(True, 0)
    largest = max(wrong)
    problem = f"{name}: {len(wrong)} of {len(differences)} outputs differ, by up to {largest:g}"
    return _Finding(False, largest if math.isfinite(largest) else None, (problem,))


def _difference(was: np.ndarray[Any, Any], now: np.ndarray[Any, Any]) -> float | None:
    """None if bit-exact, else the largest difference; infinite where there is no such number."""
    if was.shape == now.shape and was.dtype == now.dtype and was.tobytes() == now.tobytes():
        return None
    if was.shape != now.shape:
        return math.inf
    if was.dtype.kind == "f":
        largest = float(np.max(np.abs(was.astype(np.float64) - now.astype(np.float64))))
        return largest if math.isfinite(largest) else math.inf
    return int(np.max(np.abs(was.astype(np.int64) - now.astype(np.int64))))


def _arena(
    model: bytes, planned_bytes: int | None, promised_bytes: int | None
) -> tuple[int | None, tuple[str, ...]]:
    """The head that TFLM records, and what is wrong with the bytes that were promised."""
    try:
        run = run_tflm(model, ())
    except RuntimeRefusal:
        return None, ()
    problems = []
    if planned_bytes is not None and run.head_bytes != planned_bytes:
        problems.append(f"TFLM records a head of {run.head_bytes} B, planned {planned_bytes} B")
    if promised_bytes is not None:
        refusal = _refusal(model, promised_bytes)
        if refusal is not None:
            problems.append(f"the promised arena of {promised_bytes} B is too small: {refusal}")
    too_small = run.total_bytes - max(16, run.head_bytes // 2)
    if _refusal(model, too_small) is None:  # it may also crash: some of TFLM's steps don't look
        problems.append(
            f"an arena of {too_small} B is accepted, though the model takes {run.total_bytes} B"
        )
    return run.head_bytes, tuple(problems)


def _refusal(model: bytes, arena_bytes: int) -> RuntimeRefusal | None:
    try:
        run_tflm(model, (), arena_bytes)
    except RuntimeRefusal as error:
        return error
    return None
