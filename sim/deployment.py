"""From a winner to files that are proven: compiles, verifies in real runtimes, writes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import Any

from sim.compare import Comparison
from sim.deploy.package import deployed_model, write_package
from sim.deploy.verify import Verification, verify
from sim.errors import MissingToolError
from sim.files import write_whole
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
    """What was written, and what the runtimes said; None where they are not installed."""

    document: dict[str, Any]
    verification: Verification | None
    files: tuple[Path, ...]
    note: str

    @property
    def good(self) -> bool:
        """Proven, or there is no runtime installed to prove it in."""
        return self.verification is None or self.verification.passed

    def facts(self) -> list[tuple[str, str]]:
        """The verification and the files, for people."""
        directory = self.files[0].parent
        names = ", ".join(path.relative_to(directory).as_posix() for path in self.files)
        verdict = f"no: {self.note}" if self.verification is None else _verdict(self.verification)
        return [("verified", verdict), ("written", f"{directory.as_posix()}/: {names}")]


def deploy_winner(
    directory: Path, source: Source, found: Comparison, document: Mapping[str, Any], seed: int
) -> Deployed:
    """Compiles and verifies the winner, then writes its files and the result to the directory.

    Raises SpillwayError if the directory can't be written or a storage has no room for the slots.
    """
    program = found.best.program
    assert program is not None
    model = deployed_model(program, found.board, source.sha256)
    note, verification = "", None
    try:
        verification = verify_bytes(source.data, model, seed)
    except MissingToolError as error:
        note = str(error)
    written = write_package(
        directory, program, found.board, source.sha256, Path(source.path).name, verification
    )
    files = {file.path.name: file.path for file in written}
    full = {
        **document,
        "deploy": {
            "model": files["model.tflite"].as_posix(),
            "header": files["model_config.h"].as_posix(),
            "verified": _verified(verification),
        },
    }
    result = directory / RESULT_FILE
    write_whole(result, dumps(full))
    return Deployed(full, verification, (*files.values(), result), note)


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
