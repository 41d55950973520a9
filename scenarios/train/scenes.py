"""Aerial scenes made by rule: an image and the class of every pixel, from nothing but a seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .canvas import (
    COLS,
    FINE,
    HEIGHT,
    ROWS,
    WIDTH,
    Canvas,
    Mask,
    Plane,
    Rgb,
    local_axes,
    noise,
    rectangle,
    rough,
    shadow_of,
    sunlit,
)

CLASSES = ("road", "building", "vegetation", "water", "ground")
ROAD, BUILDING, VEGETATION, WATER, GROUND = range(5)

GROUND_COLOURS: tuple[Rgb, ...] = (
    (0.58, 0.53, 0.36),
    (0.50, 0.40, 0.30),
    (0.70, 0.62, 0.48),
    (0.46, 0.53, 0.30),
    (0.55, 0.53, 0.50),
    (0.38, 0.44, 0.27),
)
WATER_COLOURS: tuple[Rgb, ...] = (
    (0.20, 0.34, 0.44),
    (0.27, 0.36, 0.30),
    (0.42, 0.37, 0.28),
    (0.13, 0.20, 0.24),
    (0.34, 0.50, 0.52),
)
WOOD_COLOURS: tuple[Rgb, ...] = (
    (0.20, 0.34, 0.16),
    (0.30, 0.40, 0.18),
    (0.16, 0.27, 0.20),
    (0.46, 0.36, 0.16),
    (0.36, 0.44, 0.28),
)
ROAD_COLOURS: tuple[Rgb, ...] = (
    (0.36, 0.36, 0.38),
    (0.48, 0.48, 0.48),
    (0.62, 0.60, 0.57),
    (0.60, 0.52, 0.40),
)
ROOF_COLOURS: tuple[Rgb, ...] = (
    (0.62, 0.30, 0.22),
    (0.50, 0.36, 0.28),
    (0.42, 0.42, 0.44),
    (0.74, 0.73, 0.70),
    (0.30, 0.36, 0.46),
    (0.33, 0.45, 0.38),
    (0.58, 0.53, 0.44),
)
CAR_COLOURS: tuple[Rgb, ...] = (
    (0.90, 0.90, 0.90),
    (0.12, 0.12, 0.14),
    (0.70, 0.12, 0.12),
    (0.15, 0.25, 0.60),
    (0.55, 0.56, 0.58),
)


@dataclass(frozen=True, slots=True)
class Scene:
    """`image` is uint8 [80, 120, 3], `classes` is uint8 [80, 120] of indices into CLASSES."""

    image: NDArray[np.uint8]
    classes: NDArray[np.uint8]


def scene(seed: int) -> Scene:
    """Draw the scene of this seed, always the same one."""
    rng = np.random.default_rng(seed)
    sun = rng.uniform(-np.pi, np.pi)
    canvas = Canvas()
    _ground(canvas, rng)
    if rng.random() < 0.6:
        _water(canvas, rng)
    if rng.random() < 0.85:
        _woods(canvas, rng, sun)
    angle = rng.uniform(-np.pi, np.pi)
    for turn in range(rng.integers(0, 4)):
        _road(canvas, rng, angle + turn * np.pi / 2 + rng.normal(0.0, 0.15))
    _buildings(canvas, rng, sun, angle)
    _trees(canvas, rng, sun)
    return Scene(_photograph(canvas.rgb, rng), _majority(canvas.classes))


def scenes(first_seed: int, count: int) -> Scene:
    """The scenes of `count` seeds in a row, stacked: images [n, 80, 120, 3], classes the same."""
    drawn = [scene(seed) for seed in range(first_seed, first_seed + count)]
    return Scene(np.stack([s.image for s in drawn]), np.stack([s.classes for s in drawn]))


def _pick(rng: np.random.Generator, colours: tuple[Rgb, ...]) -> Rgb:
    """One of the colours, a little off."""
    red, green, blue = np.asarray(colours[rng.integers(len(colours))]) + rng.normal(0.0, 0.02, 3)
    return float(red), float(green), float(blue)


def _somewhere(rng: np.random.Generator) -> tuple[float, float]:
    return float(rng.uniform(0, ROWS)), float(rng.uniform(0, COLS))


def _ground(canvas: Canvas, rng: np.random.Generator) -> None:
    """Two kinds of soil or grass that meet in patches or along a field's edge, furrowed or not."""
    along, across = local_axes(_somewhere(rng), rng.uniform(-np.pi, np.pi))
    patches = across + 8 * rough(rng, 40) > 0 if rng.random() < 0.5 else rough(rng, 60) > 0
    furrows = np.sin(along * 2 * np.pi / rng.uniform(6, 12)) * (rng.random() < 0.4)
    grain = 1 + 0.08 * rough(rng, 50) + 0.05 * rng.standard_normal((ROWS, COLS))
    everywhere = np.ones((ROWS, COLS), dtype=bool)
    canvas.paint(everywhere, _pick(rng, GROUND_COLOURS), grain, GROUND)
    canvas.paint(patches, _pick(rng, GROUND_COLOURS), grain + 0.07 * furrows)


def _bend(rng: np.random.Generator, angle: float, sway: float) -> tuple[Plane, Plane]:
    """Place along and distance from the middle of a winding strip that crosses the scene."""
    centre = (ROWS * rng.uniform(0.15, 0.85), COLS * rng.uniform(0.15, 0.85))
    along, across = local_axes(centre, angle)
    wave, phase = 2 * np.pi / rng.uniform(150, 350), rng.uniform(-np.pi, np.pi)
    slope = sway * wave * np.cos(wave * along + phase)
    distance = across - sway * (np.sin(wave * along + phase) - np.sin(phase))
    return along, np.abs(distance) / np.sqrt(1 + slope * slope)


def _water(canvas: Canvas, rng: np.random.Generator) -> None:
    """A river or a lake: smooth, with faint ripples, and a bank."""
    if rng.random() < 0.5:
        _, distance = _bend(rng, rng.uniform(-np.pi, np.pi), rng.uniform(5, 30))
        depth = rng.uniform(10, 26) + 4 * rough(rng, 30) - distance
    else:
        along, across = local_axes(_somewhere(rng), rng.uniform(-np.pi, np.pi))
        radius = rng.uniform(25, 60)
        depth = radius + 12 * rough(rng, 50) - np.hypot(along, across * rng.uniform(1.0, 1.8))
    bank = _pick(rng, GROUND_COLOURS)
    canvas.paint((depth > -3) & (depth <= 0), bank, 1 + 0.06 * rough(rng, 6))
    ripples = 1 + 0.04 * noise(rng, 5) + 0.1 * noise(rng, 60) - 0.004 * np.clip(depth, 0, 30)
    canvas.paint(depth > 0, _pick(rng, WATER_COLOURS), ripples, WATER)


def _woods(canvas: Canvas, rng: np.random.Generator, sun: float) -> None:
    """Closed woods on dry land, lumpy with crowns, with a shadow on one side."""
    wood = (rough(rng, 70) > rng.uniform(-0.05, 0.45)) & (canvas.classes != WATER)
    crowns = noise(rng, rng.uniform(6, 10)) + 0.6 * noise(rng, 4)
    light = 1 - 0.8 * sunlit(crowns, sun) + 0.12 * crowns + 0.1 * noise(rng, 40)
    canvas.shade(shadow_of(wood, sun, 4), 0.45)
    canvas.paint(wood, _pick(rng, WOOD_COLOURS), np.clip(light, 0.35, 1.7), VEGETATION)


def _road(canvas: Canvas, rng: np.random.Generator, angle: float) -> None:
    """A paved or dirt road, with lines and cars when it is wide enough; it bridges water."""
    along, distance = _bend(rng, angle, rng.uniform(0, 14))
    half = rng.uniform(4.5, 9.0)
    road = distance < half
    canvas.paint((distance < half + 2) & (canvas.classes == GROUND), _pick(rng, GROUND_COLOURS))
    grain = 1 + 0.06 * rough(rng, 30) + 0.03 * rng.standard_normal((ROWS, COLS))
    canvas.paint(road, _pick(rng, ROAD_COLOURS), grain, ROAD)
    if half > 6 and rng.random() < 0.7:
        canvas.paint((distance < 0.8) & (along % 14 < 8), (0.85, 0.85, 0.8))
    for _ in range(rng.integers(0, 5)):
        place = rng.uniform(-120, 120)
        car = (np.abs(distance - half / 2) < 1.6) & (np.abs(along - place) < 3.5)
        canvas.paint(car & road, _pick(rng, CAR_COLOURS))


def _buildings(canvas: Canvas, rng: np.random.Generator, sun: float, angle: float) -> None:
    """Houses that stand mostly square to the first road, on free land; shadows before roofs."""
    height = rng.uniform(4, 12)
    houses: list[tuple[Mask, tuple[float, float], float, float]] = []
    taken = np.isin(canvas.classes, (ROAD, WATER))
    for _ in range(rng.integers(0, 26)):
        centre, turned = _somewhere(rng), angle + rng.normal(0.0, 0.1)
        length, width = rng.uniform(18, 44), rng.uniform(14, 26)
        if (taken & rectangle(centre, turned, length + 6, width + 6)).any():
            continue
        house = rectangle(centre, turned, length, width)
        taken |= house
        houses.append((house, centre, turned, width))
    for house, *_ in houses:
        canvas.shade(shadow_of(house, sun, height), 0.5)
    for house, centre, turned, width in houses:
        _roof(canvas, rng, house, local_axes(centre, turned), width, sun - turned)


def _roof(
    canvas: Canvas,
    rng: np.random.Generator,
    house: Mask,
    axes: tuple[Plane, Plane],
    width: float,
    sun: float,
) -> None:
    """A gable whose halves differ in light, or a flat roof with a rim and boxes on it."""
    along, across = axes
    grain = 1 + 0.03 * rng.standard_normal((ROWS, COLS))
    colour = _pick(rng, ROOF_COLOURS)
    if rng.random() < 0.6:
        tiles = 0.05 * np.sin(along * 2 * np.pi / 4)
        light = grain + tiles - 0.28 * np.sin(sun) * np.sign(across)
        canvas.paint(house, colour, light, BUILDING)
        return
    canvas.paint(house, colour, grain, BUILDING)
    canvas.paint(house & (np.abs(across) > width / 2 - 2), colour, 0.75 * grain)
    for _ in range(rng.integers(0, 4)):
        spot = rng.uniform(-width / 3, width / 3, 2)
        box = (np.abs(along - spot[0]) < 2.2) & (np.abs(across - spot[1]) < 2.2)
        canvas.paint(house & box, colour, grain + rng.choice((-0.35, 0.35)))


def _trees(canvas: Canvas, rng: np.random.Generator, sun: float) -> None:
    """Single trees on open ground: round, lit from one side, with a shadow on the other."""
    colour, leaves = _pick(rng, WOOD_COLOURS), noise(rng, 4)
    for _ in range(rng.integers(0, 16)):
        centre, radius = _somewhere(rng), rng.uniform(5, 10)
        along, across = local_axes(centre, sun)
        distance = np.hypot(along, across) + leaves
        crown = (distance < radius) & (canvas.classes == GROUND)
        if crown.sum() < 2 * radius * radius:
            continue
        canvas.shade(shadow_of(crown, sun, radius) & (canvas.classes != BUILDING), 0.45)
        light = 1 - 0.35 * along / radius + 0.2 * leaves
        canvas.paint(crown, colour, np.clip(light, 0.4, 1.6), VEGETATION)


def _photograph(rgb: Plane, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Light, cloud shadows, colour cast, haze and sensor noise; then half the size, in bytes."""
    clouds = np.clip(1.5 * rough(rng, 90), 0, 1) * rng.uniform(0.0, 0.5) * (rng.random() < 0.5)
    along, _ = local_axes((ROWS / 2, COLS / 2), rng.uniform(-np.pi, np.pi))
    light = rng.uniform(0.6, 1.2) * (1 + rng.uniform(0.0, 0.2) * along / COLS) * (1 - clouds)
    seen = np.clip(rgb, 0, 1.2) * light[..., None] * rng.uniform(0.94, 1.06, 3)
    haze = rng.uniform(0.0, 0.25)
    seen = seen * (1 - haze) + haze * np.array([0.62, 0.66, 0.72])
    small = seen.reshape(HEIGHT, FINE, WIDTH, FINE, 3).mean(axis=(1, 3))
    small += rng.uniform(0.005, 0.03) * rng.standard_normal(small.shape)
    return np.round(np.clip(small, 0, 1) * 255).astype(np.uint8)


def _majority(classes: NDArray[np.int64]) -> NDArray[np.uint8]:
    """The class that most fine pixels of each pixel have; the lower index wins a tie."""
    blocks = classes.reshape(HEIGHT, FINE, WIDTH, FINE)
    votes = [(blocks == index).sum(axis=(1, 3)) for index in range(len(CLASSES))]
    return np.argmax(votes, axis=0).astype(np.uint8)
