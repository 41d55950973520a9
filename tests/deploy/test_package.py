"""The package: four files, all or none, the same each time, and a model that is still itself."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from sim import __version__
from sim.deploy.package import deployed_model, write_package
from sim.deploy.verify import Verification
from sim.errors import CannotFitError, SpillwayError
from sim.graph.tflite_reader import read_bytes
from sim.graph.tflite_writer import to_bytes
from sim.program import place
from tests.deploy.material import board, chain, spilled, storage

SOURCE = hashlib.sha256(b"the source").hexdigest()
FOUND = Verification(True, 0, True, True, 64, 64)


def entry_of(model: bytes) -> dict[str, object]:
    graph = read_bytes(model)
    entries = [data for name, data in graph.metadata if name == "spillway"]
    assert len(entries) == 1
    content = json.loads(entries[0])
    assert isinstance(content, dict)
    return content


def test_all_files_are_written_with_their_sizes(tmp_path: Path) -> None:
    written = write_package(tmp_path / "out", place(spilled()), board(), SOURCE, "x.tflite", FOUND)
    names = ["model.tflite", "model_config.h", "model_ops.h", "verify.json"]
    assert [f.path for f in written] == [tmp_path / "out" / name for name in names]
    assert [f.size_bytes for f in written] == [f.path.stat().st_size for f in written]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == names
    assert json.loads((tmp_path / "out" / "verify.json").read_text()) == FOUND.to_json()


def test_the_header_holds_the_hash_of_the_model_beside_it(tmp_path: Path) -> None:
    write_package(tmp_path, place(spilled()), board(), SOURCE, "x.tflite", FOUND)
    model, config = (tmp_path / n for n in ("model.tflite", "model_config.h"))
    digest = hashlib.sha256(model.read_bytes()).hexdigest()
    assert f'#define SPILLWAY_MODEL_SHA256 "{digest}"\n' in config.read_text()
    assert f'#define SPILLWAY_SOURCE_SHA256 "{SOURCE}"\n' in config.read_text()


def test_what_is_written_is_what_was_there_to_verify(tmp_path: Path) -> None:
    program = place(spilled())
    write_package(tmp_path, program, board(), SOURCE, "x.tflite")
    model = deployed_model(program, board(), SOURCE)
    assert (tmp_path / "model.tflite").read_bytes() == model


def test_what_was_not_verified_says_so_and_leaves_no_older_proof(tmp_path: Path) -> None:
    for verification in (FOUND, None):
        write_package(tmp_path, place(spilled()), board(), SOURCE, "x.tflite", verification)
    proof = json.loads((tmp_path / "verify.json").read_text())
    assert proof.pop("problems") == []
    assert set(proof) == {
        "equal", "max_abs_diff", "litert", "tflm", "tflm_head_bytes", "planned_bytes",
    }  # fmt: skip
    assert set(proof.values()) == {None}


def test_the_entry_tells_slots_and_source() -> None:
    graph = spilled("nor")
    found = entry_of(deployed_model(place(graph), board(), SOURCE))
    (handle,) = [op for op in graph.ops if op.kind == "VAR_HANDLE"]
    assert found == {
        "schema_version": 1,
        "tool_version": __version__,
        "source_sha256": SOURCE,
        "board": "testboard",
        "slots": [
            {
                "storage": "nor",
                "name": handle.options.text("shared_name"),
                "offset_bytes": 0,
                "size_bytes": 256,
                "reserved_bytes": 4096,
            }
        ],
    }


def test_deploying_again_changes_nothing_and_another_board_replaces_the_entry() -> None:
    model = deployed_model(place(spilled()), board(), SOURCE)
    again = place(read_bytes(model))
    assert deployed_model(again, board(), SOURCE) == model
    elsewhere = deployed_model(again, board(storage("sdram", "sdram", 2**16)), "0" * 64)
    assert entry_of(elsewhere)["source_sha256"] == "0" * 64


def test_the_entry_changes_nothing_for_tflm() -> None:
    pytest.importorskip("tflite_micro")
    from sim.deploy.runtimes import run_tflm

    graph = spilled()
    plain, deployed = to_bytes(graph), deployed_model(place(graph), board(), SOURCE)
    assert run_tflm(plain, ()) == run_tflm(deployed, ())


def test_nothing_is_written_when_a_storage_is_full(tmp_path: Path) -> None:
    with pytest.raises(CannotFitError):
        write_package(
            tmp_path / "out", place(spilled()), board(storage("sdram", "sdram", 16)), SOURCE, "x"
        )
    assert not (tmp_path / "out").exists()


def test_a_place_that_can_t_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SpillwayError, match="can't be written"):
        write_package(tmp_path / "file", place(chain()), board(), SOURCE, "x")
