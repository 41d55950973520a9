"""Files that no diff can be made of: each says file, field, found and wanted."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from sim.cli import main
from sim.diff.read import ResultError, read_result
from sim.result import SCHEMA_VERSION
from tests.diff.results import Values, entry, result, saved

FAST = entry("fast")


def altered(*path: str | int, value: Any) -> Values:
    """A good document with one entry that is not."""
    document = copy.deepcopy(result(FAST))
    *inner, last = path
    place: Any = document
    for key in inner:
        place = place[key]
    place[last] = value
    return document


def lacking(key: str) -> Values:
    document = result(FAST)
    del document[key]
    return document


@pytest.mark.parametrize(
    ("document", "field", "found", "wanted"),
    [
        ("{", "JSON", "Expecting property name", "one JSON document"),
        ("[" * 100_000, "JSON", "recursion", "one JSON document"),
        ('{"schema_version": NaN}', "JSON", "NaN", "one JSON document"),
        ([], "document", "a list", "an object"),
        ({}, "schema_version", "nothing", str(SCHEMA_VERSION)),
        (altered("schema_version", value=1), "schema_version", "1", str(SCHEMA_VERSION)),
        (lacking("results"), "results", "nothing", "a list of policies"),
        (altered("results", value={}), "results", "an object", "a list"),
        (altered("results", value=[]), "results", "0 winners", "one winner"),
        (altered("results", value=[3]), "results[0]", "3", "an object"),
        (altered("results", 0, "winner", value=False), "results", "0 winners", "one winner"),
        (altered("results", 0, "error", value="none"), "results", "1 winners", "without an error"),
        (altered("results", 0, "error", value=3), "results[0].error", "3", "a text"),
        (altered("board", value="nowhere"), "board", "nowhere", "an object"),
        (altered("board", "sram_bytes", value=1.5), "board.sram_bytes", "1.5", "a whole number"),
        (altered("results", 0, "ops", value=True), "results[0].ops", "True", "a whole number"),
        (altered("results", 0, "fits", value=1), "results[0].fits", "1", "true or false"),
        (
            altered("results", 0, "latency_us", "mean", value=None),
            "results[0].latency_us.mean", "nothing", "a number",
        ),
        (
            json.dumps(altered("results", 0, "frame_uj", value=0.125)).replace("0.125", "1e999"),
            "results[0].frame_uj", "inf", "a number",
        ),
        (
            altered("results", 0, "moved_bytes", value={"sd": {"read": 1}}),
            "results[0].moved_bytes.sd.written", "nothing", "a whole number",
        ),
        (
            altered("results", 0, "frames", "core", "lost", value={"queue full": "x"}),
            "results[0].frames.core.lost.queue full", "x", "a whole number",
        ),
        (altered("deploy", value={}), "deploy.verified", "nothing", "an object"),
    ],
)  # fmt: skip
def test_a_bad_document_says_file_field_found_wanted(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    document: Any,
    field: str,
    found: str,
    wanted: str,
) -> None:
    good = saved(tmp_path / "good.json", result(FAST))
    bad = saved(tmp_path / "bad.json", document)
    with pytest.raises(ResultError) as caught:
        read_result(bad)
    error = caught.value
    assert (error.file, error.field) == (str(bad), field)
    assert found in str(error.found) and wanted in error.wanted
    assert main(["diff", str(good), str(bad)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"sim: {bad}") and field in err


def test_a_file_that_is_not_there(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Nor one in a directory, nor one that is no text."""
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe")
    gone = "found 'No such file or directory', wanted a JSON document in UTF-8"
    names = {"none.json": gone, ".": f"result.json: file: {gone}", "bytes.json": "'utf-8' codec"}
    for name, wanted in names.items():
        assert main(["diff", str(tmp_path / name), str(tmp_path / name)]) == 2
        assert wanted in capsys.readouterr().err
