"""Fills the slots of a model whose input waits in a storage, so that its runs can be compared.

On the board the caller fills them, and finds there an output that leaves by rows. For the proof,
ops in front of the model cut the input into rows and assign them, and ops behind it read the
output's rows and join them; they lie above the model's own bytes, whose plan stays as it is.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sim.errors import ModelError
from sim.graph.feed import slot_rows
from sim.graph.graph import OFFLINE_PLAN, Graph, Op, Table, Tensor
from sim.graph.padding import ROWS
from sim.graph.pieces import join
from sim.graph.rewrite import ASSIGN, READ, VAR_HANDLE
from sim.plan.offline import offline_offsets, with_offline_plan
from sim.program import place
from sim.ranges import round_up


def is_fed(before: Graph, after: Graph) -> bool:
    """Whether inputs or outputs of the model as it was lie in slots of a storage now."""
    filled = slots_to_fill(after).keys() - slots_to_fill(before).keys()
    return bool(filled) or len(after.outputs) < len(before.outputs)


def fed(before: Graph, after: Graph) -> Graph:
    """The model with all its inputs and outputs again.

    Raises ModelError if a slot names no input of the model as it was, or an output has no slots.
    """
    return _Feeder(before, after).graph()


def slots_to_fill(graph: Graph) -> dict[tuple[str, str], Tensor]:
    """Slots that are read and that no op of the model has written; what is read from them."""
    names: dict[int, tuple[str, str]] = {}
    written: set[tuple[str, str] | None] = set()
    found: dict[tuple[str, str], Tensor] = {}
    for op in graph.ops:
        if op.kind == VAR_HANDLE:
            key = op.options.text("container") or "", op.options.text("shared_name") or ""
            names[op.outputs[0]] = key
        elif op.kind == ASSIGN:
            written.add(names.get(op.inputs[0]))
        elif op.kind == READ and op.inputs[0] in names:
            key = names[op.inputs[0]]
            if key not in written and key[0]:
                found.setdefault(key, graph.tensors[op.outputs[0]])
    return found


class _Feeder:
    def __init__(self, before: Graph, after: Graph) -> None:
        self.before, self.after = before, after
        self.tensors = list(after.tensors)
        self.ops: list[Op] = []
        self.behind: list[Op] = []
        offsets = offline_offsets(after)
        self.offsets = dict(enumerate(offsets)) if offsets else {}
        self.top = place(after).plan.size_bytes

    def graph(self) -> Graph:
        here = {self.after.tensors[t].name: t for t in self.after.inputs}
        inputs = {}
        for old in (self.before.tensors[t] for t in self.before.inputs):
            new = here.get(old.name)
            inputs[old.name] = self._tensor(old) if new is None else new
        own = slots_to_fill(self.before)
        for (storage, slot), part in slots_to_fill(self.after).items():
            if (storage, slot) in own:
                continue
            found = slot_rows(slot)
            if found is None or found[0] not in inputs:
                raise ModelError(f"{self.after.name}: slot {slot!r}: found no input of that name")
            name, start = found
            self._fill(inputs[name], start, part, storage, slot)
        outputs = self._collected()
        made = replace(
            self.after,
            tensors=tuple(self.tensors),
            ops=(*self.ops, *self.after.ops, *self.behind),
            inputs=tuple(inputs.values()),
            outputs=outputs,
            signatures=(),
        )
        planned = self.after.meta(OFFLINE_PLAN) is not None
        return with_offline_plan(made, self.offsets) if planned else made

    def _collected(self) -> tuple[int, ...]:
        """The outputs in their old order, those that left by rows joined again."""
        if len(self.after.outputs) == len(self.before.outputs):
            return self.after.outputs
        names, parts = {}, dict[str, list[tuple[int, int, int]]]()
        for op in self.after.ops:
            if op.kind == VAR_HANDLE:
                names[op.outputs[0]] = op.options.text("shared_name") or ""
            elif op.kind == ASSIGN and op.inputs[0] in names:
                handle, piece = op.inputs
                if rows := slot_rows(names[handle]):
                    name, start = rows
                    parts.setdefault(name, []).append((start, handle, piece))
        here = {self.after.tensors[t].name: t for t in self.after.outputs}
        found = []
        for old in (self.before.tensors[t] for t in self.before.outputs):
            if old.name not in here and old.name not in parts:
                raise ModelError(f"{self.after.name}: output {old.name!r}: found no slots of it")
            known = here.get(old.name)
            found.append(self._joined(old, sorted(parts[old.name])) if known is None else known)
        return tuple(found)

    def _joined(self, like: Tensor, parts: list[tuple[int, int, int]]) -> int:
        rows = []
        for _, handle, piece in parts:
            made = self._tensor(replace(self.after.tensors[piece], name=f"{like.name}/left"))
            self.add(Op(READ, (handle,), (made,), Table("ReadVariableOptions")))
            rows.append(made)
        return join(self, like, rows, ROWS, lambda _: "")

    def tensor(self, like: Tensor, shape: tuple[int, ...], suffix: str) -> int:
        """A new activation behind the model, as `join` wants it."""
        name = f"{like.name}{suffix}"
        return self._tensor(replace(like, name=name, shape=shape, shape_signature=()))

    def shape(self, tensor: int) -> tuple[int, ...]:
        return self.tensors[tensor].shape

    def add(self, op: Op) -> None:
        """Puts an op behind the model."""
        self.behind.append(op)

    def _tensor(self, like: Tensor) -> int:
        """A new activation like another one, above the model's own bytes."""
        made = replace(like, id=len(self.tensors), data=None)
        self.tensors.append(made)
        self.offsets[made.id] = self.top
        self.top = round_up(self.top + made.nbytes, 16)
        return made.id

    def _constant(self, values: list[int]) -> int:
        data = np.array(values, "<i4").tobytes()
        made = Tensor(len(self.tensors), "const", (len(values),), "INT32", data=data)
        self.tensors.append(made)
        return made.id

    def _fill(self, source: int, start: int, part: Tensor, storage: str, slot: str) -> None:
        rows = self._tensor(replace(part, name=f"{part.name}/fed"))
        handle = Tensor(len(self.tensors), f"{slot}/feed", (), "RESOURCE")
        self.tensors.append(handle)
        whole = self.tensors[source].shape
        axis = next(
            (i for i, (a, b) in enumerate(zip(part.shape, whole, strict=True)) if a != b), 1
        )
        begin = [0] * len(whole)
        begin[axis] = start
        at, size = self._constant(begin), self._constant(list(part.shape))
        options = Table("VarHandleOptions", {"container": storage, "shared_name": slot})
        self.ops += [
            Op("SLICE", (source, at, size), (rows,), Table("SliceOptions"), version=2),
            Op(VAR_HANDLE, (), (handle.id,), options),
            Op(ASSIGN, (handle.id, rows), (), Table("AssignVariableOptions")),
        ]
