"""The example of docs/write_a_board.md loads as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

from sim.device.loader import load_board
from sim.units import parse_time

PAGE = Path(__file__).parents[2] / "docs" / "write_a_board.md"


def test_example_of_write_a_board(tmp_path: Path) -> None:
    blocks = re.findall(r"```yaml\n# (\S+)\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert [name for name, _ in blocks] == ["boards/my_board.yaml", "storage/my_nor.yaml"]
    for name, text in blocks:
        path = tmp_path / name
        path.parent.mkdir()
        path.write_text(text)
    board = load_board(tmp_path / "boards" / "my_board.yaml")
    assert [storage.name for storage in board.storages] == ["flash", "qspi", "sd"]
    assert board.storage("qspi").erase_ps(65_537) == 2 * parse_time("150 ms")
    assert board.storage("sd").sources["write_rate"].startswith("measured: 1 MiB writes")
    assert board.core.profile.name == "cortex_m7_cmsisnn"
    assert board.largest_usable_bytes == (512 - 70) * 1024
