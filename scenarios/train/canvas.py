"""A canvas of colours and classes, drawn at twice the size of a scene, and the shapes put on it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float64]
Mask = NDArray[np.bool_]
Rgb = tuple[float, float, float]

HEIGHT, WIDTH = 80, 120
FINE = 2
ROWS, COLS = HEIGHT * FINE, WIDTH * FINE
_Y, _X = np.mgrid[0:ROWS, 0:COLS].astype(np.float64)


@dataclass(slots=True)
class Canvas:
    """What has been drawn so far: RGB in 0..1 and the class of every fine pixel."""

    rgb: Plane = field(default_factory=lambda: np.zeros((ROWS, COLS, 3)))
    classes: NDArray[np.int64] = field(default_factory=lambda: np.zeros((ROWS, COLS), np.int64))

    def paint(
        self, mask: Mask, colour: Rgb, light: Plane | float = 1.0, class_index: int | None = None
    ) -> None:
        """Fill the mask with a colour times the light on each pixel; None keeps the classes."""
        lit = np.broadcast_to(light, mask.shape)[mask]
        self.rgb[mask] = np.asarray(colour) * lit[:, None]
        if class_index is not None:
            self.classes[mask] = class_index

    def shade(self, mask: Mask, darkness: float) -> None:
        """Darken the mask as a shadow does: less light, and what is left is bluer."""
        self.rgb[mask] *= 1.0 - darkness * np.array([1.0, 0.95, 0.8])


def noise(rng: np.random.Generator, cell: float, rows: int = ROWS, cols: int = COLS) -> Plane:
    """Smooth noise in -1..1 that changes over about `cell` fine pixels."""
    down, across = _blend(rows, cell), _blend(cols, cell)
    grid = rng.uniform(-1.0, 1.0, (down.shape[1], across.shape[1]))
    return down @ grid @ across.T


def rough(rng: np.random.Generator, cell: float) -> Plane:
    """Noise in three octaves, about -1..1."""
    return (noise(rng, cell) + 0.5 * noise(rng, cell / 2) + 0.25 * noise(rng, cell / 4)) / 1.2


def local_axes(centre: tuple[float, float], angle: float) -> tuple[Plane, Plane]:
    """Coordinates along and across a line through `centre` (y, x) at `angle` radians."""
    dy, dx = _Y - centre[0], _X - centre[1]
    return dx * np.cos(angle) + dy * np.sin(angle), dy * np.cos(angle) - dx * np.sin(angle)


def rectangle(centre: tuple[float, float], angle: float, length: float, width: float) -> Mask:
    """A rotated rectangle."""
    along, across = local_axes(centre, angle)
    return (np.abs(along) <= length / 2) & (np.abs(across) <= width / 2)


def shifted(mask: Mask, down: int, right: int) -> Mask:
    """The mask moved by whole pixels; what leaves the canvas is lost."""
    moved = np.zeros_like(mask)
    to_y, from_y = _kept(ROWS, down)
    to_x, from_x = _kept(COLS, right)
    moved[to_y, to_x] = mask[from_y, from_x]
    return moved


def shadow_of(mask: Mask, sun: float, length: float) -> Mask:
    """The ground that a body of this outline darkens, its shadow falling towards `sun` radians."""
    shadow = np.zeros_like(mask)
    for step in np.arange(1.0, length + 1.0):
        shadow |= shifted(mask, round(step * np.sin(sun)), round(step * np.cos(sun)))
    return shadow & ~mask


def sunlit(height: Plane, sun: float) -> Plane:
    """Brightness around 0 of a rough surface whose shadows fall towards `sun` radians."""
    slope_y, slope_x = np.gradient(height)
    return slope_y * np.sin(sun) + slope_x * np.cos(sun)


def _kept(size: int, move: int) -> tuple[slice, slice]:
    """Where the pixels that stay on the canvas go to, and where they come from."""
    low, high = max(move, 0), size + min(move, 0)
    return slice(low, high), slice(low - move, high - move)


def _blend(size: int, cell: float) -> Plane:
    """Matrix that stretches knots `cell` apart to `size` pixels with a smooth step between them."""
    place = np.arange(size) / cell
    knot = place.astype(np.int64)
    part = place - knot
    part = part * part * (3.0 - 2.0 * part)
    matrix = np.zeros((size, int(knot[-1]) + 2))
    matrix[np.arange(size), knot] = 1.0 - part
    matrix[np.arange(size), knot + 1] += part
    return matrix
