"""auto beside every other policy, and its estimate beside the engine.

    python -m benchmarks.auto [MODEL ...]

For each model, at 1/2, 1/4 and 1/8 of TFLM's own head, on the static runtime and the Portenta H7
with SDRAM: the latency of auto, that of the best other policy, whether auto is never worse, and how
far the estimate that led it is from the engine's latency. Without arguments the small models of
scenarios/models.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from statistics import mean

from rich.console import Console
from rich.table import Table

from policies.timing import timing
from sim.compare import Outcome, compare
from sim.device.loader import load_board
from sim.engine.run import play
from sim.graph.tflite_reader import read
from sim.policy import Goal, parse_choice
from sim.program import place

BOARD, STORAGE = "arduino_portenta_h7", "sdram"
OTHERS = ("plan", "reorder", "split", "stream", "patch", "spill", "fused_fetch")
SHIPPED = ("ds_cnn", "mobilenet_v2_small", "branchy", "unknown_op")


def main(paths: list[Path]) -> int:
    """Prints the table; 1 if some other policy is better than auto anywhere."""
    board = load_board(BOARD)
    board = replace(board, storages=(board.storage(STORAGE),))
    table = Table("model", "budget", "auto", "best other", "never worse", "estimate", title=BOARD)
    choices = [parse_choice(name) for name in ("auto", *OTHERS)]
    worse, errors = 0, []
    for path in paths:
        graph = read(path)
        head = place(graph).plan.size_bytes
        for part in (2, 4, 8):
            goal = Goal(head // part, runtime="static")
            auto, *others = compare(graph, board, goal, choices, play).outcomes
            best = min((o for o in others if o.report), key=lambda o: _rank(o, goal))
            good = _rank(auto, goal) <= _rank(best, goal)
            worse += not good
            assert auto.program is not None and auto.report is not None
            estimate = timing(auto.program, board).latency_ps
            errors.append(abs(estimate / auto.report.latency.mean_ps - 1))
            table.add_row(
                path.stem, f"{goal.sram_bytes:,}", _told(auto, goal),
                f"{_told(best, goal)} {best.choice.name}", "yes" if good else "NO",
                f"{errors[-1]:.2%}",
            )  # fmt: skip
            print(f"{path.stem} 1/{part} done", file=sys.stderr)
    Console(width=100).print(table)
    print(f"worse: {worse}; mean error of the estimate: {mean(errors):.2%}")
    return int(worse > 0)


def _rank(outcome: Outcome, goal: Goal) -> tuple[int, int]:
    """Bytes over the budget, then the latency."""
    if outcome.arena is None or outcome.report is None:
        return 1 << 60, 0
    over = max(0, outcome.arena.required - goal.sram_bytes)
    return over, outcome.report.latency.mean_ps


def _told(outcome: Outcome, goal: Goal) -> str:
    assert outcome.arena is not None and outcome.report is not None
    over = "" if outcome.fits(goal) else f" (needs {outcome.arena.required:,})"
    return f"{outcome.report.latency.mean_ps / 1e9:.3f} ms{over}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.auto", description=__doc__)
    parser.add_argument("models", nargs="*", type=Path, help=".tflite files (those that ship)")
    given = parser.parse_args().models
    sys.exit(main(given or [Path("scenarios/models") / f"{name}.tflite" for name in SHIPPED]))
