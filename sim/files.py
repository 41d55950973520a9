"""Writing files so that a reader sees the whole new content or the old one, never a half."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from sim.errors import SpillwayError


def write_whole(path: str | Path, data: bytes | str) -> None:
    """Writes to a temporary name beside the target and moves it there.

    Raises SpillwayError if the place can't be written.
    """
    target = Path(path)
    raw = data.encode("utf-8") if isinstance(data, str) else data
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(raw)
            Path(name).chmod(0o644)
            Path(name).replace(target)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise SpillwayError(f"{target}: can't be written: {error.strerror or error}") from None
