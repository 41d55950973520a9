"""The examples in the documentation are real: they run as they stand."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from sim.cli import main
from sim.device.loader import load_board
from sim.policy import Goal, parse_choice, policy_class
from sim.program import pack_graph, place
from tests.graphs import unet

DOCS = Path(__file__).parents[1] / "docs"


def test_the_policy_of_the_guide_works(monkeypatch: pytest.MonkeyPatch) -> None:
    text = (DOCS / "write_a_policy.md").read_text()
    code = re.search(r"```python[^\n]*\n(.*?)```", text, re.DOTALL)
    assert code is not None
    module = ModuleType("guide_policies")
    monkeypatch.setitem(sys.modules, "guide_policies", module)
    exec(compile(code.group(1), "write_a_policy.md", "exec"), module.__dict__)
    choice = parse_choice("guide_policies:SpillLargest(storage=qspi)")
    graph, board = unet(40, 64), load_board("arduino_portenta_h7")
    goal = Goal(board.largest_usable_bytes)
    program, _ = pack_graph(choice.apply(graph, board, goal))
    assert program.plan.size_bytes < place(graph).plan.size_bytes
    assert policy_class("guide_policies:SpillLargest").name == "spill_largest"


def test_the_policy_of_the_guide_is_short() -> None:
    text = (DOCS / "write_a_policy.md").read_text()
    code = re.search(r"@dataclass.*?```", text, re.DOTALL)
    assert code is not None
    assert len([line for line in code.group(0).splitlines() if line.strip()]) <= 22


def test_the_scenario_of_the_guide_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (DOCS / "write_a_scenario.md").read_text()
    first, second = re.findall(r"```yaml[^\n]*\n(.*?)```", text, re.DOTALL)
    (tmp_path / "models").symlink_to(DOCS.parent / "scenarios" / "models")
    (tmp_path / "s.yaml").write_text(first + second)
    monkeypatch.chdir(tmp_path)
    assert main(["run", "s.yaml", "--frames", "20", "--seeds", "2"]) == 0
    shown = capsys.readouterr().out
    assert "Over time: a frame each 500 ms, periodic, due after 400 ms" in shown
    assert "beside it detect" in shown and "Over 2 seeds" in shown
    assert all(len(line) <= 80 for line in shown.splitlines())
