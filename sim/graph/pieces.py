"""Pieces of tensors, made by stock ops: cut by SLICE, padded by PAD, joined by CONCATENATION."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np

from sim.graph.graph import Op, Table, Tensor
from sim.graph.padding import NO_SIDES, Sides
from sim.graph.rewrite import Rewrite

CONCATENATION_INPUTS = 10
"""The most that TFLM's CONCATENATION takes (kernels/concatenation.cc, kMaxInputNum)."""


class Target(Protocol):
    """Where new activations and ops go."""

    def tensor(self, like: Tensor, shape: tuple[int, ...], suffix: str) -> int: ...

    def shape(self, tensor: int) -> tuple[int, ...]: ...

    def add(self, op: Op) -> None: ...


class Writer:
    """New ops in the order in which they are added, and their tensors in a rewrite."""

    def __init__(self, edit: Rewrite) -> None:
        self.edit, self.ops = edit, list[Op]()
        self.tensor, self.shape, self.add = edit.tensor, edit.shape, self.ops.append
        self.constant, self.filled = edit.constant, edit.filled


def resized(shape: tuple[int, ...], axis: int, length: int) -> tuple[int, ...]:
    """The shape with another length along an axis."""
    return (*shape[:axis], length, *shape[axis + 1 :])


def with_fields(options: Table, **fields: object) -> Table:
    """An op's options with some fields set anew."""
    return replace(options, fields={**options.fields, **fields})


def cut(to: Writer, like: Tensor, tensor: int, start: int, length: int, axis: int) -> int:
    """A new tensor with a part of another along an axis; that one itself if it is all of it."""
    shape = resized(to.shape(tensor), axis, length)
    if shape == to.shape(tensor):
        return tensor
    made = to.tensor(like, shape, f"/part{start}")
    begin = [0] * len(shape)
    begin[axis] = start
    inputs = (
        tensor, to.constant(np.array(begin, np.int32)), to.constant(np.array(shape, np.int32)),
    )  # fmt: skip
    to.add(Op("SLICE", inputs, (made,), Table("SliceOptions"), version=2))
    return made


def join(
    to: Target,
    like: Tensor,
    parts: Sequence[int],
    axis: int,
    suffix: Callable[[int], str],
    into: int | None = None,
) -> int:
    """One tensor with the parts end to end along an axis: `into`, or a new one like `like`.

    Through a tree where they are more than a CONCATENATION takes. `suffix` gives what a new tensor
    adds to the name: it is asked with the place of the first part among those of its round. One
    part alone is that tensor already, if it need not go `into` another. There is at least one part.
    """
    rest, options = list(parts), Table("ConcatenationOptions", {"axis": axis})
    while len(rest) > 1 or (into is not None and rest != [into]):
        is_last = len(rest) <= CONCATENATION_INPUTS
        joined = []
        for start in range(0, len(rest), CONCATENATION_INPUTS):
            some = tuple(rest[start : start + CONCATENATION_INPUTS])
            made = into if is_last else None
            if made is None:
                length = sum(to.shape(t)[axis] for t in some)
                made = to.tensor(like, resized(to.shape(some[0]), axis, length), suffix(start))
            to.add(Op("CONCATENATION", some, (made,), options, version=2))
            joined.append(made)
        rest = joined
    return rest[0]


def pad(op: Op, source: Tensor, piece: int, sides: Sides, to: Writer) -> int:
    """A piece of a tensor with padding around it as the op wants it."""
    if sides == NO_SIDES:
        return piece
    shape = to.shape(piece)
    (above, below), (before, after) = sides
    shape = (1, above + shape[1] + below, before + shape[2] + after, shape[3])
    made = to.tensor(source, shape, "/pad")
    table = [[0, 0], [above, below], [before, after], [0, 0]]
    inputs = [piece, to.constant(np.array(table, np.int32))]
    if op.kind == "MAX_POOL_2D":  # padding must never win
        inputs.append(to.filled(source, -128))
        to.add(Op("PADV2", tuple(inputs), (made,), Table("PadV2Options"), version=2))
    else:
        to.add(Op("PAD", tuple(inputs), (made,), Table("PadOptions"), version=2))
    return made
