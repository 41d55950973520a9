"""Fits: what is known comes back, what is not keeps the prior's ratio, and the YAML loads."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.calibration.fit import fit
from sim.calibration.measurements import WHOLE, Measurement
from sim.calibration.predict import Point, points
from sim.calibration.profile_yaml import profile_yaml
from sim.device.board import CostProfile
from sim.device.library import read_file
from sim.device.loader import load_board, load_profile, read_profile

pytest.importorskip("scipy")
MODELS = ("vww", "ic", "kws", "ad")
BOARD = "nucleo_l4r5zi"


def _row(model: str, latency_ms: float = 1.0, unit: str = WHOLE) -> Measurement:
    return Measurement(
        BOARD, "mine", model, unit, 120, latency_ms, 0, 0, "", "fit", "a stack", "here", ""
    )


def _measured(profile: CostProfile, models: tuple[str, ...] = MODELS) -> tuple[Point, ...]:
    """Points whose latency is what the profile says."""
    made = points(tuple(_row(model) for model in models), lambda _: profile)
    return tuple(
        replace(p, measurement=replace(p.measurement, latency_ms=p.latency_ms)) for p in made
    )


@given(scale=st.floats(0.3, 30))
@settings(max_examples=20, deadline=None)
def test_a_scaled_prior_comes_back(scale: float) -> None:
    generic = load_profile("generic")
    tables = {
        field: {k: v * scale for k, v in getattr(generic, field).items()}
        for field in ("cycles_per_mac", "cycles_per_output", "cycles_per_input",
                      "cycles_per_byte", "cycles_per_call")
    }  # fmt: skip
    true = replace(generic, dispatch_cycles=round(generic.dispatch_cycles * scale), **tables)
    found = fit(_measured(true), generic, "again")
    assert max(map(abs, found.errors)) < 0.002
    for kind, cycles in true.cycles_per_mac.items():
        assert found.profile.cycles_per_mac[kind] == pytest.approx(cycles, rel=0.01)


def test_what_is_not_seen_keeps_its_ratio() -> None:
    generic = load_profile("generic")
    found = fit(_measured(generic, ("ad",)), generic, "dense only")
    macs = found.profile.cycles_per_mac
    assert ("cycles_per_mac", "fully_connected") in found.fitted
    assert ("cycles_per_mac", "conv") not in found.fitted
    assert macs["depthwise"] / macs["conv"] == pytest.approx(3, rel=1e-3)


def test_waits_for_weights_are_the_boards() -> None:
    generic = load_profile("generic")
    (point,) = _measured(generic, ("ad",))
    assert point.stall_cycles == pytest.approx(0.5 * (264_192 + 4 * 1_672))
    in_ram = points((replace(point.measurement, weights_in="ram"),), lambda _: generic)[0]
    assert in_ram.stall_cycles == 0
    assert point.cycles - in_ram.cycles == pytest.approx(point.stall_cycles, abs=10)


def test_no_measurement_is_an_error() -> None:
    from sim.errors import SpillwayError

    with pytest.raises(SpillwayError, match="no measurement"):
        fit((), load_profile("generic"), "empty")
    (point,) = _measured(load_profile("generic"), ("ad",))
    quick = replace(point, measurement=replace(point.measurement, latency_ms=1e-6))
    with pytest.raises(SpillwayError, match="waits for weights"):
        fit((quick,), load_profile("generic"), "quick")


def test_the_yaml_says_the_same(tmp_path: Path) -> None:
    generic = load_profile("generic")
    found = fit(_measured(generic), generic, "mine")
    path = tmp_path / "mine.yaml"
    path.write_text(profile_yaml(found, generic, "A title: with a colon"), encoding="utf-8")
    again = read_profile(read_file(path))
    assert again.title == "A title: with a colon"
    assert again.calibrated
    assert again.error_percent == found.profile.error_percent
    for field in ("cycles_per_mac", "cycles_per_output", "cycles_per_call", "dispatch_cycles"):
        assert getattr(again, field) == getattr(found.profile, field)
    board = load_board(BOARD)
    assert replace(board, core=replace(board.core, profile=again)).core.profile.sources


def test_what_ships_is_what_the_measurements_give() -> None:
    """devices/cores holds what `sim calibrate` would write now."""
    from sim.calibration.shipped import calibrated, recipes

    asked = recipes()
    assert len(asked) >= 40
    for found, _ in calibrated(asked):
        installed = load_profile(found.profile.name)
        assert installed.cycles_per_mac == pytest.approx(found.profile.cycles_per_mac, rel=0.01)
        assert installed.calibrated == found.profile.calibrated
        assert (installed.error_percent or 0) == pytest.approx(
            found.profile.error_percent or 0, abs=0.2
        )


def test_a_prior_without_costs_is_an_error() -> None:
    from sim.errors import SpillwayError

    generic = load_profile("generic")
    empty = replace(
        generic, dispatch_cycles=0, cycles_per_mac={}, cycles_per_output={}, name="empty"
    )
    with pytest.raises(SpillwayError, match="cost nothing in empty"):
        fit(_measured(generic, ("ad",)), empty, "mine")
