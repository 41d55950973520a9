"""Plots as files: what every picture shares."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any

from sim.errors import MissingToolError, SpillwayError
from sim.files import write_whole

INSTALL = "pip install 'spillway-mcu[plot]'"
FORMATS = {".png": "png", ".svg": "svg"}


def check_plot(path: str) -> None:
    """Raises SpillwayError if the name says no format, MissingToolError without matplotlib."""
    if Path(path).suffix.lower() not in FORMATS:
        raise SpillwayError(f"--plot: found {path!r}, wanted a name in {' or '.join(FORMATS)}")
    if find_spec("matplotlib") is None:
        raise MissingToolError(f"{Path(path).name}: found no matplotlib, wanted it: {INSTALL}")


def save_plot(path: str, size: tuple[float, float], draw: Callable[[Any], None]) -> None:
    """Has a figure of that size in inches drawn, into a file: PNG or SVG by its name.

    Raises what `check_plot` raises, and SpillwayError if the file can't be written.
    """
    write_whole(path, plot_bytes(path, size, draw))


def plot_bytes(name: str, size: tuple[float, float], draw: Callable[[Any], None]) -> bytes:
    """The same as the content of a file of that name. Same figure, same bytes."""
    check_plot(name)
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams["svg.hashsalt"] = "spillway"
        figure = Figure(figsize=size, layout="constrained")
        draw(figure)
        kind, made = FORMATS[Path(name).suffix.lower()], BytesIO()
        figure.savefig(made, format=kind, dpi=150, metadata={"Date": None} if kind == "svg" else {})
    return made.getvalue()
