"""What people see of boards and cost profiles."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.table import Table
from rich.text import Text

from sim.device.board import Board, CostProfile, Storage
from sim.render.tables import console
from sim.units import format_bytes, format_time


def show_boards(boards: Sequence[Board]) -> None:
    """The boards, a line each."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1, 0, 0))
    table.add_column("board", no_wrap=True)
    for name in ("MHz", "SRAM", "arena", "flash", "error"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("storages")
    for board in boards:
        table.add_row(
            board.name,
            f"{board.core.clock_hz / 10**6:g}",
            format_bytes(sum(memory.size_bytes for memory in board.memories)),
            format_bytes(board.largest_usable_bytes),
            format_bytes(board.flash_bytes) if board.flash_bytes else "",
            _calibration(board),
            " ".join(s.name for s in board.storages),
        )
    out = console()
    out.print(table)
    out.print(
        "arena: the largest bank's usable bytes. error: the worst simulated latency beside the "
        "measurements of the core and its library; - where there are none.",
        style="dim",
    )


def show_profiles(profiles: Sequence[CostProfile]) -> None:
    """The cost profiles, a line each."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1, 0, 0))
    table.add_column("profile", no_wrap=True)
    table.add_column("error", justify="right", no_wrap=True)
    table.add_column("core and kernel library")
    for profile in profiles:
        error = profile.error_percent if profile.calibrated else None
        table.add_row(profile.name, "-" if error is None else f"{error:.0f} %", profile.title)
    console().print(table)


def _calibration(board: Board) -> str:
    """The profile's largest error, where measurements stand behind it."""
    profile = board.core.profile
    if not profile.calibrated or profile.error_percent is None:
        return "-"
    return f"{profile.error_percent:.0f} %"


def show_board(board: Board) -> None:
    """One board: memories, storages with their times, and where the numbers come from."""
    out = console()
    out.print(Text(f"{board.title} ({board.mcu})", style="bold"))
    profile = board.core.profile
    out.print(
        f"{board.core.name} at {board.core.clock_hz / 10**6:g} MHz, "
        f"{profile.title or profile.name}, "
        f"{'calibrated' if profile.calibrated else 'not calibrated'}"
    )
    memories = Table(box=None, pad_edge=False, header_style="bold")
    memories.add_column("memory")
    for name in ("size", "usable"):
        memories.add_column(name, justify="right", no_wrap=True)
    memories.add_column("holds")
    for memory in board.memories:
        memories.add_row(
            memory.name,
            format_bytes(memory.size_bytes),
            format_bytes(memory.usable_bytes),
            ", ".join(sorted(memory.holds)),
        )
    out.print(memories)
    storages = Table(box=None, pad_edge=False, header_style="bold")
    storages.add_column("storage")
    storages.add_column("part", overflow="fold")
    for name in ("size", "64 KiB out", "back"):
        storages.add_column(name, justify="right", no_wrap=True)
    storages.add_column("copied by")
    for storage in board.storages:
        storages.add_row(*_storage_row(storage))
    out.print(storages)
    sources = board.all_sources()
    assumed = sum(source.startswith("assumed") for source in sources.values())
    out.print(
        f"{assumed} of {len(sources)} numbers are assumed; --json names each with its source."
    )


def _storage_row(storage: Storage) -> Iterable[str]:
    probe = 64 * 1024
    return (
        storage.name,
        storage.part or storage.kind,
        format_bytes(storage.size_bytes),
        format_time(storage.write_ps(probe)),
        format_time(storage.read_ps(probe)),
        "DMA" if storage.dma else "the core",
    )
