"""Each peer and ours on the same models in one run, under one cost model.

    python -m benchmarks.peers [MODEL ...] [--ours POLICY ...] [--json FILE]

TiGrIS gets 1/2, 1/4 and 1/8 of what TFLM takes for the unmodified model, and so do we, with a
static runtime and only the storage that TiGrIS would use: SDRAM on a Portenta H7, PSRAM on an
ESP32-S3. Its trace is timed by the cost model that times ours (see replay): "ms" with transfers
that block, as its runtime makes them, ">=" if all of them overlapped. Vela's, mcufit's and
omnimalloc's figures stand beside ours without storage, of TFLM, and of packing alone. Peers are
looked for in the environment that SPILLWAY_PEERS names, else in this one: pip install
spillway-mcu[peers].
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.peers.mcufit import mcufit_row
from benchmarks.peers.omnimalloc import omnimalloc_row
from benchmarks.peers.ours import (
    budget_row,
    compute_ps,
    no_storage_row,
    only,
    plan_row,
    tflm_row,
)
from benchmarks.peers.rows import Row
from benchmarks.peers.table import WIDTH, short, show_model, show_summary
from benchmarks.peers.tigris import tigris_row
from benchmarks.peers.vela import vela_row
from benchmarks.peers.verdict import Verdict, judge, summary
from sim.device.board import Board
from sim.device.loader import load_board
from sim.graph.graph import Graph
from sim.graph.tflite_reader import read
from sim.program import place

BOARDS = {"arduino_portenta_h7": "sdram", "esp32_s3_devkitc": "psram"}
SHORT = {"arduino_portenta_h7": "H7", "esp32_s3_devkitc": "S3"}
PARTS = (2, 4, 8)
ROOT = Path(__file__).parents[2]
FOLDERS = (ROOT / "scenarios" / "models", ROOT.parent / "shared" / "models")
SCHEMA_VERSION = 1


def main(arguments: list[str]) -> int:
    options = _parser().parse_args(arguments)
    boards = {name: only(load_board(name), storage) for name, storage in BOARDS.items()}
    paths = options.models or [p for f in FOLDERS for p in sorted(f.glob("*.tflite"))]
    console = Console(width=WIDTH)
    documents, verdicts = [], []
    for path in paths:
        rows, judged, about = _model(path, boards, options.ours)
        title = f"{path.stem}: TFLM takes {about['head_bytes']:,} B of activations"
        show_model(console, title, rows, judged, SHORT)
        documents.append(
            {
                "model": path.stem,
                **about,
                "rows": [row.document() for row in rows],
                "verdicts": [verdict.document() for verdict in judged],
            }
        )
        verdicts += judged
        if options.json:
            _write(options.json, {"models": documents, "summary": summary(verdicts)})
    show_summary(console, summary(verdicts))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("models", nargs="*", type=Path, metavar="MODEL")
    parser.add_argument("--ours", nargs="+", default=["auto"], metavar="POLICY")
    parser.add_argument("--json", type=Path, metavar="FILE")
    return parser


def _model(
    path: Path, boards: Mapping[str, Board], policies: list[str]
) -> tuple[list[Row], list[Verdict], dict[str, Any]]:
    """A model's rows, its verdicts, and what is said of it in the JSON."""
    graph = read(path)
    head = place(graph).plan.size_bytes
    floor = {name: compute_ps(graph, board) for name, board in boards.items()}
    rows, judged = [], []
    for part in PARTS:
        budget = head // part
        _tell(f"{path.stem}: TiGrIS at {budget:,} B")
        theirs = tigris_row(str(path), graph, budget, boards)
        rows.append(theirs)
        for name, board in boards.items():
            _tell(f"{path.stem}: ours at {budget:,} B on {name}")
            ours = budget_row(path, graph, board, budget, policies, _quiet)
            rows.append(short(ours, SHORT[name]))
            judged.append(judge(ours, theirs, name, floor[name]))
    rows += _others(path, graph, boards, policies)
    return rows, judged, {"head_bytes": head, "compute_ps": floor}


def _others(
    path: Path, graph: Graph, boards: Mapping[str, Board], policies: list[str]
) -> list[Row]:
    """The tools that know no budget, each beside what of ours it can be compared with."""
    _tell(f"{path.stem}: Vela, mcufit, omnimalloc")
    alone = no_storage_row(graph, next(iter(boards.values())), policies, _quiet)
    return [
        vela_row(str(path)),
        alone,
        mcufit_row(str(path)),
        tflm_row(graph, list(boards.values())),
        omnimalloc_row(graph),
        plan_row(graph),
    ]


def _write(path: Path, document: dict[str, Any]) -> None:
    text = json.dumps({"schema_version": SCHEMA_VERSION, **document}, indent=2)
    path.write_text(text + "\n", encoding="utf-8")


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _quiet(_: str) -> None:
    return


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
