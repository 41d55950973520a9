"""spill: what it takes out, where it puts it, how long it lets it drain, and when it refuses."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from policies.cold import cold_ranges
from policies.spill import Spill
from sim.conformance_models import chain, residual
from sim.device.board import Board
from sim.device.cost import op_cycles
from sim.device.loader import load_board
from sim.engine.run import simulate
from sim.errors import CannotFitError, PolicyError
from sim.graph.graph import Graph
from sim.graph.rewrite import ASSIGN, READ, VAR_HANDLE
from sim.plan.blocks import live_profile
from sim.policy import Goal, parse_choice
from sim.program import pack_graph, place
from sim.report import check, report
from sim.units import cycles_to_ps
from tests.graphs import Net, unet
from tests.strategies import graphs

BOARD = load_board("arduino_portenta_h7")
SMALL = Goal(10**6, "activations")
QUICK = Goal(10**6, "latency")


def slots(graph: Graph) -> dict[str, str]:
    """The storage of each slot."""
    handles = [op.options for op in graph.ops if op.kind == VAR_HANDLE]
    return {o.text("shared_name"): o.text("container") for o in handles}


def activations(graph: Graph) -> int:
    return pack_graph(graph)[0].plan.size_bytes


def peak(graph: Graph, kernels: str = "reference") -> int:
    """The most bytes needed at any step, which is what a target is about."""
    return max(live_profile(graph, kernels, aliasing=Goal(0, kernels=kernels).aliasing).values())


def latency(graph: Graph, board: Board = BOARD) -> int:
    trace = simulate(pack_graph(graph)[0], board)
    check(trace)
    return report(trace, board).latency.mean_ps


def skips(graph: Graph) -> list[str]:
    """The tensors that wait, by name, as their makers come."""
    return list(dict.fromkeys(graph.tensors[c.tensor].name for c in cold_ranges(graph)))


def nested() -> Graph:
    """Two tensors wait side by side while the widest ones are made; the outer one longer."""
    net = Net(5, "nested")
    outer = net.conv(net.input(1, 16, 16, 3), 8)
    inner = net.conv(outer, 8)
    y = net.conv(inner, 8)
    for channels in (8, 32, 32, 8, 8):
        y = net.conv(y, channels)
    return net.graph(net.add(net.conv(net.add(y, inner), 8), outer))


def test_the_plain_unet_comes_down() -> None:
    """The first skip, 80 x 120 x 8, leaves the peak at the last concatenation's neighbour."""
    graph = unet()
    assert place(graph).plan.size_bytes == 499_200
    spilled = Spill().apply(graph, BOARD, SMALL)
    assert activations(spilled) <= 422_400
    assert slots(spilled)


def test_cold_ranges_are_the_gaps_between_uses() -> None:
    net = Net(name="gaps")
    x = net.input(1, 2, 2, 3)
    a = net.relu(x)  # step 0
    b = net.relu(net.relu(a))  # 1, 2
    net.add(b, a)  # 3
    graph = net.graph(net.add(net.relu(net.relu(net.ops[-1].outputs[0])), a))  # 4, 5, 6
    found = [(c.tensor, c.gap.start, c.gap.stop, c.made, c.size) for c in cold_ranges(graph)]
    assert found == [(a, 2, 3, 0, 16), (a, 4, 6, 0, 16)]


def test_inputs_wait_from_their_arrival() -> None:
    net = Net(name="late")
    late, x = net.input(1, 2, 2, 4), net.input(1, 2, 2, 4)
    graph = net.graph(net.add(net.relu(x), late))
    (found,) = cold_ranges(graph)
    assert (found.tensor, found.gap.start, found.gap.stop) == (late, 0, 1)


def test_what_is_in_a_storage_is_not_cold_any_more() -> None:
    spilled = Spill().apply(residual(), BOARD, SMALL)
    names = {slot.removesuffix("/slot") for slot in slots(spilled)}
    assert names
    assert not names & set(skips(spilled))


@pytest.mark.parametrize("minimize", ["latency", "activations"])
def test_a_model_with_nothing_cold_comes_back_unchanged(minimize: str) -> None:
    graph = chain()
    assert cold_ranges(graph) == []
    assert Spill().apply(graph, BOARD, Goal(0, minimize)) == graph
    assert Spill(storage="uart", window=3).apply(graph, BOARD, Goal(0, minimize)) == graph


def test_a_target_already_met_changes_nothing() -> None:
    graph = unet(16, 24, (4, 8, 16))
    assert Spill(target=peak(graph)).apply(graph, BOARD, SMALL) == graph
    assert slots(Spill(target=peak(graph) - 1).apply(graph, BOARD, SMALL))


@pytest.mark.parametrize("storage", [s.name for s in BOARD.storages])
def test_the_storage_named_is_taken(storage: str) -> None:
    spilled = Spill(storage=storage).apply(residual(), BOARD, SMALL)
    assert set(slots(spilled).values()) == {storage}


def test_the_quickest_storage_is_taken_where_none_is_named() -> None:
    size = max(c.size for c in cold_ranges(unet()))
    quickest = min(BOARD.storages, key=lambda s: s.write_ps(size) + s.read_ps(size))
    assert set(slots(Spill().apply(unet(), BOARD, SMALL)).values()) == {quickest.name}


def test_an_unknown_storage_names_what_the_board_has() -> None:
    names = ", ".join(s.name for s in BOARD.storages)
    with pytest.raises(PolicyError, match=f"found 'floppy', wanted one of: {names}$"):
        Spill(storage="floppy").apply(unet(), BOARD, SMALL)
    with pytest.raises(PolicyError, match="found 'floppy'"):
        list(Spill(storage="floppy").candidates(unet(), BOARD, SMALL))


def test_a_storage_without_room_is_refused() -> None:
    graph = unet()
    (largest,) = (c for c in cold_ranges(graph) if c.size == 76_800 and c.made == 0)
    name = graph.tensors[largest.tensor].name
    setting = Spill(storage="sdram", tensors=(name,))
    for room, fits in ((76_800, True), (76_799, False)):
        board = _with_room(room)
        if fits:
            assert slots(setting.apply(graph, board, SMALL)) == {name: "sdram"}
            continue
        with pytest.raises(CannotFitError, match=rf"sdram \({room} B\), .* '{name}' \(76800 B\)"):
            setting.apply(graph, board, SMALL)


def _with_room(sdram_bytes: int) -> Board:
    storages = (
        replace(s, size_bytes=sdram_bytes) if s.name == "sdram" else s for s in BOARD.storages
    )
    return replace(BOARD, storages=tuple(storages))


def test_slots_of_whole_blocks_need_their_blocks() -> None:
    """Two tensors of 2,048 B would fit into one block together, but each slot takes its own."""
    graph, qspi = nested(), BOARD.storage("qspi")
    for blocks in (1, 2):
        flash = replace(qspi, size_bytes=blocks * qspi.block_bytes)
        board = replace(BOARD, storages=(flash,))
        if blocks == 2:
            assert len(slots(Spill().apply(graph, board, SMALL))) == 2
            continue
        with pytest.raises(CannotFitError, match=rf"qspi \({qspi.block_bytes} B\)"):
            Spill().apply(graph, board, SMALL)


def test_without_a_name_the_next_quickest_with_room_is_taken() -> None:
    sd = Spill().apply(unet(), _with_room(1000), SMALL)
    assert set(slots(sd).values()) == {"sd"}


def test_a_board_without_storages_is_refused() -> None:
    with pytest.raises(CannotFitError, match="storage: found none"):
        Spill().apply(unet(), replace(BOARD, storages=()), SMALL)


def test_only_the_tensors_named_may_go() -> None:
    graph = unet(16, 24, (4, 8, 16))
    for name in skips(graph):
        spilled = Spill(tensors=(name,), target=0).apply(graph, BOARD, SMALL)
        assert set(slots(spilled)) <= {name}
    both = Spill(tensors=tuple(skips(graph)), target=0)
    assert both.apply(graph, BOARD, SMALL) == Spill(target=0).apply(graph, BOARD, SMALL)
    assert Spill(tensors=()).apply(graph, BOARD, SMALL) == graph


def test_an_unknown_tensor_names_those_that_wait() -> None:
    graph = unet(16, 24, (4, 8, 16))
    wanted = ", ".join(sorted(skips(graph)))
    with pytest.raises(PolicyError, match=f"tensors: found 'nobody', wanted some of: {wanted}$"):
        Spill(tensors=("nobody",)).apply(graph, BOARD, SMALL)


def test_window_and_lead_of_0_block() -> None:
    for graph in (unet(16, 24, (4, 8, 16)), residual()):
        spilled = Spill(window=0, lead=0).apply(graph, BOARD, QUICK)
        assert all(op.window == 0 for op in spilled.ops)
        fetches = [(s, op.outputs[0]) for s, op in enumerate(spilled.ops) if op.kind == READ]
        assert fetches
        for step, copy in fetches:
            assert copy in spilled.ops[step + 1].reads
        trace = simulate(pack_graph(spilled)[0], BOARD)
        moved = sum(s.duration_ps for s in trace.spans if s.actor == "sdram")
        assert sum(report(trace, BOARD).stall_ps.values()) == moved


@pytest.mark.parametrize("storage", ["sdram", "sd", "usb", "uart"])
def test_draining_and_fetching_ahead_is_quicker_than_blocking(storage: str) -> None:
    board = replace(BOARD, storages=tuple(replace(s, busy=None) for s in BOARD.storages))
    graph = unet()
    blocking = Spill(storage=storage, window=0, lead=0).apply(graph, board, QUICK)
    background = Spill(storage=storage).apply(graph, board, QUICK)
    assert any(op.window for op in background.ops)
    assert latency(background, board) < latency(blocking, board)


@pytest.mark.parametrize("most", [1, 2, 3])
def test_window_and_lead_are_the_most_steps(most: int) -> None:
    graph = unet(16, 24, (4, 8, 16))
    old = {t.name for t in graph.tensors}
    spilled = Spill("uart", window=most, lead=most, tensors=(skips(graph)[0],)).apply(
        graph, BOARD, QUICK
    )
    (fetch,) = (s for s, op in enumerate(spilled.ops) if op.kind == READ)
    copy = spilled.ops[fetch].outputs[0]
    reader = next(s for s, op in enumerate(spilled.ops) if copy in op.reads)
    assert reader - fetch - 1 == most
    (spill,) = (s for s, op in enumerate(spilled.ops) if op.kind == ASSIGN)
    source = spilled.ops[spill].inputs[1]
    last_use = max(s for s, op in enumerate(spilled.ops) if source in op.reads)
    assert spill + spilled.ops[spill].window == last_use + most
    assert spilled.tensors[source].name in old


@pytest.mark.parametrize("storage", ["sdram", "usb"])
def test_no_window_and_no_lead_is_longer_than_its_transfer(storage: str) -> None:
    """Without its last op each would be too short."""
    graph = Spill(storage).apply(unet(), BOARD, QUICK)
    hz, device = BOARD.core.clock_hz, BOARD.storage(storage)
    times = [cycles_to_ps(op_cycles(graph, op, BOARD), hz) for op in graph.ops]
    windows = 0
    for step, op in enumerate(graph.ops):
        if op.kind == ASSIGN:
            source = op.inputs[1]
            idle = max(s for s, o in enumerate(graph.ops) if source in o.reads) + 1
            stop = step + op.window
            assert sum(times[idle:stop]) < device.write_ps(graph.tensors[source].nbytes)
            windows += stop >= idle
        if op.kind == READ:
            reader = next(s for s, o in enumerate(graph.ops) if op.outputs[0] in o.reads)
            hidden = sum(times[step + 2 : reader])
            assert hidden < device.read_ps(graph.tensors[op.outputs[0]].nbytes)
            windows += reader > step + 1
    assert windows > 0


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    graphs().filter(lambda g: bool(cold_ranges(g))),
    st.sampled_from(["latency", "energy", "activations", "arena"]),
    st.sampled_from([s.name for s in BOARD.storages]),
    st.sampled_from([0, 10_000, 10**7]),
    st.floats(0, 1),
)
def test_a_target_within_reach_is_honoured(
    graph: Graph, minimize: str, storage: str, budget: int, part: float
) -> None:
    """Whatever the budget: windows and leads stay below the target too.

    With kernels that allow no aliasing, where the policy's own count of bytes is exact.
    """
    kernels = "cmsis_nn"
    top, goal = peak(graph, kernels), Goal(budget, minimize, kernels)
    least = Spill(storage, target=0, window=0, lead=0).apply(graph, BOARD, goal)
    floor = peak(least, kernels)
    target = floor + int(part * (top - floor))
    assert peak(Spill(storage, target).apply(graph, BOARD, goal), kernels) <= target
    assert peak(Spill(storage).apply(graph, BOARD, goal), kernels) <= top


def test_a_target_is_honoured_where_the_budget_is_larger() -> None:
    spilled = Spill("uart", target=450_000).apply(unet(), BOARD, QUICK)
    assert activations(spilled) <= 450_000 < activations(unet())


def test_candidates_name_their_storage_and_target() -> None:
    graph, goal = unet(), Goal(BOARD.largest_usable_bytes, "latency")
    tried = list(Spill().candidates(graph, BOARD, goal))
    assert len(set(tried)) == len(tried)
    for setting in tried:
        assert isinstance(setting, Spill)
        assert setting.storage is not None and setting.target is not None
    assert {(s.window, s.lead) for s in tried} == {(None, None), (0, 0)}
    quick = [
        s.name for s in sorted(BOARD.storages, key=lambda s: s.write_ps(76_800) + s.read_ps(76_800))
    ]
    assert [*dict.fromkeys(s.storage for s in tried)] == quick[:3]


def test_candidates_keep_what_was_asked_for() -> None:
    asked = Spill("sd", window=2, tensors=(skips(unet())[0],))
    for setting in asked.candidates(unet(), BOARD, QUICK):
        assert replace(setting, target=None) == asked
    assert list(Spill("sd", 450_000).candidates(unet(), BOARD, QUICK)) == [
        Spill("sd", 450_000),
        Spill("sd", 450_000, window=0, lead=0),
    ]


def test_spill_and_plan_in_a_row() -> None:
    choice = parse_choice("spill(storage=sd)+plan")
    graph = choice.apply(unet(), BOARD, SMALL)
    assert choice.packs
    assert graph == Spill("sd").apply(unet(), BOARD, SMALL)
    assert activations(graph) <= 422_400


def test_two_spills_in_a_row() -> None:
    """The second leaves what the first took out, and takes the next."""
    graph = nested()
    outer, inner = skips(graph)
    text = f"spill(storage=sdram, tensors=[{outer}])+spill(storage=sd, tensors=[{inner}])"
    both = parse_choice(text).apply(graph, BOARD, SMALL)
    one = parse_choice(text.split("+", maxsplit=1)[0]).apply(graph, BOARD, SMALL)
    assert slots(one) == {outer: "sdram"}
    assert slots(both) == {outer: "sdram", inner: "sd"}
    size = 16 * 16 * 8
    assert activations(one) == activations(graph) - size
    assert activations(both) == activations(graph) - 2 * size
    assert latency(both) > latency(one) > latency(graph)


def test_a_second_spill_keeps_the_window_of_the_first() -> None:
    """The ops that it adds within the window don't shorten it."""
    graph = nested()
    outer, inner = skips(graph)
    one = Spill("uart", window=3, tensors=(outer,)).apply(graph, BOARD, QUICK)
    both = Spill("sd", window=0, tensors=(inner,), target=0).apply(one, BOARD, QUICK)
    assert len(slots(both)) == 2
    assert _window_end(both) == _window_end(one)
    assert _window(both) == _window(one) + 2  # VAR_HANDLE and ASSIGN_VARIABLE of the second


def _window(graph: Graph) -> int:
    return next(op.window for op in graph.ops if op.kind == ASSIGN)


def _window_end(graph: Graph) -> str:
    """What the last op within the first spill's window makes."""
    spill = next(s for s, op in enumerate(graph.ops) if op.kind == ASSIGN)
    (made,) = graph.ops[spill + _window(graph)].outputs
    return graph.tensors[made].name
