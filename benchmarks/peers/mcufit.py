"""mcufit (PyPI mcufit): the arena that TFLM needs, measured in a build for wasm32."""

from __future__ import annotations

import json

from benchmarks.peers.process import PeerError, last_line, run, tool
from benchmarks.peers.rows import Row

NAME = "mcufit"
BOARD = "esp32-s3"
MEASURED = "tflm-wasm32-measurement"


def mcufit_row(path: str) -> Row:
    """Exit code 1 says that the model does not fit its board: the figures hold all the same."""
    try:
        ran = run(tool("mcufit"), "check", path, "--board", BOARD, "--json")
        if not ran.out.lstrip().startswith("{"):
            raise PeerError(last_line(ran.err or ran.out))
        found = json.loads(ran.out)["estimate"]
    except PeerError as error:
        return Row(NAME, note=str(error))
    method = found["method"]
    return Row(
        NAME,
        activations=found["peak_activation_bytes"],
        required=found["total_arena_bytes"],
        seconds=ran.seconds,
        note="" if method == MEASURED else f"by {method}",
    )
