"""Scenarios: what the built-in one says, and one bad file for each error message."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sim.errors import ConfigError
from sim.scenario import find_scenario, load_scenario

GOOD = """\
name: test
model: models/net.tflite
board: arduino_portenta_h7
goal: {sram: 256 KiB, minimize: arena}
frames: 3
seed: 7
kernels: cmsis_nn
policies:
  - baseline
  - spill: {storage: sd, window: 2, tensors: [a, b]}
  - "plan+spill(storage=qspi)"
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "test.yaml"
    path.write_text(text)
    return path


def test_a_scenario_says_what_stands_in_it(tmp_path: Path) -> None:
    found = load_scenario(written(tmp_path, GOOD))
    assert (found.name, found.board, found.frames, found.seed) == (
        "test", "arduino_portenta_h7", 3, 7,
    )  # fmt: skip
    assert (found.sram_bytes, found.minimize, found.kernels) == (262_144, "arena", "cmsis_nn")
    assert found.model == tmp_path / "models/net.tflite"
    assert [c.name for c in found.choices] == ["baseline", "spill", "plan+spill"]
    assert found.choices[1].params["tensors"] == ("a", "b")
    assert found.choices[2].params["spill.storage"] == "qspi"


@pytest.mark.parametrize(
    ("line", "replacement", "wanted"),
    [
        ("frames: 3", "frames: 0", "test.yaml:5: frames: found 0, wanted a whole number, 1"),
        ("frames: 3", "frames: many", "test.yaml:5: frames: found 'many'"),
        ("seed: 7", "sede: 7", "test.yaml:6: sede: found 'sede', wanted one of"),
        ("256 KiB", "256K", "test.yaml:4: goal.sram: found '256K', wanted a size"),
        ("256 KiB", "262144", "test.yaml:4: goal.sram: found 262144, wanted a size"),
        ("minimize: arena", "minimize: area", "did you mean arena?"),
        ("kernels: cmsis_nn", "kernels: cmsis", "test.yaml:7: kernels: found 'cmsis'"),
        ("  - baseline", "  - basline", "test.yaml:9: policies: found 'basline'"),
        ("window: 2", "windows: 2", "parameter: found 'windows', wanted storage"),
        ("  - baseline", "  - 3", "test.yaml:9: policies: found 3"),
        ("board: arduino_portenta_h7", "", "board: found 'nothing', wanted a text"),
        ("name: test", "name: [1]", "test.yaml:1: name: found [1], wanted a text"),
        (GOOD, "", "wanted a YAML mapping"),
        (GOOD, "{", "wanted valid YAML"),
    ],
)
def test_each_error_names_file_line_and_field(
    tmp_path: Path, line: str, replacement: str, wanted: str
) -> None:
    assert line in GOOD
    with pytest.raises(ConfigError) as error:
        load_scenario(written(tmp_path, GOOD.replace(line, replacement)))
    assert wanted in str(error.value)


def test_the_built_in_scenario_is_found_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("drone_seg", "scenarios/drone_seg.yaml"):
        found = load_scenario(find_scenario(name))
        assert found.name == "drone_seg"
        assert found.model.is_file()


def test_a_wheel_holds_boards_scenarios_and_policies(tmp_path: Path) -> None:
    """Installed into an empty folder, away from the checkout."""
    root = Path(__file__).parents[1]
    build = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target"]
    subprocess.run([*build, str(tmp_path / "site"), str(root)], check=True, capture_output=True)
    code = (
        "import sim; from sim.device.loader import board_names, load_board;"
        "from sim.scenario import load_scenario; from sim.policy import policy_class;"
        "assert 'site' in sim.__file__; s = load_scenario('drone_seg');"
        "assert 'site' in s.file and s.model.is_file();"
        "load_board(s.board); policy_class('spill'); print(len(board_names()))"
    )
    shown = subprocess.run(
        [sys.executable, "-P", "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert shown.returncode == 0, shown.stderr
    assert int(shown.stdout) >= 4
