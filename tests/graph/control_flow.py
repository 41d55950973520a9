"""Models with several subgraphs, built by hand: WHILE, IF and CALL_ONCE."""

from __future__ import annotations

from dataclasses import replace

from sim.graph.graph import Body, Graph, Table
from tests.graphs import Net

Part = tuple[Net, tuple[int, ...]]
"""A subgraph under construction, and its outputs."""


def joined(main: Part, *bodies: Part) -> Graph:
    """One graph of all parts; the tensors of each follow those of the one before."""
    tensors = [replace(t) for t in main[0].tensors]
    made = []
    for number, (net, results) in enumerate(bodies, start=1):
        first = len(tensors)
        tensors += [replace(t, id=first + t.id, name=f"{number}/{t.name}") for t in net.tensors]
        ops = tuple(
            replace(op, inputs=_moved(op.inputs, first), outputs=_moved(op.outputs, first))
            for op in net.ops
        )
        inputs, outputs = _moved(tuple(net.inputs), first), _moved(results, first)
        made.append(Body(f"body{number}", ops, inputs, outputs, first, len(tensors)))
    net, outputs = main
    graph = Graph(net.name, tuple(tensors), tuple(net.ops), tuple(net.inputs), outputs, tuple(made))
    graph.verify()
    return graph


def while_graph(rounds: int = 3) -> Graph:
    """A convolution, then `rounds` times another one, then a third."""
    main, test, body = Net(1, "while"), Net(2), Net(3)
    x = main.conv(main.input(1, 6, 6, 3), 4)
    start = main.ints(0)
    count, result = main.tensor((1,), "INT32"), main.like(x)
    fields = {"cond_subgraph_index": 1, "body_subgraph_index": 2}
    main.op("WHILE", [start, x], [count, result], Table("WhileOptions", fields))
    out = main.conv(result, 2)

    now, _ = test.input(1, dtype="INT32"), _same(test, main, x)
    goes_on = test.tensor((1,), "BOOL")
    test.op("LESS", [now, test.ints(rounds)], [goes_on], Table("LessOptions"))

    now, y = body.input(1, dtype="INT32"), _same(body, main, x)
    following = body.tensor((1,), "INT32")
    body.op("ADD", [now, body.ints(1)], [following], Table("AddOptions", {"pot_scale_int16": True}))
    wide = body.conv(y, 9)
    back = body.requantize(body.conv(wide, 4), body.scale(y), body.zero(y))
    return joined((main, (out,)), (test, (goes_on,)), (body, (following, back)))


def if_graph(times: int = 1) -> Graph:
    """A condition and two ways to the same shape, gone as often; one of them asks for scratch."""
    main, yes, no = Net(1, "if"), Net(2), Net(3)
    condition = main.input(1, dtype="BOOL")
    x = main.conv(main.input(1, 6, 6, 3), 4)
    fields = {"then_subgraph_index": 1, "else_subgraph_index": 2}
    result = x
    for _ in range(times):
        before, result = result, main.like(x)
        main.op("IF", [condition, before], [result], Table("IfOptions", fields))
    out = main.add(result, x)
    wide = yes.conv(_same(yes, main, x), 9)
    wide_end = yes.requantize(yes.conv(wide, 4), main.scale(x), main.zero(x))
    small = no.transpose_conv(no.pool(_same(no, main, x)), 4)
    small_end = no.requantize(small, main.scale(x), main.zero(x))
    return joined((main, (out,)), (yes, (wide_end,)), (no, (small_end,)))


def two_ifs_graph() -> Graph:
    """The same two ways, gone twice: what they hold stays alive between."""
    return if_graph(times=2)


def call_once_graph() -> Graph:
    """A variable that is set once, by a subgraph without inputs and outputs, and then added."""
    main, once = Net(1, "once"), Net(2)
    main.op("CALL_ONCE", [], [], Table("CallOnceOptions", {"init_subgraph_index": 1}))
    x = main.input(1, 16)
    handle, value = _handle(main), main.like(x)
    main.op("READ_VARIABLE", [handle], [value], Table("ReadVariableOptions"))
    out = main.add(x, value)
    first = once.tensor((1, 16), data=bytes(range(16)), name="first")
    once.op("ASSIGN_VARIABLE", [_handle(once), first], [], Table("AssignVariableOptions"))
    return joined((main, (out,)), (once, ()))


def state_graph() -> Graph:
    """An IF one of whose ways adds a variable, which is tensor 1 of its subgraph."""
    main, yes, no = Net(1, "state"), Net(2), Net(3)
    condition, x = main.input(1, dtype="BOOL"), main.input(1, 8)
    result = main.like(x)
    fields = {"then_subgraph_index": 1, "else_subgraph_index": 2}
    main.op("IF", [condition, x], [result], Table("IfOptions", fields))
    y = _same(yes, main, x)
    state = yes.like(y)
    yes.tensors[state] = replace(yes.tensors[state], is_variable=True)
    added = yes.requantize(yes.add(y, state), main.scale(x), main.zero(x))
    kept = no.relu(_same(no, main, x))
    return joined((main, (result,)), (yes, (added,)), (no, (kept,)))


def _handle(net: Net) -> int:
    handle = net.tensor((), "RESOURCE")
    options = Table("VarHandleOptions", {"container": "ram", "shared_name": "state"})
    net.op("VAR_HANDLE", [], [handle], options)
    return handle


def _same(net: Net, other: Net, x: int) -> int:
    """An input of the net like a tensor of another net."""
    return net.input(*other.shape(x), scale=other.scale(x), zero=other.zero(x))


def _moved(ids: tuple[int, ...], first: int) -> tuple[int, ...]:
    return tuple(i + first for i in ids)


CONTROL_FLOW = (while_graph, if_graph, two_ifs_graph, call_once_graph, state_graph)
