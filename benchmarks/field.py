"""Our settings beside the figures that the field has published, each verified in both runtimes.

    python -m benchmarks.field [FOLDER]

Activations in bytes as TFLM records them, the required arena of 32-bit TFLM, MACs against the
unmodified model, bytes moved per inference. Published figures: TinyTS (HPCA 2024), msf-CNN (NeurIPS
2025, input not counted), TiGrIS 0.12.1 (bytes moved at a budget, of which half is the mark). Models
are structures of benchmarks.zoo, built into the folder (a temporary one if none is given).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.zoo import build
from sim.deploy.verify import verify
from sim.device.loader import load_board
from sim.graph.graph import Graph
from sim.graph.macs import macs
from sim.graph.tflite_reader import read
from sim.graph.tflite_writer import to_bytes
from sim.policy import Goal, parse_choice
from sim.program import pack_graph

BOARD = "arduino_portenta_h7"
NO_BUDGET = 1 << 40

MBV2 = "mobilenet_v2_035_144"
TAIL = (
    "[24,28,1,0,1],[28,32,1,0,1],[32,36,1,0,1],[36,39,1,0,1],[39,43,1,0,1],[43,47,1,0,1],"
    "[47,50,1,0,1]"
)
FEW = "patch(stages=[[0,6,3,0,1],[6,10,3,0,1],[10,13,1,0,1]],feed=sdram)"
TWO_STRIPS = (
    "split(start=61,stop=63,parts=8)+patch(stages=[[0,13,1,9,1],[13,17,1,0,1],[17,21,1,0,1],"
    f"[21,24,1,0,1],{TAIL}],feed=sdram)"
)
NINE_STRIPS = (
    "split(start=61,stop=63,parts=8)+patch(stages=[[0,13,1,2,1],[13,17,1,9,1],[17,21,1,9,1],"
    f"[21,24,1,5,1],{TAIL}],feed=sdram)"
)
SPILLED = "stream(stages=[[0,20,2,1,1]],feed=sdram,feed_rows=2)+spill(storage=sdram,target=52000)"
DRAINED = (
    "stream(stages=[[0,20,2,1,1]],feed=sdram,feed_rows=2,drain=true)"
    "+spill(storage=sdram,target=26000)"
)


@dataclass(frozen=True, slots=True)
class Mark:
    """A published figure: activations in bytes, and MACs or bytes moved where it has some."""

    model: str
    source: str
    activations: int
    policy: str
    macs: float = 1.0
    moved: int | None = None


MARKS = (
    Mark("mobilenet_v1_025_96", "TinyTS", 29_568, "stream"),
    Mark("resnet_8", "TinyTS", 14_272, "stream"),
    Mark("ds_cnn", "TinyTS", 9_920, "stream"),
    Mark(MBV2, "TinyTS", 80_640, "stream"),
    Mark("mobilenet_v1_025_96", "TinyTS, evicted", 13_824, "stream(feed=sdram)"),
    Mark("resnet_8", "TinyTS, evicted", 13_568, "stream(feed=sdram)"),
    Mark("ds_cnn", "TinyTS, evicted", 9_920, "stream(feed=sdram)"),
    Mark(MBV2, "TinyTS, evicted", 52_672, "stream(feed=sdram)"),
    Mark(MBV2, "msf-CNN", 67_905, FEW, 1.10),
    Mark(MBV2, "msf-CNN", 25_674, TWO_STRIPS, 1.25),
    Mark(MBV2, "msf-CNN", 15_340, NINE_STRIPS, 1.38),
    Mark("unet_80_120", "160 KiB", 163_840, "stream"),
    Mark("unet_80_120", "half of TiGrIS", 65_536, SPILLED, 1.0, 330_568),
    Mark("unet_80_120", "half of TiGrIS", 32_640, DRAINED, 1.0, 513_120),
)


def main(folder: Path) -> None:
    for name in dict.fromkeys(mark.model for mark in MARKS):
        build(name, folder)
    table = Table(
        "model", "published", "activations", "MACs", "ours", "MACs", "moved", "required", "exact"
    )
    for mark in MARKS:
        table.add_row(*_row(mark, folder / f"{mark.model}.tflite"))
        print(f"{mark.model}, {mark.source}: done", file=sys.stderr)
    Console(width=110).print(table)


def _row(mark: Mark, path: Path) -> list[str]:
    before, board = _model(path), load_board(BOARD)
    graph = parse_choice(mark.policy).apply(before, board, Goal(NO_BUDGET, "activations"))
    program, _ = pack_graph(graph)
    proof = verify(
        path.read_bytes(),
        to_bytes(program.graph),
        planned_bytes=program.plan.size_bytes,
        samples=1,
    )
    repeated = _macs(graph) / _macs(before)
    moved = sum(
        graph.tensors[op.inputs[1] if op.kind == "ASSIGN_VARIABLE" else op.outputs[0]].nbytes
        for op in graph.ops
        if op.kind in ("ASSIGN_VARIABLE", "READ_VARIABLE")
    )
    wanted = f"{mark.activations:,}" + (f", {mark.moved:,} moved" if mark.moved else "")
    return [
        mark.model,
        mark.source,
        wanted,
        f"{mark.macs:.2f}",
        f"{program.plan.size_bytes:,}",
        f"{repeated:.3f}",
        f"{moved:,}",
        f"{program.arena().required:,}",
        "yes" if proof.equal and proof.tflm_head_bytes == program.plan.size_bytes else "NO",
    ]


@cache
def _model(path: Path) -> Graph:
    return read(path)


def _macs(graph: Graph) -> int:
    return sum(macs(graph, op) for op in graph.ops)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.field", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, help="where the models are kept")
    with tempfile.TemporaryDirectory() as made:
        main(parser.parse_args().folder or Path(made))
