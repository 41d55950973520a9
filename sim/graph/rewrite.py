"""The few safe edits that policies are made of, gathered on a builder and applied in one pass.

Steps in the arguments are those of the graph that the edit started from; edits add up and don't
shift one another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from sim.errors import PolicyError
from sim.graph.graph import Body, Graph, Op, Quantization, Signature, Table, Tensor
from sim.ranges import Range

VAR_HANDLE, ASSIGN, READ = "VAR_HANDLE", "ASSIGN_VARIABLE", "READ_VARIABLE"
TRANSFER_KINDS = frozenset({VAR_HANDLE, ASSIGN, READ})


def spills(graph: Graph) -> bool:
    """Whether some variable of the graph lies in a storage: its handle's container names one."""
    return any(op.kind == VAR_HANDLE and op.options.text("container") for op in graph.ops)


class Rewrite:
    """Edits of one graph's main subgraph; `graph()` gives the result, the original is untouched."""

    def __init__(self, graph: Graph) -> None:
        if graph.bodies:
            raise PolicyError(
                f"{graph.name}: has control flow ({len(graph.bodies) + 1} subgraphs), "
                "which can be planned but not rewritten"
            )
        self._graph = graph
        self._tensors = list(graph.tensors)
        self._before: dict[int, list[Op]] = {}
        self._after: dict[int, list[Op]] = {}
        self._renamed: dict[int, dict[int, int]] = {}
        self._hold_until: dict[int, int] = {}
        self._replaced: dict[int, tuple[Op, ...]] = {}
        self._constants: dict[tuple[tuple[int, ...], bytes], int] = {}
        self._outputs = list(graph.outputs)
        self._dropped: set[int] = set()

    def tensor_like(self, tensor: int, suffix: str) -> int:
        """A new activation with the shape, type and quantization of another."""
        source = self._tensors[tensor]
        new = replace(source, id=len(self._tensors), name=f"{source.name}{suffix}", data=None)
        self._tensors.append(new)
        return new.id

    def tensor(self, like: Tensor, shape: tuple[int, ...], suffix: str) -> int:
        """A new activation of another shape, with the type and quantization of a tensor."""
        new = replace(
            like,
            id=len(self._tensors),
            name=f"{like.name}{suffix}",
            shape=shape,
            data=None,
            shape_signature=(),
        )
        self._tensors.append(new)
        return new.id

    def shape(self, tensor: int) -> tuple[int, ...]:
        """The shape of a tensor, an original or a new one."""
        return self._tensors[tensor].shape

    def constant(self, values: np.ndarray[Any, np.dtype[np.int32]]) -> int:
        """An int32 constant, the same tensor for the same values."""
        data = values.astype("<i4").tobytes()
        key = (values.shape, data)
        if key not in self._constants:
            new = Tensor(len(self._tensors), "const", values.shape, "INT32", data=data)
            self._tensors.append(new)
            self._constants[key] = new.id
        return self._constants[key]

    def constant_like(
        self, like: Tensor, shape: tuple[int, ...], data: bytes, quantization: Quantization | None
    ) -> int:
        """A constant of another shape, with the type and the name of a tensor."""
        new = replace(like, id=len(self._tensors), shape=shape, data=data, shape_signature=())
        self._tensors.append(replace(new, quantization=quantization))
        return new.id

    def filled(self, like: Tensor, value: int) -> int:
        """An int8 scalar constant with the quantization of a tensor."""
        data = value.to_bytes(1, "little", signed=True)
        new = replace(like, id=len(self._tensors), name="fill", shape=(1,), data=data)
        self._tensors.append(replace(new, shape_signature=()))
        return new.id

    def replace_ops(self, steps: Range, ops: Sequence[Op]) -> None:
        """Puts these ops where those of the steps were."""
        for step in range(steps.start, steps.stop):
            self._replaced[step] = ()
        self._replaced[steps.start] = tuple(ops)

    def spill(
        self,
        tensor: int,
        storage: str,
        after: int,
        reads: Sequence[tuple[int, int]],
        hold_until: int = -1,
    ) -> None:
        """Copies a tensor to a slot of a storage after a step, and back before later readers.

        `reads` are pairs (place, reader): a new copy is fetched before step `place` and used by
        every op from step `reader` on, up to the next pair's reader. `after` is -1 for an input.
        The transfer may take until step `hold_until` has run: so long the bytes stay claimed.
        """
        slot = self._tensors[tensor].name
        opened = self.handle(storage, self._slot(slot))
        handle = opened.outputs[0]
        spill = [opened, Op(ASSIGN, (handle, tensor), (), Table("AssignVariableOptions"))]
        self._hold_until[handle] = hold_until
        if after < 0:
            self._before.setdefault(0, []).extend(spill)
        else:
            self._after.setdefault(after, []).extend(spill)
        ends = [reader for _, reader in reads[1:]] + [len(self._graph.ops)]
        for number, ((place, reader), end) in enumerate(zip(reads, ends, strict=True)):
            copy = self.tensor_like(tensor, f"/fetch{number}" if number else "/fetch")
            fetch = Op(READ, (handle,), (copy,), Table("ReadVariableOptions"))
            self._before.setdefault(place, []).append(fetch)
            for step in range(reader, end):
                self._renamed.setdefault(step, {})[tensor] = copy
            if end == len(self._graph.ops):
                self._outputs = [copy if t == tensor else t for t in self._outputs]

    def store_rows(
        self, tensor: int, rows: Range, storage: str, slot: str, after: int, drain: int = 0
    ) -> None:
        """Copies rows of a 4-D tensor to a slot of a storage after a step; -1 for an input.

        The transfer may take until `drain` more steps have run.
        """
        like = self._tensors[tensor]
        shape = (like.shape[0], rows.length, *like.shape[2:])
        part = self.tensor(like, shape, f"/rows{rows.start}")
        begin = self.constant(np.array([0, rows.start, 0, 0], np.int32))
        size = self.constant(np.array(shape, np.int32))
        opened = self.handle(storage, slot)
        made = [
            Op("SLICE", (tensor, begin, size), (part,), Table("SliceOptions"), version=2),
            opened,
            Op(ASSIGN, (opened.outputs[0], part), (), Table("AssignVariableOptions")),
        ]
        if drain:
            self._hold_until[opened.outputs[0]] = after + drain
        where = self._before.setdefault(0, []) if after < 0 else self._after.setdefault(after, [])
        where.extend(made)

    def drop_output(self, tensor: int) -> None:
        """Takes a tensor from the graph's outputs."""
        self._dropped.add(tensor)

    def handle(self, storage: str, slot: str) -> Op:
        """The op that opens a slot of a storage; its output is the slot's handle."""
        made = Tensor(len(self._tensors), f"{slot}/slot", (), "RESOURCE")
        self._tensors.append(made)
        options = Table("VarHandleOptions", {"container": storage, "shared_name": slot})
        return Op(VAR_HANDLE, (), (made.id,), options)

    def _slot(self, name: str) -> str:
        taken = {
            op.options.text("shared_name")
            for op in (*self._graph.ops, *_flat(self._before), *_flat(self._after))
            if op.kind == VAR_HANDLE
        }
        slot, number = name, 1
        while slot in taken:
            number += 1
            slot = f"{name}#{number}"
        return slot

    def graph(self) -> Graph:
        """The edited graph, without tensors that nothing uses and without the old plan."""
        ops: list[Op] = []
        place_of = {-1: -1}
        held: dict[int, int] = {}
        for step, op in enumerate(self._graph.ops):
            ops.extend(self._before.get(step, ()))
            place_of[step] = len(ops)
            if op.window:
                held[len(ops)] = step + op.window
            names = self._renamed.get(step)
            if names and any(t in names for t in op.inputs):
                op = replace(op, inputs=tuple(names.get(t, t) for t in op.inputs))  # noqa: PLW2901
            ops.extend(self._replaced.get(step, (op,)))
            ops.extend(self._after.get(step, ()))
        ops.extend(self._before.get(len(self._graph.ops), ()))
        for place, op in enumerate(ops):
            if op.kind == ASSIGN and op.inputs[0] in self._hold_until:
                held[place] = self._hold_until[op.inputs[0]]
        for place, step in held.items():
            ops[place] = replace(
                ops[place], window=max(0, place_of.get(step, len(ops) - 1) - place)
            )
        edited = replace(
            self._graph.without_plan(),
            tensors=tuple(self._tensors),
            ops=tuple(_with_container(op) for op in ops),
            outputs=tuple(t for t in self._outputs if t not in self._dropped),
        )
        renamed = dict(zip(self._graph.outputs, self._outputs, strict=True))
        made = drop_dead_tensors(_rename_signature_outputs(edited, renamed, self._dropped))
        made.verify()
        return made


def _with_container(op: Op) -> Op:
    """TFLM compares containers without a check for none (micro_resource_variable.cc, FindId)."""
    if op.kind != VAR_HANDLE or op.options["container"] is not None:
        return op
    fields = {**op.options.fields, "container": ""}
    return replace(op, options=replace(op.options, fields=fields))


def _flat(edits: Mapping[int, list[Op]]) -> list[Op]:
    return [op for ops in edits.values() for op in ops]


def _rename_signature_outputs(graph: Graph, names: Mapping[int, int], dropped: set[int]) -> Graph:
    signatures = tuple(
        replace(s, outputs=tuple((n, names.get(t, t)) for n, t in s.outputs if t not in dropped))
        if s.subgraph == 0
        else s
        for s in graph.signatures
    )
    return replace(graph, signatures=signatures)


def drop_dead_tensors(graph: Graph) -> Graph:
    """The graph without tensors that no op, input or output uses; TFLM would place them all."""
    used = {t for op in graph.all_ops() for t in (*op.reads, *op.outputs, *op.intermediates)}
    used.update(graph.inputs, graph.outputs)
    for owner in graph.bodies:
        used.update(owner.inputs, owner.outputs)
    for entry in graph.signatures:
        used.update(t for _, t in (*entry.inputs, *entry.outputs))
    kept = [t for t in graph.tensors if t.id in used]
    if len(kept) == len(graph.tensors):
        return graph
    new = {tensor.id: index for index, tensor in enumerate(kept)}
    new[-1] = -1

    def ids(old: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(new[t] for t in old if t in new)

    def renumber(op: Op) -> Op:
        return replace(
            op,
            inputs=ids(op.inputs),
            outputs=ids(op.outputs),
            intermediates=ids(op.intermediates),
        )

    def body(old: Body) -> Body:
        return Body(
            old.name,
            tuple(renumber(op) for op in old.ops),
            ids(old.inputs),
            ids(old.outputs),
            sum(t.id < old.first_tensor for t in kept),
            sum(t.id < old.stop_tensor for t in kept),
        )

    def signature(old: Signature) -> Signature:
        return replace(
            old,
            inputs=tuple((name, new[t]) for name, t in old.inputs),
            outputs=tuple((name, new[t]) for name, t in old.outputs),
        )

    return replace(
        graph.without_plan(),
        tensors=tuple(replace(t, id=new[t.id]) for t in kept),
        ops=tuple(renumber(op) for op in graph.ops),
        inputs=ids(graph.inputs),
        outputs=ids(graph.outputs),
        bodies=tuple(body(b) for b in graph.bodies),
        signatures=tuple(signature(s) for s in graph.signatures),
    )
