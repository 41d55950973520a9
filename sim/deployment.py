"""From a winner to files that are proven: compiles, verifies in real runtimes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import Any

from sim.compare import Comparison
from sim.deploy.package import deployed_model, package
from sim.deploy.verify import Verification, verify
from sim.errors import MissingToolError
from sim.files import Content
from sim.graph.tflite_reader import read_bytes
from sim.plan.runtime import Runtime
from sim.plan.runtime_overhead import required_arena
from sim.program import place
from sim.result import Source, dumps

RESULT_FILE = "result.json"
REMARK_WIDTH = 140
"""Characters of a runtime's own message in the one-line verdict; verify.json has it whole."""


@dataclass(frozen=True, slots=True)
class Deployed:
    """What is to be written, and what the runtimes said; None where they are not installed.

    `contents` are by name; `note` says why the runtimes said nothing.
    """

    document: dict[str, Any]
    verification: Verification | None
    contents: Mapping[str, Content]
    note: str

    @property
    def good(self) -> bool:
        """Proven, or there is no runtime installed to prove it in."""
        return self.verification is None or self.verification.passed

    @property
    def verdict(self) -> str:
        """What the runtimes said, for people."""
        return f"no: {self.note}" if self.verification is None else _verdict(self.verification)


def deploy_winner(
    directory: Path, source: Source, found: Comparison, document: Mapping[str, Any], seed: int
) -> Deployed:
    """Compiles and verifies the winner: its files and the result, as they go to the directory.

    Raises SpillwayError if a storage has no room for the slots.
    """
    program = found.best.program
    assert program is not None
    model = deployed_model(program, found.board, source.sha256)
    note, verification = "", None
    try:
        verification = verify_bytes(source.data, model, seed)
    except MissingToolError as error:
        note = str(error)
    contents = package(program, found.board, source.sha256, Path(source.path).name, verification)
    full = {
        **document,
        "deploy": {
            "model": (directory / "model.tflite").as_posix(),
            "header": (directory / "model_config.h").as_posix(),
            "verified": _verified(verification),
        },
    }
    return Deployed(full, verification, {**contents, RESULT_FILE: dumps(full)}, note)


def verify_files(original: Source, optimized: Source, seed: int) -> Verification:
    """Proves that a file computes what another does, in the bytes that its plan promises.

    Raises ModelError if one can't be read or their inputs and outputs differ, MissingToolError if
    the runtimes are not installed.
    """
    for source in (original, optimized):
        read_bytes(source.data, source.path)
    return verify_bytes(original.data, optimized.data, seed)


def verify_bytes(original: bytes, optimized: bytes, seed: int) -> Verification:
    """The same for the bytes of two models."""
    program = place(read_bytes(optimized, "optimized"), Runtime(bits=64))
    head = program.plan.size_bytes
    promised = required_arena(program.graph, head_bytes=head, bits=64)
    return verify(original, optimized, planned_bytes=head, promised_arena_bytes=promised, seed=seed)


def _verified(verification: Verification | None) -> dict[str, Any]:
    keys = ("litert", "tflm", "tflm_head_bytes")
    facts = verification.to_json() if verification else dict.fromkeys(keys)
    return {key: facts[key] for key in keys}


_WORDS = {True: "bit-exact", False: "DIFFERENT", None: "not judged"}


def _verdict(verification: Verification) -> str:
    text = f"LiteRT {_WORDS[verification.litert]}, TFLM {_WORDS[verification.tflm]}"
    if verification.tflm_head_bytes is not None:
        text += f", TFLM's head {verification.tflm_head_bytes:,} B"
        planned = verification.planned_bytes == verification.tflm_head_bytes
        text += " as planned" if planned else ""
    remarks = [*verification.problems, *verification.notes]
    return "; ".join([text, *(shorten(remark, REMARK_WIDTH) for remark in remarks)])


def verification_facts(verification: Verification) -> list[tuple[str, str]]:
    """A verification for people, a line each."""
    lines = [
        ("result", _WORDS[verification.equal]),
        ("LiteRT", _WORDS[verification.litert]),
        ("TFLM", _WORDS[verification.tflm]),
        ("largest difference", f"{verification.max_abs_diff}"),
        ("TFLM's head", f"{verification.tflm_head_bytes} B"),
        ("planned", f"{verification.planned_bytes} B"),
    ]
    lines += [("problem", text) for text in verification.problems]
    return lines + [("note", text) for text in verification.notes]
