"""The package: four files, all or none, the same each time, and a model that is still itself."""

from __future__ import annotations

import hashlib
import json

import pytest

from sim import __version__
from sim.deploy.package import deployed_model, package
from sim.deploy.verify import Verification
from sim.errors import CannotFitError
from sim.graph.tflite_reader import read_bytes
from sim.graph.tflite_writer import to_bytes
from sim.program import place
from tests.deploy.material import board, spilled, storage

SOURCE = hashlib.sha256(b"the source").hexdigest()
FOUND = Verification(True, 0, True, True, 64, 64)


def entry_of(model: bytes) -> dict[str, object]:
    graph = read_bytes(model)
    entries = [data for name, data in graph.metadata if name == "spillway"]
    assert len(entries) == 1
    content = json.loads(entries[0])
    assert isinstance(content, dict)
    return content


def test_the_files_of_a_package() -> None:
    found = package(place(spilled()), board(), SOURCE, "x.tflite", FOUND)
    assert list(found) == ["model.tflite", "model_config.h", "model_ops.h", "verify.json"]
    assert json.loads(found["verify.json"]) == FOUND.to_json()


def test_the_header_holds_the_hash_of_the_model_beside_it() -> None:
    found = package(place(spilled()), board(), SOURCE, "x.tflite", FOUND)
    digest = hashlib.sha256(found["model.tflite"]).hexdigest()
    config = found["model_config.h"].decode()
    assert f'#define SPILLWAY_MODEL_SHA256 "{digest}"\n' in config
    assert f'#define SPILLWAY_SOURCE_SHA256 "{SOURCE}"\n' in config


def test_what_is_packed_is_what_was_there_to_verify() -> None:
    program = place(spilled())
    found = package(program, board(), SOURCE, "x.tflite")
    assert found["model.tflite"] == deployed_model(program, board(), SOURCE)


def test_what_was_not_verified_says_so() -> None:
    proof = json.loads(package(place(spilled()), board(), SOURCE, "x.tflite")["verify.json"])
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


def test_a_storage_that_is_full_is_an_error() -> None:
    with pytest.raises(CannotFitError):
        package(place(spilled()), board(storage("sdram", "sdram", 16)), SOURCE, "x")
