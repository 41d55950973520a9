"""Whole processes side by side: `sim --help` and `sim inspect` against TiGrIS's like commands.

    python benchmarks/startup.py MODEL.tflite [--runs N] [--tigris PATH]

Prints medians and, since machines are noisy, the median of the ratios of neighbouring runs.
TiGrIS comes from PyPI (tigris-ml), best in an environment of its own.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path


def seconds(command: list[str]) -> float:
    """Wall time of one process from start to end; its output is thrown away."""
    start = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start


def side_by_side(ours: list[str], theirs: list[str], runs: int) -> tuple[float, float, float]:
    """Median seconds of each, and the median ratio ours / theirs, runs taken in turn."""
    pairs = [(seconds(ours), seconds(theirs)) for _ in range(runs + 1)][1:]
    return (
        statistics.median(a for a, _ in pairs),
        statistics.median(b for _, b in pairs),
        statistics.median(a / b for a, b in pairs),
    )


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("model")
    arguments.add_argument("--runs", type=int, default=15)
    arguments.add_argument("--tigris", default=shutil.which("tigris"))
    options = arguments.parse_args()
    if options.tigris is None:
        print("tigris is not on the path: pip install tigris-ml", file=sys.stderr)
        return 2
    sim = str(Path(sys.executable).with_name("sim"))
    rows = {
        "--help": ([sim, "--help"], [options.tigris, "--help"]),
        "inspect / analyze": (
            [sim, "inspect", options.model],
            [options.tigris, "analyze", options.model, "-m", "64K"],
        ),
    }
    print(f"{'command':<20}{'sim s':>8}{'tigris s':>10}{'ratio':>8}")
    for name, (ours, theirs) in rows.items():
        a, b, ratio = side_by_side(ours, theirs, options.runs)
        print(f"{name:<20}{a:>8.3f}{b:>10.3f}{ratio:>8.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
