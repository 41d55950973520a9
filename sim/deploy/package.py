"""What a board needs: the model, its headers, and the proof, as the contents of files."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

from sim.deploy.entry import with_entry
from sim.deploy.header import config_header
from sim.deploy.op_resolver import ops_header
from sim.deploy.slots import slot_table
from sim.deploy.verify import Verification
from sim.device.board import Board
from sim.graph.tflite_writer import to_bytes
from sim.program import Program

_UNVERIFIED = Verification(None, None, None, None, None, None)


def deployed_model(program: Program, board: Board, source_sha256: str) -> bytes:
    """The .tflite as a package holds it: what is to be verified.

    Raises PolicyError or CannotFitError if the board has no room for the spilled tensors.
    """
    return to_bytes(_deployed(program, board, source_sha256).graph)


def package(
    program: Program,
    board: Board,
    source_sha256: str,
    source_name: str,
    verification: Verification | None = None,
) -> dict[str, bytes]:
    """model.tflite, model_config.h, model_ops.h and verify.json (nulls if not verified).

    Raises what `deployed_model` and `config_header` raise.
    """
    deployed = _deployed(program, board, source_sha256)
    model = to_bytes(deployed.graph)
    config = config_header(
        deployed,
        board,
        model_sha256=hashlib.sha256(model).hexdigest(),
        source_sha256=source_sha256,
        source_name=source_name,
    )
    proof = json.dumps((verification or _UNVERIFIED).to_json(), indent=2) + "\n"
    return {
        "model.tflite": model,
        "model_config.h": config.encode(),
        "model_ops.h": ops_header(deployed.graph).encode(),
        "verify.json": proof.encode(),
    }


def _deployed(program: Program, board: Board, source_sha256: str) -> Program:
    slots = slot_table(program, board)
    graph = with_entry(program.graph, board.name, source_sha256, slots)
    return replace(program, graph=graph)
