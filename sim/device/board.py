"""Board, its core, memories and storages: the numbers that a simulation and a policy read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from math import ceil, sqrt
from typing import Any

from sim.device.behaviour import CALM, Behaviour
from sim.errors import PolicyError
from sim.units import bytes_to_ps

LINK_KINDS = frozenset({"uart", "usb", "wifi", "ble"})
STORAGE_KINDS = LINK_KINDS | {
    "internal_flash", "qspi_nor", "sd_spi", "sd_sdio", "sdram", "psram",
}  # fmt: skip
ALL_REQUESTS, WRITES = "all", "writes"
REQUESTS = frozenset({ALL_REQUESTS, WRITES})
LINEAR, SWITCHING = "linear", "switching"
REGULATORS = frozenset({LINEAR, SWITCHING})
MEMORY_USES = frozenset({"arena", "weights", "slots", "stack"})

Sources = Mapping[str, str]
"""Where a number comes from, by the name of its field in the YAML ("cycles_per_mac.conv").

A source that begins with "assumed" says that nothing better was found, and what it is taken from.
"""


@dataclass(frozen=True, slots=True)
class Busy:
    """A storage that is sometimes late: garbage collection of a card, a retry on a link.

    With `probability` a request waits, before it starts, a time drawn from the triangular
    distribution over [minimum_ps, maximum_ps] with its peak at typical_ps; reads and writes
    alike, or writes alone. Whether two requests wait is independent.
    """

    probability: float
    minimum_ps: int
    typical_ps: int
    maximum_ps: int
    requests: str = ALL_REQUESTS

    def meets(self, *, writing: bool) -> bool:
        """Whether such a request may find the storage busy."""
        return writing or self.requests == ALL_REQUESTS

    @property
    def mean_ps(self) -> int:
        """Expected wait of one request: probability * (minimum + typical + maximum) / 3."""
        total_ps = self.minimum_ps + self.typical_ps + self.maximum_ps
        return ceil(Fraction(str(self.probability)) * total_ps / 3)

    def quantile_ps(self, share: float) -> int:
        """The wait that a `share` of all spikes (0 to 1) stays below: the inverse of the CDF."""
        span = self.maximum_ps - self.minimum_ps
        rise = self.typical_ps - self.minimum_ps
        if share * span <= rise:
            return self.minimum_ps + round(sqrt(share * span * rise))
        return self.maximum_ps - round(sqrt((1 - share) * span * (span - rise)))


@dataclass(frozen=True, slots=True)
class Storage:
    """Where spilled bytes can go: a memory chip, a card, or a host at the end of a link.

    A transfer moves whole granules of `granule_bytes`. Programming takes page_program_ps for
    each page_bytes written, erasing block_erase_ps for each block_bytes; 0 where the part has
    none. `dma` false: the core copies the bytes itself and is busy throughout. `stalls_core`: the
    core can't fetch code while this storage programs or erases. `endurance_cycles` counts erases
    of a block, or writes of the whole storage where it has no blocks (a card spreads its wear);
    None where wear does not matter.
    """

    name: str
    kind: str
    size_bytes: int
    read_setup_ps: int
    write_setup_ps: int
    read_bytes_per_s: int
    write_bytes_per_s: int
    granule_bytes: int = 1
    page_bytes: int = 0
    page_program_ps: int = 0
    block_bytes: int = 0
    block_erase_ps: int = 0
    busy: Busy | None = None
    behaviour: Behaviour = CALM
    dma: bool = True
    stalls_core: bool = False
    endurance_cycles: int | None = None
    read_pj_per_byte: int = 0
    write_pj_per_byte: int = 0
    erase_pj_per_block: int = 0
    part: str = ""
    note: str = ""
    sources: Sources = field(default_factory=dict, hash=False)

    @property
    def is_link(self) -> bool:
        """The bytes leave the board and a host keeps them."""
        return self.kind in LINK_KINDS

    @property
    def needs_erase(self) -> bool:
        """A block has to be erased before it is written."""
        return self.block_bytes > 0 and self.block_erase_ps > 0

    def rounded_bytes(self, nbytes: int) -> int:
        """What a transfer of nbytes really moves: whole granules."""
        return -(-nbytes // self.granule_bytes) * self.granule_bytes

    def pages(self, nbytes: int) -> int:
        """Pages that a write of nbytes at a page's start programs."""
        return -(-self.rounded_bytes(nbytes) // self.page_bytes) if self.page_bytes else 0

    def blocks(self, nbytes: int) -> int:
        """Blocks that a slot of nbytes covers; slots start at a block's start."""
        return -(-nbytes // self.block_bytes) if self.block_bytes else 0

    def slot_bytes(self, nbytes: int) -> int:
        """What a slot of nbytes takes of the storage: whole blocks, or whole granules."""
        if self.needs_erase:
            return self.blocks(nbytes) * self.block_bytes
        return self.rounded_bytes(nbytes)

    def read_ps(self, nbytes: int) -> int:
        """Time to read nbytes, without busy spikes: setup + granules / rate."""
        moved_ps = bytes_to_ps(self.rounded_bytes(nbytes), self.read_bytes_per_s)
        return self.read_setup_ps + moved_ps

    def erase_ps(self, nbytes: int) -> int:
        """Time to erase the blocks of a slot of nbytes."""
        return self.blocks(nbytes) * self.block_erase_ps

    def program_ps(self, nbytes: int) -> int:
        """Time to write nbytes into erased blocks: setup + granules / rate + pages * program."""
        moved_ps = bytes_to_ps(self.rounded_bytes(nbytes), self.write_bytes_per_s)
        return self.write_setup_ps + moved_ps + self.pages(nbytes) * self.page_program_ps

    def write_ps(self, nbytes: int) -> int:
        """Time to erase and write nbytes, without busy spikes."""
        return self.erase_ps(nbytes) + self.program_ps(nbytes)

    def read_pj(self, nbytes: int) -> int:
        """Energy that the storage itself takes for a read, beside the core's power."""
        return self.rounded_bytes(nbytes) * self.read_pj_per_byte

    def program_pj(self, nbytes: int) -> int:
        """Energy that the storage itself takes to write into erased blocks."""
        return self.rounded_bytes(nbytes) * self.write_pj_per_byte

    def write_pj(self, nbytes: int) -> int:
        """Energy that the storage itself takes for a write and the erases before it."""
        return self.program_pj(nbytes) + self.blocks(nbytes) * self.erase_pj_per_block


@dataclass(frozen=True, slots=True)
class Memory:
    """A bank of SRAM. `reserved_bytes` is what application, stacks and RTOS keep of it.

    `section` is what GCC's section attribute needs to place an array there (".dtcm_bss"); ""
    where the linker script's plain .bss lies in this bank. `holds` is a subset of MEMORY_USES.
    """

    name: str
    size_bytes: int
    reserved_bytes: int = 0
    section: str = ""
    holds: frozenset[str] = frozenset()
    dma: bool = True
    note: str = ""
    sources: Sources = field(default_factory=dict, hash=False)

    @property
    def usable_bytes(self) -> int:
        return self.size_bytes - self.reserved_bytes


@dataclass(frozen=True, slots=True)
class CostProfile:
    """Cycles of a core with a kernel library, by group of op kinds (see sim.device.cost).

    A group without an entry costs nothing in that respect. Of `dispatch_cycles` an engine compiled
    ahead of time keeps `call_cycles`. `error_percent` is the largest error
    seen against the measurements it was fitted to or checked with; None if there are none, and
    then `calibrated` is false.
    """

    name: str
    cycles_per_mac: Mapping[str, float] = field(hash=False)
    cycles_per_output: Mapping[str, float] = field(hash=False)
    cycles_per_input: Mapping[str, float] = field(hash=False)
    cycles_per_byte: Mapping[str, float] = field(hash=False)
    cycles_per_call: Mapping[str, float] = field(hash=False)
    dispatch_cycles: int
    calibrated: bool
    error_percent: float | None = None
    call_cycles: int = 0
    title: str = ""
    note: str = ""
    sources: Sources = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Core:
    """The core that runs the model; `waiting_uw` is drawn while it sleeps for a transfer,

    `sleep_uw` between frames, None where that is not known.
    """

    name: str
    architecture: str
    clock_hz: int
    profile: CostProfile
    active_uw: int
    waiting_uw: int
    sleep_uw: int | None = None
    unaligned_access: bool = True
    sources: Sources = field(default_factory=dict, hash=False)

    @property
    def resting_uw(self) -> int:
        """Power between frames; that of waiting stands in where it is not known."""
        return self.waiting_uw if self.sleep_uw is None else self.sleep_uw


@dataclass(frozen=True, slots=True)
class Board:
    """A board as a model's host. `weights_in` names the storage or memory of the constants.

    `weight_stall_cycles_per_byte` is the core's wait for each byte of weights read from there,
    beyond what the cost profile holds. `bus_bytes_per_s` bounds all DMA transfers together.
    `supply_mv` is the voltage at which the core's powers hold; a linear `regulator` draws the same
    current at any other, a switching one the same power. `flash_bytes` is all flash for code and
    weights, 0 where it is not said.
    """

    name: str
    title: str
    vendor: str
    mcu: str
    core: Core
    memories: tuple[Memory, ...]
    storages: tuple[Storage, ...]
    bus_bytes_per_s: int
    dma_channels: int
    weights_in: str
    weight_stall_cycles_per_byte: float
    supply_mv: int
    flash_bytes: int = 0
    regulator: str = LINEAR
    note: str = ""
    sources: Sources = field(default_factory=dict, hash=False)

    def storage(self, name: str) -> Storage:
        """The storage of that name. Raises PolicyError if the board has none."""
        for storage in self.storages:
            if storage.name == name:
                return storage
        names = ", ".join(s.name for s in self.storages) or "none"
        raise PolicyError(f"board {self.name}: storage: found {name!r}, wanted one of: {names}")

    def memory(self, name: str) -> Memory:
        """The memory of that name. Raises PolicyError if the board has none."""
        for memory in self.memories:
            if memory.name == name:
                return memory
        names = ", ".join(m.name for m in self.memories)
        raise PolicyError(f"board {self.name}: memory: found {name!r}, wanted one of: {names}")

    @property
    def arena_memory(self) -> Memory:
        """The memory with the most usable bytes of those that may hold the arena."""
        able = [memory for memory in self.memories if "arena" in memory.holds]
        if not able:
            raise PolicyError(f"board {self.name}: memories: found none that holds the arena")
        return max(able, key=lambda memory: memory.usable_bytes)

    @property
    def largest_usable_bytes(self) -> int:
        """The largest arena that the board can hold in one piece."""
        return self.arena_memory.usable_bytes

    def without_interpreter(self) -> Board:
        """The board as an engine compiled ahead of time sees it: ops are called directly."""
        profile = self.core.profile
        return self.with_profile(replace(profile, dispatch_cycles=profile.call_cycles))

    def with_profile(self, profile: CostProfile) -> Board:
        """The board with another kernel library on its core."""
        return replace(self, core=replace(self.core, profile=profile))

    def with_behaviour(self, name: str, changes: Mapping[str, Any]) -> Board:
        """The board with some fields of a storage's behaviour changed.

        Raises PolicyError if it has no storage of that name.
        """
        old = self.storage(name)
        new = replace(old, behaviour=replace(old.behaviour, **changes))
        return replace(self, storages=tuple(new if s is old else s for s in self.storages))

    def active_uw_at(self, supply_mv: int) -> float:
        """The core's active power at another supply voltage."""
        scale = supply_mv / self.supply_mv if self.regulator == LINEAR else 1.0
        return self.core.active_uw * scale

    def all_sources(self) -> dict[str, str]:
        """The source of every number, by its path in the YAML ("storages.qspi.page_program")."""
        sections: list[tuple[str, Sources]] = [
            ("", self.sources),
            ("core.", self.core.sources),
            ("core.profile.", self.core.profile.sources),
            *((f"memories.{memory.name}.", memory.sources) for memory in self.memories),
            *((f"storages.{storage.name}.", storage.sources) for storage in self.storages),
        ]
        return {prefix + key: text for prefix, part in sections for key, text in part.items()}
