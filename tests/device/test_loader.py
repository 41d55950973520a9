"""Boards load by name and by path, from parts and inline, and each number has its source."""

from __future__ import annotations

import importlib.metadata
import math
import re
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from sim.device.board import Board, Busy
from sim.device.library import installed
from sim.device.loader import board_names, load_board
from sim.device.schema import BOARD, BUSY, CORE, MEMORY, PROFILE, STORAGE, Field
from sim.errors import ConfigError
from tests.device.good import GOOD

BOARDS = Path(__file__).parents[2] / "devices" / "boards"
BUILT_IN = ["arduino_nano_33_ble", "arduino_portenta_h7", "esp32_s3_devkitc", "stm32f746g_disco"]
DEVICES = Path(__file__).parents[2] / "devices"
PART_FILES = sorted(DEVICES.glob("*/*.yaml"))


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "toy.yaml"
    path.write_text(GOOD)
    return path


def test_built_in_boards_are_found() -> None:
    assert set(BUILT_IN) <= set(board_names())


@pytest.mark.parametrize("name", BUILT_IN)
def test_built_in_board(name: str) -> None:
    board = load_board(name)
    assert board.name == name
    assert {"flash", "sd", "uart", "usb"} <= {s.name for s in board.storages}
    assert board.largest_usable_bytes >= 128 * 1024
    for storage in board.storages:
        assert 0 < storage.read_ps(4096) < storage.read_ps(65_536)
        assert 0 < storage.write_ps(4096) < storage.write_ps(1_048_576)


def test_built_in_boards_have_what_they_should() -> None:
    names = {name: {s.name for s in load_board(name).storages} for name in BUILT_IN}
    assert {"sdram", "qspi", "wifi", "sd_spi"} <= names["arduino_portenta_h7"]
    assert load_board("arduino_portenta_h7").storage("sd").kind == "sd_sdio"
    assert {"sdram", "qspi"} <= names["stm32f746g_disco"]
    assert "ble" in names["arduino_nano_33_ble"]
    assert {"psram", "wifi"} <= names["esp32_s3_devkitc"]


def _numbers(part: object, table: tuple[Field, ...]) -> set[str]:
    """The YAML paths of all numbers that a part holds, from its values."""
    found = set()
    for field in table:
        value = getattr(part, field.attribute)
        if isinstance(value, dict):
            found |= {f"{field.name}.{group}" for group in value}
        elif isinstance(value, int | float) and not isinstance(value, bool) and value:
            found.add(field.name)
    return found


def _unsourced(board: Board) -> set[str]:
    parts: list[tuple[object, tuple[Field, ...], set[str]]] = [
        (board, BOARD, set(board.sources)),
        (board.core, CORE, set(board.core.sources)),
        (board.core.profile, PROFILE, set(board.core.profile.sources)),
        *((memory, MEMORY, set(memory.sources)) for memory in board.memories),
        *((storage, STORAGE, set(storage.sources)) for storage in board.storages),
    ]
    missing = {name for part, table, known in parts for name in _numbers(part, table) - known}
    for storage in board.storages:
        if storage.busy is not None:
            wanted = {f"busy.{name}" for name in _numbers(storage.busy, BUSY)}
            missing |= wanted - set(storage.sources)
    return missing - {"granule"}


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_number_of_a_built_in_board_has_a_source(name: str) -> None:
    board = load_board(name)
    assert _unsourced(board) == set()
    for path, source in board.all_sources().items():
        assert len(source) > len("assumed: "), f"{path}: a source that says nothing"
        assert not re.search(r"\w\.(md|csv)\b", source), f"{path}: a source in somebody's notes"


@pytest.mark.parametrize("file", PART_FILES, ids=lambda f: f.stem)
def test_every_quantity_in_the_files_has_a_source(file: Path) -> None:
    """A second oracle, which reads the raw YAML and knows nothing of the loader."""
    bare = []

    def walk(node: object, path: str, sourced: bool) -> None:
        if isinstance(node, dict):
            for key, child in node.items():
                walk(child, f"{path}.{key}", sourced or "source" in node)
        number = isinstance(node, int | float) and not isinstance(node, bool)
        quantity = isinstance(node, str) and node[:1].isdigit() and len(node.split()) == 2
        if (number or quantity) and not sourced:
            bare.append(path)

    walk(yaml.safe_load(file.read_text()), file.stem, False)
    assert bare == []


@pytest.mark.parametrize("folder", ["cores", "storage"])
def test_every_part_can_be_used(folder: str, tmp_path: Path) -> None:
    for name in installed().names(folder):
        document = yaml.safe_load(GOOD)
        if folder == "cores":
            document["core"]["profile"] = name
        else:
            document["storages"]["nor"] = {"use": name}
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump(document))
        board = load_board(path)
        assert name in (board.core.profile.name, path.stem)


def test_inline_board(good: Path) -> None:
    board = load_board(good)
    assert (board.name, board.core.clock_hz, board.supply_mv) == ("toy", 100_000_000, 3300)
    assert board.core.profile.cycles_per_byte == {"copy": 1.5, "rearrange": 9, "unknown": 25}
    assert board.memory("sram").usable_bytes == 48 * 1024
    nor = board.storage("nor")
    assert nor.busy == Busy(0.25, 10**9, 2 * 10**9, 9 * 10**9)
    assert nor.write_ps(4097) == 2 * 45 * 10**9 + 10_000_000 + 4097 * 50_000 + 17 * 400_000_000
    assert nor.endurance_cycles is None
    assert board.core.sources["clock"] == "page 1"
    assert board.all_sources()["storages.nor.busy.maximum"] == "page 5"
    assert _unsourced(board) == set()


def test_path_as_text(good: Path) -> None:
    assert load_board(str(good)) == load_board(good)


def test_part_with_overrides(good: Path) -> None:
    parts = good.parent / "storage"
    parts.mkdir()
    (parts / "chip.yaml").write_text(
        "source: datasheet\nkind: qspi_nor\nsize: 2 MiB\nread_setup: 1 us\nwrite_setup: 1 us\n"
        "read_rate: 10 MB/s\nwrite_rate: 10 MB/s\ndma: true\n"
    )
    head = GOOD[: GOOD.index("storages:")]
    tail = GOOD[GOOD.index("source: page 6") :].replace("weights_in: nor", "weights_in: b")
    override = "{use: chip, size: {value: 1 MiB, source: me}}"
    good.write_text(f"{head}storages:\n  a: chip\n  b: {override}\n{tail}")
    board = load_board(good)
    assert [s.size_bytes for s in board.storages] == [2**21, 2**20]
    assert board.storage("b").sources["size"] == "me"
    assert board.storage("b").sources["read_rate"] == "datasheet"


def test_own_parts_come_before_the_installed_ones(good: Path) -> None:
    boards, storage = good.parent / "boards", good.parent / "storage"
    boards.mkdir()
    storage.mkdir()
    part = (DEVICES / "storage" / "w25q128jv.yaml").read_text()
    (storage / "w25q128jv.yaml").write_text(
        part.replace("size: {value: 16 MiB", "size: {value: 4 MiB")
    )
    board = boards / "toy.yaml"
    document = yaml.safe_load(GOOD)
    document["storages"] = {"nor": {"use": "w25q128jv"}, "other": {"use": "n25q128a"}}
    board.write_text(yaml.safe_dump(document))
    assert [s.size_bytes for s in load_board(board).storages] == [2**22, 2**24]


def _entry(value: str) -> importlib.metadata.EntryPoint:
    return importlib.metadata.EntryPoint("some", value, "sim.devices")


def _make_package(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / name / "boards").mkdir(parents=True)
    (folder / name / "__init__.py").write_text("")
    (folder / name / "boards" / "toy.yaml").write_text(GOOD)
    monkeypatch.syspath_prepend(str(folder))


def _install(monkeypatch: pytest.MonkeyPatch, *packages: str) -> None:
    points = [_entry(package) for package in packages]
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: points)


def test_boards_of_another_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _make_package(tmp_path, "outsider_devices", monkeypatch)
    shipped = board_names()
    _install(monkeypatch, "devices", "outsider_devices", "outsider_devices")
    assert board_names() == sorted([*shipped, "toy"])
    assert load_board("toy").title == "Toy board"


def test_two_packages_with_one_board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _make_package(tmp_path, "devices_one", monkeypatch)
    _make_package(tmp_path, "devices_two", monkeypatch)
    _install(monkeypatch, "devices_one", "devices_two")
    with pytest.raises(ConfigError, match=r"found 'toy', wanted a name that only one package has"):
        load_board("toy")


def test_without_entry_points(monkeypatch: pytest.MonkeyPatch) -> None:
    _install(monkeypatch)
    assert board_names() == sorted(p.stem for p in BOARDS.glob("*.yaml"))


def test_package_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    _install(monkeypatch, "no_such_package_here")
    with pytest.raises(ConfigError, match=r"sim.devices: found 'no_such_package_here'"):
        board_names()


def test_tables_match_the_dataclasses() -> None:
    board = load_board(BUILT_IN[0])
    parts: list[tuple[object, tuple[Field, ...]]] = [
        (board, BOARD),
        (board.core, CORE),
        (board.core.profile, PROFILE),
        (board.memories[0], MEMORY),
        (board.storages[0], STORAGE),
        (Busy(0.5, 1, 1, 1), BUSY),
    ]
    for part, table in parts:
        names = {f.name for f in fields(part)}  # type: ignore[arg-type]
        assert {f.attribute for f in table} <= names
        assert len({f.name for f in table}) == len(table)
        assert all(f.doc and f.kind.name for f in table)


@pytest.mark.parametrize("name", BUILT_IN)
def test_weights_lie_somewhere(name: str) -> None:
    board = load_board(name)
    assert board.storage(board.weights_in)
    assert math.isfinite(board.weight_stall_cycles_per_byte)
