"""Vela (PyPI ethos-u-vela): the SRAM that a model takes on an Ethos-U55.

That is another processor, with kernels of its own: only the bytes can be compared.
"""

from __future__ import annotations

import csv
import tempfile
from pathlib import Path

from benchmarks.peers.process import PeerError, last_line, run, tool
from benchmarks.peers.rows import Row

NAME = "Vela, U55"
OPTIONS = ("--optimise", "Size", "--accelerator-config", "ethos-u55-128")


def vela_row(path: str) -> Row:
    try:
        command = tool("vela")
        with tempfile.TemporaryDirectory() as folder:
            ran = run(command, path, *OPTIONS, "--output-dir", folder)
            tables = list(Path(folder).glob("*_summary_*.csv"))
            if ran.code or not tables:
                raise PeerError(last_line(ran.err or ran.out))
            used = sram_bytes(tables[0].read_text(encoding="utf-8"))
    except PeerError as error:
        return Row(NAME, note=str(error))
    note = "" if used else "nothing runs on its NPU"
    return Row(NAME, activations=used or None, seconds=ran.seconds, note=note)


def sram_bytes(summary: str) -> int:
    """Bytes of the column sram_memory_used, which is in KiB."""
    row = next(csv.DictReader(summary.splitlines()))
    return round(float(row["sram_memory_used"]) * 1024)
