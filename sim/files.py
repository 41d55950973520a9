"""Writing files so that a reader sees the whole new content or the old one, never a half."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from sim.errors import SpillwayError

Content = bytes | str


def write_whole(path: str | Path, data: Content) -> None:
    """Writes to a temporary name beside the target and moves it there.

    Raises SpillwayError if the place can't be written.
    """
    write_together({Path(path): data})


def write_together(contents: Mapping[Path, Content], obsolete: Iterable[Path] = ()) -> None:
    """Writes all files to temporary names first, then moves them, and removes the obsolete ones.

    So files of two runs don't come to stand side by side. Raises SpillwayError if a place can't be
    written.
    """
    staged: dict[Path, Path] = {}
    folders: list[Path] = []
    target = Path()
    try:
        for target, data in contents.items():
            folders += _made(target.parent)
            staged[target] = _staged(target, data)
        for target in obsolete:
            target.unlink(missing_ok=True)
        for target, temporary in staged.items():
            temporary.replace(target)
        folders.clear()
    except OSError as error:
        raise SpillwayError(f"{target}: can't be written: {error.strerror or error}") from None
    finally:
        for temporary in staged.values():
            temporary.unlink(missing_ok=True)
        for folder in reversed(folders):
            with suppress(OSError):  # somebody else uses it by now
                folder.rmdir()


def _made(folder: Path) -> list[Path]:
    """Makes a folder where there is none, and those above it; which they were, outermost first."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()][::-1]
    folder.mkdir(parents=True, exist_ok=True)
    return missing


def _staged(target: Path, data: Content) -> Path:
    """A new file beside the target; removed again if it can't be written whole."""
    if target.is_dir():
        raise IsADirectoryError(None, "is a directory")
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data.encode("utf-8") if isinstance(data, str) else data)
        Path(name).chmod(0o644)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return Path(name)
