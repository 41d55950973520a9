"""Policies x models: the least arena that each policy finds, without a storage and with SDRAM.

    python -m benchmarks.policies [FOLDER]

The models are those of scenarios/models, and those of benchmarks.zoo, built into the folder (a
temporary one if none is given). Every figure is a required arena in bytes on the Portenta H7, with
its latency as a change against TFLM's own plan.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.zoo import build
from sim.compare import Outcome, compare
from sim.device.loader import load_board
from sim.engine.run import play
from sim.graph.tflite_reader import read
from sim.policy import Goal, parse_choice

BOARD = "arduino_portenta_h7"
POLICIES = ("baseline", "plan", "reorder", "split", "stream", "patch", "spill", "fused_fetch")
SHIPPED = ("drone_seg", "mobilenet_v2_small", "branchy")
BUILT = ("resnet_8", "mobilenet_v1_025_96", "ds_cnn", "mobilenet_v2_035_144")


def main(folder: Path) -> None:
    paths = [Path("scenarios/models") / f"{name}.tflite" for name in SHIPPED]
    for name in BUILT:
        build(name, folder)
        paths.append(folder / f"{name}.tflite")
    table = Table("model", *POLICIES, title=f"required arena, kB; {BOARD}", padding=(0, 1))
    for path in paths:
        table.add_row(path.stem, *_row(path))
        print(f"{path.stem} done", file=sys.stderr)
    Console(width=100).print(table)


def _row(path: Path) -> list[str]:
    choices = [parse_choice(name) for name in POLICIES]
    found = compare(read(path), load_board(BOARD), Goal(10**9, "arena"), choices, play)
    base = found.outcomes[0]
    return [_cell(outcome, base) for outcome in found.outcomes]


def _cell(outcome: Outcome, base: Outcome) -> str:
    if outcome.arena is None or outcome.report is None or base.report is None:
        return "-"
    change = outcome.report.latency.mean_ps / base.report.latency.mean_ps - 1
    return f"{outcome.arena.required / 1000:.1f}\n{change:+.1%}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.policies", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, help="where the models are kept")
    with tempfile.TemporaryDirectory() as made:
        main(parser.parse_args().folder or Path(made))
