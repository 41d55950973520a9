"""Boards from YAML: finds the file, composes the parts it names, checks everything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sim.device.behaviour import Behaviour
from sim.device.board import LINK_KINDS, Board, Busy, Core, CostProfile, Memory, Storage
from sim.device.library import Library, find_board, installed, library_beside, read_file
from sim.device.located_yaml import Located, did_you_mean
from sim.device.schema import BEHAVIOUR, BOARD, BUSY, CORE, MEMORY, PROFILE, STORAGE, Field
from sim.device.section import Entries, Entry, arguments, error_at, read_entries, require, sources
from sim.errors import ConfigError

_NEEDED_GROUPS = {
    "cycles_per_mac": ("conv", "depthwise", "fully_connected"),
    "cycles_per_output": ("arithmetic", "activation", "function"),
    "cycles_per_input": ("pool", "reduce"),
    "cycles_per_byte": ("copy", "rearrange", "unknown"),
}


def board_names() -> list[str]:
    """The names of the boards that installed packages bring."""
    return installed().names("boards")


def load_board(name_or_path: str | Path) -> Board:
    """The installed board of that name, or the one in the file if it is a path to a .yaml.

    Raises ConfigError with file, line, field, found and wanted if there is none or it is wrong.
    """
    text = str(name_or_path)
    if isinstance(name_or_path, Path) or text.endswith((".yaml", ".yml")) or "/" in text:
        path = Path(name_or_path)
        return read_board(read_file(path), path.stem, library_beside(path))
    file, library = find_board(text)
    return read_board(read_file(file), text, library)


def profile_names() -> list[str]:
    """The names of the cost profiles that installed packages bring."""
    return installed().names("cores")


def load_profile(name: str) -> CostProfile:
    """The installed cost profile of that name. Raises ConfigError if there is none."""
    if name not in profile_names():
        raise ConfigError("profile", None, "name", name, did_you_mean(name, profile_names()))
    return _read_profile(Located(name, name, 1), installed())


def load_board_with(name_or_path: str | Path, profile: str | None) -> Board:
    """The board, with another cost profile if one is named. Raises ConfigError as the others do."""
    board = load_board(name_or_path)
    return board if profile is None else board.with_profile(load_profile(profile))


def read_profile(node: Located) -> CostProfile:
    """The cost profile that a file's YAML describes. Raises ConfigError if it is wrong."""
    return _read_profile(node, installed())


def read_board(node: Located, name: str, library: Library) -> Board:
    """The board that a file's YAML describes, with its parts from the library."""
    entries = read_entries(node, BOARD, "", others=("core", "memories", "storages"))
    require(entries, BOARD, node, "")
    top = node.mapping("")
    core = _read_core(_subsection(node, "core"), library)
    memories = tuple(
        _read_memory(key, part, library)
        for key, part in _subsection(node, "memories").mapping("memories").items()
    )
    storage_nodes = top["storages"].mapping("storages") if "storages" in top else {}
    storages = tuple(_read_storage(key, part, library) for key, part in storage_nodes.items())
    board = Board(
        name=name, core=core, memories=memories, storages=storages,
        sources=sources(entries), **arguments(entries, BOARD),
    )  # fmt: skip
    if not any("arena" in memory.holds for memory in memories):
        raise top["memories"].error("memories", "at least one that holds the arena")
    places = [memory.name for memory in memories] + [storage.name for storage in storages]
    if board.weights_in not in places:
        raise error_at(entries, "weights_in", "", did_you_mean(board.weights_in, places))
    return board


def _read_core(node: Located, library: Library) -> Core:
    entries = read_entries(node, CORE, "core", others=("profile",))
    require(entries, CORE, node, "core")
    profile = _read_profile(_subsection(node, "profile", "core."), library)
    return Core(profile=profile, sources=sources(entries), **arguments(entries, CORE))


def _read_profile(node: Located, library: Library) -> CostProfile:
    where = "core.profile"
    layers = _layers(node, PROFILE, where, "cores", library)
    entries = layers.entries
    for field, groups in _NEEDED_GROUPS.items():
        for group in groups:
            if f"{field}.{group}" not in entries:
                wanted = f"a number for each of: {', '.join(groups)}"
                raise ConfigError(
                    node.file, node.line, f"{where}.{field}.{group}", "nothing", wanted
                )
    values = arguments(entries, PROFILE)
    if values["calibrated"] and "error_percent" not in entries:
        raise error_at(entries, "calibrated", where, "false, or an error_percent")
    return CostProfile(name=layers.part, sources=sources(entries), **values)


def _read_memory(name: str, node: Located, library: Library) -> Memory:
    where = f"memories.{name}"
    entries = _layers(node, MEMORY, where, "memories", library).entries
    memory = Memory(name=name, sources=sources(entries), **arguments(entries, MEMORY))
    if memory.usable_bytes < 0:
        raise error_at(entries, "reserved", where, "no more than the size")
    return memory


def _read_storage(name: str, node: Located, library: Library) -> Storage:
    where = f"storages.{name}"
    layers = _layers(node, STORAGE, where, "storage", library, ("busy", "behaviour"))
    entries = layers.entries
    busy, busy_sources = None, dict[str, str]()
    if "busy" in layers.others:
        busy, busy_sources = _read_busy(layers.others["busy"], f"{where}.busy")
    behaviour = Behaviour()
    if "behaviour" in layers.others:
        at = f"{where}.behaviour"
        told = read_entries(layers.others["behaviour"], BEHAVIOUR, at)
        behaviour = Behaviour(**arguments(told, BEHAVIOUR))
        busy_sources |= {f"behaviour.{key}": text for key, text in sources(told).items()}
    values = arguments(entries, STORAGE)
    for cost, unit in (("page_program", "page"), ("block_erase", "block")):
        if cost in entries and unit not in entries:
            raise error_at(entries, cost, where, f"a {unit}: that it is the time of")
    if values["kind"] in LINK_KINDS and "block" in entries:
        raise error_at(entries, "block", where, "nothing: the host of a link erases no blocks")
    found = sources(entries) | busy_sources
    return Storage(name=name, busy=busy, behaviour=behaviour, sources=found, **values)


def _read_busy(node: Located, where: str) -> tuple[Busy, dict[str, str]]:
    entries = read_entries(node, BUSY, where)
    require(entries, BUSY, node, where)
    busy = Busy(**arguments(entries, BUSY))
    if not busy.minimum_ps <= busy.typical_ps <= busy.maximum_ps:
        raise error_at(entries, "typical", where, "a time between minimum and maximum")
    return busy, {f"busy.{key}": source for key, source in sources(entries).items()}


@dataclass(frozen=True, slots=True)
class _Layers:
    """A part's name, its fields, and what else was asked for; the board's own words win."""

    part: str
    entries: Entries
    others: Mapping[str, Located]


def _layers(
    node: Located,
    fields: tuple[Field, ...],
    where: str,
    folder: str,
    library: Library,
    others: tuple[str, ...] = (),
) -> _Layers:
    """Reads a part's name, or a mapping that may `use` a part and override its fields."""
    own = node.value if isinstance(node.value, dict) else {"use": node}
    entries: dict[str, Entry] = {}
    rest: dict[str, Located] = {}
    if "use" in own:
        part = library.part(folder, own["use"], f"{where}.use")
        entries |= read_entries(part, fields, where, others)
        rest |= {key: part.mapping(where)[key] for key in others if key in part.mapping(where)}
    if isinstance(node.value, dict):
        entries |= read_entries(node, fields, where, ("use", *others))
        rest |= {key: own[key] for key in others if key in own}
    require(entries, fields, node, where)
    return _Layers(str(own["use"].value) if "use" in own else "own", entries, rest)


def _subsection(node: Located, key: str, prefix: str = "") -> Located:
    section = node.mapping(prefix.rstrip("."))
    if key not in section:
        raise ConfigError(node.file, node.line, prefix + key, "nothing", "a section")
    return section[key]
