"""Reads a result back from its file, and refuses what a diff could not be made of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sim.diff.figures import measured
from sim.errors import ConfigError
from sim.result import SCHEMA_VERSION

ANY = "*"
"""Stands for every key of an object."""
FATE = {
    "offered": int, "done": int, "missed_deadline": int, "recomputed": int, "lost": {ANY: int},
}  # fmt: skip
HEAD = {"model": {}, "board": {"sram_bytes": int}, "goal": {"minimize": str}, "results": list}
ENTRY = {"policy": str, "params": {}, "fits": bool, "winner": bool}
MEASURED = {
    "arena_bytes": {"activations": int, "persistent": int, "temporary": int, "required": int},
    "frames": {ANY: FATE},
    "latency_us": {"mean": float, "p99": float},
    "inference_us": {"mean": float},
    "stall_us": {ANY: float},
    "moved_bytes": {ANY: {"read": int, "written": int}},
    "frame_uj": float,
    "ops": int,
    "macs": int,
}
"""What is read of a document, of each policy in it, and of each that could be applied."""
WORDS = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}


class ResultError(ConfigError):
    """A result's file with a bad field."""


def read_result(path: str | Path) -> dict[str, Any]:
    """The document in a file, or in the result.json of a directory.

    Raises ResultError if it can't be read or is not what `run`, `deploy` or `compare` write.
    """
    file = Path(path)
    if file.is_dir():
        from sim.deployment import RESULT_FILE

        file /= RESULT_FILE
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        told = getattr(error, "strerror", None) or str(error)
        raise ResultError(file, None, "file", told, "a JSON document in UTF-8") from None
    try:
        found = json.loads(text, parse_constant=_refused)
    except json.JSONDecodeError as error:
        raise ResultError(file, error.lineno, "JSON", error.msg, "one JSON document") from None
    except (ValueError, RecursionError) as error:
        raise ResultError(file, None, "JSON", str(error), "one JSON document") from None
    return _checked(file, found)


LARGEST = 1e300
"""A number from there on is no figure; NaN is not below it either."""


def _refused(constant: str) -> Any:
    raise ValueError(constant)


def _checked(file: Path, found: Any) -> dict[str, Any]:
    if not isinstance(found, dict):
        raise _wrong(file, "document", found, "an object")
    version = found.get("schema_version")
    if version != SCHEMA_VERSION:
        raise _wrong(file, "schema_version", version, str(SCHEMA_VERSION))
    if "results" not in found:
        wanted = "a list of policies, as run, deploy and compare --json give it"
        raise _wrong(file, "results", None, wanted)
    _check(file, "", found, HEAD)
    for index, entry in enumerate(found["results"]):
        where = f"results[{index}]"
        _check(file, where, entry, ENTRY)
        if entry.get("error") is None:
            _check(file, where, entry, MEASURED)
        else:
            _check(file, where, entry, {"error": str})
    winners = [entry for entry in found["results"] if entry["winner"]]
    if len(winners) != 1 or not measured(winners[0]):
        raise _wrong(file, "results", f"{len(winners)} winners", "one winner, without an error")
    if "deploy" in found:
        _check(file, "deploy", found["deploy"], {"verified": {}})
    return found


def _check(file: Path, where: str, found: Any, wanted: Any) -> None:
    """Raises ResultError where the value is not of the type, or lacks a field, that is wanted."""
    if wanted is list:
        if not isinstance(found, list):
            raise _wrong(file, where, found, "a list")
    elif not isinstance(wanted, Mapping):
        right = (int, float) if wanted is float else (wanted,)
        if type(found) not in right or (type(found) is float and not abs(found) < LARGEST):
            raise _wrong(file, where, found, WORDS[wanted])
    elif not isinstance(found, dict):
        raise _wrong(file, where, found, "an object")
    else:
        for key in found if ANY in wanted else wanted:
            inner = wanted.get(ANY, wanted.get(key))
            _check(file, f"{where}.{key}" if where else key, found.get(key), inner)


def _wrong(file: Path, field: str, found: Any, wanted: str) -> ResultError:
    told = {dict: "an object", list: "a list", type(None): "nothing"}.get(type(found), found)
    return ResultError(file, None, field, told, wanted)
