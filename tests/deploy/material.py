"""A board, models and spilled graphs for the tests of sim.deploy."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

from sim.device.board import Board, Core, CostProfile, Memory, Storage
from sim.graph.graph import Graph, Op, Table
from sim.graph.rewrite import Rewrite
from sim.graph.tflite_reader import read_bytes
from sim.graph.tflite_writer import to_bytes
from tests.graphs import Net

SHARED = Path(__file__).parents[3] / "shared" / "models"
NAMES = ("kws_ref_model", "micro_speech_quantized", "pretrainedResnet_quant", "vww_96_int8")


def storage(name: str, kind: str, size: int, **fields: Any) -> Storage:
    return Storage(name, kind, size, 100, 100, 10**7, 10**7, **fields)


SDRAM = storage("sdram", "sdram", 2**20)
NOR = storage("nor", "qspi_nor", 2**20, block_bytes=4096, block_erase_ps=10**10, page_bytes=256)
CARD = storage("sd-card", "sd_spi", 2**36, granule_bytes=512)


def board(*storages: Storage, section: str = "", arena_bytes: int = 320 * 1024) -> Board:
    profile = CostProfile("none", {}, {}, {}, {}, {}, 0, False)
    return Board(
        name="testboard",
        title="Test board",
        vendor="nobody",
        mcu="none",
        core=Core("core", "cortex-m7", 10**8, profile, 1, 1),
        memories=(
            Memory("small", 1024, holds=frozenset({"arena"})),
            Memory("sram", arena_bytes, section=section, holds=frozenset({"arena"})),
        ),
        storages=storages or (SDRAM, NOR, CARD),
        bus_bytes_per_s=10**8,
        dma_channels=2,
        weights_in="nor",
        weight_stall_cycles_per_byte=0.0,
        supply_mv=3300,
    )


def chain(layers: int = 4, seed: int = 1) -> Graph:
    """An 8x8x4 convolution chain whose first output is added to the last one."""
    net = Net(seed, "chain")
    first = x = net.conv(net.input(1, 8, 8, 4), 4, activation=0)
    for _ in range(layers):
        x = net.conv(x, 4, activation=0)
    return net.graph(net.add(x, first))


def spilled(storage: str = "sdram", hold_until: int = -1, fetch_at: int | None = None) -> Graph:
    """The chain with its first output in a slot, fetched before step `fetch_at` of the chain."""
    graph = chain()
    last = len(graph.ops) - 1
    edit = Rewrite(graph)
    place = last if fetch_at is None else fetch_at
    edit.spill(graph.ops[0].outputs[0], storage, 1, [(place, last)], hold_until)
    return edit.graph()


def variables(*spills: tuple[str, str, int, int, int]) -> Graph:
    """Tensors of (storage, slot, bytes) that are spilled at a time and fetched at another.

    What is fetched is read by the very next op. At equal times a fetch comes before a spill.
    """
    net = Net(0, "variables")
    x = net.input(1, 16)
    timed: list[tuple[int, int, list[Op]]] = []
    for name, slot, size, start, stop in spills:
        handle = net.tensor((), "RESOURCE")
        options = Table("VarHandleOptions", {"container": name, "shared_name": slot})
        made, back = net.tensor((1, size)), net.tensor((1, size))
        spill = [
            Op("FILL", (x,), (made,)),
            Op("VAR_HANDLE", (), (handle,), options),
            Op("ASSIGN_VARIABLE", (handle, made), ()),
        ]
        fetch = [Op("READ_VARIABLE", (handle,), (back,)), Op("SINK", (back,), ())]
        timed += [(start, 1, spill), (stop, 0, fetch)]
    net.ops = [op for *_, ops in sorted(timed, key=lambda t: t[:2]) for op in ops]
    return net.graph(x)


def custom_model(code: str = "nobody_knows") -> bytes:
    """A model of one custom op that no runtime has."""
    net = Net()
    x = net.input(1, 16)
    out = net.tensor((1, 16))
    net.ops.append(Op("CUSTOM", (x,), (out,), custom_code=code))
    return to_bytes(net.graph(out))


def with_offsets(graph: Graph, *offsets: int) -> Graph:
    """The graph with an offline plan of any kind, valid or not, for its tensors in order."""
    words = [1, 1, len(offsets), *offsets]
    data = struct.pack(f"<{len(words)}i", *words)
    return replace(graph, metadata=(("OfflineMemoryAllocation", data),))


def shared_model(name: str) -> bytes:
    return (SHARED / f"{name}.tflite").read_bytes()


def shared_graph(name: str) -> Graph:
    return read_bytes(shared_model(name), name)
