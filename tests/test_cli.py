"""The commands as a user calls them: documents, exit codes, errors, files."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sim.cli import main
from sim.graph.tflite_reader import read
from sim.graph.tflite_writer import write
from tests.graphs import unet

ROOT = Path(__file__).parents[1]
BOARD = "arduino_portenta_h7"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "unet.tflite"
    write(unet(40, 64), path)
    return path


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For what asks all policies, some of which search long."""
    path = tmp_path_factory.mktemp("models") / "small.tflite"
    write(unet(16, 24, (4, 8)), path)
    return path


def call(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, Any, str]:
    """Exit code, the JSON document on stdout (None if there is none), stderr."""
    code = main([str(a) for a in arguments])
    out, err = capsys.readouterr()
    return code, json.loads(out) if out.strip() else None, err


def test_compare_prints_one_document(capsys: pytest.CaptureFixture[str], model: Path) -> None:
    code, found, err = call(
        capsys, "compare", model, "--board", BOARD, "--json", "--policy", "baseline", "spill"
    )
    assert (code, err) == (0, "")
    assert {"schema_version", "tool_version", "scenario", "model", "board"} <= set(found)
    assert [r["policy"] for r in found["results"]] == ["baseline", "spill"]
    assert found["winner"] in ("baseline", "spill")
    assert sum(r["winner"] for r in found["results"]) == 1
    result = found["results"][0]
    arena = result["arena_bytes"]
    parts = arena["activations"] + arena["persistent"] + arena["temporary"]
    assert arena["required"] == parts
    assert set(result["latency_us"]) == {
        "mean", "mean_error", "p50", "p90", "p99", "p99_interval", "max",
    }  # fmt: skip
    assert result["stall_us"] == {"total": 0}
    assert result["moved_bytes"] == {}
    assert found["model"]["ops"] == len(read(model).ops)


def test_all_registered_policies_when_none_is_named(
    capsys: pytest.CaptureFixture[str], model: Path
) -> None:
    _, listed, _ = call(capsys, "policies", "--json")
    _, found, _ = call(capsys, "compare", model, "--board", BOARD, "--json")
    asked = [r["policy"] for r in found["results"]]
    assert sorted(asked) == sorted(p["name"] for p in listed["policies"])
    assert asked[0] == "baseline"


@pytest.mark.usefixtures("little_work")
def test_a_budget_that_no_policy_meets_gives_exit_1(
    capsys: pytest.CaptureFixture[str], small: Path
) -> None:
    arguments = ["compare", small, "--board", BOARD, "--sram", "2KiB", "--json"]
    code, found, _ = call(capsys, *arguments)
    assert code == 1
    assert not any(r["fits"] for r in found["results"])
    assert found["board"]["sram_bytes"] == 2 * 1024


def test_spill_when_it_is_needed(capsys: pytest.CaptureFixture[str], model: Path) -> None:
    _, free, _ = call(capsys, "compare", model, "--board", BOARD, "--json", "--policy", "plan")
    needed = free["results"][0]["arena_bytes"]["required"]
    code, found, _ = call(
        capsys, "compare", model, "--board", BOARD, "--json", "--sram", f"{needed - 16}B",
        "--policy", "plan", "spill",
    )  # fmt: skip
    assert code == 0
    assert found["winner"] == "spill"
    moved = found["results"][1]["moved_bytes"]
    assert all(m["read"] == m["written"] > 0 for m in moved.values())


def test_deploy_writes_every_file_or_says_why(
    capsys: pytest.CaptureFixture[str], model: Path, tmp_path: Path
) -> None:
    pytest.importorskip("tflite_micro")
    pytest.importorskip("ai_edge_litert")
    code, found, _ = call(
        capsys, "deploy", model, "--board", BOARD, "--policy", "spill", "-o", tmp_path,
        "--minimize", "activations", "--json",
    )  # fmt: skip
    assert code == 0
    names = {"model.tflite", "model_config.h", "model_ops.h", "result.json", "verify.json"}
    assert {p.name for p in tmp_path.iterdir()} >= names
    verified = found["deploy"]["verified"]
    activations = found["results"][0]["arena_bytes"]["activations"]
    assert verified == {"litert": True, "tflm": True, "tflm_head_bytes": activations}
    assert json.loads((tmp_path / "result.json").read_text()) == found
    code, proof, _ = call(capsys, "verify", model, tmp_path / "model.tflite", "--json")
    assert code == 0
    assert proof["equal"] is True
    assert proof["tflm_head_bytes"] == proof["planned_bytes"] == activations
    code, again, _ = call(capsys, "inspect", tmp_path / "model.tflite", "--json")
    assert again["tflm_greedy_bytes"] == activations


def test_an_optimized_model_read_back_gives_the_same_result(
    capsys: pytest.CaptureFixture[str], model: Path, tmp_path: Path
) -> None:
    arguments = ["--board", BOARD, "--sram", "1MiB", "--minimize", "activations", "--json"]
    _, first, _ = call(capsys, "deploy", model, "-o", tmp_path, "--policy", "spill", *arguments)
    _, again, _ = call(
        capsys, "compare", tmp_path / "model.tflite", "--policy", "baseline", *arguments
    )
    for key in ("arena_bytes", "latency_us", "stall_us", "moved_bytes", "macs", "ops"):
        assert again["results"][0][key] == first["results"][0][key]


def test_the_same_seed_gives_the_same_bytes(
    capsys: pytest.CaptureFixture[str], model: Path, tmp_path: Path
) -> None:
    files = []
    for _ in range(2):
        call(capsys, "deploy", model, "--board", BOARD, "--policy", "spill(storage=sd)",
             "--minimize", "activations", "--seed", 3, "--json", "-o", tmp_path)  # fmt: skip
        files.append({p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()})
    assert files[0] == files[1]


def test_inspect_tells_the_peak(capsys: pytest.CaptureFixture[str], model: Path) -> None:
    code, found, _ = call(capsys, "inspect", model, "--board", BOARD, "--json")
    assert code == 0
    peak = found["peak"]
    assert peak["activations_bytes"] == sum(a["bytes"] for a in peak["alive"])
    assert found["lower_bound_bytes"] == peak["activations_bytes"]
    assert found["lower_bound_bytes"] <= found["packed_bytes"] <= found["tflm_greedy_bytes"]


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["inspect", "missing.tflite"], "missing.tflite: can't be read: No such file"),
        (["inspect", ROOT / "pyproject.toml"], "not a TFLite model"),
        (["compare", "MODEL", "--board", "nowhere"], "nowhere"),
        (
            ["compare", "MODEL", "--board", BOARD, "--sram", "0B"],
            "--sram: found '0B', wanted a size",
        ),
        (["compare", "MODEL", "--board", BOARD, "--sram", "64K"], "--sram: found '64K'"),
        (["compare", "MODEL", "--board", BOARD, "--policy", "nosuch"], "found 'nosuch', wanted"),
        (["compare", "MODEL", "--board", BOARD, "--policy", "spill(storag=sd)"], "'storag'"),
        (["run", "nosuch.yaml"], "nosuch.yaml"),
        (["policies", "nosuch"], "nosuch"),
        (["boards", "nosuch"], "nosuch"),
    ],
)
def test_wrong_use_is_one_sentence_and_exit_2(
    capsys: pytest.CaptureFixture[str], model: Path, arguments: list[object], wanted: str
) -> None:
    code = main([str(model if a == "MODEL" else a) for a in arguments])
    out, err = capsys.readouterr()
    assert code == 2
    assert out == ""
    assert wanted in err
    assert "Traceback" not in err


def test_a_storage_that_the_board_lacks_stands_in_the_row(
    capsys: pytest.CaptureFixture[str], model: Path
) -> None:
    code, found, _ = call(
        capsys, "compare", model, "--board", BOARD, "--json",
        "--policy", "baseline", "spill(storage=psram)",
    )  # fmt: skip
    assert code == 0
    assert "psram" in found["results"][1]["error"]
    assert found["results"][1]["arena_bytes"] is None


def test_tables_are_good_at_80_columns(small: Path) -> None:
    for arguments in (
        ["compare", small, "--board", BOARD, "--sram", "16KiB"],
        ["inspect", small, "--board", BOARD],
        ["boards"],
        ["boards", BOARD],
        ["policies"],
        ["policies", "spill"],
    ):
        command = [sys.executable, "-m", "sim.cli", *map(str, arguments)]
        shown = subprocess.run(command, capture_output=True, text=True, check=False)
        assert shown.stderr == ""
        assert shown.stdout
        assert max(len(line) for line in shown.stdout.splitlines()) <= 80
        assert "\x1b" not in shown.stdout


def test_help_imports_little() -> None:
    code = (
        "import sys; from sim.cli import parser; parser().format_help();"
        "print([m for m in ('numpy', 'simpy', 'rich', 'yaml', 'tflite') if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def test_brackets_are_printed_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    """Rich would take some of them for markup: names in a list, a stage's numbers."""
    assert main(["policies", "stream"]) == 0
    assert "A stage is [start, stop, rows, chunk, roll, columns]" in capsys.readouterr().out
