"""Each error message: one bad file, and its line, field, found and wanted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from sim.device.loader import load_board
from sim.errors import ConfigError
from tests.device.good import GOOD

HERE = "# here"


@dataclass(frozen=True)
class Bad:
    """GOOD with `old` replaced by `new`; the error's line is the one that ends with `# here`."""

    what: str
    old: str
    new: str
    field: str
    found: object
    wanted: str


BAD = [
    Bad("unknown key", "vendor: us", f"vendro: us  {HERE}", "vendro", "vendro",
        "did you mean vendor?"),
    Bad("unknown key with nothing like it", "vendor: us", f"vendor: us\nxyzzy: 1  {HERE}",
        "xyzzy", "xyzzy", "one of: bus, core,"),
    Bad("unknown key of a part", "    dma: true\nstorages", f"    dmma: true  {HERE}\nstorages",
        "memories.sram.dmma", "dmma", "did you mean dma?"),
    Bad("unknown cost group", "conv_1x1: 3,", f"conv_1x2: 3,  {HERE}\n      ",
        "core.profile.cycles_per_mac.conv_1x2", "conv_1x2", "did you mean conv_1x1?"),
    Bad("unknown key beside a value", "{value: 100 MHz, source: page 1}",
        f"{{value: 100 MHz, sources: page 1}}  {HERE}", "core.clock.sources", "sources",
        "did you mean source?"),
    Bad("source without a value", "{value: 100 MHz, source: page 1}",
        f"{{source: page 1}}  {HERE}", "core.clock", "a mapping", "value: and source:"),
    Bad("wrong unit", "size: 64 KiB", f"size: 64 ms  {HERE}", "memories.sram.size", "64 ms",
        "a size with a unit (B, KiB"),
    Bad("bare K", "size: 64 KiB", f"size: 64K  {HERE}", "memories.sram.size", "64K", "KiB"),
    Bad("no unit", "size: 64 KiB", f"size: 65536  {HERE}", "memories.sram.size", 65536, "KiB"),
    Bad("negative size", "size: 64 KiB", f"size: -64 KiB  {HERE}", "memories.sram.size",
        "-64 KiB", "a size that is not negative"),
    Bad("size of nothing", "size: 64 KiB", f"size: 0 B  {HERE}", "memories.sram.size", "0 B",
        "a size above 0"),
    Bad("rate of nothing", "read_rate: 40 MB/s", f"read_rate: 0 MB/s  {HERE}",
        "storages.nor.read_rate", "0 MB/s", "a rate above 0"),
    Bad("time that is not whole", "read_setup: 5 us", f"read_setup: 0.5 ps  {HERE}",
        "storages.nor.read_setup", "0.5 ps", "a whole number of ps"),
    Bad("empty value", "size: 64 KiB", f"size:  {HERE}", "memories.sram.size", None, "KiB"),
    Bad("list for a size", "size: 64 KiB", f"size: [1, 2]  {HERE}", "memories.sram.size",
        [1, 2], "KiB"),
    Bad("text for a boolean", "    dma: true\nstorages", f"    dma: maybe  {HERE}\nstorages",
        "memories.sram.dma", "maybe", "true or false"),
    Bad("number for a text", "vendor: us", f"vendor: 7  {HERE}", "vendor", 7, "a text"),
    Bad("fraction for a count", "dma_channels: 8", f"dma_channels: 2.5  {HERE}", "dma_channels",
        2.5, "a whole number"),
    Bad("boolean for a count", "dma_channels: 8", f"dma_channels: yes  {HERE}", "dma_channels",
        True, "a whole number"),
    Bad("text for a number", "weight_stall: 0.5", f"weight_stall: half  {HERE}", "weight_stall",
        "half", "a number, 0 or above"),
    Bad("negative number", "weight_stall: 0.5", f"weight_stall: -0.5  {HERE}", "weight_stall",
        -0.5, "a number, 0 or above"),
    Bad("infinite number", "weight_stall: 0.5", f"weight_stall: .inf  {HERE}", "weight_stall",
        float("inf"), "a number, 0 or above"),
    Bad("probability above 1", "probability: 0.25", f"probability: 25  {HERE}",
        "storages.nor.busy.probability", 25, "a number from 0 to 1"),
    Bad("unknown kind", "kind: qspi_nor", f"kind: floppy  {HERE}", "storages.nor.kind", "floppy",
        "one of: ble, internal_flash"),
    Bad("unknown use of a memory", "[arena, slots]", f"[arena, stacks]  {HERE}",
        "memories.sram.holds", ["arena", "stacks"], "a list of: arena, slots, stack, weights"),
    Bad("mapping in a list", "[arena, slots]", f"[arena, {{slots: 1}}]  {HERE}",
        "memories.sram.holds", ["arena", {}], "a list of: arena"),
    Bad("number with no source", "    source: page 4\n    kind: qspi_nor\n    size: 1 MiB",
        f"    kind: qspi_nor\n    size: 1 MiB  {HERE}", "storages.nor.size", "1 MiB",
        "a source: beside the value, or one for the section"),
    Bad("number with an empty source", "{value: 100 MHz, source: page 1}",
        f'{{value: 100 MHz, source: " "}}  {HERE}', "core.clock.source", " ",
        "a text: datasheet and page"),
    Bad("missing field", "  nor:\n    source: page 4\n    kind: qspi_nor\n    size: 1 MiB\n",
        f"  nor:\n    source: page 4  {HERE}\n    kind: qspi_nor\n", "storages.nor.size",
        "nothing", "a size with a unit"),
    Bad("missing cost", "      typical: 2 ms\n", "", "storages.nor.busy.typical", "nothing",
        "a time with a unit"),
    Bad("missing section", "memories:\n  sram:\n    source: page 3\n    size: 64 KiB\n"
        "    reserved: 16 KiB\n    holds: [arena, slots]\n    dma: true\n", "", "memories",
        "nothing", "a section"),
    Bad("cost group that every model needs", "reduce: 11", "softmax: 1",
        "core.profile.cycles_per_input.reduce", "nothing", "a number for each of: pool, reduce"),
    Bad("section that is a text", "memories:\n  sram:\n    source: page 3\n    size: 64 KiB\n"
        "    reserved: 16 KiB\n    holds: [arena, slots]\n    dma: true\n",
        f"memories: none  {HERE}\n", "memories", "none", "a mapping of names to values"),
    Bad("unknown part", "  nor:\n    source: page 4\n",
        f"  nor:\n    use: w25q128  {HERE}\n    source: page 4\n", "storages.nor.use", "w25q128",
        "did you mean w25q128jv?"),
    Bad("part that is a number", "storages:\n", f"storages:\n  sd: 5  {HERE}\n",
        "storages.sd.use", 5, "a file in storage/"),
    Bad("weights nowhere", "weights_in: nor", f"weights_in: nro  {HERE}", "weights_in", "nro",
        "did you mean nor?"),
    Bad("no memory for the arena", "  sram:\n    source: page 3\n    size: 64 KiB\n"
        "    reserved: 16 KiB\n    holds: [arena, slots]\n", f"  sram:  {HERE}\n"
        "    source: page 3\n    size: 64 KiB\n    reserved: 16 KiB\n    holds: [slots]\n",
        "memories", "a mapping", "at least one that holds the arena"),
    Bad("more reserved than there is", "reserved: 16 KiB", f"reserved: 65 KiB  {HERE}",
        "memories.sram.reserved", "65 KiB", "no more than the size"),
    Bad("program time of no page", "    page: 256 B\n    page_program: 0.4 ms",
        f"    page_program: 0.4 ms  {HERE}", "storages.nor.page_program", "0.4 ms", "a page:"),
    Bad("erase time of no block", "    block: 4 KiB\n    block_erase: 45 ms",
        f"    block_erase: 45 ms  {HERE}", "storages.nor.block_erase", "45 ms", "a block:"),
    Bad("link with blocks", "kind: qspi_nor", "kind: wifi", "storages.nor.block", "4 KiB",
        "nothing: the host of a link erases no blocks"),
    Bad("busy times out of order", "typical: 2 ms", f"typical: 10 ms  {HERE}",
        "storages.nor.busy.typical", "10 ms", "a time between minimum and maximum"),
    Bad("calibrated, but how well?", "    calibrated: true\n    error_percent: 5",
        f"    calibrated: true  {HERE}", "core.profile.calibrated", True, "an error_percent"),
    Bad("key twice", "vendor: us", f"vendor: us\ntitle: Again  {HERE}", "title", "a second one",
        "each key once; the first is in line 1"),
    Bad("storage twice", "storages:\n", f"storages:\n  nor: sd_spi\n  nor: sd_spi  {HERE}\n",
        "nor", "a second one", "each key once"),
    Bad("key that is a number", "vendor: us", f"vendor: us\n7: seven  {HERE}", "key", 7, "a name"),
    Bad("no YAML", "vendor: us", "vendor: [us", "file", None, "valid YAML"),
    Bad("tag", "vendor: us", "vendor: !!python/name:os.system us", "file", None, "valid YAML"),
    Bad("alias of itself", "vendor: us", "vendor: &loop [*loop]", "file", None, "valid YAML"),
    Bad("control character", "vendor: us", "vendor: \x01", "file", None, "valid YAML"),
    Bad("date that is none", "dma_channels: 8", f"dma_channels: 2026-99-99  {HERE}",
        "dma_channels", "2026-99-99", "a whole number"),
]  # fmt: skip


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.what)
def test_bad_board(bad: Bad, tmp_path: Path) -> None:
    assert GOOD.count(bad.old) == 1, "the test's own replacement must be unique"
    text = GOOD.replace(bad.old, bad.new)
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_board(path)
    error = caught.value
    assert error.file == str(path)
    assert error.field == bad.field
    assert bad.wanted in error.wanted
    if bad.found is not None or bad.wanted == "KiB":
        assert error.found == bad.found
    if HERE in text:
        marked = [i for i, line in enumerate(text.splitlines(), 1) if line.endswith(HERE)]
        assert [error.line] == marked
        assert str(error).startswith(f"{path}:{error.line}: {bad.field}: found ")


@pytest.mark.parametrize(
    "name",
    ["title", "vendor", "mcu", "bus", "dma_channels", "weights_in", "weight_stall", "supply"],
)
def test_missing_field_of_the_board(name: str, tmp_path: Path) -> None:
    lines = [line for line in GOOD.splitlines() if not line.startswith(f"{name}:")]
    path = tmp_path / "bad.yaml"
    path.write_text("\n".join(lines))
    with pytest.raises(ConfigError) as caught:
        load_board(path)
    assert (caught.value.field, caught.value.found) == (name, "nothing")


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n"])
def test_empty_file(text: str, tmp_path: Path) -> None:
    path = tmp_path / "empty.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match="file: found") as caught:
        load_board(path)
    assert "mapping" in caught.value.wanted


def test_file_that_is_a_list(tmp_path: Path) -> None:
    path = tmp_path / "list.yaml"
    path.write_text("- a\n- b\n")
    with pytest.raises(ConfigError, match=r"list.yaml:1: file: found 'a list', wanted a mapping"):
        load_board(path)


def test_file_that_is_not_text(tmp_path: Path) -> None:
    path = tmp_path / "image.yaml"
    path.write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(ConfigError, match="file: found 'bytes', wanted text in UTF-8"):
        load_board(path)


def test_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="found 'No such file or directory', wanted a YAML file"):
        load_board(tmp_path / "none.yaml")


def test_unknown_name() -> None:
    with pytest.raises(ConfigError) as caught:
        load_board("portenta_h7")
    assert caught.value.found == "portenta_h7"
    assert "did you mean arduino_portenta_h7?" in caught.value.wanted
    assert "path to a .yaml" in caught.value.wanted


def test_error_in_a_part_names_the_part(tmp_path: Path) -> None:
    (tmp_path / "storage").mkdir()
    part = tmp_path / "storage" / "chip.yaml"
    part.write_text("kind: qspi_nor\n\nsize: 5 bananas\n")
    board = tmp_path / "board.yaml"
    board.write_text(GOOD.replace("storages:\n", "storages:\n  sd: chip\n"))
    with pytest.raises(ConfigError) as caught:
        load_board(board)
    assert (caught.value.file, caught.value.line) == (str(part), 3)
    assert caught.value.field == "storages.sd.size"


def test_part_that_lacks_a_field_is_reported_at_the_board(tmp_path: Path) -> None:
    (tmp_path / "storage").mkdir()
    (tmp_path / "storage" / "chip.yaml").write_text("kind: qspi_nor\n")
    board = tmp_path / "board.yaml"
    text = GOOD.replace("storages:\n", f"storages:\n  sd: chip  {HERE}\n")
    board.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_board(board)
    assert (caught.value.file, caught.value.field) == (str(board), "storages.sd.size")
    assert text.splitlines()[(caught.value.line or 0) - 1].endswith(HERE)
