"""The example of docs/write_a_board.md works as it stands there, calibration included."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sim.cli import main
from sim.device.loader import load_board
from sim.units import parse_time

PAGE = Path(__file__).parents[2] / "docs" / "write_a_board.md"


def _write_example(folder: Path) -> None:
    blocks = re.findall(r'```yaml title="(\S+)"\n(.*?)```', PAGE.read_text(), re.DOTALL)
    assert [name for name, _ in blocks] == ["boards/my_board.yaml", "storage/my_nor.yaml"]
    for name, text in blocks:
        path = folder / name
        path.parent.mkdir()
        path.write_text(text)


def test_example_of_write_a_board(tmp_path: Path) -> None:
    _write_example(tmp_path)
    board = load_board(tmp_path / "boards" / "my_board.yaml")
    assert [storage.name for storage in board.storages] == ["flash", "qspi", "sd"]
    assert board.storage("qspi").erase_ps(65_537) == 2 * parse_time("150 ms")
    assert board.storage("sd").sources["write_rate"].startswith("measured: 1 MiB writes")
    assert board.core.profile.name == "cortex_m7_cmsisnn"
    assert board.largest_usable_bytes == (512 - 70) * 1024


def test_calibration_of_write_a_board(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("scipy")
    _write_example(tmp_path)
    monkeypatch.chdir(tmp_path)
    found = re.search(r"```csv[^\n]*\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found is not None
    Path("measured.csv").write_text(found.group(1))
    assert main(["calibrate", "measured.csv", "-o", "cores"]) == 0
    board = Path("boards/my_board.yaml")
    board.write_text(board.read_text().replace("cortex_m7_cmsisnn ", "my_kernels "))
    assert load_board(board).core.profile.calibrated
    capsys.readouterr()
    assert main(["validate", "measured.csv", "--all"]) == 0
    assert "my_kernels" in capsys.readouterr().out
