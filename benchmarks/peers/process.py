"""Whole processes of other tools, found and timed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
TIMEOUT_S = 900
NOT_INSTALLED = "not installed"


class PeerError(Exception):
    """Why a tool has no figures for a model, in a few words."""


@dataclass(frozen=True, slots=True)
class Ran:
    """What a process said, and its wall time from start to end."""

    out: str
    err: str
    code: int
    seconds: float


def interpreter() -> Path:
    """The peers' Python: of the environment, or at the path, that SPILLWAY_PEERS names, or ours."""
    named = os.environ.get("SPILLWAY_PEERS")
    if not named:
        return Path(sys.executable)
    path = Path(named)
    return path / "bin" / "python" if path.is_dir() else path


def tool(name: str) -> str:
    """The path of a peer's command. Raises PeerError if it is not installed."""
    path = interpreter().with_name(name)
    if not path.exists():
        raise PeerError(NOT_INSTALLED)
    return str(path)


def our_tool(name: str) -> str:
    """The path of a command of our own environment."""
    return str(Path(sys.executable).with_name(name))


def run(*command: str) -> Ran:
    """Raises PeerError if the process takes too long."""
    start = time.perf_counter()
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise PeerError(f"took more than {TIMEOUT_S} s") from None
    return Ran(done.stdout, done.stderr, done.returncode, time.perf_counter() - start)


def script(name: str, *arguments: str) -> tuple[Any, float]:
    """What one of our scripts prints as JSON in the peers' interpreter, and its wall time.

    It runs isolated (-I): the files of this folder are named as the packages that it imports.
    Raises PeerError if the peer is not there, or with what the script says is wrong.
    """
    if not interpreter().exists():
        raise PeerError(NOT_INSTALLED)
    ran = run(str(interpreter()), "-I", str(HERE / name), *arguments)
    if "ModuleNotFoundError" in ran.err:
        raise PeerError(NOT_INSTALLED)
    if ran.code:
        raise PeerError(last_line(ran.err))
    return json.loads(ran.out), ran.seconds


def last_line(text: str) -> str:
    """The last line that says something: where tools put what went wrong."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1].removeprefix("Error: ") if lines else "failed without a word"
