"""A scenario's sections read into the workload that they describe."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sim.device.located_yaml import Located
from sim.device.schema import Field
from sim.device.section import Entries, arguments, error_at, read_entries, require
from sim.errors import ConfigError
from sim.units import UnitError, parse_time
from sim.workload.arrivals import BACK_TO_BACK, PERIODIC, POISSON, TRACE, Arrivals
from sim.workload.schema import CAMERA, FAULT, STORAGE_MOODS, USER, WORKLOAD
from sim.workload.workload import BROWN_OUT, BUS_USE, CORE_USE, CRC, Camera, Fault, User, Workload

PACE = ("kind", "period_ps", "jitter_ps", "times")

Section = Mapping[str, Located]


def read_workload(top: Section, *, period_ps: int, warm_up: int, folder: Path) -> Workload:
    """The workload of a scenario whose frames come each `period_ps`, 0 for one after the other.

    Raises ConfigError with file, line and field where it is wrong.
    """
    entries = _section(top, "workload", WORKLOAD)
    values = arguments(entries, WORKLOAD)
    values["arrivals"] = read_arrivals(
        values, entries, "workload", folder=folder, period_ps=period_ps
    )
    return Workload(
        warm_up=warm_up,
        camera=_camera(top),
        background=_background(top, folder),
        faults=_faults(top),
        **values,
    )


def read_arrivals(
    values: dict[str, Any], entries: Entries, where: str, *, folder: Path, period_ps: int = 0
) -> Arrivals:
    """Takes what is about arrivals out of a section's values."""
    given = {key: values.pop(key) for key in PACE if key in values}
    period_ps = given.get("period_ps", period_ps)
    kind = given.get("kind", PERIODIC if period_ps else BACK_TO_BACK)
    if kind in (PERIODIC, POISSON) and not period_ps:
        raise error_at(entries, "arrivals", where, "a period: beside it")
    if kind == BACK_TO_BACK and period_ps:
        raise error_at(entries, "arrivals", where, "no period: beside it")
    jitter_ps = given.get("jitter_ps", 0)
    if jitter_ps and (kind != PERIODIC or jitter_ps > period_ps):
        raise error_at(entries, "jitter", where, "no more than a period, for periodic arrivals")
    times: tuple[int, ...] = ()
    if kind == TRACE:
        if "times" not in given:
            raise error_at(entries, "arrivals", where, "times: a file, beside it")
        times = read_times(folder / given["times"])
    return Arrivals(kind, 0 if kind == TRACE else period_ps, jitter_ps, times)


def read_times(path: Path) -> tuple[int, ...]:
    """Instants from a text file: a time with its unit a line; # begins a comment.

    Raises ConfigError with the line that is no time, or earlier than the one before.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(path, None, "file", str(error), "a text file of times") from None
    found: list[int] = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].strip()
        if not words:
            continue
        try:
            at_ps = parse_time(words)
        except UnitError as error:
            raise ConfigError(path, number, "time", words, error.wanted) from None
        if found and at_ps < found[-1]:
            raise ConfigError(path, number, "time", words, "none before the line above")
        found.append(at_ps)
    if not found:
        raise ConfigError(path, None, "file", "no times", "a time a line")
    return tuple(found)


def read_moods(top: Section) -> dict[str, dict[str, Any]]:
    """By storage, the fields of its behaviour that a scenario changes."""
    return {
        name: arguments(read_entries(node, STORAGE_MOODS, f"storages.{name}"), STORAGE_MOODS)
        for name, node in named(top, "storages").items()
    }


def _section(top: Section, key: str, fields: tuple[Field, ...]) -> Entries:
    if key not in top:
        return {}
    entries = read_entries(top[key], fields, key)
    require(entries, fields, top[key], key)
    return entries


def named(top: Section, key: str) -> Section:
    """The entries of a section that may be left out, by their names."""
    return top[key].mapping(key) if key in top else {}


def _camera(top: Section) -> Camera | None:
    entries = _section(top, "camera", CAMERA)
    return Camera(**arguments(entries, CAMERA)) if entries else None


def _background(top: Section, folder: Path) -> tuple[User, ...]:
    return tuple(_user(n, node, folder) for n, node in named(top, "background").items())


def _user(name: str, node: Located, folder: Path) -> User:
    where = f"background.{name}"
    entries = read_entries(node, USER, where)
    require(entries, USER, node, where)
    values = arguments(entries, USER)
    arrivals = read_arrivals(values, entries, where, folder=folder)
    if arrivals.kind == BACK_TO_BACK:
        raise node.error(where, "a period: at which it asks")
    wanted = {CORE_USE: ("work",), BUS_USE: ("moves", "rate")}.get(values["uses"])
    sizes = {key: values.pop(key) for key in ("moves", "reads", "writes") if key in values}
    if wanted is None:
        if len(sizes) != 1 or "moves" in sizes:
            raise node.error(where, "reads: or writes: a size")
    elif any(key not in entries for key in wanted):
        raise node.error(where, " and ".join(f"{key}:" for key in wanted))
    if values.get("interrupt") and values["uses"] != CORE_USE:
        raise error_at(entries, "interrupt", where, "uses: core, for an interrupt")
    size_bytes = next(iter(sizes.values()), 0)
    return User(
        name=name, arrivals=arrivals, size_bytes=size_bytes, writes="writes" in sizes, **values
    )


def _faults(top: Section) -> tuple[Fault, ...]:
    if "faults" not in top:
        return ()
    node = top["faults"]
    if not isinstance(node.value, list):
        raise node.error("faults", "a list of faults")
    return tuple(_fault(item, f"faults.{n}") for n, item in enumerate(node.value))


def _fault(node: Located, where: str) -> Fault:
    entries = read_entries(node, FAULT, where)
    require(entries, FAULT, node, where)
    fault = Fault(**arguments(entries, FAULT))
    if not (fault.at_ps or fault.every_ps or fault.probability):
        raise node.error(where, "at:, every: or, for crc, probability:")
    if fault.probability and fault.kind != CRC:
        raise error_at(entries, "probability", where, f"kind: {CRC}, beside a probability")
    if (fault.kind == BROWN_OUT) == bool(fault.on):
        wanted = "nothing: a brown-out is the board's" if fault.on else "storage: a storage or link"
        raise node.error(where, wanted)
    return fault
