"""A board of round numbers, a graph with one tensor that waits, and plans laid out by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from sim.device.board import Board, Core, CostProfile, Memory, Storage
from sim.engine.run import simulate
from sim.graph.graph import Graph
from sim.graph.rewrite import Rewrite
from sim.plan.offline import with_offline_plan
from sim.program import Program, place
from sim.report import check
from sim.trace import CORE, STALL, Span, Trace
from tests.graphs import Net

CYCLE_PS = 1000
DISPATCH, A_RELU, AN_ADD = 8, 3, 5
"""Cycles of any op, and of an element of RELU and of ADD beside that."""

SIZE = 64
"""Elements, and bytes, of every tensor."""

DISPATCH_PS = DISPATCH * CYCLE_PS
RELU_PS = (A_RELU * SIZE + DISPATCH) * CYCLE_PS
ADD_PS = (AN_ADD * SIZE + DISPATCH) * CYCLE_PS

PROFILE = CostProfile(
    "toy", {}, {"activation": A_RELU, "arithmetic": AN_ADD}, {}, {}, {},
    dispatch_cycles=DISPATCH, calibrated=False,
)  # fmt: skip
RAM = Storage(
    "ram", "sdram", 2**20, read_setup_ps=11, write_setup_ps=13, read_bytes_per_s=10**9,
    write_bytes_per_s=2 * 10**9,
)  # fmt: skip
NOR = Storage(
    "nor", "qspi_nor", 2**20, read_setup_ps=17, write_setup_ps=19, read_bytes_per_s=10**8,
    write_bytes_per_s=10**8, page_bytes=16, page_program_ps=10**6, block_bytes=4096,
    block_erase_ps=10**9,
)  # fmt: skip
CARD = Storage(
    "card", "sd_sdio", 2**30, read_setup_ps=10**7, write_setup_ps=3 * 10**7,
    read_bytes_per_s=10**7, write_bytes_per_s=10**7, granule_bytes=512,
)  # fmt: skip
LINE = Storage(
    "line", "uart", 2**30, read_setup_ps=10**8, write_setup_ps=10**8, read_bytes_per_s=90_000,
    write_bytes_per_s=90_000,
)  # fmt: skip
STORAGES = (RAM, NOR, CARD, LINE)


def board(*storages: Storage, bus_bytes_per_s: int = 10**15, dma_channels: int = 8) -> Board:
    """A clock of 1 GHz, and a bus so wide that nobody notices it."""
    return Board(
        name="toy", title="Toy", vendor="us", mcu="none",
        core=Core("toy", "cortex-m7", 10**12 // CYCLE_PS, PROFILE, 1000, 100),
        memories=(Memory("sram", 2**20, holds=frozenset({"arena"})),), storages=storages,
        bus_bytes_per_s=bus_bytes_per_s, dma_channels=dma_channels, weights_in="sram",
        weight_stall_cycles_per_byte=0, supply_mv=3300,
    )  # fmt: skip


def timed(name: str, *, read_ps: int = 0, write_ps: int = 0, **fields: object) -> Storage:
    """A storage whose transfers of any size take exactly so long."""
    plain = Storage(name, "sdram", 2**20, read_ps - 1, write_ps - 1, 10**18, 10**18)
    return replace(plain, **fields)  # type: ignore[arg-type]


def fork(waits: int = 2, kept: int = 1, size: int = SIZE) -> Graph:
    """An input, `kept` RELUs of it that wait (t1...), a chain of `waits` RELUs, and ADDs of all.

    Step s makes tensor t<s + 1>; op `kept + waits` is the first ADD, which reads t1.
    """
    net = Net(name="fork")
    x = net.input(1, 1, 1, size)
    cold = [net.relu(x) for _ in range(kept)]
    y = x
    for _ in range(waits):
        y = net.relu(y)
    for tensor in cold:
        y = net.add(y, tensor)
    return net.graph(y)


def spilled(graph: Graph, storage: str, hold: int = 0, lead: int = 0) -> Graph:
    """A fork of one with t1 in a storage: held until step `hold`, back `lead` steps early."""
    edit, last = Rewrite(graph), len(graph.ops) - 1
    edit.spill(1, storage, 0, [(last - lead, last)], hold)
    return edit.graph()


def laid_out(graph: Graph, shared: Mapping[str, str] | None = None) -> Program:
    """Every tensor at a place of its own by its id, except those that share another's, by name."""
    names = {t.name: t.id for t in graph.tensors}
    apart = max(t.nbytes for t in graph.tensors)
    offsets = {t.id: t.id * apart for t in graph.tensors if t.dtype == "INT8"}
    for name, other in (shared or {}).items():
        offsets[names[name]] = offsets[names[other]]
    program = place(with_offline_plan(graph, offsets))
    program.verify()
    return program


def play(program: Program, board: Board, frames: int = 1, seed: int = 0) -> Trace:
    """The trace, after the laws of sim.report.check."""
    trace = simulate(program, board, frames=frames, seed=seed)
    check(trace)
    return trace


def latency(trace: Trace) -> int:
    """Picoseconds of a single inference."""
    ((start, stop),) = trace.frames
    return stop - start


def stalls(trace: Trace, actor: str = CORE) -> dict[str, int]:
    """Picoseconds by cause."""
    found: dict[str, int] = {}
    for span in trace.of(actor):
        if span.kind == STALL:
            found[span.cause] = found.get(span.cause, 0) + span.duration_ps
    return found


def the(trace: Trace, actor: str, kind: str, subject: str) -> Span:
    """The only such span."""
    (found,) = (s for s in trace.of(actor) if (s.kind, s.subject) == (kind, subject))
    return found
