"""The measurements that ship: the simulation keeps its bounds, and bad files are told."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from sim.calibration.measurements import FIT, HELD_OUT, USES, read_measurements, shipped
from sim.calibration.structures import structure
from sim.calibration.validate import Validation, errors, validate
from sim.cli import main
from sim.errors import ConfigError
from sim.graph.macs import macs

HEAD = "board,profile,model,unit,clock_mhz,latency_ms"
ROW = "nucleo_l4r5zi,cortex_m4_cmsisnn,kws,whole,120,100"


@pytest.fixture(scope="module")
def found() -> Validation:
    return validate(shipped())


def test_held_out_latency(found: Validation) -> None:
    held = errors(found.latencies(HELD_OUT))
    assert held.count >= 60
    assert held.boards >= 8
    assert held.median <= 0.08
    assert held.ninth <= 0.20


def test_held_out_boards(found: Validation) -> None:
    """Boards of which no fit saw anything, by a profile that was fitted on another one."""
    unseen = found.other_boards()
    assert {p.measurement.board for p in unseen} >= {
        "stm32f746g_disco", "stm32h747i_disco", "nucleo_f446re", "cy8cproto_062",
    }  # fmt: skip
    assert errors(unseen).median <= 0.15


def test_dead_channels(found: Validation) -> None:
    """What engines that skip them are fitted to, VWW beside the three others."""
    alive = [p for p in found.points if p.measurement.model == "vww_alive"]
    assert len(alive) >= 14
    assert errors(alive).median <= 0.02


def test_held_out_energy(found: Validation) -> None:
    assert found.summary()["energy, held out"].median <= 0.15


@pytest.mark.parametrize("board", ["raspberry_pi_pico", "apollo510_evb", "arduino_nano_33_ble"])
def test_layers(found: Validation, board: str) -> None:
    layers = [p for p in found.layers(FIT) if p.measurement.board == board]
    assert len(layers) >= 13
    assert errors(layers).median <= 0.20


def test_weights_in_flash_and_in_ram(found: Validation) -> None:
    """The measured difference of the two builds, and the simulated one."""
    by = {}
    for p in found.points:
        if "hale175" in p.measurement.profile and p.measurement.model == "ad":
            by[p.measurement.board, p.measurement.weights_in] = p
    boards = {board for board, where in by if where == "ram"}
    assert len(boards) == 5
    for board in boards:
        flash, ram = by[board, ""], by[board, "ram"]
        measured = flash.measurement.latency_ms - ram.measurement.latency_ms
        assert flash.latency_ms - ram.latency_ms == pytest.approx(measured, rel=0.15)


def test_weights_read_in_place(found: Validation) -> None:
    there = [
        p
        for p in found.points
        if p.measurement.board == "raspberry_pi_pico_2" and p.measurement.use == HELD_OUT
    ]
    assert {p.measurement.model for p in there} == {"ad", "kws"}
    assert all(abs(p.error) <= 0.15 for p in there)
    large = [  # weights of 32 and 64 KB, beyond the RP2040's cache of 16 KB
        p
        for p in found.layers(FIT)
        if p.measurement.board == "raspberry_pi_pico" and p.measurement.unit in ("op 24", "op 26")
    ]
    assert len(large) == 2
    assert all(abs(p.error) <= 0.15 for p in large)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("vww", 7_489_664), ("ic", 12_501_632), ("kws", 2_656_768), ("ad", 264_192),
        ("person_detect", 7_157_888), ("mobilenet_v1_100_224_1000", 568_740_352),
        ("mobilenet_v2_35_128_5", 18_947_072), ("mobilenet_v2_140_224_1000", 582_195_824),
    ],
)  # fmt: skip
def test_structures_have_the_published_macs(name: str, wanted: int) -> None:
    graph = structure(name)
    graph.verify()
    assert sum(macs(graph, op) for op in graph.ops) == wanted


def test_a_structure_that_is_not_there() -> None:
    with pytest.raises(ConfigError, match="mobilenet_v3_1_2_3"):
        structure("mobilenet_v3_1_2_3")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([HEAD.replace("clock_mhz", "clock")], "clock_mhz"),
        ([HEAD + ",colour", ROW + ",red"], "colour"),
        ([HEAD, ROW.replace("120", "fast")], "clock_mhz: found 'fast'"),
        ([HEAD, ROW.replace(",100", ",-1")], "latency_ms: found '-1'"),
        ([HEAD + ",use", ROW + ",maybe"], "use"),
        ([HEAD, ROW.replace("kws", "")], "model"),
        ([HEAD, ROW.replace("kws", "gpt")], "gpt"),
        ([HEAD, ROW.replace("whole", "op 99")], "op 99"),
        ([HEAD, ROW.replace("cortex_m4_cmsisnn", "cortex_m9")], "cortex_m9"),
        ([HEAD, ROW.replace("nucleo_l4r5zi", "nucleo")], "nucleo"),
    ],
)
def test_bad_measurements(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], lines: Sequence[str], message: str
) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert main(["validate", str(path)]) == 2
    assert message in capsys.readouterr().err


def test_a_missing_file() -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.csv"):
        read_measurements(Path("nowhere.csv"))


def test_every_row_has_a_source() -> None:
    for row in shipped():
        assert row.source
        assert row.use in USES
        assert row.use != "excluded" or row.note


def test_the_command(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["validate"]) == 0
    assert "held out" in capsys.readouterr().out
    assert main(["validate", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["summary"]["latency, held out"]["points"] >= 60
    pytest.importorskip("scipy")
    path = tmp_path / "mine.csv"
    path.write_text(f"{HEAD}\n{ROW}\n", encoding="utf-8")
    assert main(["calibrate", str(path), "-o", str(tmp_path)]) == 0
    assert (tmp_path / "cortex_m4_cmsisnn.yaml").exists()


def test_another_profile(capsys: pytest.CaptureFixture[str]) -> None:
    model = "scenarios/models/ds_cnn.tflite"
    asked = ["compare", model, "--board", "nucleo_l4r5zi", "--policy", "baseline", "--json"]
    times = []
    for profile in ("cortex_m4_cmsisnn", "cortex_m4_xcubeai_9"):
        assert main([*asked, "--profile", profile]) == 0
        times.append(json.loads(capsys.readouterr().out)["results"][0]["latency_us"]["mean"])
    assert times[1] < 0.6 * times[0]
    assert main([*asked, "--profile", "cortex_m4_xcubeai"]) == 2
    assert "did you mean cortex_m4_xcubeai_9" in capsys.readouterr().err
    assert main(["boards", "--profiles"]) == 0
    assert "X-CUBE-AI" in capsys.readouterr().out


def test_a_layer_that_was_held_out(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(f"{HEAD},use\n{ROW.replace('whole', 'op 3')},held_out\n", encoding="utf-8")
    summary = validate(read_measurements(path)).summary()
    assert summary["layers, held out"].count == 1
    assert summary["layers, fitted"].count == summary["latency, held out"].count == 0


def test_nothing_to_fit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(f"{HEAD}\n", encoding="utf-8")
    assert main(["calibrate", str(path)]) == 2
    assert "profile: found 'nothing'" in capsys.readouterr().err


def test_arenas_beside_tflm(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tflite_micro")
    folder = Path(__file__).parents[2] / "scenarios" / "models"
    names = [str(folder / f"{name}.tflite") for name in ("ds_cnn", "branchy")]
    assert main(["validate", "--arena", *names, "--json"]) == 0
    for found in json.loads(capsys.readouterr().out)["arenas"]:
        assert found["head"] == found["tflm_head"]
        assert found["tail"] == pytest.approx(found["tflm_tail"], rel=0.01)
    assert main(["validate", "--arena", str(folder / "unknown_op.tflite")]) != 0
    assert "unknown_op.tflite" in capsys.readouterr().err
