"""How long a battery and a storage last, against closed forms."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sim.device.loader import load_board
from sim.errors import ConfigError
from sim.report import Moved, Report
from sim.scenario import load_scenario
from sim.statistics import Distribution
from sim.units import PS_PER_S
from sim.usage import Usage

BOARD = load_board("arduino_portenta_h7")
MS = PS_PER_S // 1000


def _report(latency_ps: int, energy_pj: int = 0, moved: dict[str, Moved] | None = None) -> Report:
    times = Distribution(latency_ps, latency_ps, latency_ps, latency_ps)
    return Report(1, latency_ps, times, times, {}, moved or {}, {}, energy_pj, latency_ps)


def test_a_battery_without_sleep() -> None:
    """1,000 mAh at 3.3 V are 11,880 J; at 1 W they last 11,880 s."""
    usage = Usage(battery_uah=1_000_000)
    days = usage.battery_days(_report(100 * MS, 100 * 10**9), BOARD)
    assert days == pytest.approx(11_880 / 86_400)


def test_a_battery_with_sleep() -> None:
    """Every second 0.1 J of work and 0.9 s at 10 mW."""
    board = replace(BOARD, core=replace(BOARD.core, sleep_uw=10_000))
    usage = Usage(period_ps=PS_PER_S, battery_uah=1_000_000)
    report = _report(100 * MS, 100 * 10**9)
    assert usage.frame_pj(report, board) == 100 * 10**9 + 9 * 10**9
    assert usage.battery_days(report, board) == pytest.approx(11_880 / 0.109 / 86_400)
    assert Usage().battery_days(report, board) is None


def test_without_a_sleep_power_waiting_stands_in() -> None:
    usage = Usage(period_ps=2 * PS_PER_S)
    asleep_pj = usage.frame_pj(_report(PS_PER_S), BOARD)
    assert asleep_pj == BOARD.core.waiting_uw * PS_PER_S // 10**6


def test_wear_at_a_frames_pace() -> None:
    """A flash slot is erased once a frame; a card takes endurance times its size."""
    report = _report(10 * MS, moved={"qspi": Moved(0, 1000), "sd": Moved(0, 1_000_000)})
    worn = Usage(period_ps=PS_PER_S).wear_days(report, BOARD)
    qspi, card = BOARD.storage("qspi"), BOARD.storage("sd")
    assert qspi.endurance_cycles and card.endurance_cycles
    assert worn["qspi"] == pytest.approx(qspi.endurance_cycles / 86_400)
    assert worn["sd"] == pytest.approx(card.size_bytes * card.endurance_cycles / 1e6 / 86_400)


def test_an_inference_that_takes_longer_than_its_period() -> None:
    assert Usage(period_ps=MS).frame_ps(_report(5 * MS)) == 5 * MS


SCENARIO = "model: m.tflite\nboard: nucleo_l4r5zi\npolicies: [plan]\n"


def test_a_scenario_with_a_pace(tmp_path: Path) -> None:
    path = tmp_path / "paced.yaml"
    path.write_text(SCENARIO + "period: 200 ms\nbattery: 1.2 Ah\nprofile: cortex_m4_hale\n")
    found = load_scenario(path)
    assert found.usage == Usage(200 * MS, 1_200_000)
    assert found.profile == "cortex_m4_hale"


@pytest.mark.parametrize(
    ("line", "message"),
    [("period: 5", "a time"), ("battery: 3 V", "a charge"), ("period: 0 ms", "above 0")],
)
def test_a_wrong_pace(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "paced.yaml"
    path.write_text(SCENARIO + line + "\n")
    with pytest.raises(ConfigError, match=message):
        load_scenario(path)
