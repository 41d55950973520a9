"""How well pixels are told apart: intersection over union, and what colour alone would reach."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .scenes import CLASSES, Scene

_LEVELS = 16


def iou_per_class(found: NDArray[np.uint8], truth: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Intersection over union of each class, over all pixels of all scenes together."""
    pairs = np.bincount(truth.ravel() * len(CLASSES) + found.ravel(), minlength=len(CLASSES) ** 2)
    counts = pairs.reshape(len(CLASSES), len(CLASSES))
    hits = np.diag(counts)
    return hits / (counts.sum(axis=0) + counts.sum(axis=1) - hits)


def by_colour_alone(known: Scene, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The most frequent class of each pixel's colour, in 16 levels a channel: the bar to clear."""
    counts = np.zeros((_LEVELS**3, len(CLASSES)), dtype=np.int64)
    np.add.at(counts, (_colour_index(known.image).ravel(), known.classes.ravel()), 1)
    return counts.argmax(axis=1)[_colour_index(images)].astype(np.uint8)


def _colour_index(images: NDArray[np.uint8]) -> NDArray[np.int64]:
    red, green, blue = np.moveaxis(images.astype(np.int64) * _LEVELS // 256, -1, 0)
    return (red * _LEVELS + green) * _LEVELS + blue
